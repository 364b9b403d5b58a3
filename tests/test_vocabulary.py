"""Where the vocabulary comes from, and which rank files are one."""

import base64
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken

import oracle
from llama3_tok import Tokenizer, VocabularyError, VocabularyNotFound, vocabulary
from llama3_tok._core import META_SHA256, PATTERN
from small_vocabulary import SINGLE_BYTES, SMALL, rank_lines, refuse, write


@pytest.fixture
def small(tmp_path):
    return write(tmp_path / "small.model", rank_lines(SMALL))


# Finding


def test_the_package_brings_metas_file(monkeypatch, tokenizer):
    monkeypatch.delenv(vocabulary.ENVIRONMENT, raising=False)
    path = vocabulary.find()
    assert path.endswith("llama_models/llama3/tokenizer.model")
    assert Tokenizer().vocabulary == path
    assert Tokenizer().vocabulary_sha256 == META_SHA256
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == META_SHA256


def test_the_argument_comes_before_the_environment_and_that_before_the_package(
    monkeypatch, tmp_path, small
):
    other = write(tmp_path / "other.model", rank_lines(SINGLE_BYTES))
    monkeypatch.setenv(vocabulary.ENVIRONMENT, str(small))
    assert Tokenizer().vocabulary == str(small)
    assert Tokenizer(other).vocabulary == str(other)
    monkeypatch.setenv(vocabulary.ENVIRONMENT, "")
    assert Tokenizer().vocab_size == 128256


def test_without_any_vocabulary_the_error_names_all_three_ways():
    code = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "llama_models" else find_spec(name)
import llama3_tok
try:
    llama3_tok.Tokenizer()
except llama3_tok.VocabularyNotFound as error:
    print(error)
"""
    environment = {k: v for k, v in os.environ.items() if k != vocabulary.ENVIRONMENT}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    for way in ("pip install 'llama3_tok[vocab]'", "LLAMA3_TOK_VOCAB=", "--vocabulary"):
        assert way in result.stdout, result.stderr


def test_a_path_that_does_not_exist_is_named_with_the_way_it_came(monkeypatch, tmp_path):
    missing = tmp_path / "nosuch"
    with pytest.raises(VocabularyNotFound, match="the argument names .*nosuch"):
        Tokenizer(missing)
    monkeypatch.setenv(vocabulary.ENVIRONMENT, str(missing))
    with pytest.raises(VocabularyNotFound, match="LLAMA3_TOK_VOCAB names .*nosuch"):
        Tokenizer()
    with pytest.raises(TypeError, match="vocabulary must be a path"):
        Tokenizer(3)


@pytest.mark.parametrize("name", ["tokenizer.model", "original/tokenizer.model"])
def test_a_model_folder_may_be_given(tmp_path, small, name):
    target = tmp_path / "folder" / name
    target.parent.mkdir(parents=True)
    target.write_bytes(small.read_bytes())
    assert Tokenizer(tmp_path / "folder").vocabulary == str(target)


def test_a_folder_without_a_tokenizer_says_what_was_looked_for(tmp_path):
    refuse(tmp_path, "the folder has no tokenizer: none of tokenizer.model, tokenizer.json")


def test_a_relative_path_is_kept_as_an_absolute_one(monkeypatch, small):
    monkeypatch.chdir(small.parent)
    assert Tokenizer("small.model").vocabulary == str(small)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_path_need_not_be_utf8(monkeypatch, tmp_path, small):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    Path(folder).mkdir()
    moved = str(small.rename(Path(folder, "v.model")))
    assert Tokenizer(moved).vocabulary == moved
    monkeypatch.setenv(vocabulary.ENVIRONMENT, moved)
    assert pickle.loads(pickle.dumps(Tokenizer())).vocabulary == moved


def test_a_file_that_can_not_be_read_is_the_systems_error(tmp_path, small):
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    small.chmod(0)
    with pytest.raises(PermissionError):
        Tokenizer(small)


# Rank files


def test_any_valid_rank_file_works(small):
    tokenizer = Tokenizer(small)
    assert tokenizer.vocab_size == len(SMALL) + 256
    assert tokenizer.encode("hello hello") == [SMALL.index(b"hello"), SMALL.index(b" hello")]
    assert tokenizer.bos_id == len(SMALL)
    assert tokenizer.stop_ids == [len(SMALL) + place for place in (1, 8, 9)]


def test_lines_may_stand_in_any_order_and_the_last_needs_no_newline(tmp_path, small):
    lines = rank_lines(SMALL)
    path = tmp_path / "other.model"
    path.write_text("\n".join(reversed(lines)), encoding="ascii")
    assert Tokenizer(path).encode("hello") == Tokenizer(small).encode("hello")


@pytest.mark.parametrize(
    ("line", "text", "reason"),
    [
        (258, "", "the line is empty"),
        (258, "bGw=", "no space"),
        (258, "bGw= ", 'the rank "" is not a whole number'),
        (258, "bGw= 1x", 'the rank "1x" is not a whole number'),
        (258, "bGw= -1", "is not a whole number"),
        (258, "bGw=  257", "is not a whole number"),
        (258, "bGw= 257 ", "is not a whole number"),
        (258, "bGw= 0257", "begins with 0"),
        (258, "bGw= 99999999999999999999", "too high; at most 1000000"),
        (258, "bGw= 1000000", "too high; at most 1000000"),
        (258, "bGw= 999", "too high: 263 tokens have the ranks 0 to 262"),
        (258, "bGw= 3", "rank 3 is already in line 4"),
        (258, "bGw 257", "3 characters, not a multiple of 4"),
        (258, " 257", "the base64 is empty"),
        (258, "b=w= 257", "'=' is not a base64 character"),
        (258, "bG-_ 257", "'-' is not a base64 character"),
        (258, "==== 257", "'=' is not a base64 character"),
        (258, "bGx= 257", "bits after its last byte"),
        (258, "bGw= 257\r", "carriage return"),
        (258, "aGU= 257", "rank 257 has the same bytes as rank 256"),
        (258, base64.b64encode(b"x" * 1025).decode() + " 257", "1025 bytes; at most 1024"),
    ],
)
def test_a_damaged_line_is_refused_with_its_number_and_reason(tmp_path, line, text, reason):
    lines = rank_lines(SMALL)
    lines[line - 1] = text
    refuse(write(tmp_path / "damaged.model", lines), reason, line=line)


def test_a_missing_single_byte_is_named(tmp_path):
    tokens = [token for token in SMALL if token != b"\x80"]
    refuse(write(tmp_path / "v.model", rank_lines(tokens)), "single byte 0x80 is not a token")


def test_a_token_of_1024_bytes_is_allowed(tmp_path):
    path = write(tmp_path / "v.model", rank_lines([*SMALL, b"x" * 1024]))
    assert Tokenizer(path).encode("x" * 1024) == [len(SMALL)]


def test_more_than_a_million_tokens_are_refused(tmp_path):
    tokens = [*SINGLE_BYTES, *(number.to_bytes(4, "big") for number in range(1_000_000 - 255))]
    lines = rank_lines(tokens)
    refuse(write(tmp_path / "v.model", lines), "too high; at most 1000000", line=1_000_001)
    assert Tokenizer(write(tmp_path / "v.model", lines[:-1])).vocab_size == 1_000_256


def test_a_wrong_file_is_told_without_reading_it_whole(tmp_path):
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF\x03\x00\x00\x00")
        file.truncate(100 << 30)
    refuse(path, "GGUF")
    with path.open("wb") as file:
        file.write(b"IQ== 0\n" * 1000)
        file.truncate(100 << 30)
    refuse(path, "more than any vocabulary")


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no pipes with names")
def test_a_pipe_or_a_device_is_no_vocabulary():
    refuse(Path(os.devnull), "not a regular file")


def test_an_empty_path_is_not_the_current_folder(monkeypatch, small):
    monkeypatch.chdir(small.parent)
    small.rename("tokenizer.model")
    with pytest.raises(VocabularyNotFound, match="the path is empty"):
        Tokenizer("")


def test_a_home_that_does_not_exist_is_a_path_that_does_not_exist():
    with pytest.raises(VocabularyNotFound, match="nosuchuser"):
        Tokenizer("~nosuchuser/tokenizer.model")


def test_a_file_made_to_collide_in_a_fixed_hash_loads_like_any_other(tmp_path):
    # With 0x6A09E667F3BCC909 as a fixed multiplier's operand, all of these would share a slot.
    head = (0x6A09E667F3BCC909).to_bytes(8, "little")
    tokens = [*SINGLE_BYTES, *(head + number.to_bytes(4, "big") for number in range(100_000))]
    path = write(tmp_path / "v.model", rank_lines(tokens))
    assert Tokenizer(path).token_id(tokens[-1]) == len(tokens) - 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html><body>Log in</body></html>", "HTML page"),
        (b"<html><head><title>Sign in", "HTML page"),
        (b"\xef\xbb\xbf<!-- moved --><html>", "HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "XML"),
        (b"\xef\xbb\xbfIQ== 0\n", "byte order mark"),
        (b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02", "SentencePiece model, as Llama 2"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"PK\x03\x04consolidated", "archive"),
        (b"\x1f\x8b\x08\x00", "archive"),
        (b"\x80\x02\x8a\x00\x00", "binary file"),
        (b"{", "not the tokenizer.json"),
        (b'{"error": "gated"}', 'JSON without a "model"'),
    ],
)
def test_other_files_are_told_by_their_content(tmp_path, content, reason):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(VocabularyError, match=reason):
        Tokenizer(path)


def test_a_sentencepiece_model_is_told(tmp_path):
    folder = os.environ.get("LLAMA3_TOK_LLAMA2")
    if not folder:
        pytest.skip("LLAMA3_TOK_LLAMA2 does not name Llama 2's tokenizer.model")
    refuse(folder, "SentencePiece model, as Llama 2")


# Meta's own file


def test_a_file_that_differs_from_metas_in_one_token_has_its_own_ids(tmp_path):
    """The merges of Meta's file are built in: they must not be taken for any other file."""
    content = Path(vocabulary.find()).read_bytes()
    assert content.count(base64.b64encode(b"Hello") + b" 9906\n") == 1
    # Of as many bytes, so that the length of the file does not tell.
    path = tmp_path / "other.model"
    path.write_bytes(content.replace(base64.b64encode(b"Hello"), base64.b64encode(b"Hellx"), 1))
    ranks = {**oracle.ranks(), b"Hellx": 9906}
    del ranks[b"Hello"]
    theirs = tiktoken.Encoding("other", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    tokenizer = Tokenizer(path)
    # Whole pretokens, and what merging gives inside longer ones.
    for text in ("Hello", "Hellx", "HelloHello", "xHellox", "HellxHello", "xHellxx", "HelloHellx"):
        assert tokenizer.encode(text) == theirs.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("HelloHellx") != Tokenizer().encode("HelloHellx")
    assert tokenizer.vocabulary_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert tokenizer.vocabulary_sha256 != META_SHA256


# Found again


def test_a_pickle_finds_its_vocabulary_again_by_path_and_hash(tmp_path, monkeypatch):
    # A content of its own: a vocabulary that another test holds would be found in the process.
    only_here = b"only in test_a_pickle"
    small = write(tmp_path / "small.model", rank_lines([*SMALL, only_here]))
    data = pickle.dumps(Tokenizer(small))
    assert pickle.loads(data).encode("hello") == [SMALL.index(b"hello")]
    # Moved: the environment names where it is now.
    moved = small.rename(tmp_path / "moved.model")
    with pytest.raises(VocabularyNotFound, match="not found again"):
        pickle.loads(data)
    monkeypatch.setenv(vocabulary.ENVIRONMENT, str(moved))
    assert pickle.loads(data).vocabulary == str(moved)
    # Another file in its place is not taken for it.
    monkeypatch.delenv(vocabulary.ENVIRONMENT)
    write(small, rank_lines(SINGLE_BYTES))
    with pytest.raises(VocabularyNotFound, match="another vocabulary, SHA-256"):
        pickle.loads(data)


def test_tokenizers_of_one_vocabulary_share_its_memory(tokenizer):
    assert Tokenizer()._core is tokenizer._core
    assert Tokenizer(profile="llama3")._core is not tokenizer._core
