"""Another commit of this project as a peer: built for release, installed in a folder of its own.

`build` exports the commit (`git archive`: the working tree and git's own list of worktrees stay as
they are), lets pip build and install it into a folder of the user's cache, and gives that folder. A
commit that was built before, by the same compiler with the same flags, is not built again. Cargo's
target directory is in the cache too, so that the dependencies are compiled once.
"""

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from run import OURS

FLAGS = ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN")
"""Variables that change what the compiler makes."""


class BuildError(Exception):
    """Why a commit could not be built."""


def cache() -> Path:
    """Where built commits and Cargo's target directory are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "llama3_tok" / "bench"


def resolve(root: Path, revision: str) -> str:
    """The full name of a commit. Raises BuildError."""
    call = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{revision!r} is not a commit of {root}")
    return done.stdout.strip()


def build(root: Path, commit: str, say: Callable[[str], None] = lambda message: None) -> Path:
    """The folder in which that commit is installed.

    Raises BuildError, with what the compiler said.
    """
    place = cache() / "commits" / f"{commit}-{_compiler()}"
    with _locked(cache() / "lock"):
        if not place.exists():
            say(f"building commit {commit[:7]}")
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="llama3_tok-commit-", dir=place.parent) as name:
                # A new path each time: Cargo must never take a file for one of another commit.
                source, made = Path(name, "source"), Path(name, "made")
                _export(root, commit, source)
                _install(source, made)
                shutil.move(made, place)
    return place


def core_hash(folder: Path) -> str:
    """The SHA-256 of the compiled core in a folder."""
    [core] = (folder / OURS).glob("_core*.so")
    return hashlib.sha256(core.read_bytes()).hexdigest()


def _compiler() -> str:
    """What tells one way to compile from another, in few letters."""
    try:
        call = ["rustc", "--version", "--verbose"]
        rustc = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise BuildError("rustc is needed to build a commit") from None
    flags = [f"{name}={os.environ.get(name, '')}" for name in FLAGS]
    told = "\n".join([rustc, sysconfig.get_platform(), *flags])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _export(root: Path, commit: str, source: Path) -> None:
    call = ["git", "-C", str(root), "archive", "--format=tar", commit]
    done = subprocess.run(call, capture_output=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr.decode("utf-8", "replace").strip())
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(source, filter="data")


def _install(source: Path, folder: Path) -> None:
    """Lets pip build and install it, with the environment's maturin if it has one."""
    call = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    if find_spec("maturin"):
        call.append("--no-build-isolation")
    call += ["--target", str(folder), str(source)]
    done = subprocess.run(call, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError("\n".join((done.stdout + done.stderr).strip().splitlines()[-20:]))


def _environment() -> Mapping[str, str]:
    scripts = sysconfig.get_path("scripts")
    return os.environ | {
        "CARGO_TARGET_DIR": str(cache() / "target"),
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", "")]),
    }


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One build at a time: two would write the same files below the target directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
