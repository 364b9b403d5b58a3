"""The tokenizer that the functions of the package share: the default vocabulary and profile."""

from functools import cache

from llama3_tok.tokenizer import Tokenizer

__all__ = ["given", "shared"]


@cache
def shared() -> Tokenizer:
    """The shared tokenizer, which is made when it is first asked for."""
    return Tokenizer()


def given(tokenizer: Tokenizer | None) -> Tokenizer:
    """What a caller gave as `tokenizer`, or the shared one."""
    if not isinstance(tokenizer, Tokenizer | None):
        raise TypeError(f"tokenizer must be a Tokenizer or None, not {type(tokenizer).__name__}")
    return shared() if tokenizer is None else tokenizer
