"""The ids of files, each as a whole or part by part: `Tokenizer.encode_file` and its kin."""

from collections.abc import Callable, Iterator
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from llama3_tok._core import Core, Options
from llama3_tok.lazy import np, npt
from llama3_tok.text.ragged import Ragged

if TYPE_CHECKING:
    from llama3_tok._core import Files

__all__ = ["FileTask", "ids"]

_T = TypeVar("_T")


class FileTask(NamedTuple):
    """What is asked of files, as the core takes it."""

    field: str | None
    """The field of a JSONL file's records that has the text; None for a file of text."""
    threads: int
    options: Options | None
    packed_limits: tuple[int | None, int | None]
    """How many bytes a packed file may unpack to, and how many times as many as are stored."""


def ids(
    core: Core,
    files: list[str],
    task: FileTask,
    *,
    are_whole: bool,
    progress: Callable[[int], object] | None = None,
) -> "Iterator[npt.NDArray[np.uint32] | Ragged]":
    """The ids of files: `uint32[n]`, or a Ragged where a field is read.

    There is one for each file if they `are_whole`, else there are several parts of each. `progress`
    is called with how many bytes were read, before each and at the end.
    """
    if task.field is None:
        return _told(core.encode_files(files, None, *task[1:], are_whole), progress)
    records = _told(core.encode_files(files, task.field, *task[1:], are_whole), progress)
    return starmap(Ragged, records)


def _told(parts: "Files[_T]", progress: Callable[[int], object] | None) -> Iterator[_T]:
    # Without `progress` it stays the core's iterator, which several threads may share.
    return parts if progress is None else _telling(parts, progress)


def _telling(parts: "Files[_T]", progress: Callable[[int], object]) -> Iterator[_T]:
    for part in parts:
        progress(parts.read)
        yield part
    progress(parts.read)
