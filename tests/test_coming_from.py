"""The tables of "Coming from another library": in each row both calls give the same."""

import re
from pathlib import Path

import numpy as np
import pytest
import tokenizers

import llama3_tok
import oracle

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coming-from.md"
ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)
TEXTS = ["Hello world", "Tiếng Việt, 漢字 and 12345\n\n  'tis", " \t x = {}  # ±0"]
LIBRARIES = ("tiktoken", "transformers", "tokenizers")
NAMES = ["<|eot_id|>", "<|begin_of_text|>", "<|python_tag|>"]


def tables():
    """The rows of each library's table."""
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        if title in LIBRARIES:
            found[title] = ROW.findall(body)
            assert len(found[title]) == body.count("\n| `"), "a row that is not two calls"
    return found


TABLES = tables()


def plain(value):
    """A value without what only says who made it."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def library(name, saved_folder):
    """What the page calls the other library's tokenizer."""
    if name == "tiktoken":
        return {"encoding": oracle.encoding()}
    if name == "tokenizers":
        return {"fast": tokenizers.Tokenizer.from_file(str(saved_folder / "tokenizer.json"))}
    transformers = pytest.importorskip("transformers")
    return {"auto": transformers.AutoTokenizer.from_pretrained(saved_folder)}


def test_each_library_has_a_table():
    assert set(TABLES) == set(LIBRARIES)
    assert min(len(rows) for rows in TABLES.values()) >= 10


@pytest.mark.parametrize("name", TABLES)
def test_both_calls_of_a_row_give_the_same(name, saved_folder):
    theirs = library(name, saved_folder)
    tokenizer = llama3_tok.Tokenizer(saved_folder)
    for text, special in zip(TEXTS, NAMES, strict=True):
        for bos in (False, True):
            names = {
                **theirs,
                "tokenizer": tokenizer,
                "text": text,
                "texts": TEXTS,
                "ids": tokenizer.encode(text, bos=bos),
                "name": special,
                "messages": [{"role": "user", "content": text}],
            }
            for call, ours in TABLES[name]:
                if bos and "offsets" in call:  # the places are those of the text alone
                    continue
                expected, got = plain(eval(call, dict(names))), plain(eval(ours, dict(names)))
                assert expected is not None
                assert expected == got, (call, ours)
