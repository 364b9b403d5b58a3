"""`llama3-tok show`: the pieces of a text with their ids beneath.

On a terminal each piece is a coloured cell; elsewhere bars end the pieces. What can't be seen is
written out, so no text can make a terminal do anything or look like another text.
"""

import argparse
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from llama3_tok.cli.terminal import (
    add_text,
    allowed_special,
    given_text,
    has_colours,
    tokenizer,
    write,
    write_file,
)
from llama3_tok.text.visible import is_visible

if TYPE_CHECKING:
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

MARKS = {" ": "·", "\n": "↵", "\r": "␍", "\t": "⇥"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    add_text(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page instead")


def run(arguments: argparse.Namespace) -> int:
    """Prints the pieces, and a line with the sums."""
    text = given_text(arguments)
    encoder = tokenizer(arguments)
    if arguments.html is not None:
        _write_page(arguments, encoder, text)
        return 0
    ids = encoder.encode(
        text,
        bos=arguments.bos,
        eos=arguments.eos,
        allowed_special=allowed_special(arguments),
    )
    added = {token.id for token in encoder.added_tokens.values()}
    pieces = {id: encoder.token_bytes(id) for id in set(ids)}
    tokens = (Token(id, pieces[id], id in added) for id in ids)
    paint = in_colours if has_colours() else in_plain_text
    for line in paint(rows(tokens, columns())):
        write(line.encode() + b"\n")
    write(summary(len(ids), len(text)).encode() + b"\n")
    return 0


def _write_page(arguments: argparse.Namespace, encoder: "Tokenizer", text: bytes) -> None:
    from llama3_tok.page.texts import text_page

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


class Token(NamedTuple):
    """One token of the text."""

    id: int
    piece: bytes
    added: bool
    """Whether a text has it by its name, as special tokens and others that a folder adds."""


class Cell(NamedTuple):
    """A token in a row, or a part of one that is wider than a row."""

    piece: str
    id: str
    width: int
    colour: str
    ends: bool
    """Whether the token ends here."""


Row = list[Cell]


def visible(piece: bytes) -> str:
    """A piece as a person can see it: marks for white space, `<...>` for what has no picture."""
    text = piece.decode("utf-8", "surrogateescape")
    shown = "".join(map(_visible, text))
    # A combining mark without its base would join whatever stands before.
    return f"◌{shown}" if unicodedata.category(shown[:1] or " ").startswith("M") else shown


def _visible(character: str) -> str:
    if mark := MARKS.get(character):
        return mark
    if "\udc80" <= character <= "\udcff":
        return f"<{ord(character) - 0xDC00:02X}>"
    return character if is_visible(character) else f"<U+{ord(character):04X}>"


def rows(tokens: Iterable[Token], columns: int) -> Iterator[Row]:
    """Cells in rows at most `columns` wide. A row ends after a line of the text, too."""
    row: Row = []
    used = 0
    for token, pastel in zip(tokens, cycle(PASTELS), strict=False):
        for cell in cells(token, pastel, columns):
            if used + cell.width > columns and row:
                yield row
                row, used = [], 0
            row.append(cell)
            used += cell.width
        if token.piece.endswith((b"\n", b"\r")):
            yield row
            row, used = [], 0
    if row:
        yield row


def cells(token: Token, pastel: str, columns: int) -> Iterator[Cell]:
    """The cell of a token; more than one where it is wider than a row."""
    from rich.cells import cell_len, chop_cells

    id, colour = str(token.id), ADDED if token.added else pastel
    piece = visible(token.piece)
    room = columns - 1  # for the bar, or a space, at the end
    parts = chop_cells(piece, room) if cell_len(piece) > room else [piece]
    for index, part in enumerate(parts):
        ends = index == len(parts) - 1
        width = max(cell_len(part), len(id)) + 1
        yield Cell(part, id, width if ends else columns, colour, ends)
        id = ""


def in_plain_text(rows: Iterable[Row]) -> Iterator[str]:
    """Bars end the pieces and stand between the ids."""
    for row in rows:
        for line in _lines(row):
            yield "".join(barred(text, cell) for text, cell in line).rstrip()
        yield ""


def barred(text: str, cell: Cell) -> str:
    return padded(text, cell) + ("│" if cell.ends else " ")


def in_colours(rows: Iterable[Row]) -> Iterator[str]:
    """Colours tell the pieces apart."""
    for row in rows:
        for ink, line in enumerate(_lines(row)):
            yield "".join(painted(text, cell, INK[cell.colour][ink]) for text, cell in line)
        yield ""


def painted(text: str, cell: Cell, ink: str) -> str:
    return f"\x1b[38;5;{ink};48;5;{cell.colour}m{padded(text, cell)} \x1b[0m"


def _lines(row: Row) -> Iterator[list[tuple[str, Cell]]]:
    """The pieces, then the ids; a row within a long piece has no id."""
    yield [(cell.piece, cell) for cell in row]
    if any(cell.id for cell in row):
        yield [(cell.id, cell) for cell in row]


def padded(text: str, cell: Cell) -> str:
    from rich.cells import cell_len

    return text + " " * (cell.width - 1 - cell_len(text))
