#!/usr/bin/env python3
"""Many threads and processes over one tokenizer: the same ids, and nobody waits for ever.

    PYTHONPATH=python:tests python tests/crowd.py --threads 64 --seconds 180 --forks 1000 \
        --json crowd.json

First that many threads do all that `crowd_jobs` has, in any order, for that long. Then the process
forks at random moments while four threads work, and the new processes work as well: by `os.fork`,
through multiprocessing (fork, forkserver, spawn), from a process that was forked itself, in
`datasets.map`, and as the workers of a server that is replaced while it answers (`crowd_server`).
Whoever makes no progress for 30 seconds fails, and tells where each of its threads is.
"""

import argparse
import faulthandler
import json
import multiprocessing
import os
import platform
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from crowd_jobs import JOBS, Crowd

HANG = 30.0
"""Seconds without progress after which a thread or a process is said to hang."""
SHARE = 20
"""Jobs of each of the others, after which one that has ended none is not waiting for its turn."""
WORKING = 4
"""Threads that work while the process forks."""
LOADING = 4 * HANG
"""The same for a process that is not forked: it has to load everything, and to find all answers."""
# How many of the forks are of each kind; what is not forked has all to load.
KINDS = {"os.fork": 40, "fork of a fork": 5, "fork": 3, "forkserver": 1, "spawn": 1}


# Threads


class Threads:
    """Threads that do jobs until they are stopped, and note when they last ended one."""

    def __init__(self, crowd: Crowd, count: int, seed: int, names=tuple(JOBS)) -> None:
        self._crowd, self._names = crowd, names
        self._stop = threading.Event()
        self._last = [time.monotonic()] * count
        # How many jobs all had ended when one last ended one.
        self._seen = [0] * count
        self.done: list[Counter[str]] = [Counter() for _ in range(count)]
        self.wrong: list[str] = []
        self._threads = [
            threading.Thread(target=self._work, args=(number, seed), daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int, seed: int) -> None:
        dice = random.Random(f"{seed} {number}")
        while not self._stop.is_set():
            name = dice.choice(self._names)
            try:
                wrong = self._crowd.do(name)
            except BaseException as error:
                wrong = f"{name}: {type(error).__name__}: {error}"
            if wrong is not None:
                self.wrong.append(wrong)
                return
            self.done[number][name] += 1
            self._last[number] = time.monotonic()
            self._seen[number] = self._ended()

    def _ended(self) -> int:
        return sum(one.total() for one in self.done)

    def watch(self, seconds: float) -> None:
        """Lets them work so long; an AssertionError if one hangs."""
        until = time.monotonic() + seconds
        while not self.wrong and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.2, left))
            self.check()

    def check(self) -> None:
        """An AssertionError if nobody has ended a job for too long, or one alone has not.

        Where a machine has much else to do, one may have to wait for its turn; so the others must
        have ended many jobs meanwhile.
        """
        now, ended = time.monotonic(), self._ended()
        hangs = now - max(self._last) > HANG or any(
            now - last > HANG and ended - seen > SHARE * len(self._last)
            for last, seen in zip(self._last, self._seen, strict=True)
        )
        if hangs:
            faulthandler.dump_traceback(all_threads=True)
            raise AssertionError(f"a thread has ended no job for {HANG} seconds")

    def end(self) -> Counter[str]:
        """Stops them; gives the jobs that were done."""
        self._stop.set()
        until = time.monotonic() + HANG
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                faulthandler.dump_traceback(all_threads=True)
                raise AssertionError("a thread does not end")
        return sum(self.done, Counter())


def threads(count: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """So many threads for so long: the jobs that they did, and the memory of all their caches."""
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(folder)
        working = Threads(crowd, count, seed)
        working.watch(seconds)
        info = crowd.tokenizer.cache_info()
        done = working.end()
    assert working.wrong == [], working.wrong[:5]
    pool = os.cpu_count() or 1
    # Each thread has one cache, those of the pool too; each is within the limit.
    assert info.bytes_of_all <= info.limit * (count + pool + 1), info
    return {
        "threads": count,
        "seconds": seconds,
        "jobs": dict(sorted(done.items())),
        "caches_mb": round(info.bytes_of_all / (1 << 20), 1),
        "wrong": len(working.wrong),
    }


# Forks

# What each new process does besides two jobs by chance: what is on several threads, and what may
# have been locked or in the making when it was forked.
ALWAYS = ("encode_batch", "tables", "prefixes", "decode_batch", "files")


def child(crowd: Crowd, seed: int, forks_again: bool = False) -> int:
    """What a new process does: 0 if all answers were right."""
    dice = random.Random(seed)
    faulthandler.enable()
    for name in dice.sample((*ALWAYS, *dice.sample(list(JOBS), 2)), 5):
        wrong = crowd.do(name)
        if wrong is not None:
            print(wrong, file=sys.stderr, flush=True)
            return 1
    return wait(fork(crowd, seed + 1)) if forks_again else 0


def fork(crowd: Crowd, seed: int, forks_again: bool = False) -> int:
    """Forks a process that works; gives its number."""
    number = os.fork()
    if number:
        return number
    status = 2
    try:
        status = child(crowd, seed, forks_again)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(status)


def wait(number: int) -> int:
    """How a process ended; one that hangs says where, and is killed."""
    until = time.monotonic() + HANG
    while time.monotonic() < until:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(number, signal.SIGABRT)
    os.waitpid(number, 0)
    return 124


def by_multiprocessing(method: str, crowd: Crowd, seed: int) -> int:
    """The same through multiprocessing; what is not forked makes everything anew."""
    context = multiprocessing.get_context(method)
    target = (child_in_process, crowd) if method == "fork" else (child_anew, str(crowd.folder))
    process = context.Process(target=target[0], args=(target[1], seed))
    process.start()
    process.join(HANG if method == "fork" else LOADING)
    if process.is_alive():
        os.kill(process.pid, signal.SIGABRT)
        process.join()
        return 124
    return process.exitcode


def child_in_process(crowd: Crowd, seed: int) -> None:
    """`child`, whose answer is the exit code."""
    os._exit(child(crowd, seed))


def child_anew(folder: str, seed: int) -> None:
    """A process that was not forked: it has a crowd of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        status = child(Crowd(own), seed)
    os._exit(status)


def forks(count: int, seed: int = 0) -> dict[str, Any]:
    """So many new processes, at random moments of parallel work."""
    dice, done, slowest = random.Random(seed), Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(folder)
        # Jobs that lock, make tables, and have the pool work.
        working = Threads(crowd, WORKING, seed)
        # One of each, and then as they come.
        kinds = [*KINDS, *dice.choices(list(KINDS), list(KINDS.values()), k=count)][:count]
        for number, kind in enumerate(kinds):
            time.sleep(dice.random() ** 2 * 0.02)
            if number % 100 == 99:
                print(f"{number + 1} forks, the slowest {slowest:.1f} s", flush=True)
            began, chosen = time.monotonic(), seed + number
            if kind in ("os.fork", "fork of a fork"):
                status = wait(fork(crowd, chosen, kind == "fork of a fork"))
            else:
                status = by_multiprocessing(kind, crowd, chosen)
            slowest = max(slowest, time.monotonic() - began)
            assert status == 0, f"{kind}, number {number}: it ended with {status}"
            done[kind] += 1
            assert working.wrong == [], working.wrong[:5]
            working.check()
        jobs = working.end()
    return {
        "forks": sum(done.values()),
        "by": dict(done),
        "slowest_seconds": round(slowest, 1),
        "jobs_meanwhile": sum(jobs.values()),
    }


def maps(count: int) -> dict[str, Any]:
    """`datasets.map` in two processes, while threads of this one work."""
    import datasets

    from llama3_tok.data.huggingface import Encode

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder, "cache")
        crowd = Crowd(folder)
        working = Threads(crowd, WORKING, 0, ("encode_batch", "count", "decode_batch", "files"))
        rows = datasets.Dataset.from_dict({"text": crowd.texts})
        expected = crowd.tokenizer.encode_batch(crowd.texts)
        for _ in range(count):
            function = Encode(tokenizer=crowd.tokenizer)
            mapped = rows.map(
                function, batched=True, batch_size=50, num_proc=2, load_from_cache_file=False
            )
            assert mapped["input_ids"][:] == expected
            working.check()
        working.end()
    assert working.wrong == [], working.wrong[:5]
    return {"maps": count, "processes": 2 * count}


def main() -> int:
    """Does what is asked for, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="0 leaves the threads out")
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--maps", type=int, default=0, help="calls of datasets.map")
    parser.add_argument("--workers", type=int, default=0, help="workers of a server, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write what was done")
    arguments = parser.parse_args()
    # Newer versions of Python warn of forks with threads, which is what this is about.
    warnings.simplefilter("ignore", DeprecationWarning)
    record: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "python": platform.python_version(),
        "hang_seconds": HANG,
    }
    if arguments.seconds:
        record["threads"] = threads(arguments.threads, arguments.seconds, arguments.seed)
        print(record["threads"], flush=True)
    if arguments.forks:
        record["forks"] = forks(arguments.forks, arguments.seed)
        print(record["forks"], flush=True)
    if arguments.maps:
        record["datasets_map"] = maps(arguments.maps)
        print(record["datasets_map"], flush=True)
    if arguments.workers:
        from crowd_server import serve

        record["server"] = serve(arguments.workers, arguments.seed)
        print(record["server"], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
