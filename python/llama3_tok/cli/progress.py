"""A progress bar for what reads files."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llama3_tok.cli.terminal import is_terminal
from llama3_tok.text import files

if TYPE_CHECKING:
    from rich.progress import Progress


def shows_bar() -> bool:
    """Whether somebody watches standard error who can see a bar."""
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


class Bar:
    """A progress bar on standard error, once the work takes more than a second.

    A timer draws it, since the work may itself be waiting, for a pipe. It measures stored bytes:
    those of `paths`, or of what else `total` says, which may be None.
    """

    DELAY = 1.0

    def __init__(
        self, paths: Sequence[str] = (), total: Callable[[], int | None] | None = None
    ) -> None:
        import threading

        self._total = total or (lambda: _sum(paths))
        self._read = 0
        self._progress: Progress | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(self.DELAY, self._show)
        self._timer.daemon = True
        self._timer.start()

    def __call__(self, read: int) -> None:
        """Takes the bytes read so far of all files."""
        self._read = read
        if self._progress:
            self._progress.update(self._progress.task_ids[0], completed=read)

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
                bar.add_task("counting", total=self._total(), completed=self._read)
                bar.start()
                self._progress = bar


def _sum(paths: Sequence[str]) -> int | None:
    sizes = [files.stored_size(path) for path in paths]
    return None if None in sizes else sum(size or 0 for size in sizes)
