"""Where files are: on this machine's disks, or in a store that pyarrow's file systems know.

A file gets its name when all of it is there. On a disk that is a rename; a store shows an object
when it is closed, so that is its rename.
"""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, Protocol

from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require
from llama3_tok.formats import whole_files

__all__ = ["File", "Local", "Place", "Store", "place_of"]


class File(NamedTuple):
    """A file, its size in bytes, and when it was changed, in nanoseconds."""

    path: str
    size: int
    changed: int


class Place(Protocol):
    """What both have. Paths are whole ones."""

    def files(self, name: str) -> Iterable[File]:
        """The file of this name, all in such a folder, or all that such a pattern fits."""

    def described(self, path: str) -> File:
        """A file as it is now. Raises OSError if there is none."""

    def open(self, path: str) -> IO[bytes]:
        """A file for reading, anywhere in it."""

    def local(self, path: str) -> "Any":  # noqa: ANN401 - a context with a path
        """A context in which the file is at the local path that it gives."""

    def read(self, path: str) -> bytes:
        """A small file's content. Raises FileNotFoundError."""

    def write(self, path: str, data: bytes) -> None:
        """Writes a small file whole."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, in order; none if there is no such folder."""

    def remove(self, path: str) -> None:
        """Removes a file that may be gone already."""

    def remove_folder(self, folder: str) -> None:
        """Removes a folder with all in it."""

    def make_folder(self, folder: str) -> None:
        """Makes a folder, and those above it."""

    def drafts(self, folder: str) -> str:
        """A new local folder from which files can be put into `folder`."""

    def put(self, draft: str, path: str) -> None:
        """Gives a local file that `drafts` has its place; the draft is gone after that."""


class Local:
    """The disks of this machine."""

    def files(self, name: str) -> Iterator[File]:
        """See `Place`. Hidden files and folders are left out, but where they are named."""
        if os.path.isdir(name):
            for folder, folders, names in os.walk(name):
                folders[:] = sorted(one for one in folders if not one.startswith("."))
                for one in sorted(names):
                    path = os.path.join(folder, one)
                    if not one.startswith(".") and os.path.isfile(path):
                        yield self.described(path)
        elif os.path.exists(name):
            yield self.described(name)
        else:
            for path in sorted(glob.glob(name, recursive=True)):
                if os.path.isfile(path):
                    yield self.described(path)

    def described(self, path: str) -> File:
        """See `Place`."""
        status = os.stat(path)
        return File(path, status.st_size, status.st_mtime_ns)

    def open(self, path: str) -> IO[bytes]:
        """See `Place`."""
        return open(path, "rb", buffering=0)

    @contextmanager
    def local(self, path: str) -> Iterator[str]:
        """See `Place`."""
        yield path

    def read(self, path: str) -> bytes:
        """See `Place`."""
        with open(path, "rb") as file:
            return file.read()

    def write(self, path: str, data: bytes) -> None:
        """See `Place`."""
        whole_files.write({path: whole_files.of_data(data)})

    def names(self, folder: str) -> list[str]:
        """See `Place`."""
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def remove(self, path: str) -> None:
        """See `Place`."""
        if os.path.lexists(path):
            os.remove(path)

    def remove_folder(self, folder: str) -> None:
        """See `Place`."""
        if os.path.isdir(folder):
            shutil.rmtree(folder)
            whole_files.sync_folder(os.path.dirname(folder))

    def make_folder(self, folder: str) -> None:
        """See `Place`."""
        whole_files.make_folder(folder)

    def drafts(self, folder: str) -> str:
        """See `Place`: beside the place, since a rename stays on one disk."""
        return tempfile.mkdtemp(prefix=".drafts-", dir=folder)

    def put(self, draft: str, path: str) -> None:
        """See `Place`."""
        whole_files.move(draft, path)


class Store:
    """A file system of pyarrow, as `s3://`, `gs://` or `hdfs://` have."""

    def __init__(self, scheme: str, system: Any) -> None:  # noqa: ANN401 - without types
        self._scheme, self._system = scheme, system

    def _at(self, path: str) -> str:
        return path.split("://", 1)[1] if "://" in path else path

    def _file(self, info: Any) -> File:  # noqa: ANN401 - without types
        return File(f"{self._scheme}://{info.path}", info.size, info.mtime_ns or 0)

    def files(self, name: str) -> Iterator[File]:
        """See `Place`; patterns are for disks alone."""
        info = self._system.get_file_info(self._at(name))
        if info.type == _fs().FileType.File:
            yield self._file(info)
        elif info.type == _fs().FileType.Directory:
            chosen = _fs().FileSelector(info.path, recursive=True)
            inside = sorted(self._system.get_file_info(chosen), key=lambda one: one.path)
            for one in inside:
                below = one.path[len(info.path) :].split("/")
                hidden = any(part.startswith(".") for part in below)
                if one.type == _fs().FileType.File and not hidden:
                    yield self._file(one)

    def described(self, path: str) -> File:
        """See `Place`."""
        info = self._system.get_file_info(self._at(path))
        if info.type != _fs().FileType.File:
            raise FileNotFoundError(2, "No such file", path)
        return self._file(info)

    def open(self, path: str) -> IO[bytes]:
        """See `Place`."""
        file: IO[bytes] = self._system.open_input_file(self._at(path))
        return file

    @contextmanager
    def local(self, path: str) -> Iterator[str]:
        """See `Place`: a copy, under a name that ends as the file's does."""
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, os.path.basename(path))
            with self._system.open_input_stream(self._at(path)) as source, open(copy, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            yield copy

    def read(self, path: str) -> bytes:
        """See `Place`."""
        with self._system.open_input_stream(self._at(path)) as stream:
            data: bytes = stream.read()
        return data

    def write(self, path: str, data: bytes) -> None:
        """See `Place`."""
        with self._system.open_output_stream(self._at(path)) as stream:
            stream.write(data)

    def names(self, folder: str) -> list[str]:
        """See `Place`."""
        at = self._at(folder)
        chosen = _fs().FileSelector(at, allow_not_found=True)
        return sorted(os.path.basename(one.path) for one in self._system.get_file_info(chosen))

    def remove(self, path: str) -> None:
        """See `Place`."""
        info = self._system.get_file_info(self._at(path))
        if info.type == _fs().FileType.File:
            self._system.delete_file(info.path)

    def remove_folder(self, folder: str) -> None:
        """See `Place`."""
        info = self._system.get_file_info(self._at(folder))
        if info.type == _fs().FileType.Directory:
            self._system.delete_dir(info.path)

    def make_folder(self, folder: str) -> None:
        """See `Place`."""
        self._system.create_dir(self._at(folder), recursive=True)

    def drafts(self, folder: str) -> str:
        """See `Place`."""
        return tempfile.mkdtemp(prefix="llama3-tok-")

    def put(self, draft: str, path: str) -> None:
        """See `Place`."""
        with (
            open(draft, "rb") as source,
            self._system.open_output_stream(self._at(path)) as stream,
        ):
            shutil.copyfileobj(source, stream, 1 << 20)
        os.remove(draft)


def _fs() -> Any:  # noqa: ANN401 - without types
    return require("pyarrow.fs", "data")


def place_of(path: str) -> tuple[Place, str]:
    """Where a path is, and the path there: without the options and passwords that a URI may have.

    Raises Llama3TokError for a URI that pyarrow does not know.
    """
    scheme, is_uri, _ = path.partition("://")
    if not is_uri:
        return Local(), path
    try:
        system, inner = _fs().FileSystem.from_uri(path)
    except ValueError as error:  # pyarrow's own are such
        raise Llama3TokError(f"{scheme}://...: pyarrow can't use it: {error}") from None
    return Store(scheme, system), f"{scheme}://{inner}"
