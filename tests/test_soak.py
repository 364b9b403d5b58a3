"""The soak test itself: one round passes, and a fault is found, made short and kept."""

import json
import subprocess
import sys
from pathlib import Path

import soak

SCRIPT = Path(soak.__file__)


def test_the_same_seed_makes_the_same_texts():
    first, again, other = (list(soak.Texts(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == soak.TEXTS


def test_a_round_compares_everything(monkeypatch):
    monkeypatch.setattr(soak, "TEXTS", 8)
    monkeypatch.setattr(soak, "LONG_CHARACTERS", 10_000)
    monkeypatch.setattr(soak, "CONVERSATIONS", 0)
    found = soak.round_of(3)
    assert found["failures"] == []
    assert found["compared"]["tiktoken"] == 8 + soak.LONG
    assert {"bytes", "tokenizers", "in pieces", "chunks"} <= set(found["compared"])
    assert found["bytes"] > 20_000


def test_a_fault_is_found_and_made_short(monkeypatch):
    monkeypatch.setattr(soak, "TEXTS", 3)
    monkeypatch.setattr(soak, "LONG", 0)
    monkeypatch.setattr(soak, "CONVERSATIONS", 0)
    monkeypatch.setattr(soak.Texts, "__iter__", lambda _: iter(["so far so good", "a long z text"]))
    monkeypatch.setattr(soak, "_CHECKS", [soak.Checks()])
    soak._CHECKS[0].of_text = {"no z": lambda text: "z" not in text, "raises": _raises}
    failures = soak.round_of(5)["failures"]
    assert {"check": "no z", "given": "'z'"} in failures
    assert {"check": "raises", "given": "'g'"} in failures


def _raises(text):
    if "g" in text:
        raise RuntimeError
    return True


def test_the_program_writes_a_record_and_goes_on_after_a_child_that_ended(tmp_path):
    program = (
        "import os, runpy, sys\n"
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import soak\n"
        "def round_of(seed):\n"
        "    if seed == 7: os._exit(1)\n"
        "    return {'seed': seed, 'bytes': 10, 'compared': {'a': 1}, 'failures': []}\n"
        "soak.round_of = round_of\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(soak.main())\n"
    )
    (tmp_path / "soaking.py").write_text(program)
    done = subprocess.run(
        [
            sys.executable,
            str(tmp_path / "soaking.py"),
            *("--seed", "6", "--rounds", "3", "--processes", "1", "--record", "record.json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["rounds"], record["failures"], record["bytes"]) == (3, 1, 20)
    kept = [
        json.loads(line) for line in (tmp_path / "soak-failures.jsonl").read_text().splitlines()
    ]
    assert kept == [{"seed": 7, "check": "the process", "given": "it ended, or hung"}]
