"""`llama3-tok compare`, run as people do."""

import json
import os
import re

import pytest

import llama2_model
from cli import count_of, fails, on_terminal, output, run

TEXT = "In 2024 it rained.\n  Việt 好き"


@pytest.fixture(scope="module", autouse=True)
def model(llama2_path):
    before = os.environ.get(llama2_model.REAL)
    os.environ[llama2_model.REAL] = llama2_path
    yield llama2_path
    if before is None:
        del os.environ[llama2_model.REAL]
    else:
        os.environ[llama2_model.REAL] = before


def test_both_rows_are_aligned_and_counted(tokenizer):
    lines = output("compare", TEXT).decode().splitlines()
    upper = [line for line in lines if line.startswith("Llama 3 ") and "│" in line]
    lower = [line for line in lines if line.startswith("Llama 2 ") and "│" in line]
    assert len(upper) == len(lower) >= 2
    ids = [lines[lines.index(line) + 1] for line in upper]
    assert [int(id) for line in ids for id in re.findall(r"\d+", line)] == tokenizer.encode(TEXT)
    assert "2024" not in lower[0]
    counted = next(line for line in lines if line.startswith("Llama 3 ") and "│" not in line)
    assert counted.split()[2] == str(count_of(TEXT))
    assert any(line.startswith("digits") for line in lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.long
def test_the_same_from_standard_input_and_a_file(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    direct = json.loads(output("compare", "--json", TEXT))
    piped = json.loads(output("compare", "--json", "-", stdin=TEXT.encode()))
    filed = json.loads(output("compare", "--json", "-f", "a.txt", cwd=tmp_path))
    for key in ("total", "causes", "scripts", "windows"):
        assert direct[key] == piped[key] == filed[key]
    assert direct["total"]["llama3"]["tokens"] == count_of(TEXT)
    rows = direct["excerpts"][0]
    assert (
        "".join(TEXT.encode()[a:b].decode("latin-1") for _, a, b in rows["llama2"]).encode(
            "latin-1"
        )
        == TEXT.encode()
    )
    assert filed["files"][0]["path"] == "a.txt"


def test_of_files_the_answers_come_first_and_few_beginnings_follow(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text(TEXT)
    lines = output("compare", "-f", ".", cwd=tmp_path).decode().splitlines()
    first = next(at for at, line in enumerate(lines) if "│" in line)
    for answer in ("why ", "tokens of script", "tokens of file", "context of"):
        assert any(line.startswith(answer) for line in lines[:first]), answer
        assert not any(line.startswith(answer) for line in lines[first:]), answer
    assert sum(line.endswith(".txt") for line in lines[first - 1 :]) == 5
    assert lines[-1] == "the beginnings of 2 more files are not shown here; --html shows more"


def test_a_page_is_written_beside_the_lines(tmp_path):
    page = tmp_path / "page.html"
    assert output("compare", "--html", str(page), TEXT) == output("compare", TEXT)
    assert page.read_text().startswith("<!doctype html>")


def test_colours_on_a_terminal():
    status, shown, _ = on_terminal("compare", TEXT)
    assert status == 0
    assert "│" not in re.sub(r"\x1b\[[\d;]*m", "", shown.decode())
    assert "\x1b[38;5;16;48;5;153m" in shown.decode()


def test_prices_and_contexts():
    lines = output("compare", "--price", "0.5,1", "word " * 1000).decode().splitlines()
    assert any(line.startswith("cost: ") and "in Llama 3" in line for line in lines)
    assert any(line.startswith("Llama 3.1 and later") for line in lines)


def test_text_can_do_nothing_to_a_terminal():
    shown = output("compare", "a\x1b[2J\u202e\x07b").decode()
    assert not re.search("[\x1b\u202e\x07]", shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--price", "-1", "x"], "is not a price"),
        (["--price", "nan", "x"], "is not a price"),
        (["--excerpt", "many", "x"], "is not a whole number"),
        (["-f", "a.txt", "x"], "not both"),
        (["--llama2", "/nonexistent", "x"], "does not exist"),
    ],
)
def test_wrong_usage(arguments, message):
    assert message in fails("compare", *arguments)


def test_without_llama2_the_error_says_where_to_get_it():
    message = fails("compare", "x", LLAMA3_TOK_LLAMA2=None)
    assert "huggingface.co/meta-llama/Llama-2-7b-hf" in message


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_compared(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    done = run("compare", "--json", "-f", "a.txt", "-f", "missing.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"llama3-tok: missing.txt: No such file or directory\n"
    found = json.loads(done.stdout)
    assert [each["path"] for each in found["files"]] == ["a.txt"]
    assert found["faults"][0]["path"] == "missing.txt"


def test_the_help_has_an_example():
    assert b"llama3-tok compare --llama2" in output("compare", "--help")
