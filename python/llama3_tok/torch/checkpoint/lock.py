"""One conversion at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from llama3_tok.torch.checkpoint.stored import refuse


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Keeps a second conversion out of the folder, where the system has locks for that."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refuse(folder, "another conversion is writing here")
        yield
    finally:
        os.close(handle)
