"""`llama3-tok-budget`, and pre-commit running it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cli import count_of
from llama3_tok.cli import budget

ROOT = Path(__file__).resolve().parent.parent
HOOK = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
SMALL, LARGE = "Hello world", "This is a test sentence. " * 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with two files, both in the index."""
    (tmp_path / "small.md").write_text(SMALL)
    (tmp_path / "large.md").write_text(LARGE)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    git("add", ".")
    return tmp_path


def git(*words, cwd=None):
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *words], check=True, capture_output=True, cwd=cwd)


def said(capsys, *arguments):
    status = budget.main([*map(str, arguments)])
    shown = capsys.readouterr()
    assert shown.out == ""
    return status, shown.err


def test_what_fits_is_not_spoken_of(folder, capsys):
    exact = count_of(LARGE)
    total = count_of(SMALL) + exact
    given = ("--file", exact, "--total", total, "small.md", "large.md")
    assert said(capsys, *given) == (0, "")


def test_a_file_above_its_budget_is_named(folder, capsys):
    tokens = count_of(LARGE)
    message = (
        f"large.md: {tokens:,} tokens, {tokens - 100:,} more than the budget of 100 for a file\n"
    )
    assert said(capsys, "--file", 100, "small.md", "large.md") == (1, message)


def test_the_total_of_folders_counts_what_git_sees(folder, capsys):
    (folder / ".gitignore").write_text("ignored.md\n")
    (folder / "ignored.md").write_text(LARGE)
    total = count_of(SMALL) + count_of(LARGE)
    assert said(capsys, "--total", total, folder) == (0, "")
    status, message = said(capsys, "--total", total - 1, folder)
    assert status == 1
    assert (
        message
        == f"all files together: {total:,} tokens, 1 more than the budget of {total - 1:,}\n"
    )


def test_a_file_that_is_not_there_is_no_success(folder, capsys):
    status, message = said(capsys, "--file", 1, "large.md", "nothing.md")
    assert status == 2
    assert "large.md: " in message
    assert "nothing.md: No such file" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.md"], "give --file N or --total N"),
        (["--file", "-1", "small.md"], "'-1' is not a number of tokens"),
        (["--file", "many"], "'many' is not a number of tokens"),
    ],
)
def test_wrong_usage_is_said(folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        budget.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_vocabulary_that_is_not_there_is_said(folder, capsys):
    status, message = said(capsys, "--file", 1, "--vocabulary", "nothing.model", "small.md")
    assert status == 2
    assert "nothing.model" in message


def pre_commit(folder, *words):
    """What `pre-commit` says and gives, with a home of its own."""
    program = Path(sys.executable).with_name("pre-commit")
    if not program.exists():
        pytest.skip("pre-commit is not installed")
    environment = {
        **os.environ,
        "PRE_COMMIT_HOME": str(folder / ".cache"),
        "PRE_COMMIT_COLOR": "never",
    }
    environment |= {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
    command = [program, *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def test_pre_commit_fails_by_it(folder):
    """With the hook as it is defined, but in this environment, so that nothing has to be built."""
    command = f"{sys.executable} -m llama3_tok.cli.budget"
    hook = {**HOOK, "language": "system", "entry": command, "args": ["--file", "100"]}
    del hook["additional_dependencies"]
    config = {"repos": [{"repo": "local", "hooks": [hook]}]}
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    git("add", ".")
    # Not text: the hook does not get it.
    (folder / "picture.bin").write_bytes(b"\0\xff" * 4000)
    git("add", ".")
    done = pre_commit(folder, "run", "--all-files")
    assert done.returncode == 1, done.stdout + done.stderr
    tokens = count_of(LARGE)
    assert f"large.md: {tokens:,} tokens, {tokens - 100:,} more than" in done.stdout
    assert "small.md" not in done.stdout
    assert "picture.bin" not in done.stdout
    done = pre_commit(folder, "run", "--files", "small.md")
    assert (done.returncode, "Passed" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.large
def test_pre_commit_installs_it_from_this_repository(folder):
    """As it is for others: cloned, built and run in an environment that pre-commit makes."""
    if not shutil.which("cargo") or not (ROOT / ".git").exists():
        pytest.skip("this needs Rust and the repository's history")
    config = {
        "repos": [
            {
                "repo": str(ROOT),
                "rev": head(),
                "hooks": [{"id": HOOK["id"], "args": ["--total", "100"]}],
            }
        ]
    }
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    done = pre_commit(folder, "run", "--files", "small.md", "large.md")
    total = count_of(SMALL) + count_of(LARGE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"all files together: {total:,} tokens" in done.stdout


def head():
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return done.stdout.strip()
