"""This tokenizer behind the interfaces of other libraries, for code that was written for them.

`llama3_tok.compat.tiktoken` stands in for tiktoken, and `llama3_tok.compat.transformers` has a
tokenizer class for transformers. Neither is imported with `llama3_tok`.
"""
