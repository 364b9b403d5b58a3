"""The encodings by name."""

from llama3_tok.compat.tiktoken.core import ENCODINGS, Encoding
from llama3_tok.errors import Llama3TokError
from llama3_tok.profiles import PROFILES

__all__ = ["ENCODINGS", "get_encoding", "list_encoding_names"]


def get_encoding(encoding_name: str) -> Encoding:
    """The encoding of a profile of Llama 3; always the same object for a name.

    Raises ValueError for other names, those of OpenAI's encodings among them.

    >>> get_encoding("llama3.1").encode("Hello world")
    [9906, 1917]
    """
    if encoding_name not in PROFILES:
        raise Llama3TokError(
            f"unknown encoding {encoding_name!r}: llama3_tok.compat.tiktoken holds Llama 3 only, "
            f"which is {', '.join(PROFILES)}; tiktoken itself has others"
        )
    return Encoding._named(encoding_name)


def list_encoding_names() -> list[str]:
    """The names that `get_encoding` takes."""
    return list(PROFILES)
