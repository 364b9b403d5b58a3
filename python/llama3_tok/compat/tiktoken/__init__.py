"""Llama 3 behind tiktoken's interface: `import llama3_tok.compat.tiktoken as tiktoken`.

Names, signatures, results and kinds of errors are those of tiktoken 0.14, which is neither needed
nor imported. The encodings are the profiles of `llama3_tok`, by their names; their vocabulary is
found as that of `llama3_tok.Tokenizer()` is. It differs where tiktoken gives no answer:
`Encoding.eot_token` is Llama 3's end of text, no text is too long, and lone surrogates are U+FFFD
in every method, as they are in tiktoken's `encode`.

`__version__` is the release of tiktoken whose interface this is, for programs that ask for one;
this package's own is `llama3_tok.__version__`.

>>> import llama3_tok.compat.tiktoken as tiktoken
>>> encoding = tiktoken.get_encoding("llama3.1")
>>> encoding.encode("Hello world")
[9906, 1917]
"""

from llama3_tok.compat.tiktoken.core import Encoding
from llama3_tok.compat.tiktoken.model import encoding_for_model, encoding_name_for_model
from llama3_tok.compat.tiktoken.registry import get_encoding, list_encoding_names

__version__ = "0.14.0"

__all__ = [
    "Encoding",
    "encoding_for_model",
    "encoding_name_for_model",
    "get_encoding",
    "list_encoding_names",
]
