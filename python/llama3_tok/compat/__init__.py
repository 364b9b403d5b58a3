"""This tokenizer behind the interfaces of other libraries, for code that was written for them.

`llama3_tok.compat.tiktoken` stands in for tiktoken, `llama3_tok.compat.transformers` has a
tokenizer class for transformers, and `llama3_tok.compat.tokenizers` the `DecodeStream` of
tokenizers. None is imported with `llama3_tok`.
"""
