"""A progress bar on standard error, for work that takes more than a second."""

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from llama3_tok import files
from llama3_tok.cli.terminal import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "shows", "stored_bytes"]


def shows() -> bool:
    """Whether there is anybody to show a bar."""
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


class Bar:
    """A progress bar on standard error, once the work takes more than a second.

    A timer draws it, since the work may itself be waiting, for a pipe. It measures bytes; `total`
    says of how many, or None.
    """

    DELAY = 1.0

    def __init__(self, label: str, total: Callable[[], int | None]) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._progress: Progress | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(self.DELAY, self._show)
        self._timer.daemon = True
        self._timer.start()

    def __call__(self, done: int) -> None:
        """Takes the bytes that are done so far."""
        self._done = done
        if self._progress:
            self._progress.update(self._progress.task_ids[0], completed=done)

    def close(self) -> None:
        """Takes the bar away."""
        with self._lock:
            self._closed = True
        self._timer.cancel()
        if self._progress:
            self._progress.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        bar = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        with self._lock:
            if not self._closed:
                bar.add_task(self._label, total=self._total(), completed=self._done)
                bar.start()
                self._progress = bar


def stored_bytes(paths: Iterable[str]) -> int | None:
    """Bytes of files on the disk; None if one has no size beforehand, as a pipe."""
    sizes = [_size(path) for path in paths]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _size(path: str) -> int | None:
    """Missing files have 0."""
    try:
        status = os.fstat(0) if path == files.STANDARD_INPUT else os.stat(path)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None
