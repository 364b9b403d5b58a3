"""What a corpus has, as its manifest says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["LENGTH", "Summary", "of_counts", "of_lines"]

LENGTH = "length_"


@dataclass(frozen=True)
class Summary:
    """What a corpus has.

    `bytes` are those of the text that was encoded. `lengths` are how many documents have 1 token,
    2 or 3, 4 to 7 and so on, by the least number. `counts` has what else was counted: `skipped`
    records with faults, `left_out` documents that were not in the sample, and of conversations
    `learned` tokens, `without_answer`, `dropped`, `cut` and `fitted` ones.
    """

    folder: str
    format: str
    shards: int
    documents: int
    tokens: int
    bytes: int
    lengths: Mapping[int, int]
    counts: Mapping[str, int]
    faults: Sequence[str] = ()
    is_new: bool = True
    """Whether this run made anything of it."""

    @property
    def bytes_per_token(self) -> float | None:
        """None without tokens."""
        return self.bytes / self.tokens if self.tokens and self.bytes else None


def of_lines(
    folder: str, header: Mapping[str, Any], lines: Iterator[Mapping[str, Any]], *, is_new: bool
) -> Summary:
    end: Mapping[str, Any] = {}
    for line in lines:
        end = line
    return of_counts(folder, header, end, is_new=is_new)


def of_counts(
    folder: str, header: Mapping[str, Any], end: Mapping[str, Any], *, is_new: bool
) -> Summary:
    counts = dict(end["counts"])
    lengths = {
        1 << int(name.removeprefix(LENGTH)) - 1 if int(name.removeprefix(LENGTH)) else 0: count
        for name, count in counts.items()
        if name.startswith(LENGTH)
    }
    main = {name: counts.pop(name, 0) for name in ("shards", "documents", "tokens", "bytes")}
    others = {name: n for name, n in counts.items() if n and not name.startswith(LENGTH)}
    return Summary(
        folder=folder,
        format=header["job"]["format"],
        **main,
        lengths=lengths,
        counts=others,
        faults=tuple(end["faults"]),
        is_new=is_new,
    )
