"""Special tokens, their ids and roles, as a caller gives them."""

import pytest

from llama3_tok import (
    Llama3TokError,
    Tokenizer,
)


def test_a_tokenizer_without_added_tokens_is_not_saved_as_another(tokenizer, tmp_path):
    bare = Tokenizer.from_bytes(tokenizer.rank_file(), all_special_tokens={})
    assert len(bare) == 128000
    bare.save(tmp_path)
    again = Tokenizer(tmp_path)
    assert (again.profile, len(again), again.added_tokens) == ("folder", 128000, {})
    assert (again.bos_id, again.eos_id, again.stop_ids) == (None, None, [])
    assert again.encode("hi<|eot_id|>", allowed_special="all") == tokenizer.encode("hi<|eot_id|>")
    named = again.with_special_tokens({"<|eot_id|>": 128000})
    named.save(tmp_path)
    assert Tokenizer(tmp_path).encode("<|eot_id|>", allowed_special="all") == [128000]


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["<x>"], TypeError, "must be a dictionary of names and ids, not list"),
        ({5: 128256}, TypeError, "5 is not a name"),
        ({"<\ud800>": 128256}, ValueError, "has half a surrogate pair"),
        ({"<x>": -1}, ValueError, "must be at least 0, not -1"),
        ({"<x>": 2**70}, ValueError, "must be at most 4294967295"),
        ({"<x>": "b"}, TypeError, "must be an int, not str"),
    ],
)
def test_special_tokens_that_are_none_are_named(tokenizer, names, error, message):
    ranks = tokenizer.rank_file()
    for call in (
        lambda: tokenizer.with_special_tokens(names),
        lambda: Tokenizer(special_tokens=names),
        lambda: Tokenizer.from_bytes(ranks, all_special_tokens=names),
    ):
        with pytest.raises(error, match=message):
            call()


def test_roles_that_no_token_can_have_are_refused(tokenizer):
    for options, error, message in (
        ({"stop_ids": [1, 10**7]}, Llama3TokError, r"stop_ids\[1\]: 10000000 is not a token id"),
        ({"stop_ids": [2**32 - 1]}, Llama3TokError, "4294967295 .*; ids run from 0 to 128255$"),
        ({"stop_ids": [1, 2**32]}, Llama3TokError, r"stop_ids\[1\]: 4294967296 is not a token id"),
        ({"stop_ids": [1, -1]}, ValueError, r"stop_ids\[1\] must be at least 0, not -1"),
        ({"stop_ids": 5}, TypeError, "stop_ids must be a sequence, not one int"),
        ({"chat_template": 5}, TypeError, "chat_template must be a str or None, not int"),
        ({"pad": "<nothing>"}, Llama3TokError, "is not an added token"),
    ):
        with pytest.raises(error, match=message):
            tokenizer.with_special_tokens({}, **options)
    with pytest.raises(TypeError, match="folder must be a Folder, not str"):
        tokenizer.with_folder("x")


def test_content_makes_a_tokenizer_as_a_file_does(tokenizer, monkeypatch):
    ranks = tokenizer.rank_file()
    assert Tokenizer.from_bytes(ranks, name=tokenizer.vocabulary) == tokenizer
    assert Tokenizer.from_bytes(ranks, cache_mb=2).cache_info().limit == 2 << 20
    monkeypatch.setenv("LLAMA3_TOK_CACHE_MB", "4")
    assert Tokenizer.from_bytes(ranks).cache_info().limit == 4 << 20
    both = Tokenizer.from_bytes(ranks, all_special_tokens={"<a>": 128000, "<b>": 128000})
    assert both.encode("<a><b>", allowed_special="all") == [128000, 128000]
    with pytest.raises(Llama3TokError, match="has no name"):
        Tokenizer.from_bytes(ranks, all_special_tokens={"": 128000})
    with pytest.raises(TypeError, match="'' is not a name"):
        tokenizer.with_special_tokens({"": 128256})
    with pytest.raises(TypeError, match="name must be a str, not int"):
        Tokenizer.from_bytes(ranks, name=5)
