"""The site of the documentation, built once for all tests that look at it."""

import subprocess
import sys
from pathlib import Path

import pytest

from once import made_once

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "target" / "docs" / "site"


def built(tmp_path_factory):
    """The folder of the site."""
    for package in ("zensical", "mkdocstrings_handlers", "griffe"):
        pytest.importorskip(package, reason="the extra `docs` is not installed")
    done = made_once(tmp_path_factory, "site", build)
    code, _, said = done.read_text().partition("\n")
    assert code == "0", said
    return SITE


def build(done):
    """Builds it, and writes into a file how that went."""
    command = [sys.executable, str(ROOT / "scripts" / "site")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    done.write_text(f"{ran.returncode}\n{ran.stdout}{ran.stderr}")
