"""The cases: what is measured, on which input, in which process. Each is a function of `Run`."""

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpora import DOCUMENT, SHORT, WORST, Corpus, cut, documents
from harness import Failure, alternate
from run import MEGABYTE, OURS, REFERENCES, Record, Run, Way, outcome
from worker import Source, digest

SMALL = (13, 360)
BATCH = 2 * MEGABYTE
"""Bytes of a batch of short documents: some ten thousand."""
PEAK = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command and says its peak memory. A process of its own, because Linux counts the memory of
the process that started a command as the command's, and this one is small."""
AGAIN = 3
"""Passes over the same text, of which the median is one sample."""


# Corpora, one thread


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
        ours = {way: found for way, found in encoding.items() if way[0] == OURS}
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
    for name in REFERENCES:
        try:
            text = Path(corpus.path).read_bytes().decode()
            way, _ = run.of(name, "list")[0]
            ids = run.pinned.call(name, "ids", case="list", way=way, text=text)
        except Failure:
            continue
        np.save(path, np.array(ids, np.uint32))
        return True
    return False


def small(run: Run) -> None:
    """Inputs so small that the call itself is what takes time."""
    for size in SMALL if run.corpora else ():
        run.say(f"small input: {size} characters")
        source = Source("characters", run.corpora[0].path, size)
        run.simple("small", f"{size} characters", source, operation="small", unit="s")


# All cores


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


# Loading, the command, memory


def load(run: Run) -> None:
    """Importing and loading, each time in a fresh process."""
    run.say("load")
    imports: dict[Way, list[float]] = {(name, "import"): [] for name in run.names}

    def measure(way: Way, number: int) -> float:
        with run.worker(way[0]) as worker:
            imports[way[0], "import"].append(worker.hello["import"])
            return worker.hello["load"]

    results = alternate(
        [(name, "load") for name in run.names],
        run.settings.rounds,
        measure,
        2 * run.settings.enough,
    )
    for way, result in results.items():
        run.record("load", "", way, "s", **outcome(result))
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

    results = alternate(commands, 3 * run.settings.rounds, measure, 2 * run.settings.enough)
    for way, result in results.items():
        run.record("command", "", way, "s", **outcome(result))


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
        call = [sys.executable, "-c", PEAK, *our_command(), "count", str(large)]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        more = {"bytes": wanted, "seconds": time.perf_counter() - start}
        if done.returncode:
            run.record("memory", "count, file", way, "bytes", failure=done.stderr[-200:], **more)
        else:
            run.record("memory", "count, file", way, "bytes", value=int(done.stderr), **more)
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
    compared = run.compare("worst", Source("worst", name, size))

    def measure(way: Way, number: int, size: int = size) -> float:
        source = Source("worst", name, size, seed=1 + number)
        [sample] = run.pinned.call(way[0], "time", case="worst", way=way[1], source=source)
        return sample

    run.time("worst", name, compared, measure, patience=0.2, bytes=size)
    ours = {way: found for way, found in compared.items() if way[0] == OURS}
    run.time(
        "worst, four times",
        name,
        ours,
        lambda way, number: measure(way, number, 4 * size),
        patience=0.2,
        bytes=4 * size,
    )


def special(run: Run) -> None:
    """Whether names of special tokens stay text: the ids of a text that has one."""
    run.say("special tokens in text")
    text = "one<|eot_id|>two"
    reserved = set(run.assets.special.values())
    for (name, label), delivers in run.ways("documents").items():
        if not delivers:
            continue
        try:
            ids = run.pinned.call(name, "ids", case="documents", way=label, text=text)
            run.record("special", text, (name, label), "", equal=not reserved & set(ids), ids=ids)
        except Failure as failure:
            run.record("special", text, (name, label), "", equal=None, failure=str(failure))


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
