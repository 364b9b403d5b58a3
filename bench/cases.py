"""The cases: what is measured, on which input, in which process.

Each case is a function of `Run` that appends records, which is all that the tables, the chart and
the verdicts are made from. Ids are compared before anything is timed: a way whose ids differ is
timed and marked, one that fails is not timed.
"""

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from corpora import DOCUMENT, SHORT, WORST, Corpus, documents
from harness import Failure, Fleet, Worker, alternate
from peers import Assets
from worker import Source, digest

OURS = "llama3_tok"
REFERENCES = ("tiktoken", "tokenizers", OURS)
"""Whose ids the others' are compared with; a later one only where the earlier fail."""
MEGABYTE = 1_000_000
SMALL = (13, 360)
AGAIN = 3
"""Passes over the same text, of which the median is one sample."""

Way = tuple[str, str]
"""Peer and label."""
Record = dict[str, Any]


@dataclass
class Settings:
    """How much is measured."""

    rounds: int = 5
    limit: float = 30.0
    """Seconds that one request to a worker may take."""
    worst_limit: float = 10.0
    memory: int = 0
    """Bytes of address space for one worker; 0 for no limit."""
    pinned: list[int] | None = None
    worst_bytes: int = MEGABYTE
    count_bytes: int = 10_000 * MEGABYTE
    files_bytes: int = MEGABYTE
    """Bytes of one file of the files case."""


@dataclass
class Run:
    """One run: who takes part, on what, and what was found so far."""

    names: list[str]
    assets: Assets
    corpora: list[Corpus]
    folder: Path
    settings: Settings
    say: Callable[[str], None] = lambda message: None
    records: list[Record] = field(default_factory=list)
    references: dict[Source, tuple[str, list[tuple[int, bytes]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pinned = Fleet(self.worker)
        self.all_cores = Fleet(lambda peer: self.worker(peer, pinned=False))

    def worker(self, peer: str, pinned: bool = True) -> Worker:
        """A fresh process."""
        settings = self.settings
        processors = settings.pinned if pinned else None
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
        self.records.append(record)
        return record

    def ways(self, case: str, names: Iterable[str] | None = None) -> dict[Way, bool]:
        """Every peer's ways of doing a case, and whether they deliver their ids."""
        found = {}
        for name in self.names if names is None else names:
            try:
                ways = self.pinned.call(name, "ways", case=case)
            except Failure:
                continue
            found.update({(name, label): delivers for label, delivers in ways})
        return found

    # Comparing ids

    def expected(self, source: Source) -> tuple[str, list[tuple[int, bytes]]]:
        """The right number and digest of each text's ids, and who says so."""
        if source not in self.references:
            for name in REFERENCES:
                try:
                    way = self.pinned.call(name, "ways", case="worst")[0][0]
                    answer = self.pinned.call(name, "check", case="worst", way=way, source=source)
                except Failure:
                    continue
                self.references[source] = name, answer
                break
            else:
                self.references[source] = "nobody", []
        return self.references[source]

    def compare(
        self, case: str, text: str, source: Source, fleet: Fleet | None = None, **more: Any
    ) -> dict[Way, Record]:
        """Compares every way's ids with the reference; gives a record to time for each."""
        expected_from = more.pop("expected", None)
        judge, expected = expected_from or self.expected(source)
        found = {}
        for way, delivers in self.ways(case).items():
            record = {"equal": None, "reference": judge, "delivers": delivers, "failure": None}
            try:
                answer = (fleet or self.pinned).call(
                    way[0], "check", case=case, way=way[1], source=source
                )
                wrong = differing(answer, expected, counts=case == "count")
                record |= {"equal": wrong == 0, "differing": wrong, "texts": len(expected)}
            except Failure as failure:
                record["failure"] = str(failure)
            found[way] = record
        return found

    def time(
        self,
        case: str,
        text: str,
        compared: dict[Way, Record],
        measure: Callable[[Way, int], float],
        unit: str = "MB/s",
        **more: object,
    ) -> None:
        """Times the ways that gave ids, in turn, and records all."""
        willing = [way for way, found in compared.items() if found["failure"] is None]
        results = alternate(willing, self.settings.rounds, measure)
        for way, found in compared.items():
            result = results.get(way, [])
            failed = isinstance(result, Failure)
            outcome = {"failure": str(result)} if failed else {"samples": result}
            self.record(case, text, way, unit, **(found | more | outcome))

    def simple(self, case: str, text: str, source: Source, **more: Any) -> None:
        """Compares, then times repeated calls in processes that stay."""
        compared = self.compare(case, text, source, **more)
        more.pop("expected", None)

        def measure(way: Way, number: int) -> float:
            peer, label = way
            [sample] = self.pinned.call(peer, "time", case=case, way=label, source=source)
            return sample

        self.time(case, text, compared, measure, **more)


def differing(
    answer: list[tuple[int, bytes]], expected: list[tuple[int, bytes]], counts: bool = False
) -> int:
    """How many texts' ids are not as expected; only their numbers are compared if `counts`."""
    if len(answer) != len(expected):
        return max(len(answer), len(expected))
    pairs = zip(answer, expected, strict=True)
    return sum(a[0] != b[0] if counts else a != b for a, b in pairs)


# Corpora, one thread


def unseen(run: Run) -> None:
    """Unseen documents, then the same again: a fresh process for each sample."""
    for corpus in run.corpora:
        run.say(f"unseen documents: {corpus.name}")
        source = Source("documents", corpus.path, DOCUMENT)
        timed = documents(Path(corpus.path).read_bytes())[1::2]
        size = sum(len(text.encode()) for text in timed)
        compared = run.compare("documents", corpus.name, source)
        again: dict[Way, list[float]] = {way: [] for way in compared}

        def measure(way: Way, number: int, source: Source = source, again: Any = again) -> float:
            with run.worker(way[0]) as worker:
                first, *later = worker.call(
                    "unseen", case="documents", way=way[1], source=source, passes=AGAIN
                )
            again[way].append(statistics.median(later))
            return first

        run.time("unseen", corpus.name, compared, measure, bytes=size)
        for way, found in compared.items():
            run.record(
                "again",
                corpus.name,
                way,
                "MB/s",
                **(found | {"samples": again[way], "bytes": size}),
            )


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
        compared = run.compare("count", corpus.name, source)
        cases = dict.fromkeys(compared, "count")
        if OURS in run.names:
            encode = run.compare("documents", corpus.name, source)
            ours = {way: found for way, found in encode.items() if way[0] == OURS}
            compared |= ours
            cases |= dict.fromkeys(ours, "documents")

        def measure(way: Way, number: int, source: Source = source, cases: Any = cases) -> float:
            peer, label = way
            [sample] = run.pinned.call(peer, "time", case=cases[way], way=label, source=source)
            return sample

        run.time("count", corpus.name, compared, measure, bytes=corpus.bytes)


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
    for name in REFERENCES:
        try:
            text = Path(corpus.path).read_bytes().decode()
            way = run.pinned.call(name, "ways", case="worst")[0][0]
            ids = run.pinned.call(name, "special", case="worst", way=way, text=text)
        except Failure:
            continue
        np.save(path, np.array(ids, np.uint32))
        return True
    return False


def small(run: Run) -> None:
    """Inputs so small that the call itself is what takes time."""
    if not run.corpora:
        return
    for size in SMALL:
        run.say(f"small input: {size} characters")
        source = Source("characters", run.corpora[0].path, size)
        compared = run.compare("small", f"{size} characters", source)

        def measure(way: Way, number: int, source: Source = source) -> float:
            [sample] = run.pinned.call(way[0], "small", case="small", way=way[1], source=source)
            return sample

        run.time("small", f"{size} characters", compared, measure, unit="s")


# All cores


def batch(run: Run) -> None:
    """A batch of short documents on all cores, in processes that stay."""
    for corpus in run.corpora:
        run.say(f"batch of short documents: {corpus.name}")
        source = Source("documents", corpus.path, SHORT)
        compared = run.compare("batch", corpus.name, source, run.all_cores)

        def measure(way: Way, number: int, source: Source = source) -> float:
            peer, label = way
            [sample] = run.all_cores.call(peer, "time", case="batch", way=label, source=source)
            return sample

        run.time("batch", corpus.name, compared, measure, bytes=corpus.bytes)


def files(run: Run) -> None:
    """Files on all cores: the first pass in a fresh process, then again in the same."""
    for corpus in run.corpora:
        run.say(f"files on all cores: {corpus.name}")
        folder = run.folder / f"{corpus.name}.files"
        folder.mkdir(exist_ok=True)
        parts = documents(Path(corpus.path).read_bytes(), run.settings.files_bytes)
        for number, part in enumerate(parts):
            (folder / f"{number:05}.txt").write_bytes(part.encode())
        source = Source("files", str(folder))
        cut = Source("documents", corpus.path, run.settings.files_bytes)
        expected = run.expected(cut)
        compared = run.compare("files", corpus.name, source, run.all_cores, expected=expected)
        run.all_cores.close()
        again: dict[Way, list[float]] = {way: [] for way in compared}

        def measure(way: Way, number: int, source: Source = source, again: Any = again) -> float:
            with run.worker(way[0], pinned=False) as worker:
                first, *later = worker.call(
                    "time", case="files", way=way[1], source=source, passes=1 + AGAIN
                )
            again[way].append(statistics.median(later))
            return first

        more = {"bytes": corpus.bytes, "files": len(parts)}
        run.time("files", corpus.name, compared, measure, **more)
        for way, found in compared.items():
            outcome = found | more | {"samples": again[way]}
            run.record("files again", corpus.name, way, "MB/s", **outcome)


# Loading, the command, memory


def load(run: Run) -> None:
    """Importing and loading, each time in a fresh process."""
    run.say("load")
    imports: dict[Way, list[float]] = {(name, "import"): [] for name in run.names}

    def measure(way: Way, number: int) -> float:
        with run.worker(way[0]) as worker:
            imports[way[0], "import"].append(worker.hello["import"])
            return worker.hello["load"]

    results = alternate([(name, "load") for name in run.names], run.settings.rounds, measure)
    for way, result in results.items():
        failed = isinstance(result, Failure)
        outcome = {"failure": str(result)} if failed else {"samples": result}
        run.record("load", "", way, "s", **outcome)
    for way, samples in imports.items():
        run.record("import", "", way, "s", samples=samples)


def command(run: Run) -> None:
    """`llama3-tok count small.txt`, end to end, beside an interpreter that does nothing."""
    if OURS not in run.names:
        return
    run.say("command")
    small_file = run.folder / "small.txt"
    small_file.write_text("This is a test sentence.\n", "utf-8")
    environment = os.environ | {"LLAMA3_TOK_VOCAB": run.assets.vocabulary}
    commands = {
        (OURS, "llama3-tok count small.txt"): [*our_command(), "count", str(small_file)],
        ("python", "python -c pass"): [sys.executable, "-c", "pass"],
    }

    def measure(way: Way, number: int) -> float:
        start = time.perf_counter()
        done = subprocess.run(commands[way], env=environment, capture_output=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise Failure(done.stderr.decode("utf-8", "replace").strip()[-200:])
        return seconds

    results = alternate(commands, 3 * run.settings.rounds, measure)
    for way, result in results.items():
        failed = isinstance(result, Failure)
        outcome = {"failure": str(result)} if failed else {"samples": result}
        run.record("command", "", way, "s", **outcome)


def our_command() -> list[str]:
    """The command of the project that this interpreter imports."""
    script = Path(sysconfig.get_path("scripts"), "llama3-tok")
    return [str(script)] if script.exists() else [sys.executable, "-m", "llama3_tok"]


def memory(run: Run) -> None:
    """What stays after loading and after encoding everything on one thread; what counting takes."""
    for name in run.names:
        run.say(f"memory: {name}")
        try:
            with run.worker(name) as worker:
                run.record("memory", "loaded", (name, ""), "bytes", value=worker.hello["resident"])
                case = "count" if name == OURS else "documents"
                label = worker.call("ways", case=case)[0][0]
                sources = [Source("documents", corpus.path, DOCUMENT) for corpus in run.corpora]
                grown = worker.call("growth", case=case, way=label, sources=sources)
                run.record("memory", "growth, one thread", (name, label), "bytes", value=grown)
        except Failure as failure:
            run.record("memory", "loaded", (name, ""), "bytes", failure=str(failure))
    if OURS in run.names and run.corpora:
        count_memory(run)
        count_file(run)


def count_memory(run: Run) -> None:
    """Memory that `count` takes beside the text, for two sizes."""
    sizes = [8 * MEGABYTE, 64 * MEGABYTE]
    source = Source("text", run.corpora[0].path)
    arguments = {"case": "count", "way": "count", "source": source, "sizes": sizes}
    for size, key in zip(sizes, ("count, small text", "count, large text"), strict=True):
        try:
            with run.worker(OURS) as worker:
                [peak] = worker.call("count_peak", **(arguments | {"sizes": [size]}))
            run.record("memory", key, (OURS, "count"), "bytes", value=peak, bytes=size)
        except Failure as failure:
            run.record("memory", key, (OURS, "count"), "bytes", failure=str(failure))


def count_file(run: Run) -> None:
    """Peak memory of the command that counts a large file, the interpreter included."""
    wanted = run.settings.count_bytes
    way = (OURS, "llama3-tok count")
    run.say(f"memory: counting a file of {wanted / 1e9:g} GB")
    if shutil.disk_usage(run.folder).free < wanted + 2_000 * MEGABYTE:
        reason = "not enough room for the file"
        run.record("memory", "count, file", way, "bytes", failure=reason, bytes=wanted)
        return
    large = run.folder / "large.txt"
    try:
        with large.open("wb") as stream:
            while stream.tell() < wanted:
                for corpus in run.corpora:
                    stream.write(Path(corpus.path).read_bytes()[: wanted - stream.tell()])
        environment = os.environ | {"LLAMA3_TOK_VOCAB": run.assets.vocabulary}
        start = time.perf_counter()
        process = subprocess.Popen(
            [*our_command(), "count", str(large)], env=environment, stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        more = {"bytes": wanted, "seconds": time.perf_counter() - start}
        failure = f"exit code {process.returncode}" if process.returncode else None
        used = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        run.record("memory", "count, file", way, "bytes", value=used, failure=failure, **more)
    finally:
        large.unlink(missing_ok=True)


# The worst inputs


def worst(run: Run) -> None:
    """Inputs made to be slow; random ones are made anew for each round."""
    patient, run.settings.limit = run.settings.limit, run.settings.worst_limit
    run.pinned.close()
    try:
        for name in WORST:
            run.say(f"worst inputs: {name}")
            worst_one(run, name)
    finally:
        run.settings.limit = patient
        run.pinned.close()


def worst_one(run: Run, name: str) -> None:
    """One of the worst inputs; ours at four times the size as well."""
    size = run.settings.worst_bytes
    compared = run.compare("worst", name, Source("worst", name, size, seed=0))

    def measure(way: Way, number: int, size: int = size) -> float:
        source = Source("worst", name, size, seed=1 + number)
        [sample] = run.pinned.call(way[0], "time", case="worst", way=way[1], source=source)
        return sample

    run.time("worst", name, compared, measure, bytes=size)
    ours = {way: found for way, found in compared.items() if way[0] == OURS}
    run.time(
        "worst, four times",
        name,
        ours,
        lambda way, number: measure(way, number, 4 * size),
        bytes=4 * size,
    )


def special(run: Run) -> None:
    """Whether names of special tokens stay text: the ids of a text that has one."""
    text = "one<|eot_id|>two"
    answers: dict[str, list[int]] = {}
    for (name, label), delivers in run.ways("documents").items():
        if delivers:
            try:
                answers[name] = run.pinned.call(
                    name, "special", case="documents", way=label, text=text
                )
            except Failure as failure:
                run.record("special", text, (name, label), "", failure=str(failure), equal=None)
    reserved = set(run.assets.special.values())
    for name, ids in answers.items():
        run.record("special", text, (name, ""), "", equal=not reserved & set(ids), ids=ids)


CASES: dict[str, Callable[[Run], None]] = {
    "special": special,
    "unseen": unseen,
    "whole": whole,
    "list": lists,
    "count": count,
    "decode": decode,
    "small": small,
    "batch": batch,
    "files": files,
    "load": load,
    "command": command,
    "worst": worst,
    "memory": memory,
}
