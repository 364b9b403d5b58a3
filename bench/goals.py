"""What this project must reach, judged from a result: one verdict for each row.

A peer counts where its ids are those of the reference on that very text and reach Python; of
several ways the fastest counts. Ratios are medians of the rounds' own ratios, so that drift cancels
out. Nothing is rounded in this project's favour: "no slower" is a ratio of at least 1.
"""

import statistics
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from run import MEGABYTE, OURS, Record

REACHED, MISSED, UNKNOWN, TOLD = "reached", "not reached", "not measured", "informative"
FILE_BYTES = 10_000 * MEGABYTE
"""The size of file that `count` must take in bounded memory."""


class Verdict(NamedTuple):
    """One row of the table."""

    what: str
    must: str
    measured: str
    state: str


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
        names = [name for name in self.names if name != OURS] if peer is None else [peer]
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


def beaten(
    what: str, must: str, least: float, ours: Record | None, theirs: Record | None
) -> Verdict:
    """A row that asks to be so many times as fast as another."""
    if ours is None:
        return Verdict(what, must, "", UNKNOWN)
    if ours["equal"] is False:
        return Verdict(what, must, "ids differ", MISSED)
    if theirs is None:
        return Verdict(what, must, f"{speed(ours)}, nothing to compare with", UNKNOWN)
    times = ratio(ours, theirs)
    name = theirs["peer"] if theirs["peer"] != OURS else theirs["way"]
    measured = f"{times:.2f}x {name} ({speed(ours)} to {speed(theirs)})"
    return Verdict(what, must, measured, REACHED if times >= least else MISSED)


def below(what: str, must: str, most: float, record: Record | None) -> Verdict:
    """A row that asks for a figure of at most so much."""
    if record is None or "value" not in record:
        reason = (record or {}).get("failure") or ""
        return Verdict(what, must, reason, UNKNOWN)
    return Verdict(what, must, speed(record), REACHED if record["value"] <= most else MISSED)


def verdicts(results: Results) -> list[Verdict]:
    """Every row of "What this project must reach", in its order."""
    return [*_throughput(results), *_worst(results), *_latency(results), *_memory(results)]


def _throughput(results: Results) -> Iterator[Verdict]:
    rows = [
        ("unseen", "unseen documents, one thread", "2x the fastest peer", 2.0, None),
        ("again", "the same text again", "1.5x the fastest peer", 1.5, None),
        ("files", "files, all cores, first pass", "3x gigatoken", 3.0, "gigatoken"),
        ("list", "`list[int]`", "5x tiktoken", 5.0, "tiktoken"),
    ]
    for case, what, must, least, peer in rows:
        for text in results.corpora:
            ours, theirs = results.best(case, text, OURS), results.rival(case, text, peer)
            yield beaten(f"{what}: {text}", must, least, ours, theirs)
    for text in results.corpora:
        counted = results.best("count", text, OURS, way="count")
        encoded = results.best("count", text, OURS, way="encode_array")
        yield beaten(f"count: {text}", "no slower than `encode_array`", 1.0, counted, encoded)
    sizes = [results.of("memory", f"count, {size} text", OURS) for size in ("small", "large")]
    yield _constant("count: memory", sizes)


def _constant(what: str, sizes: list[list[Record]]) -> Verdict:
    """Counting a text eight times as large must take no more memory, up to a megabyte."""
    must = "constant memory"
    if not all(found and "value" in found[0] for found in sizes):
        return Verdict(what, must, "", UNKNOWN)
    small, large = (found[0] for found in sizes)
    measured = (
        f"{speed(small)} for {small['bytes'] / MEGABYTE:.0f} MB, "
        f"{speed(large)} for {large['bytes'] / MEGABYTE:.0f} MB"
    )
    state = REACHED if large["value"] <= small["value"] + MEGABYTE else MISSED
    return Verdict(what, must, measured, state)


def _worst(results: Results) -> Iterator[Verdict]:
    must = "at least 30 MB/s"
    texts = results.texts("worst")
    found = [(text, results.best("worst", text, OURS)) for text in texts]
    missing = [text for text, ours in found if ours is None or ours["equal"] is False]
    known = [(text, ours) for text, ours in found if text not in missing and ours]
    slow = sorted((ours["value"], text) for text, ours in known)
    pairs = [(text, ours, results.rival("worst", text)) for text, ours in known]
    behind = sorted((ratio(ours, peer), text, peer["peer"]) for text, ours, peer in pairs if peer)
    if not slow:
        yield Verdict("every worst input", must, "", UNKNOWN)
        yield Verdict("every worst input", "never slower than any peer", "", UNKNOWN)
        return
    lost = "".join(f"; {text}: no right ids" for text in missing)
    below_it = sum(value < 30 for value, _ in slow)
    measured = f"slowest {slow[0][0]:.0f} MB/s ({slow[0][1]}); {below_it} of {len(texts)} below"
    state = MISSED if below_it or missing else REACHED
    yield Verdict("every worst input", must, measured + lost, state)
    must = "never slower than any peer"
    if behind:
        losses = [(times, f"{text}: {times:.2f}x {name}") for times, text, name in behind]
        worse = [text for times, text in losses if times < 1]
        measured = f"slower on {len(worse)} of {len(texts)}; least {losses[0][1]}"
        yield Verdict("every worst input", must, measured, MISSED if worse or missing else REACHED)
    else:
        yield Verdict("every worst input", must, "nothing to compare with", UNKNOWN)
    growth = sorted(_growth(results, known))
    if growth:
        measured = f"four times the text takes at most {growth[-1][0]:.1f} times ({growth[-1][1]})"
        yield Verdict("every worst input", "time grows linearly", measured, TOLD)


def _growth(results: Results, known: list[tuple[str, Record]]) -> Iterator[tuple[float, str]]:
    for text, ours in known:
        large = results.best("worst, four times", text, OURS)
        if large:
            yield statistics.median(large["samples"]) / statistics.median(ours["samples"]), text


def _latency(results: Results) -> Iterator[Verdict]:
    for text in results.texts("small") or ["13 characters", "360 characters"]:
        ours, theirs = results.best("small", text, OURS), results.rival("small", text)
        yield beaten(f"small input: {text}", "no slower than the fastest peer", 1.0, ours, theirs)
    loaded = results.best("load", "", OURS)
    yield below("load, Meta's file", "at most 15 ms", 0.015, loaded)
    counting, nothing = results.best("command", "", OURS), results.best("command", "", "python")
    what, must = "`llama3-tok count small.txt`", "at most 60 ms over `python -c pass`"
    if counting is None or nothing is None:
        yield Verdict(what, must, "", UNKNOWN)
    else:
        both = zip(counting["samples"], nothing["samples"], strict=True)
        over = {"value": statistics.median(ours - theirs for ours, theirs in both), "unit": "s"}
        yield below(what, must, 0.060, over)
    for case in ("decode bytes", "decode text"):
        for text in results.corpora:
            ours, theirs = results.best(case, text, OURS), results.rival(case, text, "gigatoken")
            yield beaten(f"{case}, ids as NumPy: {text}", "3x gigatoken", 3.0, ours, theirs)


def _memory(results: Results) -> Iterator[Verdict]:
    rows = [
        ("loaded", "shared tables: what loading leaves", "at most 24 MB", 24),
        ("growth, one thread", "caches of one thread: what counting all leaves", "at most 8 MB", 8),
    ]
    for text, what, must, most in rows:
        record = next(iter(results.of("memory", text, OURS)), None)
        yield below(what, must, most * MEGABYTE, record)
    what, must = "`llama3-tok count` of a 10 GB file", "under 128 MB"
    record = next(iter(results.of("memory", "count, file", OURS)), None)
    verdict = below(what, must, 128 * MEGABYTE, record)
    if record and verdict.state != UNKNOWN and record["bytes"] < FILE_BYTES:
        size = f"{verdict.measured} for {record['bytes'] / 1e9:g} GB"
        verdict = verdict._replace(
            measured=size, state=UNKNOWN if verdict.state == REACHED else MISSED
        )
    yield verdict
