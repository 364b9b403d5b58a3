"""The tokenizer that the functions of `llama3_tok` share."""

from functools import cache

from llama3_tok.tokenizer import Tokenizer

__all__ = ["shared"]


@cache
def shared() -> Tokenizer:
    """That with the default vocabulary and profile, which is made when it is first asked for."""
    return Tokenizer()
