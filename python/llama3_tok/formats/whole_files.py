"""Writing files whole: whoever looks, also after a crash, finds the old file or the new one.

A file is written beside its place under another name, put on the disk, read back where there is a
check for it, and only then renamed. After the rename its folder is put on the disk, too: until then
the name might go with the power.

Several files are renamed only when all are written and right, one after the other: no system can
replace them at once. What can hinder a rename, as a full disk or a folder that may not be written,
has then shown up before. Where one fails nevertheless, the error says which files are the new ones.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, NamedTuple

from llama3_tok.errors import Llama3TokError


class Draft(NamedTuple):
    """A file to be: how it is written, and checked."""

    write: Callable[[str], object]
    """Writes it to a path, where there is nothing yet or an empty file."""
    check: Callable[[str, str], object] | None = None
    """Reads it back and raises if it is not right. It gets the path where the file is, and the one
    that it will have, for the message."""


def of_data(data: bytes) -> Draft:
    """A file with this content."""
    return streamed(lambda file: file.write(data))


def streamed(write: Callable[[IO[bytes]], object]) -> Draft:
    """A file that is written to a stream, which can seek."""

    def to_path(path: str) -> None:
        with open(path, "wb") as file:
            write(file)

    return Draft(to_path)


def write(drafts: Mapping[str, Draft]) -> None:
    """Writes files, given by their paths: none of them if one can't be written or is not right.

    They get their names in the order given, and each is on the disk before the next one is renamed.
    A file that is replaced keeps its permissions; a link is replaced, not followed.

    Raises OSError for a place that can't be written, Llama3TokError for one that has something else
    than a file, and what a check raises.
    """
    for path in drafts:
        if os.path.exists(path) and not os.path.isfile(path):
            raise Llama3TokError(f"{path} exists and is not a file, so it is not replaced")
    _remove_left(drafts)
    with _beside(drafts) as temporary, ExitStack() as held:
        for path, draft in drafts.items():
            with _named(path, temporary[path]):
                permissions = _permissions(path)
                handle = _create(temporary[path], 0o666 if permissions is None else 0o600)
                held.callback(os.close, handle)
                draft.write(temporary[path])
                _settle(temporary[path])
                if draft.check is not None:
                    draft.check(temporary[path], path)
                if permissions is not None:
                    os.chmod(temporary[path], permissions)
        _rename(temporary)


def write_output(path: str, data: bytes) -> None:
    """Writes a file that a person named as the place for a result, as a command's page.

    A link is followed, as by a shell, and what is not a file, as `/dev/stdout`, gets the data as it
    is. Raises OSError for a place that can't be written.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(data)
        return
    target = os.path.realpath(path) if os.path.islink(path) else path
    with _named(path, target):
        write({target: of_data(data)})


def move(draft: str, path: str) -> None:
    """Gives a file that was written elsewhere on the same disk its name.

    Its content is on the disk before, and its name after that. Raises OSError, with the name.
    """
    with _named(path, draft):
        _settle(draft)
        try:
            os.replace(draft, path)
        except OSError as error:  # which would name both
            raise OSError(error.errno, error.strerror, path) from error
        sync_folder(os.path.dirname(path))


def make_folder(folder: str) -> None:
    """Makes a folder, and those above it that are missing, and puts their names on the disk."""
    missing = []
    above = absolute(folder)
    while not os.path.exists(above):
        missing.append(above)
        above = os.path.dirname(above)
    os.makedirs(folder, exist_ok=True)
    for made in reversed(missing):
        sync_folder(os.path.dirname(made))


def absolute(path: str) -> str:
    """The absolute path. Raises OSError, with the name, if the current folder has been removed."""
    with _named(path, path):
        return os.path.abspath(path)


def sync_folder(folder: str) -> None:
    """Puts the names in a folder on the disk; Windows neither needs nor allows it."""
    if os.name == "nt":
        return
    folder = folder or "."
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # The names are there. Where a folder may be written but not read, or a file system has no
        # such call, nothing can be done for them besides.
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise OSError(error.errno, error.strerror, folder) from error


@contextmanager
def locked(folder: str) -> Iterator[bool]:
    """Whether nobody else has this lock on a folder, which is kept in the context.

    True as well where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


# Seconds in which a file that is being written gets its lock, by far.
_NEW = 2

_PARTIAL = re.compile(r"(.*)\.[0-9a-f]{16}\.partial", re.DOTALL)


def is_partial(name: str, of: Iterable[str]) -> bool:
    """Whether a name is that of a file which was being written to be one of the names `of`.

    Such a file is left where a process was killed.
    """
    match = _PARTIAL.fullmatch(name)
    return match is not None and match[1] in map(_beginning, of)


def _beginning(name: str) -> str:
    # The name itself may be as long as names can be: 255 bytes, of up to four to a character.
    return f".{name[:50]}"


@contextmanager
def _beside(paths: Iterable[str]) -> Iterator[dict[str, str]]:
    """A free name for each path in the same folder; what is left there in the end is removed."""
    temporary = {}
    for path in paths:
        folder, name = os.path.split(path)
        unique = os.urandom(8).hex()
        temporary[path] = os.path.join(folder, f"{_beginning(name)}.{unique}.partial")
    try:
        yield temporary
    finally:
        for name in temporary.values():
            if os.path.lexists(name):
                os.remove(name)


@contextmanager
def _named(path: str, temporary: str) -> Iterator[None]:
    """Errors under the name that was asked for: a failing write knows none, or another one."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.filename == temporary:
            error.filename = path
        raise


def _permissions(path: str) -> int | None:
    """Those of the file that is replaced; None if there is none."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else None


def _create(path: str, permissions: int) -> int:
    """Makes an empty file; what comes into it may be for nobody else to see.

    The handle has a lock: as long as it is open, the file is not taken for a left one.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
    with suppress(OSError):  # some file systems have no locks; there nothing is removed, either
        _lock(handle)
    return handle


def _lock(handle: int) -> bool:
    """Whether the system has locks on files; OSError if another process has this one."""
    try:
        import fcntl
    except ImportError:
        return False
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _remove_left(paths: Iterable[str]) -> None:
    """Removes what was left of writing these files where a process was killed.

    That is a file of such a name which nobody has locked. Of a new one the lock may be missing yet.
    """
    for folder in {os.path.dirname(path) for path in paths}:
        names = [os.path.basename(path) for path in paths if os.path.dirname(path) == folder]
        try:
            left = [name for name in os.listdir(folder or ".") if is_partial(name, names)]
        except OSError:  # it may be written and not listed
            continue
        for path in (os.path.join(folder, name) for name in left):
            try:
                if time.time() - os.lstat(path).st_mtime < _NEW:
                    continue
                handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
                try:
                    if _lock(handle):
                        os.remove(path)
                finally:
                    os.close(handle)
            except OSError:  # somebody writes it, or was faster
                continue


def _settle(path: str) -> None:
    """Waits until the file's content is on the disk, so that its name never comes before it."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _rename(temporary: Mapping[str, str]) -> None:
    """Gives files their names, in order; an error says how far that went."""
    paths = list(temporary)
    for done, path in enumerate(paths):
        try:
            os.replace(temporary[path], path)
        except OSError as error:
            reason = error.strerror or str(error)
            if done:
                new, old = (
                    ", ".join(map(os.path.basename, part)) for part in (paths[:done], paths[done:])
                )
                reason += (
                    f"; {new} are the new ones already, and {old} not: save again before the "
                    "folder is used"
                )
            raise OSError(error.errno, reason, path) from error
        sync_folder(os.path.dirname(path))
