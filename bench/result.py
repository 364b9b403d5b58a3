"""A result as it is stored, with the questions that tables and verdicts ask.

A peer counts where its ids are those of the reference on that very text and reach Python; of
several ways the fastest counts. Ratios are medians of the rounds' own ratios, so that drift cancels
out.
"""

import statistics
from collections.abc import Iterable
from typing import Any

from run import MEGABYTE, OURS, TRANSFORMERS, Record

OUTSIDE = (OURS, *TRANSFORMERS)
"""Who is no rival: this project, and those that are measured beside each other alone."""


class Results:
    """A result as it is stored, with the questions that tables and verdicts ask."""

    def __init__(self, stored: dict[str, Any]) -> None:
        self.stored = stored
        self.records: list[Record] = stored["records"]
        self.corpora = [corpus["name"] for corpus in stored["corpora"]]
        self.names = list(stored["peers"])

    def of(self, case: str, text: str | None = None, peer: str | None = None) -> list[Record]:
        """The records of a case."""
        return [
            record
            for record in self.records
            if record["case"] == case
            and (text is None or record["text"] == text)
            and (peer is None or record["peer"] == peer)
        ]

    def texts(self, case: str) -> list[str]:
        """The inputs of a case, in the order in which they were measured."""
        return list(dict.fromkeys(record["text"] for record in self.of(case) if record["text"]))

    def best(
        self, case: str, text: str, peer: str, way: str | None = None, delivered: bool = True
    ) -> Record | None:
        """The fastest of a peer's ways, whether its ids are right or not."""
        return fastest(
            record
            for record in self.of(case, text, peer)
            if "value" in record
            and (way is None or record["way"] == way)
            and (record["delivers"] or not delivered)
        )

    def rival(self, case: str, text: str, peer: str | None = None) -> Record | None:
        """The fastest way of all other peers, or of one, that gives the right ids."""
        others = (name for name in self.names if "@" not in name and name not in OUTSIDE)
        names = list(others) if peer is None else [peer]
        found = (self.best(case, text, name) for name in names)
        return fastest(record for record in found if record and record["equal"])


def fastest(records: Iterable[Record]) -> Record | None:
    """The one with the most MB/s or the fewest seconds."""
    return max(records, key=lambda record: -statistics.median(record["samples"]), default=None)


def ratio(ours: Record, theirs: Record) -> float:
    """How many times as fast `ours` is; both did the same work."""
    a, b = ours["samples"], theirs["samples"]
    if len(a) == len(b):
        return statistics.median(their / our for our, their in zip(a, b, strict=True))
    return statistics.median(b) / statistics.median(a)


def speed(record: Record) -> str:
    """A value with its unit, as people read it."""
    value = record["value"]
    match record["unit"]:
        case "MB/s":
            return f"{value:.0f} MB/s" if value >= 10 else f"{value:.1f} MB/s"
        case "bytes":
            return f"{value / MEGABYTE:.1f} MB"
        case _ if value >= 1:
            return f"{value:.2f} s"
        case _ if value >= 1e-3:
            return f"{value * 1e3:.1f} ms"
    return f"{value * 1e6:.2f} us"
