"""Making the next items of an iterator while one is worked on."""

import threading
from collections.abc import Generator, Iterator
from queue import Queue
from typing import TypeVar

__all__ = ["ahead"]

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
