"""Many texts and files on all cores."""

from functools import partial
from pathlib import Path

from corpora import DOCUMENT, SHORT, Corpus, cut, documents
from harness import Fleet, alternate
from machine import processors
from run import MEGABYTE, Record, Run, Way, outcome
from worker import Source

from cases.throughput import first_and_again

BATCH = 2 * MEGABYTE
"""Bytes of a batch of short documents: some ten thousand."""


def batch(run: Run) -> None:
    """A batch of short documents on all cores, in processes that stay."""
    for corpus in run.corpora:
        run.say(f"batch of short documents: {corpus.name}")
        data = cut(Path(corpus.path).read_bytes(), BATCH)
        path = run.folder / f"{corpus.name}.batch"
        path.write_bytes(data)
        source = Source("documents", str(path), SHORT)
        run.simple("batch", corpus.name, source, fleet=run.all_cores, bytes=len(data))


def files(run: Run) -> None:
    """Files on all cores: the first pass in a fresh process, then again in the same.

    There are enough of them that starting threads and filling caches is not all that is measured.
    """
    for corpus in run.corpora:
        run.say(f"files on all cores: {corpus.name}")
        size = run.settings.file_bytes
        parts = [part.encode() for part in documents(Path(corpus.path).read_bytes(), size)]
        copies = max(1, run.settings.files_bytes // corpus.bytes)
        once = Source("files", written(run.folder / f"{corpus.name}.once", parts))
        source = Source("files", written(run.folder / f"{corpus.name}.files", parts * copies))
        expected = run.expected(Source("documents", corpus.path, size))
        compared = run.compare("files", once, fleet=run.all_cores, expected=expected)
        run.all_cores.close()
        arguments = {"operation": "time", "case": "files", "source": source}
        more = {"bytes": copies * corpus.bytes, "files": copies * len(parts)}
        first_and_again(run, ("files", "files again"), corpus, compared, arguments, **more)


def written(folder: Path, parts: list[bytes]) -> str:
    """Writes files into a new folder."""
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(parts):
        (folder / f"{number:06}.txt").write_bytes(part)
    return str(folder)


def threads(run: Run) -> None:
    """The same batch of documents on one processor, on two, and on all, in turn."""
    usable = len(processors())
    numbers = sorted({1, min(2, usable), usable}) if usable else []
    on_processors(run, "threads", run.corpora, numbers)


def on_processors(run: Run, case: str, corpora: list[Corpus], numbers: list[int]) -> None:
    """The same batch of documents on each of these numbers of processors, in turn."""
    usable = processors()
    fleets = {number: Fleet(partial(run.worker, processors=usable[-number:])) for number in numbers}
    try:
        for corpus in corpora if fleets else ():
            run.say(f"{case}: {corpus.name}")
            source = Source("documents", corpus.path, DOCUMENT)
            compared = {
                (way, number): record
                for number, fleet in fleets.items()
                for way, record in run.compare("batch", source, fleet=fleet).items()
            }
            threads_of(run, case, corpus, source, compared, fleets)
    finally:
        for fleet in fleets.values():
            fleet.close()


def threads_of(
    run: Run,
    case: str,
    corpus: Corpus,
    source: Source,
    compared: dict[tuple[Way, int], Record],
    fleets: dict[int, Fleet],
) -> None:
    """Times one corpus. Its ids have been compared, so that caches are as full as they get."""

    def measure(entrant: tuple[Way, int], number: int) -> float:
        (peer, label), at = entrant
        arguments = {"case": "batch", "way": label, "source": source}
        [sample] = fleets[at].call(peer, "time", **arguments)
        return float(sample)

    willing = [entrant for entrant, record in compared.items() if not record.get("failure")]
    results = alternate(willing, run.settings.rounds, measure, run.settings.enough)
    for (way, number), record in compared.items():
        more = {"bytes": corpus.bytes, "processors": number}
        text = f"{corpus.name}, {number} thread" + ("s" if number > 1 else "")
        found = outcome(results.get((way, number), []))
        run.record(case, text, way, "MB/s", **(record | more | found))
