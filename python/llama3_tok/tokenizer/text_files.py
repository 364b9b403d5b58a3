"""Text files of any size to ids."""

from collections.abc import Callable, Iterable, Iterator
from itertools import starmap
from typing import TYPE_CHECKING, TypeVar, overload

from llama3_tok import arguments
from llama3_tok.arguments import NONE, FilePath, SpecialTokens
from llama3_tok.text.ragged import Ragged
from llama3_tok.tokenizer.base import Base

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from llama3_tok._core import Files

__all__ = ["TextFiles"]

_T = TypeVar("_T")


class TextFiles(Base):
    """A tokenizer of text files."""

    __slots__ = ()

    def count_file(
        self, path: FilePath, *, field: str | None = None, threads: int | None = None
    ) -> int:
        """How many ids a text file has, or with `field` that field of a JSONL file's records.

        The file may be of any size: it is read in pieces, which up to `threads` threads (default:
        all processors) count in a bounded amount of memory. Files whose names end in `.gz` and
        `.zst` are unpacked. A text file is counted as it is, a byte order mark included; bytes that
        are not UTF-8 are counted as `encode` has them.

        Raises OSError for a file that can't be read, and InputError, with path and line, for a
        damaged archive and for a line that is not a JSON object with a string in `field`.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.count_file("hello.txt")
        2
        >>> tokenizer.count_file("hello.jsonl", field="text")
        3
        """
        return self._core.count_file(
            arguments.path(path), arguments.field(field), arguments.threads(threads)
        )

    def count_files(
        self, paths: Iterable[FilePath], *, field: str | None = None, threads: int | None = None
    ) -> "npt.NDArray[np.int64]":
        """How many ids each file has, as `int64[len(paths)]`.

        Parameters and errors as in `count_file`; of several bad files the first one raises.
        """
        return self._core.count_files(
            arguments.paths(paths), arguments.field(field), arguments.threads(threads)
        )

    @overload
    def encode_file(
        self,
        path: FilePath,
        *,
        field: None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "npt.NDArray[np.uint32]": ...
    @overload
    def encode_file(
        self,
        path: FilePath,
        *,
        field: str,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Ragged: ...
    def encode_file(
        self,
        path: FilePath,
        *,
        field: str | None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "npt.NDArray[np.uint32] | Ragged":
        """The ids of a file: `uint32[n]`, or with `field` a Ragged with those of each record.

        They are exactly the ids of `encode(pathlib.Path(path).read_bytes())`; `bos` and `eos` add
        to the file, or with `field` to each record. The file is read as `count_file` reads it.

        Raises what `count_file` raises, and what `encode` raises; a SpecialTokenError names `path`
        and the byte `offset` in the unpacked text, or with `field` the `line` and the offset in
        that record's text.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.encode_file("hello.txt")
        array([9906, 1917], dtype=uint32)
        >>> tokenizer.encode_file("hello.jsonl", field="text")
        Ragged(2 texts, 3 ids)
        """
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        files, count = [arguments.path(path)], arguments.threads(threads)
        if field is None:
            return next(self._core.encode_files(files, None, count, asked, True))
        return Ragged(
            *next(self._core.encode_files(files, arguments.field(field), count, asked, True))
        )

    @overload
    def encode_files(
        self,
        paths: Iterable[FilePath],
        *,
        field: None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "Iterator[npt.NDArray[np.uint32]]": ...
    @overload
    def encode_files(
        self,
        paths: Iterable[FilePath],
        *,
        field: str,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Iterator[Ragged]: ...
    def encode_files(
        self,
        paths: Iterable[FilePath],
        *,
        field: str | None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "Iterator[npt.NDArray[np.uint32]] | Iterator[Ragged]":
        """An iterator over the ids of files, in the order of the paths.

        Each is what `encode_file` gives. While one is used those behind it are read, as far as
        some megabytes allow; that stops when the iterator is deleted. A bad file raises when its
        turn comes, and the iterator can be asked for the next. Several threads may share it, but a
        process that was forked can't go on with it.

        Parameters and errors as in `encode_file`.

        >>> paths = ["hello.txt", "hello.txt.gz"]
        >>> for ids in llama3_tok.Tokenizer().encode_files(paths):
        ...     print(ids)
        [9906 1917]
        [9906 1917]
        """
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        files, count = arguments.paths(paths), arguments.threads(threads)
        if field is None:
            return self._core.encode_files(files, None, count, asked, True)
        return starmap(
            Ragged, self._core.encode_files(files, arguments.field(field), count, asked, True)
        )

    @overload
    def stream_file(
        self,
        path: FilePath,
        *,
        field: None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
        progress: Callable[[int], object] | None = None,
    ) -> "Iterator[npt.NDArray[np.uint32]]": ...
    @overload
    def stream_file(
        self,
        path: FilePath,
        *,
        field: str,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[Ragged]: ...
    def stream_file(
        self,
        path: FilePath,
        *,
        field: str | None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
        progress: Callable[[int], object] | None = None,
    ) -> "Iterator[npt.NDArray[np.uint32]] | Iterator[Ragged]":
        """The ids of a file part by part, in a bounded amount of memory whatever its size.

        The parts, one behind the other, are exactly what `encode_file` gives; there is at least
        one. How long they are is not specified: that of a quarter of a megabyte of text, or more
        where the text can't be cut. `progress` gets the bytes read so far, as stored. Parameters
        and errors otherwise as in `encode_file`; the iterator is like that of `encode_files`, but
        with `progress` it is for one thread.

        >>> for ids in llama3_tok.Tokenizer().stream_file("hello.txt"):
        ...     print(ids)
        [9906 1917]
        """
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        files, count = [arguments.path(path)], arguments.threads(threads)
        if field is None:
            return _told(self._core.encode_files(files, None, count, asked, False), progress)
        stream = self._core.encode_files(files, arguments.field(field), count, asked, False)
        parts = _told(stream, progress)
        return starmap(Ragged, parts)


def _told(parts: "Files[_T]", progress: Callable[[int], object] | None) -> Iterator[_T]:
    """The parts, with a call of `progress` before each and at the end."""
    return parts if progress is None else _telling(parts, progress)


def _telling(parts: "Files[_T]", progress: Callable[[int], object]) -> Iterator[_T]:
    for part in parts:
        progress(parts.read)
        yield part
    progress(parts.read)
