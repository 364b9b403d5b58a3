"""The guide to fine-tunes: every block of it is run, and gives what it shows."""

import doctest
import json
import shlex
import subprocess
from pathlib import Path

import pytest

import folders
from cli import COMMAND, environment

pytest.importorskip("transformers")

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "fine-tunes.md"
TEXT = GUIDE.read_text(encoding="utf-8")
TRAINING = "## A training batch\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the guide finds its folders and files."""
    folders.chatml(tmp_path / "chatml")
    folders.reasoning(tmp_path / "reasoning")
    (tmp_path / "notes.txt").write_text("<think>Hi</think>", encoding="utf-8")
    (tmp_path / "corpus.jsonl").write_text('{"text": "Hello world"}\n' * 2, encoding="utf-8")
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello you"}]
    (tmp_path / "chat.json").write_text(json.dumps(chat), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks():
    """The indented blocks, without their indentation."""
    found, before = [], ""
    for line in TEXT.splitlines():
        if line.startswith("    "):
            if not before.startswith("    "):
                found.append([])
            found[-1].append(line[4:])
        before = line
    return found


def run(text):
    test = doctest.DocTestParser().get_doctest(text, {}, GUIDE.name, str(GUIDE), 0)
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert result.failed == 0
    return result.attempted


def test_every_block_is_an_example_or_a_command():
    assert "```" not in TEXT
    assert {block[0][:2] for block in blocks()} == {">>", "$ "}
    examples = doctest.DocTestParser().get_examples(TEXT)
    assert len(examples) == sum(line.startswith(">>> ") for block in blocks() for line in block)


def test_the_examples_give_what_they_show():
    before, training = TEXT.split(TRAINING)
    assert run(before) > 40
    assert ">>>" not in training.partition("\n## ")[2]


def test_the_training_batch_is_what_it_shows():
    pytest.importorskip("torch", reason="the training batch needs torch")
    run(TEXT)


def test_the_commands_give_what_they_show(folder):
    commands = [block for block in blocks() if block[0].startswith("$ ")]
    assert len(commands) > 4
    for block in commands:
        assert sum(line.startswith("$ ") for line in block) == 1
        shell = f'set -o pipefail; llama3-tok() {{ {shlex.join(COMMAND)} "$@"; }}\n{block[0][2:]}'
        done = subprocess.run(
            ["bash", "-c", shell],
            capture_output=True,
            cwd=folder,
            env=environment(),
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), block[0]
        assert done.stdout.decode().rstrip("\n").splitlines() == block[1:]
