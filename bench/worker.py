"""The process that one peer is measured in. `harness.Worker` starts it and talks to it over a pipe.

    python worker.py FD

Requests are `(operation, arguments)`, answers `("done", value)` or `("failed", reason)`. Only the
library's call is inside the clock; reading and cutting text, and throwing results away, are not. A
peer that panics, hangs or takes all memory ends this process and nothing else.
"""

import ctypes
import gc
import hashlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import corpora
import numpy as np
import peers

PR_SET_PDEATHSIG = 1
SMALL_SECONDS = 0.02
"""How long small inputs are repeated for one sample."""

PIECES = 16
"""How many texts a batch of small inputs has."""

SLOW, VERY_SLOW = 0.5, 4.0
"""Seconds after which passes are not repeated."""


class Source(NamedTuple):
    """Names an input; the worker makes it, so that no text goes through the pipe."""

    form: str
    """"text", "documents", "characters", "pieces", "worst", "files", "ids" or "single ids"."""
    path: str
    """A file; a folder of files; the name of a worst input."""
    size: int = 0
    """Bytes of a document or worst input, characters of a small one or a piece, or single ids."""
    seed: int = 0


@lru_cache(maxsize=2)
def make(source: Source) -> Any:  # noqa: ANN401 - a str, list[str], list of paths or array
    """The input that a source names."""
    match source.form:
        case "text":
            return Path(source.path).read_bytes().decode()
        case "documents":
            return corpora.documents(Path(source.path).read_bytes(), source.size)
        case "characters":
            return Path(source.path).read_bytes().decode()[: source.size]
        case "pieces":
            text = Path(source.path).read_bytes().decode()
            starts = range(0, min(len(text), PIECES * source.size), source.size)
            return [text[start : start + source.size] for start in starts]
        case "worst":
            return corpora.worst(source.path, source.seed, source.size)
        case "files":
            return sorted(str(file) for file in Path(source.path).iterdir())
        case "ids":
            return np.load(source.path)
        case "single ids":
            return [[id] for id in np.load(source.path)[: source.size].tolist()]
    raise ValueError(source.form)


def clock(call: Callable[[], object]) -> float:
    """Seconds that one call takes, with the collector off, as timeit does."""
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        result = call()
        seconds = perf_counter() - start
    finally:
        gc.enable()
    del result
    return seconds


def several(call: Callable[[], object], passes: int) -> list[float]:
    """Seconds of each pass: as many as asked for, two if they are slow, one if very slow."""
    samples: list[float] = []
    while len(samples) < passes and sum(samples) < (SLOW if len(samples) > 1 else VERY_SLOW):
        samples.append(clock(call))
    return samples


def repeated(call: Callable[[], object]) -> float:
    """Seconds of one call, over as many as fill the time of a sample."""
    times = 1
    while True:
        loop = iter(range(times))

        def repeat(loop: Any = loop) -> None:  # noqa: ANN401
            for _ in loop:
                call()

        seconds = clock(repeat)
        if seconds >= SMALL_SECONDS:
            return seconds / times
        times = int(times * max(2, 1.2 * SMALL_SECONDS / max(seconds, 1e-7)))


class Bench:
    """The operations on one loaded peer."""

    def __init__(self, name: str, assets: peers.Assets) -> None:
        adapter = peers.find(name)
        start = perf_counter()
        if adapter.module:
            import_module(adapter.module)
        imported = perf_counter()
        before = resident()
        begin = perf_counter()
        self.peer = adapter(assets)
        self.hello = {
            "import": imported - start,
            "load": perf_counter() - begin,
            "resident": resident() - before,
        }

    def ways(self, case: str) -> list[tuple[str, bool]]:
        """Label of each way, and whether it delivers its ids."""
        return [(way.label, way.delivers) for way in self.peer.ways(case)]

    def _way(self, case: str, label: str) -> peers.Way:
        return next(way for way in self.peer.ways(case) if way.label == label)

    def _input(self, way: peers.Way, source: Source) -> Any:  # noqa: ANN401
        value = make(source)
        if source.form == "ids":
            return value.tolist() if way.wants == "list" else value
        return [value] if way.many and isinstance(value, str) else value

    def check(self, case: str, way: str, source: Source) -> list[tuple[int, bytes]]:
        """How many ids each text has, and their digest; for decoding, that of the text."""
        chosen = self._way(case, way)
        value = self._input(chosen, source)
        if case.startswith("decode"):
            single = source.form == "single ids"
            text = "".join(map(chosen.run, value)) if single else chosen.run(value)
            return [digest(text.encode() if isinstance(text, str) else bytes(text))]
        if chosen.many:
            results = peers.as_batch(chosen.run(value))
        else:
            texts = value if isinstance(value, list) else [value]
            if case == "count":
                return [(chosen.run(text), b"") for text in texts]
            results = [peers.as_ids(chosen.run(text)) for text in texts]
        return [(len(ids), digest(ids.tobytes())[1]) for ids in results]

    def ids(self, case: str, way: str, text: str) -> list[int]:
        """The ids of one text."""
        chosen = self._way(case, way)
        if chosen.many:
            return peers.as_batch(chosen.run([text]))[0].tolist()
        return peers.as_ids(chosen.run(text)).tolist()

    def _call(self, case: str, way: str, source: Source, part: slice) -> Callable[[], object]:
        chosen = self._way(case, way)
        value = self._input(chosen, source)
        run = chosen.run
        if not isinstance(value, list) or source.form == "ids":
            return lambda: run(value)
        value = value[part]
        if chosen.many:
            return lambda: run(value)

        def each() -> None:
            for text in value:
                run(text)

        return each

    def time(self, case: str, way: str, source: Source, passes: int = 1) -> list[float]:
        """Seconds of each of several passes, fewer if they are slow."""
        return several(self._call(case, way, source, slice(None)), passes)

    def unseen(self, case: str, way: str, source: Source, passes: int) -> list[float]:
        """Encodes every other document, then times the rest: once unseen, then again."""
        self._call(case, way, source, slice(0, None, 2))()
        return several(self._call(case, way, source, slice(1, None, 2)), passes)

    def small(self, case: str, way: str, source: Source) -> list[float]:
        """Seconds a call on one small input."""
        chosen = self._way(case, way)
        value = self._input(chosen, source) if source.form == "ids" else make(source)
        return [repeated(partial(chosen.run, value))]

    def single(self, case: str, way: str, source: Source) -> list[float]:
        """Seconds a call on each of many small inputs, one after another."""
        rows = make(source)
        return [repeated(self._call(case, way, source, slice(None))) / len(rows)]

    def cold(
        self, case: str, way: str, source: Source, sizes: list[int]
    ) -> list[tuple[int, float]]:
        """Bytes and seconds of the first documents that make up each of the sizes, in one pass."""
        texts = make(source)
        start, size, seconds = 0, 0, 0.0
        found = []
        for wanted in sizes:
            end = start
            while end < len(texts) and size < wanted:
                size += len(texts[end].encode())
                end += 1
            seconds += clock(self._call(case, way, source, slice(start, end)))
            found.append((size, seconds))
            start = end
        return found

    def growth(self, case: str, way: str, sources: list[Source]) -> int:
        """Bytes that stay in memory after encoding: caches, and tables first touched."""
        before = resident()
        for source in sources:
            self._call(case, way, source, slice(None))()
            make.cache_clear()
        return resident() - before

    def allocated(self, case: str, way: str, source: Source) -> list[int]:
        """Bytes of malloc that the results of all texts hold, and that stay when they are gone."""
        chosen, value = self._way(case, way), make(source)
        before = in_use()
        result = chosen.run(value) if chosen.many else [chosen.run(text) for text in value]
        held = in_use() - before
        del result
        return [held, in_use() - before]

    def count_peak(self, case: str, way: str, source: Source, sizes: list[int]) -> list[int]:
        """Bytes of memory that counting `bytes` of these sizes takes beyond them."""
        data = Path(source.path).read_bytes()
        run = self._way(case, way).run
        texts = [(data * -(-size // len(data)))[:size] for size in sizes]
        # The cache has a limit of its own, and grows to it before anything is measured.
        run(max(texts, key=len))
        return [peak(partial(run, text)) for text in texts]


def digest(data: bytes) -> tuple[int, bytes]:
    """Length and hash."""
    return len(data), hashlib.blake2b(data, digest_size=16).digest()


def status(field: str) -> int:
    """A figure of /proc/self/status in bytes; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def resident() -> int:
    """Bytes of memory in use, after giving back what is free."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return status("VmRSS")


MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class MallInfo(ctypes.Structure):
    """What glibc's `mallinfo2` gives."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO.split())


def in_use() -> int:
    """Bytes that glibc's allocator has handed out, in all of its arenas and as mappings.

    That is what C and Rust have allocated, NumPy's arrays and Python's large objects; not Python's
    small objects, nor what a library's own allocator has. Raises OSError without `mallinfo2`.
    """
    gc.collect()
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        raise OSError("mallinfo2 is not there: it is of glibc 2.33 and later") from None
    mallinfo2.restype = MallInfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def peak(call: Callable[[], object]) -> int:
    """Bytes by which memory in use rises at most during a call."""
    before = resident()
    with Path("/proc/self/clear_refs").open("w") as reset:
        reset.write("5")
    call()
    return max(0, status("VmHWM") - before)


def confine(processors: list[int] | None, memory: int) -> None:
    """Pins the process, limits its memory, and ties its life to its parent's."""
    if processors and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def reason(error: BaseException) -> str:
    """One line about an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".strip(": ")[:200]


def main() -> None:
    pipe = Connection(int(sys.argv[1]))
    name, assets, processors, memory = pipe.recv()
    confine(processors, memory)
    if name in assets.folders:
        sys.path.insert(0, assets.folders[name])
    bench = None
    operation, arguments = "hello", {}
    while True:
        try:
            if bench is None:
                bench = Bench(name, assets)
            value = bench.hello if operation == "hello" else getattr(bench, operation)(**arguments)
            pipe.send(("done", value))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a Rust panic is no Exception
            pipe.send(("failed", reason(error)))
        try:
            operation, arguments = pipe.recv()
        except EOFError:
            return


if __name__ == "__main__":
    main()
