"""`llama3-tok encode`: the ids of a text."""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from llama3_tok.cli.terminal import add_text, flush, tokenizer, write
from llama3_tok.cli.text_stream import Text, given_text_stream
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PURPOSE = "Print the ids of a text."
EXAMPLES = """\
  llama3-tok encode 'Hello world'
  llama3-tok encode --tokens -f notes.txt
  llama3-tok encode --allowed-special all --json '<|eot_id|>'

The text may be of any size; ids are printed while it is read."""

# What is kept in memory of a text before `--json` puts it into a temporary file.
_SPOOLED_BYTES = 1 << 22
_RECORDS = 1 << 14


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    add_text(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--tokens",
        action="store_true",
        help=r"one token a line: its id, a tab, and its text with \n, \u202e, \\ and the like for "
        r"what can't be seen and \xNN for bytes of an incomplete character",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="one object: ids, tokens (the text of each alone) and spans (in bytes)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the ids."""
    with given_text_stream(arguments) as text:
        encoder = tokenizer(arguments)
        if arguments.json:
            _print_json(encoder, text)
        elif arguments.tokens:
            lines = ById(lambda id: f"{id}\t{piece(encoder, id)}\n".encode())
            for ids in text.ids(encoder):
                write(b"".join(map(lines.__getitem__, ids)))
                flush()
        else:
            before = b""
            for ids in text.ids(encoder):
                if ids:
                    write(before + " ".join(map(str, ids)).encode())
                    flush()
                    before = b" "
            write(b"\n")
    return 0


class ById(dict[int, bytes]):
    """What is printed for each id, made when it is first asked for."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, id: int) -> bytes:
        """Makes it."""
        made = self[id] = self._make(id)
        return made


def piece(encoder: Tokenizer, id: int) -> str:
    r"""The text of a token such that no two bytes look alike: backslashes are `\\`."""
    text = encoder.token_bytes(id).decode("utf-8", "surrogateescape")
    return escaped(text.replace("\\", "\\\\"))


def _print_json(encoder: Tokenizer, text: Text) -> None:
    """One object of three lists, of which the second can only begin when the text was read.

    So ids and lengths go to a temporary file, which for a short text is memory.
    """
    texts = ById(lambda id: json.dumps(encoder.decode([id])).encode())
    with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spool:
        write(b'{"ids": [')
        _print_list(_spooling(encoder, text, spool))
        write(b'], "tokens": [')
        _print_list(list(map(texts.__getitem__, part["id"].tolist())) for part in _records(spool))
        write(b'], "spans": [')
        _print_list(_spans(spool))
        write(b"]}\n")


def _print_list(parts: Iterator[Sequence[bytes]]) -> None:
    before = b""
    for items in parts:
        if items:
            write(before + b", ".join(items))
            flush()
            before = b", "


def _spooling(encoder: Tokenizer, text: Text, spool: IO[bytes]) -> Iterator[list[bytes]]:
    import numpy as np

    for encoding in text.encodings(encoder):
        records = np.empty(len(encoding.ids), _record())
        records["id"] = encoding.ids
        records["length"] = encoding.byte_spans[:, 1] - encoding.byte_spans[:, 0]
        spool.write(records.tobytes())
        yield [b"%d" % id for id in encoding.ids.tolist()]


def _spans(spool: IO[bytes]) -> Iterator[list[bytes]]:
    """Each token begins where the one before it ends."""
    import numpy as np

    start = 0
    for part in _records(spool):
        ends = start + np.cumsum(part["length"])
        starts = ends - part["length"]
        start = int(ends[-1])
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        yield [b"[%d, %d]" % span for span in spans]


def _records(spool: IO[bytes]) -> "Iterator[npt.NDArray[np.void]]":
    import numpy as np

    spool.seek(0)
    while data := spool.read(_RECORDS * _record().itemsize):
        yield np.frombuffer(data, _record())


def _record() -> "np.dtype[np.void]":
    import numpy as np

    return np.dtype([("id", np.uint32), ("length", np.int64)])
