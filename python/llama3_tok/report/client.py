"""The report's end of a reference: its process is started, asked, watched, ended and started again.

`ask` always gives an `Answer`, within the limits of time and memory: ids, or what went wrong. A
reference that hangs, aborts or takes too much memory loses its process, and the next question goes
to a new one.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from llama3_tok.lazy import np, npt
from llama3_tok.report.frames import HEAD, FrameError, head_of, packed

__all__ = ["Answer", "Client", "Failure", "Limits", "Unusable"]

# Importing a large package on a slow machine takes its time.
_START_SECONDS = 600.0
# How often the memory of a process is looked at.
_WATCH_SECONDS = 0.02
# A reference that fails its process so often in a row is not asked any more.
_MAX_IN_A_ROW = 8
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What a reference may take for one item."""

    seconds: float = 60.0
    memory: int = 4 << 30
    """Bytes of the whole process: resident ones, or where that can't be seen, address space."""


@dataclass(frozen=True)
class Failure:
    """Why there are no ids."""

    kind: str
    """"error" (an exception), "panic", "died" (by a signal or an exit), "time" or "memory"."""
    reason: str


@dataclass(frozen=True)
class Answer:
    """What a reference gave for one item."""

    ids: "npt.NDArray[np.uint32] | None"
    seconds: float = 0.0
    """In the reference itself, without the pipes."""
    failure: Failure | None = None


class Unusable(Exception):
    """A reference that can't be loaded, or that fails again and again; the message says why."""


class _Failed(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.failure = Failure(kind, reason)


class Client:
    """One reference. `given` is what `references.load` takes."""

    def __init__(self, given: dict[str, Any], limits: Limits) -> None:
        self._given, self._limits = given, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._in_a_row = 0
        self._load_seconds: float | None = None
        self.restarts = 0

    @property
    def load_seconds(self) -> float:
        """How long loading took, the first time; starts the process if that was not done.

        Raises Unusable.
        """
        if self._load_seconds is None:
            self._start()
        return self._load_seconds or 0.0

    def ask_text(self, text: bytes, special: bool) -> Answer:
        """The ids of a text. Raises Unusable."""
        return self._ask({"op": "text", "special": special}, text)

    def ask_chat(self, messages: list[Any], options: dict[str, Any]) -> Answer:
        """The ids of a conversation. Raises Unusable."""
        body = json.dumps({"messages": messages, "options": options}).encode()
        return self._ask({"op": "chat"}, body)

    def close(self) -> None:
        """Ends the process."""
        self._end()
        self._said.close()

    # One question

    def _ask(self, header: dict[str, Any], body: bytes) -> Answer:
        import numpy as np

        if self._process is None:
            self.restarts += self._load_seconds is not None
            self._start()
        try:
            header["limit"] = self._limits.seconds
            answer, ids = self._exchange(header, body, self._limits.seconds)
        except _Failed as error:
            self._end()
            self._in_a_row += 1
            if self._in_a_row >= _MAX_IN_A_ROW:
                raise Unusable(
                    f"given up after {self._in_a_row} failures in a row; the last: "
                    f"{error.failure.reason}"
                ) from None
            return Answer(None, failure=error.failure)
        self._in_a_row = 0
        if "error" in answer:
            if answer.get("ends"):
                self._end()
            kind = "panic" if answer.get("ends") else "error"
            return Answer(None, failure=Failure(kind, _one_line(answer["error"])))
        return Answer(np.frombuffer(ids, dtype="<u4"), answer["seconds"])

    def _start(self) -> None:
        """Starts the process and loads the reference."""
        if not sys.executable:
            raise Unusable("there is no Python to run it in: sys.executable is empty")
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            # -P: a file of the current folder must not stand for a package.
            [sys.executable, "-P", "-m", "llama3_tok.report.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,
        )
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        memory = None if _resident(self._process.pid) is not None else self._limits.memory
        try:
            header = {"reference": self._given, "memory": memory}
            answer, _ = self._exchange(header, b"", _START_SECONDS)
        except _Failed as error:
            self._end()
            raise Unusable(f"it can't be loaded: {error.failure.reason}") from None
        if "error" in answer:
            self._end()
            raise Unusable(f"it can't be loaded: {_one_line(answer['error'])}")
        if self._load_seconds is None:
            self._load_seconds = answer["seconds"]

    def _end(self) -> None:
        """Kills the process, and whatever it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    # Pipes

    def _exchange(
        self, header: dict[str, Any], body: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Writes a frame and reads the answer, with an eye on clock and memory. Raises _Failed."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        self._said.seek(0)
        self._said.truncate()
        deadline = time.monotonic() + seconds
        unsent = memoryview(packed(header, len(body)) + body)
        received = bytearray()
        wanted = HEAD.size
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ)
            while len(received) < wanted:
                events = selector.select(_WATCH_SECONDS)
                for key, _ in events:
                    if key.fileobj is process.stdin:
                        unsent = unsent[_written(process.stdin.fileno(), unsent) :]
                        if not unsent:
                            selector.unregister(process.stdin)
                        continue
                    data = os.read(process.stdout.fileno(), max(_CHUNK, wanted - len(received)))
                    if not data:
                        raise _Failed(*self._why_it_died())
                    received += data
                    if len(received) >= HEAD.size:
                        wanted = HEAD.size + sum(self._sizes(received))
                if len(received) < wanted:
                    self._watch(deadline, seconds)
        header_size, _ = self._sizes(received)
        answer: dict[str, Any] = json.loads(received[HEAD.size : HEAD.size + header_size])
        return answer, bytes(received[HEAD.size + header_size :])

    def _sizes(self, received: bytearray) -> tuple[int, int]:
        try:
            return head_of(bytes(received[: HEAD.size]))
        except FrameError as error:
            raise _Failed("died", f"its answer can't be read: {error}") from None

    def _watch(self, deadline: float, seconds: float) -> None:
        assert self._process is not None
        used = _resident(self._process.pid)
        if used is not None and used > self._limits.memory:
            limit = _gibibytes(self._limits.memory)
            raise _Failed("memory", f"took {_gibibytes(used)} of memory, more than {limit}")
        if time.monotonic() > deadline:
            raise _Failed("time", f"no answer within {seconds:g} seconds")

    def _why_it_died(self) -> tuple[str, str]:
        assert self._process is not None
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            return "died", "it closed its pipes"
        said = self._last_words()
        how = f"exit code {code}" if code >= 0 else f"killed by {_signal(-code)}"
        return "died", f"{how}: {said}" if said else how

    def _last_words(self) -> str:
        """The last line on its standard error that says something."""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 4096))
        lines = self._said.read().decode("utf-8", "replace").splitlines()
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _written(number: int, data: memoryview) -> int:
    """How many bytes were taken; all where nobody takes any more, as the reader will see."""
    try:
        return os.write(number, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def _resident(pid: int) -> int | None:
    """The resident bytes of a process; None if this system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _gibibytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
