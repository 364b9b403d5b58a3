"""The parent's side: starting, commanding and killing the processes that peers are measured in."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, TypeVar

from peers import Assets

SCRIPT = Path(__file__).with_name("worker.py")
TELLING = ("panicked", "overflow", "terminate", "memory allocation", "Error")
"""What the line of a crash message has that says what happened."""

Entrant = TypeVar("Entrant")


class Failure(Exception):
    """Why a peer could not do what was asked."""


class Worker:
    """One process with one loaded peer. Raises Failure where the peer can't be loaded."""

    def __init__(
        self,
        peer: str,
        assets: Assets,
        *,
        processors: list[int] | None,
        limit: float,
        memory: int,
    ) -> None:
        self.limit = limit
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self.pipe, theirs = Pipe()
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.messages,
        )
        theirs.close()
        try:
            self.pipe.send((peer, assets, processors, memory))
            self.hello: dict[str, float] = self._answer()
        except (Failure, OSError):
            self.close()
            raise

    def call(self, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - what it gives
        """What the operation gives. Raises Failure; the worker is dead if it hung or crashed."""
        try:
            self.pipe.send((operation, arguments))
        except OSError:
            raise Failure("its process has ended") from None
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401
        if not self.pipe.poll(self.limit):
            self.close()
            raise Failure(f"took more than {self.limit:g} s")
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            raise Failure(self._obituary()) from None
        if kind == "failed":
            raise Failure(value)
        return value

    def _obituary(self) -> str:
        code = self.process.wait()
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.messages.seek(0)
        lines = self.messages.read().decode("utf-8", "replace").strip().splitlines()
        self.close()
        telling = [line for line in lines if any(word in line for word in TELLING)]
        said = (telling or lines[-1:] or [""])[0].strip()
        return f"its process ended with {end}" + (f": {said[:150]}" if said else "")

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self.pipe.closed and self.process.poll() is None

    def close(self) -> None:
        """Ends the process at once."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()
        self.messages.close()

    def __enter__(self) -> "Worker":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the process."""
        self.close()


class Fleet:
    """One worker for each peer, started when first asked and again after it died."""

    def __init__(self, start: Callable[[str], Worker]) -> None:
        self.start = start
        self.workers: dict[str, Worker] = {}

    def call(self, peer: str, operation: str, **arguments: object) -> Any:  # noqa: ANN401
        """As `Worker.call`. After a failure the next call gets a fresh process."""
        worker = self.workers.get(peer)
        if worker is None or not worker.alive:
            worker = self.workers[peer] = self.start(peer)
        try:
            return worker.call(operation, **arguments)
        except Failure:
            worker.close()
            raise

    def close(self) -> None:
        """Ends all."""
        for worker in self.workers.values():
            if not worker.pipe.closed:
                worker.close()
        self.workers.clear()


def alternate(
    entrants: Iterable[Entrant],
    rounds: int,
    measure: Callable[[Entrant, int], float],
    enough: float,
) -> dict[Entrant, list[float] | Failure]:
    """Measures all in turn, round by round, so that whatever drifts hits all alike.

    Each round begins with another one. The samples of one entrant are in the order of the rounds;
    one that has taken `enough` seconds gets no more, one that failed has its Failure instead.
    """
    order = list(entrants)
    results: dict[Entrant, list[float] | Failure] = {entrant: [] for entrant in order}
    spent = dict.fromkeys(order, 0.0)
    for number in range(rounds):
        first = number % len(order) if order else 0
        for entrant in order[first:] + order[:first]:
            samples = results[entrant]
            if isinstance(samples, Failure) or spent[entrant] > enough:
                continue
            start = time.perf_counter()
            try:
                samples.append(measure(entrant, number))
            except Failure as failure:
                results[entrant] = failure
            spent[entrant] += time.perf_counter() - start
    return results
