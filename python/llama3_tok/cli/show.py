"""`llama3-tok show`: the pieces of a text with their ids beneath, in rows of cells."""

import argparse
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain

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

# Tokens whose cells are kept to be shown again: those of all tokens take too much memory.
_MOST_TOKENS = 1 << 15


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
    """How tokens are printed in one colour, or in none, by their ids."""

    def __init__(self, colour: str | None) -> None:
        self.colour = colour
        self.tops: dict[int, str] = {}
        self.belows: dict[int, str] = {}
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
        self._looks = [_Look(one) for one in PASTELS] if colours else [_Look(None)]
        self._widths: dict[int, int] = {}
        self._kinds: dict[int, int] = {}
        self._row = _Row()

    def of(self, ids: Sequence[int]) -> Iterator[str]:
        """The rows that end in this part, some hundreds at a time."""
        for start in range(0, len(ids), _MOST_TOKENS):
            yield "".join(self._printed(ids[start : start + _MOST_TOKENS]))

    def rest(self) -> str:
        """The last row, which nothing follows."""
        return self._row.printed(0, len(self._row.tops)) if self._row.tops else ""

    def _printed(self, ids: Sequence[int]) -> Iterator[str]:
        row, columns = self._row, self._columns
        row.extend(*self._cells(ids))
        places = list(accumulate(row.widths, initial=0))
        count, start = len(row.tops), 0
        line_ends = chain((end.end() for end in _LINE_END.finditer(row.kinds)), [count + 1])
        line_end = next(line_ends)
        while start < count:
            end = bisect_right(places, places[start] + columns, start) - 1
            if end == start:  # a row has a cell, also one that is wider than it may be
                end += 1
            if end >= line_end:
                end, line_end = line_end, next(line_ends)
            elif end == count:
                break
            yield row.printed(start, end)
            start = end
        row.forget(start)

    def _cells(self, ids: Sequence[int]) -> "tuple[list[str], list[str], list[int], bytearray]":
        """What each token has above and below, its width, and its kind."""
        tops, belows = [""] * len(ids), [""] * len(ids)
        step = len(self._looks)
        for first, look in enumerate(self._looks):
            own = ids[first::step]
            self._learn(look, own)
            tops[first::step] = map(look.tops.__getitem__, own)
            belows[first::step] = map(look.belows.__getitem__, own)
        widths = list(map(self._widths.__getitem__, ids))
        kinds = bytearray(map(self._kinds.__getitem__, ids))
        # From the last one on, so that the places of the others stay.
        for at in [found.start() for found in _WIDE.finditer(kinds)][::-1]:
            parts = self._looks[at % step].wide[ids[at]]
            here = slice(at, at + 1)
            tops[here] = [part.top for part in parts]
            belows[here] = [part.below for part in parts]
            widths[here] = [part.width for part in parts]
            ends = kinds[at] == WIDE_LINE_END
            others = [NO_ID] * (len(parts) - 2)
            kinds[here] = bytes([PLAIN, *others, NO_ID_LINE_END if ends else NO_ID])
        if len(ids) % step:
            self._looks.reverse()
        return tops, belows, widths, kinds

    def _learn(self, look: _Look, ids: Sequence[int]) -> None:
        """Makes the cells that `look` has not yet."""
        unknown = set(ids).difference(look.tops)
        if len(look.tops) + len(unknown) > 2 * _MOST_TOKENS:
            for known in (look.tops, look.belows, look.wide):
                known.clear()
            unknown = set(ids)
        for id in unknown:
            piece = self._encoder.token_bytes(id)
            colour = ADDED if look.colour and id in self._added else look.colour
            *parts, last = cells(id, piece, colour, self._columns)
            look.tops[id], look.belows[id] = last.top, last.below
            self._widths[id] = last.width
            ends = piece.endswith((b"\n", b"\r"))
            self._kinds[id] = (PLAIN, LINE_END, WIDE, WIDE_LINE_END)[ends + 2 * bool(parts)]
            if parts:
                look.wide[id] = [*parts, last]


# The kinds of a cell: an ordinary one, one that ends a line of the text, one that is yet to be cut
# into parts; and a further part of a token, which has no id.
PLAIN, LINE_END, WIDE, WIDE_LINE_END, NO_ID, NO_ID_LINE_END = range(6)
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

    def printed(self, start: int, end: int) -> str:
        """A row: its pieces, their ids, and an empty line. One within a long piece has no ids."""
        if end - start == 1 and self.kinds[start] >= NO_ID:
            return f"{self.tops[start]}\n\n"
        return f"{''.join(self.tops[start:end])}\n{''.join(self.belows[start:end])}\n\n"
