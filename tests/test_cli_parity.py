"""`llama3-tok parity`."""

import json
import os
import signal
import subprocess
import time

import pytest

from cli import COMMAND, environment, fails, on_terminal, output, run
from llama3_tok import Tokenizer
from llama3_tok.formats.hugging_face import tokenizer_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    made = tokenizer_json(Tokenizer().definition)
    made["model"]["ignore_merges"] = False
    (folder / "wrong.json").write_text(json.dumps(made))
    (folder / "fine.txt").write_text("Hello world")
    (folder / "viet.txt").write_text("Xin chào Việt Nam\x1b[31m")
    (folder / "names.jsonl").write_text('{"text": "Hello"}\n{"text": "<|eot_id|>"}\n')
    return folder


def test_equal_files_are_a_table_and_exit_0(folder):
    printed = output("parity", "--reference", "tiktoken", "fine.txt", cwd=folder).decode()
    lines = printed.splitlines()
    assert lines[0].split() == [
        *("items", "bytes", "tokens", "equal", "explained", "different", "failed")
    ]
    assert lines[1].split()[:5] == ["llama3_tok", *lines[1].split()[1:2], "1", "11", "2"]
    assert lines[2].split()[:8] == ["tiktoken", "0.14.0", "1", "11", "2", "1", "0", "0"]
    assert lines[-1] == "1 comparison; all equal"
    assert [line for line in lines if line.startswith("No speed is shown for 11 bytes: ")]
    assert "\x1b" not in printed


def test_a_large_file_has_speeds(folder):
    (folder / "large.txt").write_text("This is a test sentence. " * 40_000)
    printed = output("parity", "--reference", "tiktoken", "large.txt", cwd=folder).decode()
    lines = printed.splitlines()
    assert lines[0].split()[-1] == "MB/s"
    assert [float(line.split()[-1]) > 0 for line in lines[1:3]] == [True, True]
    assert "No speed" not in printed


def test_a_difference_is_shown_in_aligned_rows_and_exit_1(folder):
    done = run(
        "parity", "--against", "wrong.json", "--reference", "tiktoken", "viet.txt", cwd=folder
    )
    assert (done.returncode, done.stderr) == (1, b"")
    lines = done.stdout.decode().splitlines()
    at = lines.index("  smallest text: ·Việt")
    assert lines[at - 1].endswith("viet.txt, token 4, byte 9: different (no vocab-first rule)")
    ours, our_ids, theirs, their_ids, verdict = lines[at + 1 : at + 6]
    assert ours.split() == ["llama3_tok", "·Việt"]
    assert our_ids.split() == ["101798"]
    assert their_ids.split() == ["11655", "26298", "83"]
    assert ours.index("·") == our_ids.index("1") == theirs.index("·") == their_ids.index("1")
    assert verdict.startswith("  against wrong.json is alone;")
    assert "\x1b" not in done.stdout.decode()


def test_explained_differences_exit_0(folder):
    printed = output(
        "parity", "--field", "text", "--reference", "tokenizers", "names.jsonl", cwd=folder
    ).decode()
    assert "names.jsonl, line 2" in printed
    assert "special-token policy" in printed
    assert printed.endswith("all equal but 1, each shown to have a known cause\n")


def test_json_and_html_have_the_whole_report(folder):
    arguments = ["--json", "--html", "report.html", "--seed", "5", "--reference", "tiktoken"]
    printed = output("parity", *arguments, "fine.txt", cwd=folder)
    value = json.loads(printed)
    assert value["ok"]
    command = "llama3-tok parity --json --html report.html --seed 5 --reference tiktoken fine.txt"
    assert value["facts"]["command"] == command
    assert value["inputs"][0]["name"] == "fine.txt"
    html = (folder / "report.html").read_text()
    assert html.startswith("<!doctype html>")
    assert value["inputs"][0]["sha256"] in html


def test_standard_input_is_read(folder):
    printed = output("parity", "--json", "--reference", "tiktoken", "-", stdin=b"Hello world")
    value = json.loads(printed)
    assert value["inputs"][0]["name"] == "standard input"
    assert value["references"][0]["total"]["equal"] == 1


@pytest.mark.long
def test_a_terminal_gets_colours_and_nothing_it_would_obey(folder):
    arguments = ["parity", "--against", "wrong.json", "viet.txt"]
    code, shown, _ = on_terminal(*arguments, cwd=folder, columns=60)
    assert code == 1
    assert b"\x1b[31m" in shown  # the colour of a difference
    assert "·Việt".encode() in shown
    code, shown, _ = on_terminal(*arguments, cwd=folder, NO_COLOR="1")
    assert b"\x1b[3" not in shown


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--reference", "nobody"], "not a reference"),
        (["--reference", "no_such_module:f"], "can't be loaded"),
        (["--against", "missing.json"], "missing.json: No such file"),
        (["--against", "fine.txt"], "reference against fine.txt: unusable"),
        (["missing.txt"], "missing.txt: No such file"),
        (["--seconds", "0"], "not a positive number"),
        (["--memory", "4X"], "not a size"),
        (["--field", "text"], "about files"),
        (["-", "-"], "only once"),
        (["--template", "missing.jinja"], "missing.jinja: No such file"),
    ],
)
def test_what_cannot_be_used_exits_2(folder, arguments, reason):
    assert reason in fails("parity", *arguments, cwd=folder)


def test_a_reference_that_was_asked_for_and_gave_nothing_exits_2(folder):
    done = run("parity", "--reference", "os:getpid", "fine.txt", cwd=folder)
    assert done.returncode == 2
    assert b"gave no ids for any item" in done.stderr
    assert b"TypeError" in done.stdout


def test_a_module_of_the_current_folder_can_be_a_reference(folder):
    (folder / "mine.py").write_text("import llama3_tok\nencode = llama3_tok.encode\n")
    output("parity", "--reference", "mine:encode", "fine.txt", cwd=folder)


def test_ctrl_c_ends_it_and_its_references(folder):
    (folder / "slow.py").write_text(
        "import pathlib, os, time\n"
        "def encode(text):\n"
        "    pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [*COMMAND, "parity", "--reference", "slow:encode", "fine.txt"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 60
        while not (folder / "pid").exists() or not (folder / "pid").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert b"Traceback" not in process.stderr.read()
    reference = int((folder / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(reference, 0)
