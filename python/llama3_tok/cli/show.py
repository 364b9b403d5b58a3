"""`llama3-tok show`: the pieces of a text with their ids beneath, in rows of cells."""

import argparse
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any

from llama3_tok.cli.cells import ADDED, PASTELS, Cell, cells, columns
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
from llama3_tok.cli.text_stream import given_text_stream
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Show the pieces of a text, with their ids beneath."
EXAMPLES = """\
  llama3-tok show 'Hello world'
  llama3-tok show -f prompt.txt | less
  llama3-tok show --allowed-special all '<|eot_id|>'
  llama3-tok show --html tokens.html -f prompt.txt"""

# Tokens whose cells are kept to be shown again: all of Meta's, which in two colours take 45 MB.
_MOST_KEPT = 1 << 17
# Tokens that are printed at a time; fewer than are kept.
_MOST_AT_ONCE = 1 << 15


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
        encoder = tokenizer(arguments)
        rows = Rows(encoder, columns(), colours=has_colours())
        count = 0
        for ids in text.ids(encoder):
            count += len(ids)
            for printed in rows.of(ids):
                write(printed.encode())
            flush()  # someone may read along
        write(rows.rest().encode())
        write(summary(count, text.bytes).encode() + b"\n")
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


def summary(tokens: int, size: int) -> str:
    """The last line."""
    parts = [f"{tokens} token{'s' * (tokens != 1)}", f"{size} byte{'s' * (size != 1)}"]
    if tokens:
        parts.append(f"{size / tokens:.2f} bytes per token")
    return ", ".join(parts)


class _Look:
    """How tokens are printed in one colour, or in none; by their ids, which are below `limit`.

    Lists, since a dictionary reads memory in more places for each token.
    """

    def __init__(self, colour: str | None, limit: int) -> None:
        self.colour, self._limit = colour, limit
        self.forget()

    def forget(self) -> None:
        """No token is known any more."""
        self.known = 0
        self.kinds = bytearray(self._limit)  # all UNKNOWN
        self.tops = [""] * self._limit
        self.belows = [""] * self._limit
        self.widths = [0] * self._limit
        self.wide: dict[int, list[Cell]] = {}
        """The parts of those that are wider than a row."""


class Rows:
    """The tokens of a text, which come in parts, printed in rows at most `columns` wide.

    A row ends after a line of the text, too. A text has millions of tokens, so what is done for
    each of them is done by functions that are not Python's own.
    """

    def __init__(self, encoder: Tokenizer, columns: int, *, colours: bool) -> None:
        self._encoder, self._columns = encoder, columns
        self._added = {token.id for token in encoder.added_tokens.values()}
        # Neighbours have different colours.
        chosen = PASTELS if colours else [None]
        self._looks = [_Look(one, len(encoder)) for one in chosen]
        self._row = _Row()

    def of(self, ids: Sequence[int]) -> Iterator[str]:
        """The rows that end in this part, some hundreds at a time."""
        for start in range(0, len(ids), _MOST_AT_ONCE):
            yield self._printed(ids[start : start + _MOST_AT_ONCE])

    def rest(self) -> str:
        """The last row, which nothing follows."""
        row = self._row
        return "".join(row.printed(0, len(row.tops))) if row.tops else ""

    def _printed(self, ids: Sequence[int]) -> str:
        row, columns, printed = self._row, self._columns, list[str]()
        row.extend(*self._cells(ids))
        places = list(accumulate(row.widths, initial=0))
        count, start = len(row.tops), 0
        line_ends = [end.end() for end in _LINE_END.finditer(row.kinds)]
        # No line ends with the last of them, which may yet be continued.
        for line_end in [*line_ends, count + 1]:
            last = min(line_end, count)
            while start < last:
                end = line_end
                if end > count or places[end] - places[start] > columns:
                    end = bisect_right(places, places[start] + columns, start) - 1
                    # A row has a cell, also one that is wider than it may be.
                    end = max(end, start + 1)
                    if end == count != line_end:
                        break
                printed += row.printed(start, end)
                start = end
        row.forget(start)
        return "".join(printed)

    def _cells(self, ids: Sequence[int]) -> "tuple[list[str], list[str], list[int], bytearray]":
        """What each token has above and below, its width, and its kind."""
        tops, belows = [""] * len(ids), [""] * len(ids)
        widths, kinds = [0] * len(ids), bytearray(len(ids))
        step = len(self._looks)
        for first, look in enumerate(self._looks):
            here = slice(first, None, step)
            own = ids[here]
            if not own:
                continue
            of_these = _items(own)
            if UNKNOWN in (known := bytes(of_these(look.kinds))):
                self._learn(look, own, known)
                known = bytes(of_these(look.kinds))
            kinds[here] = known
            tops[here] = of_these(look.tops)
            belows[here] = of_these(look.belows)
            widths[here] = of_these(look.widths)
        # From the last one on, so that the places of the others stay.
        for at in [found.start() for found in _WIDE.finditer(kinds)][::-1]:
            parts = self._looks[at % step].wide[ids[at]]
            place = slice(at, at + 1)
            tops[place] = [part.top for part in parts]
            belows[place] = [part.below for part in parts]
            widths[place] = [part.width for part in parts]
            ends = kinds[at] == WIDE_LINE_END
            others = [NO_ID] * (len(parts) - 2)
            kinds[place] = bytes([PLAIN, *others, NO_ID_LINE_END if ends else NO_ID])
        if len(ids) % step:
            self._looks.reverse()
        return tops, belows, widths, kinds

    def _learn(self, look: _Look, ids: Sequence[int], kinds: bytes) -> None:
        """Makes the cells that `look` has not yet: those whose kind is unknown."""
        unknown = {ids[found.start()] for found in _UNKNOWN.finditer(kinds)}
        if look.known + len(unknown) > _MOST_KEPT:
            look.forget()
            unknown = set(ids)
        look.known += len(unknown)
        for id in unknown:
            piece = self._encoder.token_bytes(id)
            colour = ADDED if look.colour and id in self._added else look.colour
            *parts, last = cells(id, piece, colour, self._columns)
            look.tops[id], look.belows[id] = last.top, last.below
            look.widths[id] = last.width
            ends = piece.endswith((b"\n", b"\r"))
            look.kinds[id] = (PLAIN, LINE_END, WIDE, WIDE_LINE_END)[ends + 2 * bool(parts)]
            if parts:
                look.wide[id] = [*parts, last]


def _items(places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that gives the items at these places of a list, as a tuple."""
    if len(places) == 1:
        return lambda listed: (listed[places[0]],)
    return itemgetter(*places)


# The kinds of a cell: an ordinary one, one that ends a line of the text, one that is yet to be cut
# into parts; and a further part of a token, which has no id.
UNKNOWN, PLAIN, LINE_END, WIDE, WIDE_LINE_END, NO_ID, NO_ID_LINE_END = range(7)
_UNKNOWN = re.compile(bytes([UNKNOWN]))
_WIDE = re.compile(bytes([ord("["), WIDE, WIDE_LINE_END, ord("]")]))
_LINE_END = re.compile(bytes([ord("["), LINE_END, NO_ID_LINE_END, ord("]")]))


class _Row:
    """Cells that no row has yet: their tops and belows, widths and kinds."""

    def __init__(self) -> None:
        self.tops: list[str] = []
        self.belows: list[str] = []
        self.widths: list[int] = []
        self.kinds = bytearray()

    def extend(
        self, tops: list[str], belows: list[str], widths: list[int], kinds: bytearray
    ) -> None:
        self.tops += tops
        self.belows += belows
        self.widths += widths
        self.kinds += kinds

    def forget(self, count: int) -> None:
        """The first cells, which a row has now."""
        for known in (self.tops, self.belows, self.widths, self.kinds):
            del known[:count]

    def printed(self, start: int, end: int) -> list[str]:
        """A row: its pieces, their ids, and an empty line. One within a long piece has no ids."""
        if end - start == 1 and self.kinds[start] >= NO_ID:
            return [self.tops[start], "\n\n"]
        return [*self.tops[start:end], "\n", *self.belows[start:end], "\n\n"]
