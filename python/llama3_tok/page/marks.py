"""Text as HTML: nothing in it is markup, and nothing in it hides.

What a browser would obey or not show (controls, bidirectional overrides, invisible characters,
bytes that are not UTF-8) never reaches the page itself: an empty element stands for it, and the
style sheet shows its mark, or on demand its name.
"""

import unicodedata
from html import escape

from llama3_tok.text.visible import escaped, is_visible

__all__ = ["attribute", "hexadecimal", "marked", "plain", "text_of"]

_NAMED = {"\n": "n", "\r": "r", "\t": "t"}


def text_of(data: bytes) -> str:
    """The text of bytes; those that are not UTF-8 are the surrogates of `surrogateescape`."""
    return data.decode("utf-8", "surrogateescape")


def plain(text: str) -> str:
    """Text as HTML, in which a space is a space: for names, labels and sentences."""
    return "".join(" " if char == " " else _mark(char) for char in _based(text))


def marked(text: str) -> str:
    """Text as HTML in which white space can be seen on demand: for pieces of what is tokenized."""
    return "".join("<i class=s> </i>" if char == " " else _mark(char) for char in _based(text))


def attribute(text: str) -> str:
    """Text as the value of an attribute, or inside SVG: names in place of marks."""
    return escape(escaped(text))


def _based(text: str) -> str:
    """A combining mark without its base would join whatever stands before."""
    return f"◌{text}" if text and unicodedata.category(text[0]).startswith("M") else text


def _mark(char: str) -> str:
    if name := _NAMED.get(char):
        return f"<i class={name}></i>"
    if "\udc80" <= char <= "\udcff":
        return f"<i class=h>{ord(char) - 0xDC00:02X}</i>"
    if is_visible(char):
        return escape(char)
    return f'<i class=u data-m="U+{ord(char):04X}"></i>'


def hexadecimal(data: bytes, most: int) -> str:
    """Bytes as `48 65`, no more than `most` of them."""
    return data[:most].hex(" ").upper() + (" …" if len(data) > most else "")
