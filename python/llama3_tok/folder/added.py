"""`AddedToken`: a token that a vocabulary has besides its ranks."""

from typing import NamedTuple

__all__ = ["AddedToken"]


class AddedToken(NamedTuple):
    """A token that a text has by its name.

    `special`: only if the caller allows it, and decoding may leave it out. `single_word`: only
    where no word goes on before or after it. `lstrip`, `rstrip`: the white space before or after it
    belongs to it. `normalized`: it is searched for in what the others leave.
    """

    id: int
    content: str
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
