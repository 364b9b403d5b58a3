"""Things that take long to make, made once for all processes of a run."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A path that `make` makes; the first process that asks does, the others wait for that.

    It goes with the temporary files of the run, and is only read.
    """
    shared = factory.getbasetemp()
    if shared.name.startswith("popen-"):  # one of pytest-xdist's, whose parent all of them have
        shared = shared.parent
    made, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(made)
            done.touch()
    return made
