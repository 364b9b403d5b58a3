"""Making the next items of an iterator while one is worked on, and ending one while the next is."""

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import TypeVar

__all__ = ["Behind", "ahead"]

_T = TypeVar("_T")
_ITEMS = 2
"""Items that wait, besides the one that is made."""


def ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """The items, which a thread of its own makes; what it raises is raised after the last one."""
    made: Queue[tuple[_T | None, BaseException | None]] = Queue(_ITEMS)
    is_wanted = True

    def make() -> None:
        try:
            for item in items:
                if not is_wanted:
                    break
                made.put((item, None))
            made.put((None, None))
        except BaseException as error:  # it goes to whoever takes the items
            made.put((None, error))

    thread = threading.Thread(target=make, name="llama3_tok-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        is_wanted = False
        while thread.is_alive():
            # The thread may wait for a place in the queue.
            if not made.empty():
                made.get()
            thread.join(0.01)


class Behind:
    """Calls functions, one after the other, in a thread of its own while the caller goes on.

    It is a context, at whose end all are done. What a function raises is raised at the next call,
    or there. With `is_alone` there is no other thread, and functions are called at once.
    """

    def __init__(self, *, is_alone: bool) -> None:
        self._is_alone = is_alone
        self._thread = ThreadPoolExecutor(1, "llama3_tok-behind")
        self._running: Future[object] | None = None

    def __enter__(self) -> "Behind":
        return self

    def call(self, function: Callable[[], object]) -> None:
        """Calls a function when the one before it has ended, which is waited for."""
        self._wait()
        if self._is_alone:
            function()
        else:
            self._running = self._thread.submit(function)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._wait()
        except BaseException:
            if kind is None:
                raise
            # The first error is the one that is told.
        finally:
            self._thread.shutdown()

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()
