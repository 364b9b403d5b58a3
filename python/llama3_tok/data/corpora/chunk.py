"""A chunk of documents, and where in a section it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llama3_tok.errors import InputError

__all__ = ["Chunk", "Position"]


class Position(NamedTuple):
    """Where in a section a chunk begins: the part, and bytes or rows from its beginning."""

    part: int = 0
    offset: int = 0
    line: int = 0
    """Lines of the part before it."""
    inside: bool = False
    """Whether it is inside a document."""


@dataclass
class Chunk:
    """Documents in a buffer, or conversations as rows."""

    path: str
    """The file; of several, that of the first document."""
    next: Position
    data: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    starts: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Where each begins in its file: in bytes, unpacked, or in rows of Parquet."""
    lines: npt.NDArray[np.int64] | None = None
    """The line of each in its part of the file, from 1; None where documents are not lines."""
    paths: Sequence[str] | None = None
    """The file of each, where they are of several."""
    keys: Sequence[str] | None = None
    rows: Any = None
    """Conversations: a list, or a batch of Arrow."""
    begins: bool = True
    """Whether the first document begins with the chunk."""
    ends_whole: bool = True
    """Whether the last document ends with the chunk."""
    faults: list[tuple[int, str]] = field(default_factory=list)
    """Lines of the part that are no such document, from 1, and why."""
    lines_before: Callable[[], int] = lambda: 0
    """How many lines of the file are before the part: they are counted when somebody asks."""
    stored_bytes: int = 0
    """Bytes of files that were read for it."""

    def fault(self, line: int, reason: str) -> InputError:
        """The error of a line of the part."""
        line += self.lines_before()
        return InputError(f"{self.path}:{line}: {reason}", self.path, line, reason)

    def __len__(self) -> int:
        """How many documents it has, or pieces of one."""
        return len(self.starts) if self.rows is None else len(self.rows)
