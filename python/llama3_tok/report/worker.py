"""`python -m llama3_tok.report.worker`: one reference, in a process of its own.

It reads frames from standard input and answers each on standard output: first what to load, then
one text or conversation after the other. An exception of the reference is an answer; a panic is one
too, but the process then ends, since what panicked may be in any state. Whatever else may happen
(it hangs, aborts, is killed for its memory) is seen by `client.py` at the other end.

The reference can't disturb the frames: for it, standard input is empty, and what it prints goes to
standard error, which the report reads only to say what went wrong.
"""

import json
import os
import signal
import sys
import time
from typing import Any, BinaryIO

from llama3_tok.lazy import np, npt
from llama3_tok.report.frames import HEAD, head_of, packed
from llama3_tok.report.references import Engine, load

# If the other end is gone, nobody else ends a reference that hangs; it kills earlier.
_GRACE_SECONDS = 15


def main() -> None:
    """Answers until there are no more questions."""
    questions, answers = _private_pipes()
    header, _ = _read(questions)
    _limit(header.get("memory"))
    try:
        started = time.perf_counter()
        engine = load(header["reference"])
        seconds = time.perf_counter() - started
    except BaseException as error:
        _write(answers, {"error": _described(error)})
        return
    _write(answers, {"seconds": seconds})
    while question := _read_or_end(questions):
        if not _answer(engine, *question, answers):
            return


def _answer(engine: Engine, header: dict[str, Any], body: bytes, answers: BinaryIO) -> bool:
    """Answers a question; False if the process is to end."""
    signal.setitimer(signal.ITIMER_REAL, header["limit"] + _GRACE_SECONDS)
    try:
        if header["op"] == "chat":
            given = json.loads(body)
            started = time.perf_counter()
            ids = engine.chat(given["messages"], given["options"])
        else:
            # The references take `str`: invalid bytes become U+FFFD, as whoever reads files has it.
            text = body.decode("utf-8", "replace")
            started = time.perf_counter()
            ids = engine.text(text, header["special"])
        seconds = time.perf_counter() - started
        array = _array(ids)
    except Exception as error:
        _write(answers, {"error": _described(error)})
        return True
    except BaseException as error:
        _write(answers, {"error": _described(error), "ends": True})
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    _write(answers, {"seconds": seconds}, array.tobytes())
    return True


def _array(ids: object) -> "npt.NDArray[np.uint32]":
    """Ids as 32-bit integers; anything else is an error, and nothing is rounded or cut off."""
    import numpy as np

    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise TypeError(f"these are not ids: {array.dtype} of shape {array.shape}")
    if array.size and not 0 <= array.min() <= array.max() < 1 << 32:
        raise OverflowError(f"these are not ids: from {array.min()} to {array.max()}")
    return array.astype("<u4")


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the report, under numbers that nobody else knows."""
    questions, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdin = None
    return os.fdopen(questions, "rb"), os.fdopen(answers, "wb")


def _limit(memory: int | None) -> None:
    """No core files; and where the report can't see how much memory is used, a limit of its own."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _read_or_end(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    try:
        return _read(stream)
    except EOFError:
        return None


def _read(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    header_size, body_size = head_of(_exactly(stream, HEAD.size))
    header = json.loads(_exactly(stream, header_size))
    return header, _exactly(stream, body_size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _write(stream: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    try:
        stream.write(packed(header, len(body)) + body)
        stream.flush()
    except BrokenPipeError:  # nobody asks any more
        os._exit(0)


if __name__ == "__main__":
    main()
