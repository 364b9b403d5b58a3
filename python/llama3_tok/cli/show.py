"""`llama3-tok show`: the pieces of a text with their ids beneath.

On a terminal each piece is a coloured cell; elsewhere bars end the pieces. What can't be seen is
written out, so no text can make a terminal do anything or look like another text.
"""

import argparse
import os
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, compress, count
from operator import attrgetter

from llama3_tok.cli.terminal import (
    add_text,
    allowed_special,
    flush,
    given_text,
    has_colours,
    tokenizer,
    write,
    write_file,
)
from llama3_tok.cli.text_stream import Text, given_text_stream
from llama3_tok.text.visible import is_visible
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Show the pieces of a text, with their ids beneath."
EXAMPLES = """\
  llama3-tok show 'Hello world'
  llama3-tok show -f prompt.txt | less
  llama3-tok show --allowed-special all '<|eot_id|>'
  llama3-tok show --html tokens.html -f prompt.txt"""

WIDTH = 80  # where there is no terminal and no COLUMNS

# Black on pastel colours, which are the same in dark and light themes; special tokens, and others
# that a folder adds, are white on purple. The ids are dark grey on the piece's colour.
PASTELS = ("153", "223")
ADDED = "90"
INK = {"153": ("16", "238"), "223": ("16", "238"), ADDED: ("231", "252")}

# Cells of one colour that are kept to be shown again: those of all tokens take too much memory.
MOST_CELLS = 1 << 16

MARKS = {" ": "·", "\n": "↵", "\r": "␍", "\t": "⇥"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    add_text(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page instead")


def run(arguments: argparse.Namespace) -> int:
    """Prints the pieces, and a line with the sums."""
    if arguments.html is not None:
        _write_page(arguments)
        return 0
    with given_text_stream(arguments) as text:
        tokens = Tokens(tokenizer(arguments))
        found = rows(tokens.of(text), columns(), colours=has_colours())
        if sys.stdout is not None:
            sys.stdout.buffer.writelines(map(str.encode, lines(found)))
        write(summary(tokens.count, text.bytes).encode() + b"\n")
    return 0


def _write_page(arguments: argparse.Namespace) -> None:
    from llama3_tok.page.texts import text_page

    text, encoder = given_text(arguments), tokenizer(arguments)
    encoding = encoder.encode_with_offsets(
        text,
        bos=arguments.bos,
        eos=arguments.eos,
        allowed_special=allowed_special(arguments),
    )
    write_file(arguments.html, text_page(encoder, encoding, text))


def columns() -> int:
    """How wide the output may be: COLUMNS, else the terminal, else 80."""
    import shutil

    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size((WIDTH, 24)).columns if terminal else _columns_variable()
    return max(width, 10)


def _columns_variable() -> int:
    value = os.environ.get("COLUMNS", "")
    sensible = value.isascii() and value.isdigit() and len(value) < 6
    return int(value) or WIDTH if sensible else WIDTH


def summary(tokens: int, size: int) -> str:
    """The last line."""
    parts = [f"{tokens} token{'s' * (tokens != 1)}", f"{size} byte{'s' * (size != 1)}"]
    if tokens:
        parts.append(f"{size / tokens:.2f} bytes per token")
    return ", ".join(parts)


class Token:
    """One token of the text. Those of the same id are one object."""

    __slots__ = ("added", "ends_line", "id", "piece")

    def __init__(self, id: int, piece: bytes, added: bool) -> None:
        self.id, self.piece, self.added = id, piece, added
        """`added` is for those that a text has by name, as special tokens and a folder's."""
        self.ends_line = piece.endswith((b"\n", b"\r"))


class Tokens(dict[int, Token]):
    """The tokens of a tokenizer by their ids, made when first asked for."""

    def __init__(self, encoder: Tokenizer) -> None:
        super().__init__()
        self.count = 0
        """How many a text had so far."""
        self._encoder = encoder
        self._added = {token.id for token in encoder.added_tokens.values()}

    def __missing__(self, id: int) -> Token:
        """Makes it."""
        made = self[id] = Token(id, self._encoder.token_bytes(id), id in self._added)
        return made

    def of(self, text: Text) -> Iterator[list[Token]]:
        """Those of each part of a text, as it is read."""
        for ids in text.ids(self._encoder):
            self.count += len(ids)
            yield list(map(self.__getitem__, ids))
            flush()  # what was shown of them


class Cell:
    """A token in a row, or a part of one that is wider than a row.

    `top` is its piece and `below` its id, as they are printed: with a `colour`, or without one with
    a bar at the end.
    """

    __slots__ = ("below", "ends_line", "has_id", "parts", "top", "width")

    def __init__(
        self, piece: str, id: str, width: int, piece_width: int, colour: str | None, ends: bool
    ) -> None:
        self.width, self.has_id = width, bool(id)
        self.ends_line = False
        self.parts: Sequence[Cell] = ()
        """Those of a token that is wider than a row, in the first of them."""
        piece, id = piece + " " * (width - 1 - piece_width), id.ljust(width - 1)
        if colour is None:
            bar = "│" if ends else " "  # ends: the token ends here
            self.top, self.below = piece + bar, id + bar
        else:
            ink, faint = INK[colour]
            self.top, self.below = _painted(piece, colour, ink), _painted(id, colour, faint)


def _painted(text: str, colour: str, ink: str) -> str:
    return f"\x1b[38;5;{ink};48;5;{colour}m{text} \x1b[0m"


Row = list[Cell]


def visible(piece: bytes) -> str:
    """A piece as a person can see it: marks for white space, `<...>` for what has no picture."""
    text = piece.decode("utf-8", "surrogateescape")
    # Most are plain words, perhaps after a space.
    if text.isascii() and text.isprintable():
        return text.replace(" ", MARKS[" "])
    shown = "".join(map(_visible, text))
    # A combining mark without its base would join whatever stands before.
    return f"◌{shown}" if unicodedata.category(shown[:1] or " ").startswith("M") else shown


def _visible(character: str) -> str:
    if mark := MARKS.get(character):
        return mark
    if "\udc80" <= character <= "\udcff":
        return f"<{ord(character) - 0xDC00:02X}>"
    return character if is_visible(character) else f"<U+{ord(character):04X}>"


_NOTHING = Cell("", "", 0, 0, None, ends=True)


class _Cells(dict[Token, Cell]):
    """The cell of each token in one colour or in none, made when first asked for."""

    def __init__(self, pastel: str | None, columns: int) -> None:
        super().__init__()
        self.has_wide = False
        """Whether a token was wider than a row; its cell has the `parts` that stand for it."""
        self._pastel, self._columns = pastel, columns

    def __missing__(self, token: Token) -> Cell:
        """Makes it."""
        if len(self) >= MOST_CELLS:
            self.clear()
        parts = list(cells(token, self._pastel, self._columns))
        parts[-1].ends_line = token.ends_line
        first = self[token] = parts[0]
        if len(parts) > 1:
            first.parts, self.has_wide = parts, True
        return first


def rows(parts: Iterable[Sequence[Token]], columns: int, *, colours: bool) -> Iterator[Row]:
    """Cells in rows at most `columns` wide, of tokens that come in parts.

    A row ends after a line of the text, too. What is done for each token is done by functions that
    are not Python's own, since a text has millions.
    """
    known = [_Cells(pastel, columns) for pastel in PASTELS]
    if not colours:
        known = [_Cells(None, columns)] * 2
    row: Row = []
    for tokens in parts:
        found: Row = [*row, *_cells_of(tokens, known)]
        if any(one.has_wide for one in known):
            found = [part for cell in found for part in cell.parts or (cell,)]
        ends = list(accumulate(map(attrgetter("width"), found), initial=0))
        breaks = compress(count(1), map(attrgetter("ends_line"), found))
        line_end, start = next(breaks, len(found) + 1), 0
        while start < len(found):
            # A row has a cell, also one that is wider than it may be.
            end = max(bisect_right(ends, ends[start] + columns, start) - 1, start + 1)
            if end >= line_end:
                end, line_end = line_end, next(breaks, len(found) + 1)
            elif end == len(found):
                break
            yield found[start:end]
            start = end
        row = found[start:]
    if row:
        yield row


def _cells_of(tokens: Sequence[Token], known: list[_Cells]) -> list[Cell]:
    """The cell of each token, in colours by turns; afterwards `known` begins with the next one."""
    found = [_NOTHING] * len(tokens)
    for first, one in enumerate(known):
        found[first::2] = map(one.__getitem__, tokens[first::2])
    if len(tokens) % 2:
        known.reverse()
    return found


def cells(token: Token, pastel: str | None, columns: int) -> Iterator[Cell]:
    """The cell of a token; more than one where it is wider than a row. None is for no colour."""
    id, colour = str(token.id), ADDED if token.added and pastel else pastel
    piece = visible(token.piece)
    room = columns - 1  # for the bar, or a space, at the end
    parts = [piece] if _width(piece) <= room else _chopped(piece, room)
    for index, part in enumerate(parts):
        ends = index == len(parts) - 1
        piece_width = _width(part)
        width = max(piece_width, len(id)) + 1 if ends else columns
        yield Cell(part, id, width, piece_width, colour, ends)
        id = ""


def _width(text: str) -> int:
    """How many columns a terminal needs for it."""
    if text.replace(MARKS[" "], " ").isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _chopped(text: str, columns: int) -> list[str]:
    from rich.cells import chop_cells

    return chop_cells(text, columns)


# Each row is its pieces, their ids, and an empty line; one within a long piece has no ids.


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """What is printed of each row."""
    top, below = attrgetter("top"), attrgetter("below")
    for row in rows:
        pieces = "".join(map(top, row)).rstrip(" ")
        if len(row) > 1 or row[0].has_id:
            yield f"{pieces}\n{''.join(map(below, row)).rstrip(' ')}\n\n"
        else:
            yield f"{pieces}\n\n"
