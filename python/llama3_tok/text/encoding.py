"""`Encoding`: the ids of a text, and where in the text each token stands."""

import html
from collections.abc import Mapping
from operator import index as integer
from typing import SupportsIndex, overload

from llama3_tok.arguments import Text, utf8
from llama3_tok.lazy import np, npt

__all__ = ["Encoding"]

# Tokens that a notebook shows; more would make it slow.
_AT_ONCE = 1 << 16
"""Tokens between two looks for signals, where Python's objects are made of an array."""
_SHOWN = 2000
_STYLE = "font-family:monospace;white-space:pre-wrap;line-height:1.8"
# Those of the pages (`page/page.css`), written out, since a notebook has no style sheet.
_COLOURS = ("#d8e8f8", "#b9d6f2")


class Encoding:
    """The ids of a text with the places they came from.

    `ids` is `uint32[n]`. `byte_spans` is `int64[n, 2]`: token `i` is the bytes
    `byte_spans[i, 0]:byte_spans[i, 1]` of the text in UTF-8, and the spans, one after the other,
    are the whole text. `char_spans` is `int64[n, 2]`: the characters of the `str` that have these
    bytes. A character that is split over several tokens gives all of them its span; a surrogate
    pair in a `str`, which is encoded as one character, is two. Of `bytes` the characters are those
    of `text.decode("utf-8", "surrogateescape")`: each byte outside valid UTF-8 is one. The spans of
    tokens that were added, BOS and EOS, are empty.

    >>> encoding = llama3_tok.Tokenizer().encode_with_offsets("Hi 漢字")
    >>> encoding.char_spans.tolist()
    [[0, 2], [2, 4], [3, 4], [4, 5]]
    """

    __slots__ = ("_ends", "_text", "byte_spans", "char_spans", "ids")

    def __init__(
        self,
        ids: "npt.NDArray[np.uint32]",
        byte_spans: "npt.NDArray[np.int64]",
        char_spans: "npt.NDArray[np.int64]",
        text: Text,
        ends: Mapping[int, bytes],
    ) -> None:
        self.ids, self.byte_spans, self.char_spans = ids, byte_spans, char_spans
        self._text, self._ends = text, ends

    def __repr__(self) -> str:
        """For people."""
        return f"Encoding({len(self.ids):,} ids of {self._characters():,} characters)"

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> "npt.NDArray[np.uint32]": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "int | npt.NDArray[np.uint32]":
        """One id, or with a slice several, `uint32[m]`; negative indices count from the end."""
        if isinstance(index, slice):
            return self.ids[index]
        if isinstance(index, bool):
            raise TypeError("an index must be an int or a slice, not bool")
        count, at = len(self.ids), integer(index)
        if not -count <= at < count:
            raise IndexError(f"index {at} is out of range for {count} ids")
        return int(self.ids[at])

    @property
    def tokens(self) -> list[bytes]:
        r"""What each token stands for, in bytes: of the text, or its name for BOS and EOS.

        >>> llama3_tok.Tokenizer().encode_with_offsets("Việt Nam").tokens
        [b'Vi', b'\xe1\xbb\x87', b't', b' Nam']
        """
        data = self._text if isinstance(self._text, bytes) else utf8(self._text, "text")
        tokens: list[bytes] = []
        for first in range(0, len(self.ids), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            spans = zip(self.ids[part].tolist(), self.byte_spans[part].tolist(), strict=True)
            tokens += [
                data[start:end] if start < end else self._ends.get(id, b"")
                for id, (start, end) in spans
            ]
        return tokens

    def _repr_html_(self) -> str:
        """The text with each token on a colour of its own, for notebooks; the id is its title.

        Everything is escaped, and what can't be seen is written out with the marks of the pages: a
        space as "·", a line end as "↵", a byte that is no character by itself as two hexadecimal
        digits.
        """
        shown = zip(self.ids[:_SHOWN].tolist(), self.tokens[:_SHOWN], strict=True)
        spans = "".join(_span(number, id, token) for number, (id, token) in enumerate(shown))
        more = len(self.ids) - _SHOWN
        rest = f" … and {more:,} more" if more > 0 else ""
        return f"<div><p>{html.escape(repr(self))}</p><p style='{_STYLE}'>{spans}{rest}</p></div>"

    def token_at(self, char: int) -> int:
        """The index of the token that has a character; of several, that with its first byte.

        Raises IndexError for a character that the text does not have. Negative indices are none:
        the -1 of a `str.find` that found nothing would be the last character.

        >>> llama3_tok.Tokenizer().encode_with_offsets("Hello world", bos=True).token_at(6)
        2
        """
        import numpy as np

        char, count = integer(char), self._characters()
        if not 0 <= char < count:
            raise IndexError(f"character {char} is out of range for {count} characters")
        # The first token that ends after the character; a token that was added ends before it.
        return int(np.searchsorted(self.char_spans[:, 1], char, side="right"))

    def _characters(self) -> int:
        return int(self.char_spans[-1, 1]) if len(self.ids) else 0


def _span(number: int, id: int, token: bytes) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    style = f"background:{colour};color:black;padding:1px;border-radius:3px"
    return f"<span title='{id}' style='{style}'>{_visible(token)}</span>"


def _visible(token: bytes) -> str:
    """A token as HTML text."""
    try:
        text = token.decode()
    except UnicodeDecodeError:
        text = "".join(chr(byte) if 32 < byte < 127 else f"⟨{byte:02X}⟩" for byte in token)
    shown = text.replace(" ", "·").replace("\r", "␍").replace("\n", "↵\n").replace("\t", "⇥\t")
    parts = (c if c.isprintable() or c in "\n\t" else f"⟨U+{ord(c):04X}⟩" for c in shown)
    return html.escape("".join(parts))
