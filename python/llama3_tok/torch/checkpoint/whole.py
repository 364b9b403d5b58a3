"""Files that are there whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from llama3_tok.torch.checkpoint.stored import refuse


def write_whole(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file so that its name never stands for a part of it, also after a crash."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, partial_name(name))
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if os.path.lexists(temporary):
            os.remove(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path  # which a failing write does not know
        raise
    sync_folder(folder)


def partial_name(name: str) -> str:
    """What a file is called while it is written."""
    return f".{name}.partial"


def sync_folder(folder: str) -> None:
    """Puts the names in a folder on the disk; Windows neither needs nor allows it."""
    if os.name == "nt":
        return
    handle = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def alone(folder: str) -> Iterator[None]:
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
