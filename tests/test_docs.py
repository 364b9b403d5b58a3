"""The examples that people read are true: the README's and those of the docstrings."""

import doctest
import gzip
import importlib
from pathlib import Path

import pytest

import llama3_tok.compat.tiktoken

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the examples find their files."""
    (tmp_path / "hello.txt").write_text("Hello world")
    (tmp_path / "hello.txt.gz").write_bytes(gzip.compress(b"Hello world"))
    (tmp_path / "hello.jsonl").write_text('{"text": "Hello"}\n{"text": "Hello world"}\n')
    monkeypatch.chdir(tmp_path)


def test_the_examples_of_the_readme_give_what_they_show():
    result = doctest.testfile(
        str(README), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert result.attempted > 10
    assert result.failed == 0


@pytest.mark.parametrize(
    "module",
    [
        "llama3_tok",
        "llama3_tok.assistant",
        "llama3_tok.encoding",
        "llama3_tok.report.page.page",
        "llama3_tok.streaming",
        "llama3_tok.tokenizer",
        "llama3_tok.tokenizer.conversations",
        "llama3_tok.tokenizer.text_files",
        "llama3_tok.tokenizer.texts",
        "llama3_tok.compat.tiktoken.model",
        "llama3_tok.compat.tiktoken.core",
        "llama3_tok.compat.tiktoken.registry",
        "llama3_tok.compat.transformers",
        "llama3_tok.compat.transformers.auto",
        "llama3_tok.report.check",
        "llama3_tok.torch.stopping",
    ],
)
def test_the_examples_of_the_docstrings_give_what_they_show(module):
    globs = {"llama3_tok": llama3_tok, "tiktoken": llama3_tok.compat.tiktoken}
    result = doctest.testmod(importlib.import_module(module), extraglobs=globs)
    assert result.attempted > 0
    assert result.failed == 0
