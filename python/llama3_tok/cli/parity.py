"""`llama3-tok parity`: whether the ids are exactly those of the references, on anybody's data."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama3_tok.cli.cells import columns, visible
from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import (
    UNUSABLE,
    UsageError,
    check_standard_input,
    complain,
    has_colours,
    is_terminal,
    tokenizer,
    utf8,
    write,
)
from llama3_tok.formats.whole_files import write_output
from llama3_tok.text import files
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.page.rows import TokenRow
    from llama3_tok.report.outcome import Mismatch, ReferenceOutcome
    from llama3_tok.report.parity_report import Parity

PURPOSE = "Compare the ids with those of tiktoken, tokenizers, Meta's class and transformers."
EXAMPLES = """\
  llama3-tok parity                                   # the built-in battery
  llama3-tok parity corpus.txt docs --html report.html
  llama3-tok parity --field text corpus.jsonl.zst --json
  llama3-tok parity --against my/tokenizer.json --reference tiktoken corpus.txt
  llama3-tok parity --chat conversations.jsonl --reference transformers
  llama3-tok parity --vocabulary FOLDER --reference transformers  # as AutoTokenizer has it?

exit codes: 0 if all is equal or shown to have a known cause; 1 if not; 2 if a reference that was
asked for or a file can't be used"""

DIFFERENT = 1
# Differences that are shown of each reference, the shortest first.
SHOWN = 5
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="files, .gz and .zst as well; folders, for the text files in them; - for standard "
        "input. Without any, a built-in battery is compared",
    )
    what = parser.add_argument_group("what is compared")
    what.add_argument(
        "--field", type=utf8, help="the files are JSONL: compare this field of each record"
    )
    what.add_argument(
        "--chat",
        action="store_true",
        help="the files are JSONL of conversations: lists of messages in --field (default: "
        "messages)",
    )
    what.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="of the battery's random strings (default: %(default)s)",
    )
    group = parser.add_argument_group("references")
    group.add_argument(
        "--reference",
        metavar="NAME",
        action="append",
        type=utf8,
        help="tiktoken, tokenizers, meta, transformers, or MODULE:NAME for a function from str to "
        "ids; may be repeated (default: the first four that are installed)",
    )
    group.add_argument(
        "--against",
        metavar="FILE",
        action="append",
        default=[],
        help="also compare with this tokenizer.json or rank file; may be repeated",
    )
    group.add_argument(
        "--template",
        metavar="FILE",
        help="the chat template that transformers renders (default: that of the folder, else of "
        "the profile)",
    )
    group.add_argument(
        "--seconds",
        metavar="N",
        type=_positive,
        default=60.0,
        help="how long a reference may take for one item (default: 60)",
    )
    group.add_argument(
        "--memory",
        metavar="SIZE",
        type=_size,
        default=4 << 30,
        help="how much memory a reference may take, as 500M or 4G (default: 4G)",
    )
    form = parser.add_argument_group("output")
    form.add_argument("--json", action="store_true", help="the report as one JSON object")
    form.add_argument("--html", metavar="FILE", help="also write the report as an HTML page")


def _positive(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{word!r} is not a positive number")
    return value


def _size(word: str) -> int:
    number, unit = (word[:-1], word[-1:].upper()) if word[-1:].isalpha() else (word, "")
    if unit not in UNITS or not (number.isascii() and number.isdigit() and len(number) < 15):
        raise argparse.ArgumentTypeError(f"{word!r} is not a size such as 500M or 4G")
    if not (size := int(number) * UNITS[unit]):
        raise argparse.ArgumentTypeError("the memory must be more than 0")
    return size


def run(arguments: argparse.Namespace) -> int:
    """Compares, prints the report, and says with the exit code how it went."""
    if arguments.paths.count(files.STANDARD_INPUT) > 1:
        raise UsageError("standard input can be compared only once")
    if files.STANDARD_INPUT in arguments.paths:
        check_standard_input()
    if (arguments.field is not None or arguments.chat) and not arguments.paths:
        raise UsageError("--field and --chat are about files; give PATH")
    report = _report(arguments)
    if arguments.html is not None:
        write_output(arguments.html, report.to_html().encode())
    if arguments.json:
        import json

        write(json.dumps(report.to_json(), indent=1).encode() + b"\n")
    else:
        _print(report)
    for one in report.unusable:
        reason = one.reason or "it gave no ids for any item"
        complain(f"reference {one.name}: {reason}")
    if report.unusable:
        return UNUSABLE
    return DIFFERENT if report.mismatches else 0


def _report(arguments: argparse.Namespace) -> "Parity":
    from llama3_tok.report import parity

    template = None
    if arguments.template is not None:
        with open(arguments.template, encoding="utf-8") as file:
            template = file.read()
    with progress_bar() as bar:
        return parity(
            arguments.paths,
            field=arguments.field,
            chat=arguments.chat,
            references=arguments.reference or ([] if arguments.against else None),
            against=arguments.against,
            template=template,
            tokenizer=tokenizer(arguments),
            seed=arguments.seed,
            seconds=arguments.seconds,
            memory=arguments.memory,
            command=shlex.join(["llama3-tok", *sys.argv[1:]]),
            progress=bar,
        )


# For people

HEADERS = ("items", "bytes", "tokens", "equal", "explained", "different", "failed", "MB/s")
COLOURS = ("", "", "", "green", "yellow", "red", "magenta", "")


def _print(report: "Parity") -> None:
    write("".join(f"{line}\n" for line in _lines(report)).encode())


def _lines(report: "Parity") -> list[str]:
    lines = [*_table(report), ""]
    if report.compared and report.without_speed:
        lines.append(f"{report.without_speed}.")
    for one in report.references:
        lines += _about(one)
    facts = report.facts
    seed = "" if facts["seed"] is None else f", seed {facts['seed']}"
    lines.append(
        f"llama3_tok {facts['llama3_tok']}, profile {facts['profile']}, {facts['vocabulary']}, "
        f"SHA-256 {str(facts['vocabulary_sha256'])[:16]}..., Unicode {facts['unicode']}{seed}"
    )
    lines.append(_coloured(report.verdict, "32" if report.ok else "31"))
    return lines


def _table(report: "Parity") -> list[str]:
    """A row for us and for each reference; after them those without numbers, and why."""
    ours = report.ours.total
    sums = [f"{number:,}" for number in (ours.items, ours.bytes, ours.tokens)]
    # Without a speed to show there is no column for it: `without_speed` says why.
    is_timed = report.without_speed is None
    headers = HEADERS if is_timed else HEADERS[:-1]
    label = f"llama3_tok {report.facts['llama3_tok']}"
    rows = [[label, *sums, *[""] * 4, *[_speed(report.ours)] * is_timed]]
    notes = []
    for one in report.references:
        label = f"{one.name} {one.version or ''}".strip()
        if not one.total.items:
            notes.append((label, f"{one.status}: {one.reason}"))
            continue
        total = one.total
        numbers = [total.items, total.bytes, total.tokens, total.equal, total.explained]
        numbers += [total.mismatches, total.failures]
        rows.append([label, *(f"{number:,}" for number in numbers), *[_speed(one)] * is_timed])
    width = max((len(label) for label, _ in notes), default=0)
    lines = (_framed if is_terminal(sys.stdout) else _plain)(headers, rows)
    return lines + [_shown(f"{label.ljust(width)}  {note}") for label, note in notes]


def _plain(headers: Sequence[str], rows: list[list[str]]) -> list[str]:
    """Numbers to the right, two spaces between."""
    rows = [["", *headers], *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for label, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append(_shown("  ".join([label.ljust(widths[0]), *cells]).rstrip()))
    return lines


def _framed(headers: Sequence[str], rows: list[list[str]]) -> list[str]:
    """The same as a person reads it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for label, *numbers in rows:
        cells = [
            Text(number, style=colour if number not in ("0", "") else "")
            for number, colour in zip(numbers, COLOURS, strict=False)
        ]
        table.add_row(Text(_shown(label)), *cells)
    console = Console(width=columns(), no_color=not has_colours())
    with console.capture() as captured:
        console.print(table)
    return [line for line in captured.get().splitlines() if line.strip()]


def _speed(one: "ReferenceOutcome") -> str:
    speed = one.megabytes_per_second
    return "-" if speed is None else f"{speed:.3g}"


def _about(one: "ReferenceOutcome") -> list[str]:
    """Its failures, causes and differences."""
    lines: list[str] = []
    if one.status == "unusable" and one.total.items:
        lines.append(f"{one.name}: {one.reason}")
    for item, failure in one.failures[:SHOWN]:
        lines.append(f"{one.name}, {item}: no ids ({failure.kind}): {failure.reason}")
    if len(one.failures) > SHOWN:
        lines.append(f"{one.name}: {one.total.failures - SHOWN:,} failures more")
    for cause, count in one.causes.items():
        times = "1 item" if count == 1 else f"{count:,} items"
        lines.append(f"{one.name}, {times}: {cause.name}: {cause.shown_by}")
    lines = [_shown(line) for line in lines]
    different = [mismatch for mismatch in one.mismatches if not mismatch.explained]
    different.sort(key=_length)
    explained: dict[Any, Mismatch] = {}
    for mismatch in sorted(one.mismatches, key=_length):
        if mismatch.explained and mismatch.witness is not None:
            explained.setdefault(mismatch.causes, mismatch)
    for mismatch in [*different[:SHOWN], *explained.values()]:
        lines += ["", *_difference(one, mismatch)]
    return [*lines, ""] if lines else []


def _length(mismatch: "Mismatch") -> int:
    return 1 << 60 if mismatch.witness is None else mismatch.witness.bytes


def _difference(one: "ReferenceOutcome", mismatch: "Mismatch") -> list[str]:
    """One difference: where, and rows of text, ours and theirs with pieces and ids aligned."""
    kind = "explained" if mismatch.explained else "different"
    named = f" ({', '.join(cause.name for cause in mismatch.causes)})" if mismatch.causes else ""
    place = f"token {mismatch.token:,}, byte {mismatch.byte:,}"
    colour = "33" if mismatch.explained else "31"
    title = _shown(f"{one.name}, {mismatch.item}, {place}: {kind}{named}")
    lines = [_coloured(title, colour)]
    witness = mismatch.witness
    if witness is None:
        return lines
    what = "smallest text" if witness.minimal else "text"
    shown = "" if len(witness.text) == witness.bytes else f" (part of {witness.bytes:,} bytes)"
    text = witness.text.decode("utf-8", "surrogateescape")
    lines.append(_cropped(f"  {what}{shown}: {_visible(text)}"))
    lines += _rows(witness.rows)
    lines.append(_shown(f"  {witness.verdict}"))
    return lines


def _rows(rows: "list[TokenRow]") -> list[str]:
    """Pieces over ids. Tokens of both rows that begin at the same byte begin in the same column."""
    from rich.cells import cell_len

    cells = [
        [(token.start, _visible(token.piece), str(token.id)) for token in row.tokens]
        for row in rows
    ]
    starts = sorted({start for row in cells for start, _, _ in row})
    column = {}
    at = 0
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        column[start] = at
        widths = [
            sum(1 + max(cell_len(piece), len(id)) for begin, piece, id in row if begin == start)
            for row in cells
        ]
        at += max(widths) if end is not None else 0
    width = max((len(row.label) for row in rows), default=0)
    lines = []
    for row, label in zip(cells, (row.label for row in rows), strict=True):
        pieces, ids = "", ""
        for start, piece, id in row:
            used = max(cell_len(pieces), len(ids))
            room = max(column[start], used)
            pieces += " " * (room - cell_len(pieces)) + piece + " "
            ids += " " * (room - len(ids)) + id + " "
        lines.append(_cropped(f"  {_shown(label).ljust(width)}  {pieces}".rstrip()))
        lines.append(_coloured(_cropped(f"  {''.ljust(width)}  {ids.rstrip()}"), "2"))
    return lines


def _cropped(line: str) -> str:
    """A line as it fits the terminal, so that rows stay under each other."""
    from rich.cells import cell_len, set_cell_size

    if not is_terminal(sys.stdout) or cell_len(line) <= (width := columns()):
        return line
    return set_cell_size(line, width - 1) + "…"


def _visible(piece: str) -> str:
    return visible(piece.encode("utf-8", "surrogateescape"))


def _shown(text: str) -> str:
    return escaped(text)


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if has_colours() else text
