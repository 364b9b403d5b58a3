"""Memory of a process that goes on for long; `tests/long_life.py` has the long run."""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

import long_life
from conftest import EXAMPLES

SCRIPT = Path(long_life.__file__)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory in use")


def test_no_two_words_are_equal():
    text = long_life.words(0, 300_000) + long_life.words(300_000, 5)
    words = text.split()
    assert len(words) == len(set(words)) == 300_005


def test_words_are_pretokens_that_are_merged(tokenizer):
    text = long_life.words(12_345_678, 1000)
    assert len(tokenizer.pretokens(text)) == 1000
    assert tokenizer.count(text) > 3000


@pytest.mark.long
@linux
def test_memory_is_flat_after_warm_up(tmp_path):
    """The first seconds of a life, in which all caches are filled.

    It is so short that a thread's cache may still grow, to 24 MB; the long run allows 2 MB.
    """
    record = tmp_path / "record.json"
    pretokens, objects = (30_000_000, 1000) if EXAMPLES >= 2000 else (10_000_000, 100)
    sizes = ["--pretokens", pretokens, "--chats", pretokens // 1000, "--objects", objects]
    sizes += ["--growth", 26]
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, sizes), "--json", record],
        capture_output=True,
        text=True,
        timeout=1500,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(record.read_text())
    info = found["parts"]["distinct_pretokens"]["cache_info"]
    assert 0 < info["bytes"] <= info["limit"]
    assert found["grown"] == {}


@pytest.mark.long
@linux
def test_memory_that_grows_is_seen():
    kept = []

    def leak(number):
        # The heap of this process may have memory that other tests have left.
        kept.append(mmap.mmap(-1, 1 << 20))
        kept[-1].write(b"x" * (1 << 20))

    found = long_life.Life("a leak", 100).run(leak)
    assert 45 < found["growth_mb"] < 52  # of the second half
    assert long_life.Life("nothing", 100).run(lambda number: None)["growth_mb"] < 1
