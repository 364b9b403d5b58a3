"""A token as it is printed: a cell with its piece above and its id below.

On a terminal a cell is coloured; elsewhere a bar ends it. What can't be seen is written out, so no
text can make a terminal do anything or look like another text.
"""

import os
import sys
import unicodedata
from collections.abc import Iterator

from llama3_tok.text.visible import is_visible

__all__ = ["ADDED", "PASTELS", "Cell", "cells", "columns", "visible"]

_WIDTH = 80  # where there is no terminal and no COLUMNS

# Black on pastel colours, which are the same in dark and light themes; special tokens, and others
# that a folder adds, are white on purple. The ids are dark grey on the piece's colour.
PASTELS = ("153", "223")
ADDED = "90"
_INK = {"153": ("16", "238"), "223": ("16", "238"), ADDED: ("231", "252")}

_MARKS = {" ": "·", "\n": "↵", "\r": "␍", "\t": "⇥"}


def columns() -> int:
    """How wide the output may be: COLUMNS, else the terminal, else 80."""
    import shutil

    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size((_WIDTH, 24)).columns if terminal else _columns_variable()
    return max(width, 10)


def _columns_variable() -> int:
    value = os.environ.get("COLUMNS", "")
    sensible = value.isascii() and value.isdigit() and len(value) < 6
    return int(value) or _WIDTH if sensible else _WIDTH


class Cell:
    """A token in a row, or a part of one that is wider than a row.

    `top` is its piece and `below` its id, as they are printed: with a `colour`, or without one with
    a bar at the end. Only the first part of a token `has_id`.
    """

    __slots__ = ("below", "has_id", "top", "width")

    def __init__(
        self, piece: str, id: str, width: int, piece_width: int, colour: str | None, ends: bool
    ) -> None:
        self.width, self.has_id = width, bool(id)
        piece, id = piece + " " * (width - 1 - piece_width), id.ljust(width - 1)
        if colour is None and ends:  # the token ends here
            self.top, self.below = f"{piece}│", f"{id}│"
        elif colour is None:  # a part that fills a row
            self.top, self.below = piece.rstrip(" "), id.rstrip(" ")
        else:
            ink, faint = _INK[colour]
            self.top, self.below = _painted(piece, colour, ink), _painted(id, colour, faint)


def _painted(text: str, colour: str, ink: str) -> str:
    return f"\x1b[38;5;{ink};48;5;{colour}m{text} \x1b[0m"


def cells(id: int, piece: bytes, colour: str | None, columns: int) -> Iterator[Cell]:
    """The cell of a token; more than one where it is wider than a row. None is for no colour."""
    room = columns - 1  # for the bar, or a space, at the end
    shown = visible(piece)
    parts = [shown] if _width(shown) <= room else _chopped(shown, room)
    below = str(id)
    for part in parts[:-1]:
        yield Cell(part, below, columns, _width(part), colour, ends=False)
        below = ""
    last = parts[-1]
    width = _width(last)
    yield Cell(last, below, max(width, len(below)) + 1, width, colour, ends=True)


def visible(piece: bytes) -> str:
    """A piece as a person can see it: marks for white space, `<...>` for what has no picture."""
    text = piece.decode("utf-8", "surrogateescape")
    # Most are plain words, perhaps after a space.
    if text.isascii() and text.isprintable():
        return text.replace(" ", _MARKS[" "])
    shown = "".join(map(_visible, text))
    # A combining mark without its base would join whatever stands before.
    return f"◌{shown}" if unicodedata.category(shown[:1] or " ").startswith("M") else shown


def _visible(character: str) -> str:
    if mark := _MARKS.get(character):
        return mark
    if "\udc80" <= character <= "\udcff":
        return f"<{ord(character) - 0xDC00:02X}>"
    return character if is_visible(character) else f"<U+{ord(character):04X}>"


def _width(text: str) -> int:
    """How many columns a terminal needs for it."""
    if text.replace(_MARKS[" "], " ").isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _chopped(text: str, columns: int) -> list[str]:
    from rich.cells import chop_cells

    return chop_cells(text, columns)
