"""Files in the API: counted, encoded and streamed, whatever their size, form and number."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from conftest import EXAMPLES
from llama3_tok import InputError, Llama3TokError, Ragged, SpecialTokenError
from text_files import TEXT, jsonl, write_many, written

PIECE = 1 << 18  # how much is read at a time
SPECIAL = ["<|eot_id|>", "<|eom_id|>", "<|begin_of_text|>", "<|reserved_special_token_247|>"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.txt"


# Equality with the whole


def options():
    names = st.sampled_from(["all", [], SPECIAL[:1], SPECIAL])
    flags = st.booleans()
    return st.fixed_dictionaries(
        {"bos": flags, "eos": flags, "allowed_special": names, "disallowed_special": names}
    )


def tried(function, *arguments, **asked):
    """What a function gives or raises for texts that may have disallowed special tokens."""
    try:
        return function(*arguments, **asked)
    except SpecialTokenError as error:
        return error


@pytest.mark.filterwarnings("ignore:the text begins with")
@settings(max_examples=max(EXAMPLES // 20, 50))
@given(
    texts=st.lists(strategies.fragments() | st.sampled_from(SPECIAL), max_size=8),
    suffix=st.sampled_from([".txt", ".gz", ".zst"]),
    asked=options(),
    threads=st.sampled_from([1, 2, None]),
    padding=st.sampled_from(["", "word, ", " ", "<|", "漢字、"]),
    before=st.integers(0, 40),
)
def test_a_file_has_the_ids_of_its_bytes(
    tmp_path_factory, tokenizer, texts, suffix, asked, threads, padding, before
):
    text = "".join(texts).encode("utf-8", "surrogatepass")
    if padding:  # so that the end of the first piece is in the middle of the text
        pad = padding.encode()
        text = (pad * (PIECE // len(pad) + 1))[: PIECE - min(before, len(text))] + text + pad
    path = written(tmp_path_factory.getbasetemp() / f"property{suffix}", text)
    assert tokenizer.count_file(path, threads=threads) == tokenizer.count(text)
    expected = tried(tokenizer.encode_array, text, **asked)
    if isinstance(expected, SpecialTokenError):
        error = expected
        for method in (tokenizer.encode_file, lambda *a, **o: list(tokenizer.stream_file(*a, **o))):
            with pytest.raises(SpecialTokenError) as caught:
                method(path, threads=threads, **asked)
            assert (caught.value.token, caught.value.offset) == (error.token, error.offset)
            assert (caught.value.path, caught.value.line) == (str(path), None)
            assert str(caught.value) == f"{path}: {error}"
        return
    ids = tokenizer.encode_file(path, threads=threads, **asked)
    assert ids.dtype == np.uint32
    np.testing.assert_array_equal(ids, expected)
    parts = list(tokenizer.stream_file(path, threads=threads, **asked))
    np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.filterwarnings("ignore:the text begins with")
@settings(max_examples=max(EXAMPLES // 20, 50))
@given(texts=st.lists(strategies.texts(), max_size=8), asked=options(), times=st.integers(1, 3))
def test_records_have_the_ids_of_their_texts(tmp_path_factory, tokenizer, texts, asked, times):
    path = tmp_path_factory.getbasetemp() / "property.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + jsonl(texts * times))
    assert tokenizer.count_file(path, field="text") == sum(map(tokenizer.count, texts)) * times
    expected = tried(tokenizer.encode_ragged, texts * times, **asked)
    if isinstance(expected, SpecialTokenError):
        error = expected
        with pytest.raises(SpecialTokenError) as caught:
            tokenizer.encode_file(path, field="text", **asked)
        assert (caught.value.token, caught.value.offset) == (error.token, error.offset)
        assert (caught.value.path, caught.value.line) == (str(path), error.index + 1)
        return
    ragged = tokenizer.encode_file(path, field="text", **asked)
    assert (ragged.ids.dtype, ragged.offsets.dtype) == (np.uint32, np.int64)
    np.testing.assert_array_equal(ragged.ids, expected.ids)
    np.testing.assert_array_equal(ragged.offsets, expected.offsets)


def test_special_tokens_across_the_ends_of_pieces_are_whole(path, tokenizer):
    unit = "x " * 7 + "<|eot_id|>" + "<|eom_id|>!<|eot_id" + "<|reserved_special_token_24"
    for shift in range(0, 40, 3):
        text = ("y" * shift + unit * (3 * PIECE // len(unit))).encode()
        path.write_bytes(text)
        for allowed in ("all", {"<|eot_id|>"}, {"<|eom_id|>"}):
            expected = tokenizer.encode_array(text, allowed_special=allowed)
            ids = tokenizer.encode_file(path, allowed_special=allowed)
            np.testing.assert_array_equal(ids, expected)


def test_a_disallowed_token_is_found_wherever_it_stands(path, tokenizer):
    name = b"<|eot_id|>"
    for offset in (0, 1, *range(PIECE - 12, PIECE + 3), 3 * PIECE + 5):
        path.write_bytes((b"word " * PIECE)[:offset] + name + b" more" * 9)
        with pytest.raises(SpecialTokenError) as caught:
            tokenizer.encode_file(path, disallowed_special="all")
        assert caught.value.offset == offset


@pytest.mark.long
def test_real_text_has_the_ids_of_the_whole(tmp_path, tokenizer, corpus):
    data = corpus.encode()
    expected = tokenizer.encode_array(data)
    for name in ("a.txt", "a.gz", "a.zst"):
        file = written(tmp_path / name, data)
        for threads in (1, 2, None):
            assert tokenizer.count_file(file, threads=threads) == len(expected)
            ids = tokenizer.encode_file(file, threads=threads)
            np.testing.assert_array_equal(ids, expected)
        parts = list(tokenizer.stream_file(file))
        assert len(parts) > 10
        np.testing.assert_array_equal(np.concatenate(parts), expected)
    lines = corpus.splitlines(keepends=True)
    file = written(tmp_path / "lines.jsonl.gz", jsonl(lines))
    expected = tokenizer.encode_ragged(lines)
    ragged = tokenizer.encode_file(file, field="text")
    np.testing.assert_array_equal(ragged.ids, expected.ids)
    np.testing.assert_array_equal(ragged.offsets, expected.offsets)
    parts = list(tokenizer.stream_file(file, field="text"))
    assert len(parts) > 10
    assert sum(map(len, parts)) == len(lines)
    np.testing.assert_array_equal(np.concatenate([part.ids for part in parts]), expected.ids)


@pytest.mark.parametrize("suffix", [".txt", ".gz", ".jsonl"])
def test_progress_is_the_bytes_as_they_are_stored(tmp_path, tokenizer, suffix):
    text = "Hello wörld.\n" * 200_000
    data = jsonl([text[:600]] * 4000) if suffix == ".jsonl" else text.encode()
    file = written(tmp_path / f"file{suffix}", data)
    field = "text" if suffix == ".jsonl" else None
    seen = []
    parts = tokenizer.stream_file(file, field=field, progress=seen.append)
    assert seen == []
    next(parts)
    assert len(seen) == 1
    count = 1 + sum(1 for _ in parts)
    assert count > 2
    assert len(seen) == count + 1
    assert seen == sorted(seen)
    assert 0 < seen[0] <= seen[-1] == file.stat().st_size


def test_an_empty_file_has_no_ids_but_those_asked_for(path, tokenizer):
    path.write_bytes(b"")
    assert tokenizer.count_file(path) == tokenizer.count_file(path, field="text") == 0
    assert tokenizer.encode_file(path).shape == (0,)
    assert tokenizer.encode_file(path, bos=True, eos=True).tolist() == [128000, 128001]
    assert [ids.tolist() for ids in tokenizer.stream_file(path)] == [[]]
    ragged = tokenizer.encode_file(path, field="text", bos=True)
    assert (len(ragged), ragged.offsets.tolist()) == (0, [0])
    assert [len(part) for part in tokenizer.stream_file(path, field="text")] == [0]


def test_bytes_are_encoded_as_they_are_with_their_byte_order_mark(path, tokenizer):
    for data in (b"\xef\xbb\xbfHello", b"caf\xe9 \xff\xfe", "é".encode("utf-16")):
        path.write_bytes(data)
        assert tokenizer.encode_file(path).tolist() == tokenizer.encode(data)
        assert tokenizer.count_file(path) == tokenizer.count(data)


def test_begin_and_end_are_added_to_each_text(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("Hello")
    (tmp_path / "b.jsonl").write_bytes(jsonl(["Hello", ""]))
    both = {"bos": True, "eos": True}
    paths = [tmp_path / "a.txt"] * 2
    encoded = tokenizer.encode_files(paths, **both)
    assert [ids.tolist() for ids in encoded] == [[128000, 9906, 128001]] * 2
    ragged = tokenizer.encode_file(tmp_path / "b.jsonl", field="text", **both)
    assert [ids.tolist() for ids in ragged] == [[128000, 9906, 128001], [128000, 128001]]
    large = tmp_path / "large.txt"
    large.write_text(TEXT * 10_000)
    ids = tokenizer.encode_file(large, **both)
    assert np.flatnonzero(ids >= 128000).tolist() == [0, len(ids) - 1]


# Many files


@pytest.fixture
def many(tmp_path):
    return write_many(tmp_path)


@pytest.mark.parametrize("threads", [None, 1, 2, 8])
def test_many_files_are_given_in_their_order(many, tokenizer, threads):
    paths, texts = many
    counts = tokenizer.count_files(paths, threads=threads)
    assert counts.dtype == np.int64
    assert counts.tolist() == [tokenizer.count(text) for text in texts]
    encoded = tokenizer.encode_files(map(str, paths), threads=threads)
    for text, ids in zip(texts, encoded, strict=True):
        np.testing.assert_array_equal(ids, tokenizer.encode_array(text))


def test_records_of_many_files_are_ragged(tmp_path, tokenizer):
    texts = [[f"record {record} of {file}" for record in range(file)] for file in range(20)]
    paths = [written(tmp_path / f"{file}.jsonl.gz", jsonl(texts[file])) for file in range(20)]
    for given_texts, ragged in zip(texts, tokenizer.encode_files(paths, field="text"), strict=True):
        assert isinstance(ragged, Ragged)
        assert [ids.tolist() for ids in ragged] == tokenizer.encode_batch(given_texts)
    counts = tokenizer.count_files(paths, field="text").tolist()
    assert counts == [sum(map(tokenizer.count, file)) for file in texts]


def test_no_files_give_no_results(tokenizer):
    assert tokenizer.count_files([]).shape == (0,)
    assert list(tokenizer.encode_files([])) == []


def test_a_file_may_be_called_dash(tmp_path, tokenizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-").write_text("Hello world")
    assert tokenizer.count_file("-") == 2
    assert tokenizer.encode_file(Path("-")).tolist() == [9906, 1917]


# What goes wrong


def test_files_that_cannot_be_read_are_named(tmp_path, tokenizer):
    missing = tmp_path / "missing.txt"
    for method in (tokenizer.count_file, tokenizer.encode_file):
        with pytest.raises(FileNotFoundError) as caught:
            method(missing)
        assert caught.value.filename == str(missing)
        with pytest.raises(IsADirectoryError) as caught:
            method(tmp_path)
        assert caught.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError):
        next(tokenizer.stream_file(missing))
    with pytest.raises(FileNotFoundError):
        tokenizer.count_file("")
    with pytest.raises(ValueError, match="NUL|null"):
        tokenizer.count_file("a\0b")


def test_damaged_archives_are_named(tmp_path, tokenizer):
    for name in ("a.gz", "a.zst"):
        path = written(tmp_path / name, TEXT.encode() * 100)
        path.write_bytes(path.read_bytes()[:-12])
        with pytest.raises(InputError) as caught:
            tokenizer.count_file(path)
        assert (caught.value.path, caught.value.line) == (str(path), None)


@pytest.mark.parametrize("line", [0, 3, 5000])
def test_a_bad_record_is_named_by_its_line(tmp_path, tokenizer, line):
    path = tmp_path / "a.jsonl"
    lines = jsonl([TEXT] * 6000).splitlines(keepends=True)
    lines[line] = b'{"text": 5}\n'
    path.write_bytes(b"".join(lines))
    for method in (
        tokenizer.count_file,
        tokenizer.encode_file,
        lambda *a, **o: list(tokenizer.stream_file(*a, **o)),
    ):
        with pytest.raises(InputError, match="a string in the field") as caught:
            method(path, field="text")
        assert (caught.value.path, caught.value.line) == (str(path), line + 1)


def test_a_bad_file_raises_when_its_turn_comes_and_the_next_follows(many, tokenizer, tmp_path):
    paths, texts = many
    mixed = [*paths[:20], tmp_path / "missing", *paths[20:30], tmp_path, *paths[30:]]
    encoded = tokenizer.encode_files(mixed)
    for index in range(len(mixed)):
        if index in (20, 31):
            with pytest.raises(OSError) as caught:  # noqa: PT011
                next(encoded)
            assert caught.value.filename == str(mixed[index])
        else:
            text = texts[index - (index > 20) - (index > 31)]
            assert len(next(encoded)) == tokenizer.count(text)
    assert list(encoded) == []
    with pytest.raises(FileNotFoundError, match="missing"):
        tokenizer.count_files(mixed)


@pytest.mark.parametrize("wrong", [None, 3, b"a.txt", ["a.txt"]])
def test_what_is_no_path_is_a_type_error(tokenizer, wrong):
    kind = type(wrong).__name__
    for method in (tokenizer.count_file, tokenizer.encode_file, tokenizer.stream_file):
        with pytest.raises(TypeError, match=f"path must be a path .*not {kind}"):
            method(wrong)
    for method in (tokenizer.count_files, tokenizer.encode_files):
        with pytest.raises(TypeError, match=rf"paths\[1\] must be a path .*not {kind}"):
            method(["a.txt", wrong])


@pytest.mark.parametrize("wrong", ["a.txt", b"a.txt", Path("a.txt"), None, 3, {"a.txt"}])
def test_one_path_is_no_sequence_of_paths(tokenizer, wrong):
    for method in (tokenizer.count_files, tokenizer.encode_files):
        with pytest.raises(TypeError, match="paths must be a sequence"):
            method(wrong)


def test_arguments_are_checked_before_anything_is_read(tokenizer):
    for method in (tokenizer.encode_file, tokenizer.encode_files, tokenizer.stream_file):
        paths = ["missing"] if method == tokenizer.encode_files else "missing"
        with pytest.raises(TypeError, match="field must be a str or None, not int"):
            method(paths, field=3)
        with pytest.raises(TypeError, match="bos must be a bool"):
            method(paths, bos=1)
        with pytest.raises(SpecialTokenError, match="nope"):
            method(paths, allowed_special=["<|nope|>"])
        with pytest.raises(ValueError, match="threads"):
            method(paths, threads=0)


def test_errors_about_files_survive_pickling(path, tokenizer):
    import pickle

    path.write_text("a <|eot_id|>")
    with pytest.raises(SpecialTokenError) as caught:
        tokenizer.encode_file(path, disallowed_special="all")
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, Llama3TokError)
    assert (str(again), again.path, again.offset) == (str(caught.value), str(path), 2)
