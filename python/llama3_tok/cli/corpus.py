"""`llama3-tok corpus`: training files of text files, JSONL, Parquet and conversations."""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import (
    UNUSABLE,
    UsageError,
    allowed_special,
    complain,
    has_colours,
    tokenizer,
    utf8,
    write,
)
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.data.corpora import Summary

PURPOSE = "Write training files, check them, and look into them."
EXAMPLES = """\
  llama3-tok corpus books/*.txt.zst --eos --out tokens --format megatron
  llama3-tok corpus data/*.jsonl --field text --eos --out tokens --split valid=0.5%
  llama3-tok corpus chats.jsonl --messages --max-tokens 8192 --overflow fit --out chats
  llama3-tok corpus verify tokens
  llama3-tok corpus inspect tokens --document 12

The same command again goes on where it was stopped, also after kill -9.

exit codes: 0; 1 if `verify` finds that something is not as it was written; 2 if a file can't be
read or written"""

WRONG = 1
FORMATS = ("npy", "megatron", "datatrove", "dolma", "mds", "litdata", "parquet", "arrow")
EVENT_SECONDS = 1.0
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="files, .gz and .zst as well, folders and patterns; or `verify DIR`, `inspect DIR`",
    )
    out = parser.add_argument_group("what is written")
    out.add_argument("--out", metavar="DIR", help="the folder that the files go to")
    out.add_argument(
        "--format",
        choices=FORMATS,
        default="npy",
        help="for whom the files are (default: npy, flat NumPy arrays)",
    )
    out.add_argument(
        "--compression",
        choices=("zstd", "lz4", "none"),
        help="of Parquet: zstd makes the smallest files (default), none is written fastest",
    )
    out.add_argument(
        "--shard-tokens",
        metavar="N",
        type=_count,
        default=1 << 26,
        help="close a shard when it has N tokens, as 50M (default: 67108864)",
    )
    out.add_argument(
        "--pack",
        metavar="LENGTH",
        type=_count,
        help="rows of LENGTH tokens, cut from all documents end to end",
    )
    out.add_argument(
        "--best-fit",
        action="store_true",
        help="with --pack: cut only documents that are longer than a row",
    )
    out.add_argument(
        "--split",
        metavar="NAME=PART",
        action="append",
        type=_split,
        default=[],
        help="put a part of the documents, as valid=0.5%%, into a folder of its own, and the "
        "others into train; for inspect the name alone",
    )
    out.add_argument(
        "--shuffle", metavar="SEED", type=_count, help="shuffle shards, and documents within 16 MB"
    )
    out.add_argument(
        "--sample", metavar="PART", type=_part, help="take a part of the documents, as 10%%"
    )
    text = parser.add_argument_group("documents")
    text.add_argument("--lines", action="store_true", help="each line of a text is a document")
    text.add_argument(
        "--separator",
        metavar="TEXT",
        type=_separator,
        help=r"documents stand between these, as '\n\n' or '<|endoftext|>'",
    )
    text.add_argument(
        "--field",
        type=utf8,
        help="the field of each record of JSONL, or the column of Parquet; a.b is one in another",
    )
    text.add_argument("--id-field", type=utf8, help="the field with the name of each record")
    text.add_argument("--bos", action="store_true", help="begin each document with BOS")
    text.add_argument("--eos", action="store_true", help="end each document with EOS")
    text.add_argument(
        "--allowed-special",
        metavar="NAMES",
        action="append",
        type=utf8,
        default=[],
        help="special tokens to recognise in the text: all, or names with commas between them",
    )
    chats = parser.add_argument_group("conversations")
    chats.add_argument("--messages", action="store_true", help="each record is a conversation")
    chats.add_argument(
        "--form", choices=("messages", "sharegpt"), help="how messages are written in a record"
    )
    chats.add_argument("--column", type=utf8, help="the field of a record that has the messages")
    chats.add_argument(
        "--learn",
        choices=("assistant", "last", "all"),
        help="what is learned: the assistant's messages (default), its last one, or all tokens",
    )
    chats.add_argument(
        "--max-tokens", metavar="N", type=_count, help="the most tokens of a conversation"
    )
    chats.add_argument(
        "--overflow",
        choices=("error", "drop", "cut", "fit"),
        help="what is done with longer ones; fit leaves out the oldest turns (default: error)",
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what is done about a record with a fault; skipped ones are counted and listed",
    )
    run.add_argument(
        "--engine",
        choices=("threads", "ray", "spark"),
        default="threads",
        help="where it runs: this machine's processors, or a cluster (default: threads)",
    )
    run.add_argument("--threads", metavar="N", type=_count, help="threads (default: all)")
    run.add_argument(
        "--json", action="store_true", help="events, one JSON object a line; the last is the result"
    )
    run.add_argument("--html", metavar="FILE", help="also write the result as a page")
    look = parser.add_argument_group("inspect")
    look.add_argument(
        "--document", metavar="N", type=_count, help="the document to show, from 0 (default: 0)"
    )


def _count(word: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18})([kMG]?)", word)
    if match is None:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number, as 1000 or 50M")
    return int(match[1]) * _UNITS[match[2]]


def _part(word: str) -> float:
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)(%?)", word)
    part = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < part <= 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a part, as 0.5% or 0.005")
    return part


def _split(word: str) -> tuple[str, float | None]:
    name, equals, part = word.partition("=")
    return name, _part(part) if equals else None


def _separator(word: str) -> str:
    text = utf8(word)
    return text.replace(r"\n", "\n").replace(r"\t", "\t").replace(r"\0", "\0")


def run(arguments: argparse.Namespace) -> int:
    """Writes, checks or shows a corpus."""
    first, *others = arguments.inputs
    if arguments.out is None and first in ("verify", "inspect"):
        if len(others) != 1:
            raise UsageError(f"give one folder: corpus {first} DIR")
        return (_verify if first == "verify" else _inspect)(arguments, others[0])
    if arguments.out is None:
        raise UsageError("give --out DIR, the folder that the files go to")
    return _make(arguments)


def _make(arguments: argparse.Namespace) -> int:
    from llama3_tok.data.corpora import corpus

    nameless = [name for name, part in arguments.split if part is None]
    if nameless:
        raise UsageError(f"--split {nameless[0]}: give its part as well, as {nameless[0]}=0.5%")
    if arguments.best_fit and arguments.pack is None:
        raise UsageError("--best-fit is for --pack")
    if arguments.lines and arguments.separator:
        raise UsageError("--lines and --separator exclude each other")
    chats = {
        name: getattr(arguments, name)
        for name in ("form", "column", "learn", "max_tokens", "overflow")
        if getattr(arguments, name) is not None
    }
    if chats and not arguments.messages:
        name = next(iter(chats)).replace("_", "-")
        raise UsageError(f"--{name} is for conversations: give --messages as well")
    encoder = tokenizer(arguments)
    with _progress(arguments) as progress:
        try:
            summary = corpus(
                arguments.inputs,
                arguments.out,
                format=arguments.format,
                tokenizer=encoder,
                documents="line"
                if arguments.lines
                else "separator"
                if arguments.separator
                else "file",
                separator=arguments.separator or "",
                field=arguments.field,
                id_field=arguments.id_field,
                messages=arguments.messages,
                chats=chats,
                bos=arguments.bos,
                eos=arguments.eos,
                allowed_special=allowed_special(arguments),
                shard_tokens=arguments.shard_tokens,
                compression=arguments.compression,
                pack=arguments.pack,
                strategy="best-fit" if arguments.best_fit else "concatenate",
                shuffle=arguments.shuffle,
                sample=arguments.sample,
                splits=dict(arguments.split),
                on_error=arguments.on_error,
                engine=arguments.engine,
                threads=arguments.threads,
                progress=progress,
            )
        except ValueError as error:
            if type(error) is ValueError:  # options that don't go together
                raise UsageError(arguments.in_options(str(error))) from None
            raise
    for fault in summary.faults:
        complain(f"skipped: {fault}")
    if not summary.is_new:
        complain(f"{arguments.out} was finished before; nothing was done")
    return _tell(arguments, summary)


def _verify(arguments: argparse.Namespace, folder: str) -> int:
    from llama3_tok.data.corpora import ManifestError, verify

    with _progress(arguments) as progress:
        try:
            summary = verify(folder, progress=progress)
        except ManifestError as error:
            complain(str(error))
            return WRONG
    return _tell(arguments, summary)


def _tell(arguments: argparse.Namespace, summary: "Summary") -> int:
    from llama3_tok.data.corpora import page

    if arguments.html is not None:
        from llama3_tok.formats.whole_files import write_output

        write_output(arguments.html, page.as_page(summary).encode())
    if arguments.json:
        write(json.dumps({"event": "result"} | dict(page.as_json(summary))).encode() + b"\n")
    else:
        write(page.as_text(summary).encode())
    return 0


class _progress:
    """Shows how far the work is: as a bar, or with --json as events on standard output."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._json = arguments.json
        self._bar = None if self._json else progress_bar()
        self._last = self._begin = time.monotonic()

    def __enter__(self) -> Callable[[int, int, int, int], None] | None:
        if self._json:
            return self._event
        bar = None if self._bar is None else self._bar.__enter__()
        if bar is None:
            return None

        def show(done: int, total: int, tokens: int, documents: int) -> None:
            seconds = max(time.monotonic() - self._begin, 1e-3)
            bar(done, total, f"{tokens / seconds / 1e6:.1f}M tokens/s")

        return show

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    def _event(self, done: int, total: int, tokens: int, documents: int) -> None:
        now = time.monotonic()
        if now - self._last < EVENT_SECONDS and done < total:
            return
        self._last = now
        event = {
            "event": "progress",
            "bytes": done,
            "of": total,
            "tokens": tokens,
            "documents": documents,
        }
        write(json.dumps(event).encode() + b"\n")
        sys.stdout.flush()


def _inspect(arguments: argparse.Namespace, folder: str) -> int:
    from llama3_tok.data.corpora import ManifestError, inspect

    encoder = tokenizer(arguments)
    split = arguments.split[0][0] if arguments.split else "train"
    number = 0 if arguments.document is None else arguments.document
    try:
        found = inspect(folder, number, split=split)
    except ManifestError as error:
        complain(str(error))
        return WRONG
    except IndexError as error:
        complain(str(error))
        return UNUSABLE
    ids = found.ids.tolist()
    mask: list[int] | None = None if found.mask is None else found.mask.tolist()
    if arguments.json:
        shown: dict[str, Any] = {
            "shard": found.shard,
            "number": found.number,
            "ids": ids,
            "mask": mask,
            "text": encoder.decode(ids),
        }
        write(json.dumps(shown).encode() + b"\n")
        return 0
    from llama3_tok.cli.chat import in_colours, in_plain_text, pieces

    if has_colours():
        parts = pieces(encoder, ids, [0] * len(ids) if mask is None else mask)
        write((in_colours(parts) + "\n").encode())
    elif mask is not None:
        write((in_plain_text(pieces(encoder, ids, mask)) + "\n").encode())
    else:
        write(encoder.decode_bytes(ids) + b"\n")
    complain(escaped(f"document {number}: {len(ids)} tokens, in {found.shard}, {found.number}"))
    return 0
