"""One run: who takes part and on what; comparing ids, timing in turn, and recording what was found.

Records are all that the tables, the chart and the verdicts are made from. Ids are compared before
anything is timed: a way whose ids differ is timed and marked, one that fails is not timed.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpora import Corpus
from harness import Failure, Fleet, Worker, alternate
from peers import Assets
from worker import Source

OURS = "llama3_tok"
TRANSFORMERS = ("compat.transformers", "AutoTokenizer")
"""The same interface, of this project and of transformers."""
LENGTHS = (5, 13, 360, 1_000, 10_000, 100_000)
"""Characters of the texts that go through the interface of transformers."""
REFERENCES = ("tiktoken", "tokenizers", OURS)
"""Whose ids the others' are compared with; a later one only where the earlier fail."""
MEGABYTE = 1_000_000


def is_ours(name: str) -> bool:
    """Whether a peer is this project, at this commit or at another."""
    return name.partition("@")[0] == OURS


Way = tuple[str, str]
"""Peer and label."""
Record = dict[str, Any]
Answers = list[tuple[int, bytes]]
"""How many ids each text has, and their digest."""


@dataclass
class Settings:
    """How much is measured."""

    rounds: int = 5
    enough: float = 3.0
    """Seconds of work on a case after which a slow peer gets no more rounds."""
    limit: float = 30.0
    """Seconds that one request to a worker may take."""
    worst_limit: float = 10.0
    memory: int = 0
    """Bytes of address space for one worker; 0 for no limit."""
    pinned: list[int] | None = None
    worst_bytes: int = MEGABYTE
    count_bytes: int = 10_000 * MEGABYTE
    file_bytes: int = MEGABYTE // 4
    """Bytes of one file of the files case."""
    files_bytes: int = 64 * MEGABYTE
    """Bytes of all files; the corpus is repeated until there are as many."""


@dataclass
class Run:
    """One run: who takes part, on what, and what was found so far."""

    names: list[str]
    assets: Assets
    corpora: list[Corpus]
    folder: Path
    settings: Settings
    say: Callable[[str], None] = lambda message: None
    languages: list[Corpus] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    references: dict[Source, tuple[str, Answers]] = field(default_factory=dict)
    known_ways: dict[tuple[str, str], list[tuple[str, bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pinned = Fleet(self.worker)
        self.all_cores = Fleet(lambda peer: self.worker(peer, pinned=False))

    def worker(self, peer: str, pinned: bool = True, processors: list[int] | None = None) -> Worker:
        """A fresh process, pinned to one processor, to some, or to none."""
        settings = self.settings
        processors = processors or (settings.pinned if pinned else None)
        return Worker(
            peer, self.assets, processors=processors, limit=settings.limit, memory=settings.memory
        )

    def close(self) -> None:
        """Ends all processes."""
        self.pinned.close()
        self.all_cores.close()

    def record(self, case: str, text: str, way: Way, unit: str, **more: object) -> Record:
        """Adds what was found. `samples` are seconds; `value` is their median in the unit."""
        record: Record = {"case": case, "text": text, "peer": way[0], "way": way[1], "unit": unit}
        record |= {"equal": True, "delivers": True, "failure": None, "samples": []} | more
        if record["samples"] and "value" not in record:
            median = statistics.median(record["samples"])
            amount = record.get("bytes", 0) / 1e6
            record["value"] = amount / median if unit == "MB/s" else median
        record["samples"] = [float(f"{sample:.6g}") for sample in record["samples"]]
        self.records.append(record)
        return record

    def ways(self, case: str) -> dict[Way, bool]:
        """Every peer's ways of doing a case, and whether they deliver their ids."""
        found = {}
        for name in self.names:
            try:
                found.update({(name, label): delivers for label, delivers in self.of(name, case)})
            except Failure as failure:
                self.record(case, "", (name, ""), "", equal=None, failure=str(failure))
        return found

    def of(self, name: str, case: str) -> list[tuple[str, bool]]:
        """One peer's ways of doing a case. Raises Failure where it can't be loaded."""
        if (name, case) not in self.known_ways:
            self.known_ways[name, case] = self.pinned.call(name, "ways", case=case)
        return self.known_ways[name, case]

    # Comparing ids

    def expected(self, source: Source) -> tuple[str, Answers]:
        """Who says what is right, and what it is."""
        if source not in self.references:
            for name in REFERENCES:
                try:
                    way, _ = self.of(name, "list")[0]
                    answer = self.pinned.call(name, "check", case="list", way=way, source=source)
                except Failure:
                    continue
                self.references[source] = name, answer
                break
            else:
                self.references[source] = "nobody", []
        return self.references[source]

    def compare(
        self,
        case: str,
        source: Source,
        *,
        fleet: Fleet | None = None,
        expected: tuple[str, Answers] | None = None,
    ) -> dict[Way, Record]:
        """Compares every way's ids with the reference; gives the beginning of each one's record."""
        judge, right = expected or self.expected(source)
        fleet = fleet or self.pinned
        found: dict[Way, Record] = {}
        for (name, label), delivers in self.ways(case).items():
            record: Record = {"equal": None, "reference": judge, "delivers": delivers}
            try:
                answer = fleet.call(name, "check", case=case, way=label, source=source)
                wrong = differing(answer, right, counts=case == "count")
                record |= {"equal": wrong == 0, "differing": wrong, "texts": len(right)}
            except Failure as failure:
                record["failure"] = str(failure)
            found[name, label] = record
        return found

    def time(
        self,
        case: str,
        text: str,
        compared: Mapping[Way, Record],
        measure: Callable[[Way, int], float],
        unit: str = "MB/s",
        patience: float = 1.0,
        **more: object,
    ) -> None:
        """Times the ways that gave ids, in turn, and records all."""
        willing = [way for way, found in compared.items() if not found.get("failure")]
        enough = patience * self.settings.enough
        results = alternate(willing, self.settings.rounds, measure, enough)
        for way, found in compared.items():
            self.record(case, text, way, unit, **(found | more | outcome(results.get(way, []))))

    def simple(
        self,
        case: str,
        text: str,
        source: Source,
        *,
        fleet: Fleet | None = None,
        operation: str = "time",
        unit: str = "MB/s",
        expected: tuple[str, Answers] | None = None,
        **more: object,
    ) -> None:
        """Compares, then times repeated calls in processes that stay."""
        chosen = fleet or self.pinned
        compared = self.compare(case, source, fleet=chosen, expected=expected)

        def measure(way: Way, number: int) -> float:
            [sample] = chosen.call(way[0], operation, case=case, way=way[1], source=source)
            return float(sample)

        self.time(case, text, compared, measure, unit, **more)


def outcome(result: list[float] | Failure) -> Record:
    """Samples or a failure, as a record has them."""
    return {"failure": str(result)} if isinstance(result, Failure) else {"samples": result}


def differing(answer: Answers, expected: Answers, counts: bool = False) -> int:
    """How many texts' ids are not as expected; only their numbers are compared if `counts`."""
    if len(answer) != len(expected):
        return max(len(answer), len(expected))
    pairs = zip(answer, expected, strict=True)
    return sum(a[0] != b[0] if counts else a != b for a, b in pairs)
