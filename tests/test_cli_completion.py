"""What shells complete, asked of the shells themselves; and the manual page."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli import fails, output
from llama3_tok.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "llama3_tok.data/data/share/man/man1/llama3-tok.1"

pytest.importorskip("shtab", reason="shtab, of the extra `completion`, is not installed")

# What is typed, and what is among the answers.
TYPED = [
    ("cou", ["count"]),
    ("convert", ["convert", "convert-checkpoint"]),
    ("count --bud", ["--budget"]),
    ("count --profile llama3.2", ["llama3.2", "llama3.2-vision"]),
    ("completion ", ["bash", "fish", "zsh"]),
    ("count hel", ["hello.txt"]),
    ("count --vocabulary hel", ["hello.txt"]),
]
typed = pytest.mark.parametrize(("words", "expected"), TYPED, ids=[words for words, _ in TYPED])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "hello.txt").write_text("Hello world")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(name):
    if not (found := shutil.which(name)):
        pytest.skip(f"{name} is not installed")
    return found


def written(name, file):
    file.write_bytes(output("completion", name))
    return file


@typed
def test_bash_completes(folder, words, expected):
    script = written("bash", folder / "completion.sh")
    code = f"""
        source {script}
        COMP_WORDS=(llama3-tok {words}{'""' if words.endswith(" ") else ""})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        function=$(complete -p llama3-tok | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
        "$function" llama3-tok "${{COMP_WORDS[COMP_CWORD]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [shell("bash"), "--norc", "-c", code], capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == expected


@typed
def test_fish_completes(folder, words, expected):
    script = written("fish", folder / "completion.fish")
    code = f"source {script}; complete -C 'llama3-tok {words}'"
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        [shell("fish"), "--no-config", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    # A description follows each.
    assert sorted(line.split("\t")[0] for line in done.stdout.splitlines()) == expected


@typed
def test_zsh_completes(folder, words, expected):
    """It completes on a terminal alone: the longest common beginning, then a list of all."""
    folder.joinpath("functions").mkdir()
    written("zsh", folder / "functions" / "_llama3-tok")
    with Terminal([shell("zsh"), "-f", "-i"], folder) as terminal:
        terminal.send("PS1='%% '; setopt no_always_last_prompt; LISTMAX=999\n")
        terminal.send("fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D\n")
        terminal.send("echo rea''dy\n")
        terminal.until("ready")
        terminal.send(f"llama3-tok {words}\t\t")
        for answer in expected:
            terminal.until(answer)


class Terminal:
    """A program on a terminal, and what it has shown since it was last looked at."""

    def __init__(self, command, folder):
        self.process, self.end = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.environ.update(TERM="dumb", HOME=str(folder), ZDOTDIR=str(folder))
            os.execv(command[0], command)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.end)
        os.waitpid(self.process, 0)

    def send(self, text):
        os.write(self.end, text.encode())

    def until(self, text):
        """Waits until it shows `text`."""
        last = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < last, self.shown
            if select.select([self.end], [], [], 0.2)[0]:
                self.shown += os.read(self.end, 4096).decode(errors="replace").replace("\b", "")


def test_another_shell_is_refused():
    assert "invalid choice: 'csh'" in fails("completion", "csh")


def test_the_manual_page_is_what_the_help_says():
    command = [sys.executable, ROOT / "scripts" / "man_page.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_manual_page_is_shown_without_a_warning():
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("man is not installed")
    environment = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["man", "--warnings=all", "-l", PAGE], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    for verb in VERBS:
        assert f"\n   llama3-tok {verb}\n" in done.stdout
    # An example with quotation marks, and one that begins with a dot would be a command of roff.
    assert "llama3-tok count --long src -g '*.py'" in done.stdout
    assert "--budget N\n" in done.stdout
