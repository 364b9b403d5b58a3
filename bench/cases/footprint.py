"""Memory: what stays after loading and encoding, and what counting takes."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from corpora import DOCUMENT, cut
from harness import Failure, Worker
from peers import find
from run import MEGABYTE, OURS, Run, is_ours
from worker import Source

from cases.latency import our_command

BEGINNING = 10_000
"""Bytes of text after which a cache is still small."""
PEAK = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command and says its peak memory. A process of its own, because Linux counts the memory of
the process that started a command as the command's, and this one is small."""


def memory(run: Run) -> None:
    """What stays after loading and after encoding everything on one thread; what counting takes."""
    small = first_bytes(run, BEGINNING)
    for name in run.names:
        if find(name).alone:
            run.say(f"memory: {name}")
            memory_of(run, name, small)
    if OURS in run.names and run.corpora:
        count_memory(run)
        count_file(run)


def memory_of(run: Run, name: str, small: list[Source]) -> None:
    """One peer's memory, in a process that does nothing else."""
    try:
        with run.worker(name) as worker:
            run.record("memory", "loaded", (name, ""), "bytes", value=worker.hello["resident"])
            case = "count" if is_ours(name) else "documents"
            label = worker.call("ways", case=case)[0][0]
            arguments = {"case": case, "way": label}
            begun = worker.call("growth", sources=small, **arguments)
            run.record("memory", "growth, 10 KB", (name, label), "bytes", value=begun)
            sources = [Source("documents", corpus.path, DOCUMENT) for corpus in run.corpora]
            grown = begun + worker.call("growth", sources=sources, **arguments)
            run.record("memory", "growth, one thread", (name, label), "bytes", value=grown)
            for source in sources[:1]:
                allocated(run, worker, name, source)
    except Failure as failure:
        run.record("memory", "loaded", (name, ""), "bytes", failure=str(failure))


def allocated(run: Run, worker: Worker, name: str, source: Source) -> None:
    """What malloc has handed out for the results of a corpus, and what stays of it."""
    label = worker.call("ways", case="documents")[0][0]
    way, texts = (name, label), ("allocated, results held", "allocated, results gone")
    try:
        found = worker.call("allocated", case="documents", way=label, source=source)
    except Failure as failure:
        run.record("memory", texts[0], way, "bytes", failure=str(failure))
        return
    for text, value in zip(texts, found, strict=True):
        run.record("memory", text, way, "bytes", value=value)


def first_bytes(run: Run, size: int) -> list[Source]:
    """The beginning of the first corpus as a source; none without corpora."""
    if not run.corpora:
        return []
    path = run.folder / "beginning.corpus"
    path.write_bytes(cut(Path(run.corpora[0].path).read_bytes(), size))
    return [Source("documents", str(path), DOCUMENT)]


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
