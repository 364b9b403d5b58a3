"""All there is within a small scope: texts of few characters of each kind, and odd tokens in pairs.

Texts have up to 4 characters, with what takes long (in CI) up to 5, and with
`make large` up to 6: 49,659,541 texts (19 to the power of 1 to 6), on every code path.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import oracle
import short_texts
from llama3_tok import _core, about

LENGTHS = [
    *range(5),
    pytest.param(5, marks=pytest.mark.long),
    pytest.param(6, marks=pytest.mark.large),
]
SUFFIXES = [
    *"aeinst1 !'\n\t|<", "ing", "ed", "'s", "'t", " a", " the", "\n\n", "  ", "ệ", "ть", "ов",
    "の", "漢", "字", "한", "국", "ا", "ל", "ก", "क", "้", "\u0301", "😀", "123", "0", "½", "...",
    "()", "();\n", "==", "//", "_", "_id", "Id", "Name", "A", "Z", "é", "ß", "ſ",
    "\u00a0", "\r\n", "\r", "\x00", "—", "’s", "”", "。", "、", "，",
]  # fmt: skip


class Worker:
    """A process that hashes ids on one code path."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(short_texts.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "LLAMA3_TOK_PATH": path},
            text=True,
        )
        assert self.process.stdout.readline().strip() == path

    def ask(self, length: int, chunk: int) -> None:
        """Asks for the hash of a chunk; `answer` waits for it."""
        self.process.stdin.write(f"{length} {chunk}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()


def test_there_is_one_character_of_each_kind():
    assert len(set(short_texts.KINDS.values())) == len(short_texts.KINDS) == 19
    assert len(list(short_texts.texts(5, 3))) == short_texts.CHUNK
    assert len({*short_texts.texts(5, 0), *short_texts.texts(5, 18)}) == 2 * short_texts.CHUNK


@pytest.fixture(scope="module")
def workers():
    started = {path: Worker(path) for path in about.code_paths()}
    yield started
    for worker in started.values():
        worker.process.communicate()


@pytest.mark.parametrize("length", LENGTHS)
def test_every_short_text_gives_the_ids_of_tiktoken_on_every_code_path(length, workers):
    encode = oracle.encoding().encode_ordinary
    for chunk in range(short_texts.chunks(length)):
        for worker in workers.values():
            worker.ask(length, chunk)
        expected = short_texts.digest_of_lists(map(encode, short_texts.texts(length, chunk)))
        found = {path: worker.answer() for path, worker in workers.items()}
        assert found == dict.fromkeys(workers, expected), f"length {length}, chunk {chunk}"


@pytest.fixture(scope="module")
def odd(tokenizer):
    """The 588 tokens that merging does not reach, and 107 whose merges go up and down in rank."""
    unreached, unordered = [], []
    for id, token in enumerate(tokenizer.tokens()):
        ranks = [rank for _, _, _, rank in _core.merge_steps(tokenizer._core, token)]
        if tokenizer.merge(token) != [id]:
            unreached.append(token)
        elif ranks != sorted(ranks):
            unordered.append(token)
    assert (len(unreached), len(unordered)) == (588, 107)
    return unreached + unordered


def _compared(tokenizer, odd, suffixes) -> int:
    """Compares each odd token with each suffix, as one pretoken and as a text."""
    encoding, compared = oracle.encoding(), 0
    for token in odd:
        joined = [token + suffix for suffix in suffixes]
        single = [encoding._encode_single_piece(data) for data in joined]
        assert [tokenizer.merge(data, vocab_first=True) for data in joined] == single, token
        texts = [data.decode("utf-8", "ignore") for data in joined]
        expected = [encoding.encode_ordinary(text) for text in texts]
        assert tokenizer.encode_batch(texts, threads=1) == expected, token
        compared += len(joined)
    return compared


def test_odd_tokens_before_suffixes_give_the_ids_of_tiktoken(tokenizer, odd):
    suffixes = [suffix.encode() for suffix in SUFFIXES]
    assert len(set(suffixes)) == 64
    assert _compared(tokenizer, odd, suffixes) == 695 * 64


@pytest.mark.large
def test_odd_tokens_in_pairs_give_the_ids_of_tiktoken(tokenizer, odd):
    assert _compared(tokenizer, odd, odd) == 695 * 695
