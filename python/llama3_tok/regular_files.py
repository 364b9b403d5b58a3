"""Reading small files whole, which others may have put there: a pipe or a huge file is refused.

A pipe or a device would hold the process up for ever, a file with holes would fill its memory, and
values nested without end would exhaust the stack, here or where they are written again.
"""

import os
import stat
from typing import Any, BinaryIO

__all__ = ["IrregularFile", "open_regular", "parse_json", "read_regular"]

# No file that describes a model is larger; the largest have some thousand tokens with their flags.
MAX_BYTES = 64 << 20
# How deep values of such a file may be nested. Chat templates, the deepest, have a few levels.
MAX_DEPTH = 100


class IrregularFile(Exception):
    """A file that is not read; the message says why, without its name."""


def open_regular(path: str) -> BinaryIO:
    """Opens a file to be read, without a buffer.

    Raises IrregularFile for a pipe, a device or a socket, without waiting for it; and OSError.
    """
    # Without this flag a pipe is waited for until somebody writes to it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise IrregularFile("this is not a regular file")
    return os.fdopen(handle, "rb", buffering=0)


def read_regular(path: str, most: int = MAX_BYTES) -> bytes:
    """The content of a file of at most `most` bytes. Raises IrregularFile, and OSError."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise IrregularFile(f"it has more than {most:,} bytes, so it is not such a file")
        return file.read()


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """The value of a JSON text. Raises ValueError, also for one that is nested too deep."""
    import json  # which counting does without

    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"its values are nested deeper than {MAX_DEPTH} levels") from None
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        parts = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for part in parts for one in part if isinstance(one, dict | list)]
        if not level:
            return value
    raise ValueError(f"its values are nested deeper than {MAX_DEPTH} levels")
