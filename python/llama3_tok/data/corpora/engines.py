"""Who works on the sections: threads of this process, or the workers of Ray or Spark.

A section's shards are the same whoever makes them, and its commits say what is done: work that is
done twice, as when a worker was thought dead, writes the same bytes again.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from queue import Empty, Queue
from typing import NamedTuple, TypeAlias

from llama3_tok import arguments
from llama3_tok.data.corpora.ahead import Behind
from llama3_tok.data.corpora.encode import Progress, Target
from llama3_tok.data.corpora.manifest import committed
from llama3_tok.data.corpora.plan import Section
from llama3_tok.data.corpora.shards import Step, work
from llama3_tok.extras import require

__all__ = ["Engine", "Task", "engine", "in_threads", "on_ray", "on_spark"]


class Task(NamedTuple):
    """A section to be worked on, and the number of its shards."""

    section: Section
    number: int


Report: TypeAlias = Callable[[Progress], object]
Engine: TypeAlias = Callable[[Target, Sequence[Task], int, Report], None]

_SIGNALS = 0.1
"""Seconds between two looks for Ctrl-C."""


def engine(given: "str | Engine") -> Engine:
    """The engine of this name, or the function itself."""
    if callable(given):
        return given
    known: dict[str, Engine] = {"threads": in_threads, "ray": on_ray, "spark": on_spark}
    arguments.choice(given, "engine", tuple(known))
    return known[given]


def left(target: Target, task: Task) -> Iterable[Step]:
    """Writes what of a section is not done yet; its steps are to be committed in order."""
    done = committed(target.place, target.folder, task.section.number)
    return work(target, task.section, task.number, done)


class _Stopped(Exception):
    """Another thread failed, or the caller wants no more."""


def in_threads(target: Target, tasks: Sequence[Task], threads: int, report: Report) -> None:
    """Works on as many sections at a time as there are threads; on few, with several threads each.

    The interpreter's lock is free while text is read, encoded, hashed and written.
    """
    workers = min(threads, len(tasks))
    if not workers:
        return
    waiting: Queue[Task] = Queue()
    for task in tasks:
        waiting.put(task)
    events: Queue[Progress | BaseException | None] = Queue(4 * workers)
    stopped = threading.Event()

    def tell(event: Progress | BaseException | None) -> None:
        if stopped.is_set() and isinstance(event, Progress):
            raise _Stopped
        events.put(event)

    mine = replace(target, threads=max(1, threads // workers), report=tell)

    def run() -> None:
        try:
            # Files are hashed, and put on the disk, while the next ones are written.
            with Behind(is_alone=threads == 1) as behind:
                while not stopped.is_set():
                    for step in left(mine, waiting.get_nowait()):
                        try:
                            behind.call(step.commit)
                        except BaseException:
                            step.discard()
                            raise
                        if stopped.is_set():
                            return
        except (Empty, _Stopped):
            pass
        except BaseException as error:  # it goes to the caller's thread
            stopped.set()
            events.put(error)
        finally:
            events.put(None)

    running = [threading.Thread(target=run, daemon=True) for _ in range(workers)]
    for thread in running:
        thread.start()
    failed: BaseException | None = None
    at_work = workers
    try:
        while at_work:
            try:
                event = events.get(timeout=_SIGNALS)
            except Empty:
                continue
            if event is None:
                at_work -= 1
            elif isinstance(event, Progress):
                report(event)
            elif failed is None:
                failed = event
    finally:
        # After Ctrl-C the threads end with the chunk that they are at.
        stopped.set()
        while at_work:
            at_work -= events.get() is None
    if failed is not None:
        raise failed


def _whole(target: Target, task: Task) -> tuple[int, int, int]:
    """Finishes a section; gives what of it was done, for a progress bar."""
    tokens = documents = 0
    for commit in (step.commit() for step in left(target, task)):
        tokens += commit.counts["tokens"]
        documents += commit.counts["documents"]
    return task.section.stored_bytes, tokens, documents


def on_ray(target: Target, tasks: Sequence[Task], threads: int, report: Report) -> None:
    """Works on the cluster that Ray is connected to, or else on this machine, by Ray Data.

    A section is a row, and a block of its own, so that a worker that dies costs one section.
    """
    if not tasks:
        return
    ray = require("ray", "ray")
    data = require("ray.data", "ray")
    bare = replace(target, threads=1, report=_silent)

    def run(row: dict[str, object]) -> dict[str, int]:
        stored, tokens, documents = _whole(bare, tasks[int(row["id"])])  # type: ignore[call-overload]
        return {"stored": stored, "tokens": tokens, "documents": documents}

    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    rows = data.range(len(tasks), override_num_blocks=len(tasks)).map(run)
    for row in rows.iter_rows():
        report(Progress(int(row["stored"]), int(row["tokens"]), int(row["documents"])))


def on_spark(target: Target, tasks: Sequence[Task], threads: int, report: Report) -> None:
    """Works on the cluster of the active Spark session, or of one that is configured."""
    if not tasks:
        return
    sql = require("pyspark.sql", "spark")
    session = sql.SparkSession.builder.getOrCreate()
    bare = replace(target, threads=1, report=_silent)

    def run(task: Task) -> tuple[int, int, int]:
        return _whole(bare, task)

    done = session.sparkContext.parallelize(tasks, len(tasks)).map(run)
    # One partition at a time comes to the driver, but all are worked on.
    for stored, tokens, documents in done.toLocalIterator(prefetchPartitions=True):
        report(Progress(stored, tokens, documents))


def _silent(_: Progress) -> None:
    """A worker reports by what it returns."""
