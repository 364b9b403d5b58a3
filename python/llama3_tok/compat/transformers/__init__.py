"""`Llama3Tokenizer`: Llama 3 as a tokenizer class of transformers 5, with the ids of this core.

It is a `PreTrainedTokenizer`, so pipelines, collators and trainers take it, and its ids are those
that `AutoTokenizer` gives from a folder that `Tokenizer.save` wrote. Two things are better here:
`apply_chat_template` never takes the text of a message for a special token, and it knows which
tokens the assistant wrote without a template that says so. Importing this module needs the extra
`transformers`.

>>> from llama3_tok.compat.transformers import Llama3Tokenizer
>>> Llama3Tokenizer()("Hello world")["input_ids"]
[128000, 9906, 1917]
"""

from llama3_tok.compat.transformers.auto import register, unregister
from llama3_tok.compat.transformers.tokenizer import Llama3Tokenizer

__all__ = ["Llama3Tokenizer", "register", "unregister"]
