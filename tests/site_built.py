"""The site of the documentation, built once for all tests that look at it."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "target" / "docs" / "site"


def built(tmp_path_factory):
    """The folder of the site; the first process that asks builds it, the others wait for that."""
    for package in ("zensical", "mkdocstrings_handlers", "griffe"):
        pytest.importorskip(package, reason="the extra `docs` is not installed")
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # one of pytest-xdist's, whose parent all of them have
        shared = shared.parent
    done = shared / "site"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            command = [sys.executable, str(ROOT / "scripts" / "site")]
            build = subprocess.run(command, capture_output=True, text=True, timeout=300)
            done.write_text(f"{build.returncode}\n{build.stdout}{build.stderr}")
    code, _, said = done.read_text().partition("\n")
    assert code == "0", said
    return SITE
