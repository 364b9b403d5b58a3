"""Encoding and decoding whole texts and documents, on one thread."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpora import DOCUMENT, Corpus, documents
from harness import Failure
from run import OURS, REFERENCES, Record, Run, Way, is_ours
from worker import Source, digest

AGAIN = 3
"""Passes over the same text, of which the median is one sample."""


def unseen(run: Run) -> None:
    """Unseen documents, then the same again: a fresh process for each sample."""
    for corpus in run.corpora:
        run.say(f"unseen documents: {corpus.name}")
        source = Source("documents", corpus.path, DOCUMENT)
        timed = documents(Path(corpus.path).read_bytes())[1::2]
        size = sum(len(text.encode()) for text in timed)
        compared = run.compare("documents", source)
        arguments = {"operation": "unseen", "case": "documents", "source": source}
        first_and_again(run, ("unseen", "again"), corpus, compared, arguments, bytes=size)


def first_and_again(
    run: Run,
    cases: tuple[str, str],
    corpus: Corpus,
    compared: dict[Way, Record],
    arguments: dict[str, Any],
    **more: object,
) -> None:
    """Times the first pass in a fresh process for each sample, and the passes after it."""
    again: dict[Way, list[float]] = {way: [] for way in compared}
    passes = 1 + AGAIN

    def measure(way: Way, number: int) -> float:
        with run.worker(way[0], pinned=cases[0] == "unseen") as worker:
            first, *later = worker.call(way=way[1], passes=passes, **arguments)
        if later:
            again[way].append(statistics.median(later))
        return float(first)

    run.time(cases[0], corpus.name, compared, measure, patience=1.5, **more)
    for way, found in compared.items():
        run.record(cases[1], corpus.name, way, "MB/s", **(found | more | {"samples": again[way]}))


def whole(run: Run) -> None:
    """One whole file as one text."""
    for corpus in run.corpora:
        run.say(f"one whole file: {corpus.name}")
        run.simple("whole", corpus.name, Source("text", corpus.path), bytes=corpus.bytes)


def lists(run: Run) -> None:
    """Documents as `list[int]`."""
    for corpus in run.corpora:
        run.say(f"list[int]: {corpus.name}")
        source = Source("documents", corpus.path, DOCUMENT)
        run.simple("list", corpus.name, source, bytes=corpus.bytes)


def count(run: Run) -> None:
    """Counting documents, beside encoding them, in the same processes and turns."""
    for corpus in run.corpora:
        run.say(f"count: {corpus.name}")
        source = Source("documents", corpus.path, DOCUMENT)
        compared = run.compare("count", source)
        encoding = run.compare("documents", source) if OURS in run.names else {}
        ours = {way: found for way, found in encoding.items() if is_ours(way[0])}
        case_of = dict.fromkeys(compared, "count") | dict.fromkeys(ours, "documents")
        measure = timing(run, source, case_of)
        run.time("count", corpus.name, compared | ours, measure, bytes=corpus.bytes)


def timing(run: Run, source: Source, case_of: dict[Way, str]) -> Callable[[Way, int], float]:
    """Measures ways of several cases on one input."""

    def measure(way: Way, number: int) -> float:
        arguments = {"case": case_of[way], "way": way[1], "source": source}
        [sample] = run.pinned.call(way[0], "time", **arguments)
        return float(sample)

    return measure


def decode(run: Run) -> None:
    """Ids of a whole file to bytes and to text; NumPy where a library takes it."""
    for corpus in run.corpora:
        run.say(f"decode: {corpus.name}")
        data = Path(corpus.path).read_bytes()
        path = run.folder / f"{corpus.name}.npy"
        if not ids_of(run, corpus, path):
            continue
        for case in ("decode bytes", "decode text"):
            run.simple(
                case,
                corpus.name,
                Source("ids", str(path)),
                expected=("the text", [digest(data)]),
                bytes=corpus.bytes,
            )


def ids_of(run: Run, corpus: Corpus, path: Path) -> bool:
    """Writes a corpus' ids, as the reference gives them."""
    ids = reference_ids(run, Path(corpus.path).read_bytes().decode())
    if ids is not None:
        np.save(path, np.array(ids, np.uint32))
    return ids is not None


def reference_ids(run: Run, text: str) -> list[int] | None:
    """The ids of a text, as the reference gives them; None if none can."""
    for name in REFERENCES:
        try:
            way, _ = run.of(name, "list")[0]
            found: list[int] = run.pinned.call(name, "ids", case="list", way=way, text=text)
        except Failure:
            continue
        return found
    return None
