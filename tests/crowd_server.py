"""A server that forks its workers beforehand, as Gunicorn does, and replaces them meanwhile.

The parent loads the tokenizer, encodes on several threads and opens a socket; its workers are
forked while it goes on encoding. Each answers some requests on two threads and ends, and the parent
forks another one. The requests come from threads of the parent, and the ids are compared.
"""

import json
import os
import random
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crowd import HANG, Threads, wait
from crowd_jobs import Crowd

AT_ONCE = 3
"""Workers that answer at a time."""
REQUESTS = 12
"""Requests after which a worker ends, as `max_requests` of Gunicorn."""
CLIENTS = 4


def _worker(listening: socket.socket, crowd: Crowd) -> None:
    """Answers requests, and ends."""

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            numbers = json.loads(stream.readline())
            texts = [crowd.texts[number] for number in numbers]
            ids = crowd.tokenizer.encode_batch(texts)
            ids += [crowd.prefixes.encode(text) for text in texts[:2]]
            stream.write(json.dumps(ids).encode() + b"\n")

    with ThreadPoolExecutor(2) as pool:
        answered = [pool.submit(answer, listening.accept()[0]) for _ in range(REQUESTS)]
    for one in answered:
        one.result()


def _fork(listening: socket.socket, crowd: Crowd) -> int:
    number = os.fork()
    if number:
        return number
    status = 1
    try:
        _worker(listening, crowd)
        status = 0
    finally:
        os._exit(status)


def serve(workers: int, seed: int = 0) -> dict[str, Any]:
    """Has so many workers answer, one after the other: how many requests, and the longest."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        crowd = Crowd(folder)
        expected = crowd.tokenizer.encode_batch(crowd.texts)
        working = Threads(crowd, 2, seed, ("encode_batch", "prefixes", "tables", "make_another"))
        address = os.path.join(folder, "socket")  # noqa: PTH118
        listening.bind(address)
        listening.listen(64)
        running: set[int] = set()
        longest, wrong, lock = [0.0], [], threading.Lock()
        left = workers * REQUESTS

        def ask(number: int) -> None:
            nonlocal left
            dice = random.Random(f"{seed} {number}")
            while True:
                with lock:
                    if left == 0 or wrong:
                        return
                    left -= 1
                numbers = dice.sample(range(len(crowd.texts)), 30)
                began = time.monotonic()
                try:
                    with socket.socket(socket.AF_UNIX) as connection:
                        connection.settimeout(HANG)
                        connection.connect(address)
                        with connection.makefile("rwb") as stream:
                            stream.write(json.dumps(numbers).encode() + b"\n")
                            stream.flush()
                            ids = json.loads(stream.readline())
                    same = ids[:30] == [expected[n] for n in numbers] and ids[30:] == ids[:2]
                except (OSError, ValueError) as error:
                    same = f"{type(error).__name__}: {error}"
                if same is not True:
                    wrong.append(same or "other ids")
                    return
                longest[0] = max(longest[0], time.monotonic() - began)

        clients = [threading.Thread(target=ask, args=(n,), daemon=True) for n in range(CLIENTS)]
        started = ended = 0
        for client in clients:
            client.start()
        while ended < workers and not wrong:
            while len(running) < AT_ONCE and started < workers:
                running.add(_fork(listening, crowd))
                started += 1
            for number in list(running):
                done, status = os.waitpid(number, os.WNOHANG)
                if done:
                    running.remove(number)
                    ended += 1
                    if status:
                        wrong.append(f"a worker ended with {status}")
            working.check()
            time.sleep(0.002)
        for client in clients:
            client.join(HANG)
        working.end()
        assert wrong == [], wrong[:5]
        assert working.wrong == [], working.wrong[:5]
        assert all(wait(number) == 0 for number in running)
    return {
        "workers": workers,
        "requests": workers * REQUESTS,
        "longest_answer_seconds": round(longest[0], 2),
    }
