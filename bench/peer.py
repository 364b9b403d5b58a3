"""What an adapter is: a class that loads one library, and the *ways* in which that does each case.

Cases: "documents" (many texts, one after another, one thread), "whole" (one large text), "worst",
"small", "list" (`list[int]`), "count", "batch" (many texts, all cores), "files" (paths, all cores),
"decode bytes", "decode text" and "decode one" (`decode([id])`, to text). "small, transformers",
"batch, transformers" (several texts), "decode, transformers" and "decode one, transformers" are the
same through the interface of transformers.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint32]


class Assets(NamedTuple):
    """What adapters load from."""

    vocabulary: str
    """Meta's rank file."""
    tokenizer_json: str
    """The same vocabulary as Hugging Face writes it, for libraries that read nothing else."""
    pattern: str
    special: dict[str, int]
    folders: dict[str, str] = {}  # noqa: RUF012 - never changed
    """Where a peer is that is not installed in the environment."""


class Way(NamedTuple):
    """One call of a library that does the work of a case."""

    label: str
    run: Callable[[Any], Any]
    many: bool = False
    """Takes all texts of the case at once; otherwise it is called once for each."""
    delivers: bool = True
    """Its result gives the ids to Python; a way that leaves them behind is shown, not judged."""
    wants: str = "array"
    """What decoding takes: "array" (`uint32[n]`) or "list"."""


class Peer:
    """One library. Making it loads the tokenizer; nothing else may happen there."""

    distribution = ""
    """The name on PyPI."""
    module = ""
    """What is imported before loading is timed."""
    alone = True
    """Whether it takes part where no way is called: loading, memory."""

    def __init__(self, assets: Assets) -> None:
        raise NotImplementedError

    def ways(self, case: str) -> list[Way]:
        """How the library does a case; none where it can't."""
        raise NotImplementedError


def lists(label: str, encode: Callable[[str], list[int]], case: str) -> list[Way]:
    """The ways of a library whose one call gives `list[int]` for one text."""
    if case in ("documents", "whole", "worst", "small", "list"):
        return [Way(label, encode)]
    return []


def reading(encode_many: Callable[[list[str]], object]) -> Callable[[list[str]], object]:
    """Encodes files with a library that takes texts alone."""

    def run(paths: list[str]) -> object:
        return encode_many([Path(path).read_bytes().decode() for path in paths])

    return run


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_ids(result: Any) -> Ids:  # noqa: ANN401 - whatever a library gives
    """The ids of one text, whatever a library wraps them in."""
    if not isinstance(result, list | np.ndarray) and hasattr(result, "ids"):
        result = result.ids
    if isinstance(result, bytes):
        return np.frombuffer(result, np.uint32)
    return np.asarray(result, dtype=np.uint32)


def as_batch(result: Any) -> list[Ids]:  # noqa: ANN401 - whatever a library gives
    """The ids of each of many texts: a list, or all ids with offsets."""
    if hasattr(result, "ids") and hasattr(result, "offsets"):
        result = (result.ids, result.offsets)
    if isinstance(result, tuple) and len(result) == 2:
        ids, offsets = result[0], [int(offset) for offset in result[1]]
        return [as_ids(ids[a:b]) for a, b in pairwise(offsets)]
    return [as_ids(row) for row in result]
