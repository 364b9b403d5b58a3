"""`llama3-tok compare`: Llama 3 beside Llama 2, token by token and in sums.

On a terminal tokens are coloured cells; in a pipe bars end them. What can't be seen is written out.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import TYPE_CHECKING

from llama3_tok.cli.cells import PASTELS, Cell, cells, columns
from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import (
    UNUSABLE,
    UsageError,
    complain,
    given_file,
    has_colours,
    text_source,
    tokenizer,
    utf8,
    write,
)
from llama3_tok.formats.whole_files import write_output
from llama3_tok.text import files
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.report.comparison import Comparison
    from llama3_tok.report.tally import Excerpt

PURPOSE = "Set Llama 3's tokens beside Llama 2's, and say why they differ."
EXAMPLES = """\
  llama3-tok compare --llama2 Llama-2-7b-hf 'In 2024 it rained.'
  llama3-tok compare -f notes.txt --html notes.html
  llama3-tok compare -f corpus -g '*.txt' --price 0.2 --json
  export LLAMA3_TOK_LLAMA2=~/models/Llama-2-7b/tokenizer.model

exit codes: 0; 2 if a file can't be read or Llama 2's model is missing"""

BEGINNING = 400
"""Bytes of files that are shown token by token where somebody reads them line by line."""
EXCERPTS = 5
"""Files of which that is shown."""
LABELS = ("Llama 3  ", "Llama 2  ")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument("text", metavar="TEXT", nargs="?", help="the text; - is standard input")
    parser.add_argument(
        "-f",
        "--file",
        metavar="PATH",
        action="append",
        default=[],
        help="compare a file, .gz and .zst as well, or the text files of a folder; may be repeated",
    )
    parser.add_argument(
        "--llama2",
        metavar="PATH",
        help="Llama 2's tokenizer.model, or a folder that has it (default: LLAMA3_TOK_LLAMA2)",
    )
    parser.add_argument(
        "--price",
        metavar="P",
        type=price,
        help="what a million tokens cost; P,Q if Llama 3's cost P and Llama 2's Q",
    )
    parser.add_argument(
        "--field", type=utf8, help="the files are JSONL: compare this field of each record"
    )
    parser.add_argument(
        "-g",
        "--glob",
        metavar="GLOB",
        action="append",
        type=utf8,
        default=[],
        help="only files of folders that match, or with ! in front that don't; may be repeated",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="one object with everything")
    output.add_argument("--html", metavar="PAGE", help="also write it all as a page, one file")
    output.add_argument(
        "--excerpt",
        metavar="BYTES",
        type=_bytes,
        help="how much of each beginning is shown token by token (default: 50000 of TEXT; of each "
        f"of the first 20 files 1500 with --json or --html, else {BEGINNING})",
    )


def price(word: str) -> tuple[float, float]:
    """The prices of Llama 3's and Llama 2's tokens."""
    try:
        numbers = [float(part) for part in word.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 <= number < float("inf") for number in numbers):
        raise argparse.ArgumentTypeError(f"{word!r} is not a price such as 0.2 or 0.2,0.3")
    return numbers[0], numbers[-1]


def _bytes(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 12):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number")
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Compares, and prints."""
    comparison = _compared(arguments)
    for fault in comparison.faults:
        complain(str(fault))
    if arguments.html is not None:
        write_output(arguments.html, comparison.to_html().encode())
    if arguments.json:
        import json

        write(json.dumps(comparison.to_json()).encode() + b"\n")
    else:
        for line in lines(comparison):
            write(line.encode("utf-8", "replace") + b"\n")
    return UNUSABLE if comparison.faults else 0


def _compared(arguments: argparse.Namespace) -> "Comparison":
    from llama3_tok.report.comparing import compare

    if arguments.text is not None and arguments.file:
        raise UsageError("give TEXT or --file, not both")
    encoder = tokenizer(arguments)
    if not arguments.file:
        arguments.file = None
        source = text_source(arguments)
        return compare(
            source if isinstance(source, bytes) else given_file(source),
            llama2=arguments.llama2,
            tokenizer=encoder,
            price=arguments.price,
            excerpt=arguments.excerpt,
        )
    excerpt = arguments.excerpt
    if excerpt is None and not arguments.json and arguments.html is None:
        excerpt = BEGINNING
    found = files.find(arguments.file, globs=arguments.glob, field=arguments.field)
    with progress_bar(lambda: files.stored_bytes(found)) as bar:
        return compare(
            paths=arguments.file,
            llama2=arguments.llama2,
            tokenizer=encoder,
            field=arguments.field,
            price=arguments.price,
            excerpt=excerpt,
            globs=arguments.glob,
            progress=bar,
        )


# For people


def lines(comparison: "Comparison") -> Iterator[str]:
    """The report in lines."""
    if not comparison.files:
        yield from _excerpts(comparison)
    yield from _answers(comparison)
    if comparison.files:
        # The answers come first, and as many beginnings as somebody may scroll over.
        yield from _excerpts(comparison)


def _excerpts(comparison: "Comparison") -> Iterator[str]:
    for path, excerpt in comparison.excerpts[:EXCERPTS]:
        if path:
            yield ""
            yield escaped(path)
        yield from side_by_side(comparison, excerpt)
    if comparison.excerpts and (left := len(comparison.files) - EXCERPTS) > 0:
        files = "1 more file" if left == 1 else f"{left:,} more files"
        yield f"the beginnings of {files} are not shown here; --html shows more"


def _answers(comparison: "Comparison") -> Iterator[str]:
    total = comparison.total
    yield from table(
        ("", "tokens", "bytes/token", "characters/token"),
        [
            (name, tokens, _quotient(total.bytes, tokens), _quotient(total.characters, tokens))
            for name, tokens in (("Llama 3", total.llama3), ("Llama 2", total.llama2))
        ],
    )
    if total.ratio is None:
        return
    yield f"{total.ratio:.3f} tokens of Llama 2 for each of Llama 3"
    if comparison.byte_tokens:
        yield (
            f"{comparison.byte_tokens} tokens of Llama 2 are single bytes, "
            f"{comparison.newlines} of them line breaks"
        )
    yield from _causes(comparison)
    yield from _sums(comparison)
    yield from _costs(comparison)


def _causes(comparison: "Comparison") -> Iterator[str]:
    from llama3_tok.report.causes import MEANINGS

    if not comparison.causes:
        return
    yield ""
    yield from table(
        ("why", "Llama 2", "Llama 3", "as in", ""),
        [
            (
                each.cause,
                f"+{each.llama2}",
                f"+{each.llama3}",
                _visible(each.examples[0][0].text) if each.examples else "",
                MEANINGS[each.cause],
            )
            for each in comparison.causes
        ],
    )


def _sums(comparison: "Comparison") -> Iterator[str]:
    from llama3_tok.report import languages

    if not comparison.files:
        return
    header = ("tokens of", "Llama 3", "Llama 2", "ratio")
    named = [
        ("script", comparison.scripts),
        ("language", [(languages.name(code), counts) for code, counts in comparison.languages]),
        ("type", [(name, counts) for name, _, counts in comparison.types]),
        ("file", [(each.path, each.counts) for each in comparison.files]),
    ]
    for kind, rows in named:
        yield ""
        yield from table(
            (f"{header[0]} {kind}", *header[1:]),
            [
                (
                    escaped(name),
                    counts.llama3,
                    counts.llama2,
                    _quotient(counts.llama2, counts.llama3),
                )
                for name, counts in rows
            ],
        )
    for caption, strings in (("gains most", comparison.gains), ("loses most", comparison.losses)):
        if strings:
            yield ""
            yield from table(
                (caption, "times", *header[1:3]),
                [
                    (_visible(pair.text), times, len(pair.llama3), len(pair.llama2))
                    for pair, times in strings[:10]
                ],
            )


def _costs(comparison: "Comparison") -> Iterator[str]:
    if comparison.files or comparison.prices:
        yield ""
        yield from table(
            ("context of", "tokens", "characters that fit", "contexts for all"),
            [
                (each["model"], each["tokens"], each["characters"], each["windows"])
                for each in comparison.windows
            ],
        )
    if costs := comparison.costs:
        yield f"cost: {costs['llama3']:.6g} in Llama 3, {costs['llama2']:.6g} in Llama 2"


def _visible(text: bytes) -> str:
    from llama3_tok.cli.cells import visible

    return visible(text)


def _quotient(part: int, tokens: int) -> str:
    return f"{part / tokens:.2f}" if tokens else "-"


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Columns, numbers to the right."""
    from rich.cells import cell_len

    whole = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*whole, strict=True)]
    last = len(widths) - 1
    for row in whole:
        line = ""
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            is_number = all(_is_number(each[at]) for each in whole[1:])
            line += (space + cell if is_number else cell + space) + "  " * (at != last)
        yield line.rstrip()


def _is_number(cell: str) -> bool:
    return cell.lstrip("+").replace(".", "", 1).isdigit() or cell == "-"


def side_by_side(comparison: "Comparison", excerpt: "Excerpt") -> Iterator[str]:
    """Both rows, aligned, in lines as wide as the terminal."""
    from llama3_tok.page.rows import places
    from llama3_tok.report.comparison_page import token_rows

    pastels = PASTELS if has_colours() else (None,)
    colours = cycle(pastels), cycle(pastels)
    room = max(columns() - len(LABELS[0]), 12)
    line: list[list[list[Cell]]] = []
    used = 0
    for place in places(len(excerpt.text), token_rows(comparison, excerpt)):
        rows = [
            [
                cell
                for token in row
                for cell in cells(
                    token.id,
                    excerpt.text[token.start : token.end] or token.piece.encode(),
                    next(colour),
                    room,
                )
            ]
            for row, colour in zip(place.rows, colours, strict=True)
        ]
        for part in _fitting(rows, room):
            width = max(map(_width, part))
            if used + width > room:
                yield from _printed(line)
                line, used = [], 0
            line.append(part)
            used += width
        if excerpt.text[place.end - 1 : place.end] == b"\n":
            yield from _printed(line)
            line, used = [], 0
    yield from _printed(line)


def _width(row: list[Cell]) -> int:
    return sum(cell.width for cell in row)


def _fitting(rows: list[list[Cell]], room: int) -> Iterator[list[list[Cell]]]:
    """A place, in parts if it is wider than a line."""
    rest = [list(row) for row in rows]
    while any(rest):
        part: list[list[Cell]] = []
        for row in rest:
            count, width = 0, 0
            while count < len(row) and (not count or width + row[count].width <= room):
                width += row[count].width
                count += 1
            part.append(row[:count])
            del row[:count]
        yield part


def _printed(line: list[list[list[Cell]]]) -> Iterator[str]:
    if not line:
        return
    for index, label in enumerate(LABELS):
        for is_below in (False, True):
            text = " " * len(label) if is_below else label
            for place in line:
                row = place[index]
                for cell in row:
                    text += cell.below if is_below else cell.top
                text += " " * (max(map(_width, place)) - _width(row))
            yield text.rstrip()
    yield ""
