"""A progress bar for what reads and writes files."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llama3_tok.cli.terminal import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "progress_bar"]

DELAY = 1.0
"""Seconds that work takes before a bar is shown."""


@contextmanager
def progress_bar(
    total: Callable[[], int | None] | None = None, *, delay: float = DELAY
) -> Iterator["Bar | None"]:
    """A bar on standard error until the block ends; None if nobody is there who can see one.

    `total` gives the bytes that there are to do, or None; it is asked when the bar is shown.
    """
    if not is_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        yield None
        return
    bar = Bar(total, delay)
    try:
        yield bar
    finally:
        bar.close()


class Bar:
    """A progress bar of bytes, which is called with what is done, and perhaps with the total.

    After `delay` seconds a timer draws it, since the work may itself be waiting, for a pipe.
    Without a delay the first call does.
    """

    def __init__(self, total: Callable[[], int | None] | None, delay: float) -> None:
        import threading

        self._asked = total
        self._total: int | None = None
        self._done = 0
        self._note = ""
        self._progress: Progress | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(delay, self._show) if delay else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        """Takes the bytes done so far, and all that there are if that is known by now.

        `note` is shown after them.
        """
        self._done, self._total, self._note = done, total, note
        if self._progress is None and self._timer is None:
            self._show()
        if self._progress:
            self._progress.update(
                self._progress.task_ids[0], completed=done, total=total, note=note
            )

    def close(self) -> None:
        """Takes the bar away."""
        with self._lock:
            self._closed = True
        if self._timer:
            self._timer.cancel()
        if self._progress:
            self._progress.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        bar = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        total = self._asked() if self._asked else self._total
        with self._lock:
            if not self._closed:
                bar.add_task("", total=total, completed=self._done, note=self._note)
                bar.start()
                self._progress = bar
