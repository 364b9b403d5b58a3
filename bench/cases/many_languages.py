"""Many languages: unseen documents, the same again, decoding, memory, and one thread to all."""

import statistics
from dataclasses import replace
from pathlib import Path

from corpora import DOCUMENT, Corpus, documents
from harness import Failure, alternate
from machine import processors
from result import Results
from run import OURS, Record, Run, Way, outcome
from worker import Source, digest

from cases.parallel import on_processors
from cases.throughput import AGAIN, ids_of, timing


def languages(run: Run) -> None:
    """Encoding in one process for all languages, as one that serves many; then the rest."""
    if run.languages:
        encode(run)
        for corpus in run.languages:
            decode(run, corpus)
        for corpus in run.languages:
            memory(run, corpus)
        threads(run)


def encode(run: Run) -> None:
    """Each way in a fresh process for each round, which begins with another language."""
    compared: dict[str, dict[Way, Record]] = {}
    for corpus in run.languages:
        run.say(f"languages, ids: {corpus.name}")
        compared[corpus.name] = run.compare("documents", documents_of(corpus))
    samples: dict[tuple[str, Way], tuple[list[float], list[float]]] = {
        (name, way): ([], []) for name, found in compared.items() for way in found
    }

    def measure(way: Way, number: int) -> float:
        run.say(f"languages, round {number + 1}: {way[0]} {way[1]}")
        first = number * len(run.languages) // run.settings.rounds
        spent = 0.0
        with run.worker(way[0]) as worker:
            for corpus in run.languages[first:] + run.languages[:first]:
                if compared[corpus.name][way].get("failure"):
                    continue
                arguments = {"case": "documents", "source": documents_of(corpus)}
                unseen, *again = worker.call("unseen", way=way[1], passes=1 + AGAIN, **arguments)
                samples[corpus.name, way][0].append(unseen)
                if again:
                    samples[corpus.name, way][1].append(statistics.median(again))
                spent += unseen
        return spent

    ways = dict.fromkeys(way for found in compared.values() for way in found)
    results = alternate(ways, run.settings.rounds, measure, 2 * run.settings.enough)
    for corpus in run.languages:
        timed = documents(Path(corpus.path).read_bytes())[1::2]
        size = sum(len(text.encode()) for text in timed)
        for way, record in compared[corpus.name].items():
            result = results[way]
            failed = outcome(result) if isinstance(result, Failure) else {}
            for case, taken in zip(
                ("language", "language again"), samples[corpus.name, way], strict=True
            ):
                more = record | {"samples": taken, "bytes": size} | failed
                run.record(case, corpus.name, way, "MB/s", **more)


def documents_of(corpus: Corpus) -> Source:
    """The documents of a language."""
    return Source("documents", corpus.path, DOCUMENT)


def decode(run: Run, corpus: Corpus) -> None:
    """The ids of one language to text."""
    run.say(f"languages, decode: {corpus.name}")
    path = run.folder / f"{corpus.name}.npy"
    if not ids_of(run, corpus, path):
        return
    source = Source("ids", str(path))
    expected = "the text", [digest(Path(corpus.path).read_bytes())]
    compared = run.compare("decode text", source, expected=expected)
    measure = timing(run, source, dict.fromkeys(compared, "decode text"))
    run.time("language decode", corpus.name, compared, measure, patience=0.1, bytes=corpus.bytes)


def memory(run: Run, corpus: Corpus) -> None:
    """What stays after encoding one language, and what malloc has handed out for the ids.

    Of this project and of its fastest exact peer.
    """
    known = {"records": run.records, "corpora": [], "peers": run.names}
    rival = Results(known).rival("language", corpus.name)
    ways = [(OURS, run.of(OURS, "documents")[0][0])] if OURS in run.names else []
    ways += [(rival["peer"], rival["way"])] if rival else []
    for way in ways:
        arguments = {"case": "documents", "way": way[1]}
        more: Record = {}
        held: Record = {}
        try:
            with run.worker(way[0]) as worker:
                source = documents_of(corpus)
                more["value"] = worker.call("growth", sources=[source], **arguments)
                held["value"], _ = worker.call("allocated", source=source, **arguments)
        except Failure as failure:
            more["failure"] = held["failure"] = str(failure)
        run.record("language memory", corpus.name, way, "bytes", **more)
        run.record("language allocated", corpus.name, way, "bytes", **held)


def threads(run: Run) -> None:
    """This project alone, on one processor, on two, on four, and so on to all."""
    usable = len(processors())
    numbers = sorted({1 << at for at in range(usable.bit_length()) if 1 << at < usable} | {usable})
    alone = replace(run, names=[name for name in run.names if name == OURS])
    try:
        on_processors(alone, "language threads", run.languages, numbers if usable else [])
    finally:
        alone.close()
