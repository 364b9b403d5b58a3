"""Work in a current folder that has been removed, as a worker's is that outlived its first job."""

import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from llama3_tok import Tokenizer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder one is in")


def python(tmp_path, code, *arguments):
    """Runs code with these arguments in a folder that it removes at first."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys\nos.rmdir(os.getcwd())\n" + textwrap.dedent(code)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=gone, capture_output=True, text=True, timeout=120)


def command(tmp_path, *arguments):
    code = "from llama3_tok.cli import main\nraise SystemExit(main(sys.argv[1:]))"
    return python(tmp_path, code, *arguments)


def test_a_pickle_finds_its_vocabulary(tmp_path):
    path = tmp_path / "pickled"
    path.write_bytes(pickle.dumps(Tokenizer()))
    code = """
        import pickle
        with open(sys.argv[1], "rb") as file:
            print(pickle.load(file).encode("Hello world"))
        """
    run = python(tmp_path, code, path)
    assert (run.stdout, run.stderr) == ("[9906, 1917]\n", "")


def test_texts_and_files_with_absolute_paths_work(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Hello world")
    run = command(tmp_path, "encode", "-f", text)
    assert (run.stdout, run.stderr) == ("9906 1917\n", "")


def test_a_function_is_compared_without_the_modules_of_that_folder(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Hello world")
    run = command(tmp_path, "parity", "--reference", "llama3_tok:encode", text)
    assert run.returncode == 0, run.stderr
    assert "all equal" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["count", "--vocabulary", "tokenizer.model", "-t", "x"],
            "the argument names the vocabulary tokenizer.model, a path from the current folder, "
            "which has been removed: give an absolute path",
        ),
        (["corpus", "{text}", "--out", "corpus"], "corpus: No such file or directory"),
        (["explain", "x", "--html", "x.html"], "x.html: No such file or directory"),
        (["count", "x.txt"], "x.txt: No such file or directory; to count a text, give -t TEXT"),
    ],
    ids=["vocabulary", "corpus", "page", "text"],
)
def test_what_is_relative_to_it_is_named(tmp_path, arguments, error):
    text = tmp_path / "text.txt"
    text.write_text("Hello world")
    run = command(tmp_path, *(argument.format(text=text) for argument in arguments))
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"llama3-tok: {error}\n")
