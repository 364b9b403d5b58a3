"""What a `Tokenizer` is made of: pretokens, merges, tokens, rank file, what its folder says."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import folders
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import InvalidTokenId, Llama3TokError, Tokenizer, VocabularyError
from llama3_tok.folder import usual

TEXTS = st.lists(strategies.fragments(), max_size=8).map("".join)
SHAPES = folders.SHAPES


def as_bytes(text):
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def made(folder, shape):
    SHAPES[shape](folder)
    return folder


# How a text becomes ids


@settings(max_examples=EXAMPLES)
@given(text=TEXTS)
def test_pretokens_are_the_text_and_their_ids_are_its_ids(tokenizer, text):
    pretokens, data = tokenizer.pretokens(text), as_bytes(text)
    assert "".join(pretokens).encode() == data
    assert [one.encode() for one in pretokens] == tokenizer.pretokens(data)
    ids = [id for one in pretokens for id in tokenizer.merge(one, vocab_first=True)]
    assert ids == tokenizer.encode(text)
    ends = np.cumsum([len(one.encode()) for one in pretokens], dtype=np.int64)
    for whole in (text, data):
        assert tokenizer.pretoken_ends(whole).tolist() == ends.tolist()
        assert tokenizer.pretoken_ends(whole).dtype == np.int64


@given(data=st.binary(max_size=40))
def test_pretokens_of_any_bytes_are_the_bytes(tokenizer, data):
    pretokens = tokenizer.pretokens(data)
    assert b"".join(pretokens) == data
    ids = [id for one in pretokens for id in tokenizer.merge(one, vocab_first=True)]
    assert ids == tokenizer.encode(data)


def test_nothing_has_no_pretokens(tokenizer):
    assert tokenizer.pretokens("") == tokenizer.pretokens(b"") == []
    assert tokenizer.pretoken_ends("").tolist() == []
    assert tokenizer.merge("") == tokenizer.merge(b"", vocab_first=True) == []


def test_merging_alone_does_not_reach_every_token(tokenizer):
    for id in oracle.unreachable()[:50]:
        token = tokenizer.token_bytes(id)
        assert tokenizer.merge(token) != [id]
        assert tokenizer.decode_bytes(tokenizer.merge(token)) == token
        assert tokenizer.merge(token, vocab_first=True) == [id]


def test_special_tokens_are_text_in_a_pretoken(tokenizer):
    assert tokenizer.merge("<|eot_id|>", vocab_first=True) == tokenizer.merge("<|eot_id|>")
    assert tokenizer.pretokens("a<|eot_id|>") == ["a", "<|", "eot", "_id", "|>"]


@pytest.mark.parametrize("method", ["pretokens", "pretoken_ends", "merge", "added_spans"])
def test_what_is_no_text_is_refused(tokenizer, method):
    for value in (None, 5, ["a"], bytearray(b"a")):
        with pytest.raises(TypeError, match="must be"):
            getattr(tokenizer, method)(value)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_added_tokens_stand_where_encode_finds_them(tmp_path, shape):
    tokenizer = Tokenizer(made(tmp_path, shape))
    names = list(tokenizer.added_tokens)
    text = "é ".join(f" {name} x{name}" for name in names[:20])
    data = text.encode()
    for allowed in ("all", frozenset()):
        places = tokenizer.added_spans(text, allowed_special=allowed)
        encoding = tokenizer.encode_with_offsets(text, allowed_special=allowed)
        found = [
            (*span, id)
            for span, id in zip(encoding.byte_spans.tolist(), encoding.ids.tolist(), strict=True)
        ]
        # A token of text that is added as well is in the text without its name, too.
        assert set(places) <= set(found)
        own = [one for one in places if one[2] >= tokenizer.rank_count]
        assert own == [one for one in found if one[2] >= tokenizer.rank_count]
        for start, end, id in places:
            assert data[start:end].decode().strip() == tokenizer.token_bytes(id).decode().strip()


# Ids


def test_ids_are_checked_and_made_a_list(tokenizer):
    for ids in ([1, 128_255], (1, 128_255), np.array([1, 128_255], np.uint64)):
        checked = tokenizer.checked_ids(ids)
        assert checked == [1, 128_255]
        assert all(type(id) is int for id in checked)
    with pytest.raises(InvalidTokenId) as caught:
        tokenizer.checked_ids([1, 128_256], "stops")
    assert (caught.value.id, caught.value.position) == (128_256, 1)
    with pytest.raises(TypeError, match="stops"):
        tokenizer.checked_ids("12", "stops")


# The vocabulary


def test_tokens_are_those_of_text_by_their_ids(tokenizer):
    tokens = tokenizer.tokens()
    assert len(tokens) == tokenizer.rank_count == 128_000
    ids = [*range(0, 128_000, 997), *oracle.unreachable()]
    assert [tokens[id] for id in ids] == [
        oracle.encoding().decode_single_token_bytes(i) for i in ids
    ]


def test_tokens_are_written_as_tokenizer_json_writes_them(tokenizer, saved_folder):
    vocab = json.loads((saved_folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert {token: id for id, token in enumerate(tokenizer.written_tokens())} == vocab


def test_the_rank_file_is_the_file_and_makes_the_tokenizer_again(tokenizer):
    ranks = tokenizer.rank_file()
    assert ranks == Path(tokenizer.vocabulary).read_bytes()
    for profile in (None, "llama3", "llama3.2-vision"):
        again = Tokenizer.from_bytes(ranks, profile=profile)
        assert again == Tokenizer(profile=profile)
        assert again.vocabulary == "<bytes>"


def test_from_bytes_has_all_special_tokens_that_it_is_given_and_no_others(tokenizer):
    ranks = tokenizer.rank_file()
    assert Tokenizer.from_bytes(ranks, all_special_tokens={}).special_tokens == {}
    names = {"<a>": 128_000, "<b>": 128_005}
    made = Tokenizer.from_bytes(ranks, all_special_tokens=names, name="mine")
    assert (made.special_tokens, made.vocabulary, made.profile) == (names, "mine", "folder")
    assert made.encode("<a>hi<b>", allowed_special="all") == [128_000, 6151, 128_005]
    # Those of a release are the release.
    llama3 = Tokenizer(profile="llama3")
    assert Tokenizer.from_bytes(ranks, all_special_tokens=llama3.special_tokens) == llama3


def test_from_bytes_refuses_what_makes_no_tokenizer(tokenizer):
    ranks = tokenizer.rank_file()
    with pytest.raises(VocabularyError, match="mine"):
        Tokenizer.from_bytes(b"no ranks", name="mine")
    with pytest.raises(Llama3TokError, match="llama9"):
        Tokenizer.from_bytes(ranks, profile="llama9")
    with pytest.raises(Llama3TokError):
        Tokenizer.from_bytes(ranks, all_special_tokens={"<a>": 5})
    with pytest.raises(ValueError, match="not both"):
        Tokenizer.from_bytes(ranks, profile="llama3", all_special_tokens={})
    with pytest.raises(TypeError, match="vocabulary must be bytes"):
        Tokenizer.from_bytes(tokenizer.vocabulary)
    with pytest.raises(TypeError, match="profile must be"):
        Tokenizer.from_bytes(ranks, profile=3)


# What a folder says


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2", "meta"])
def test_a_release_says_nothing_of_its_own(profile):
    tokenizer = Tokenizer(profile=profile)
    assert tokenizer.folder is None
    assert tokenizer.chat_profile == profile
    assert tokenizer.around.before == (tokenizer.bos_id,)
    assert tokenizer.around.after == ()


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_a_tokenizer_is_its_ranks_and_what_its_folder_says(tmp_path, shape):
    tokenizer = Tokenizer(made(tmp_path, shape))
    said = tokenizer.folder or usual(tokenizer.profile, tokenizer.rank_count)
    again = Tokenizer(profile="llama3").with_folder(said)
    assert (again.folder, again.added_tokens) == (tokenizer.folder, tokenizer.added_tokens)
    assert (again.around, again.stop_ids) == (tokenizer.around, tokenizer.stop_ids)
    assert (again.chat_profile, again.profile) == (tokenizer.chat_profile, tokenizer.profile)


def test_with_folder_keeps_the_limit_of_the_cache(tokenizer):
    said = usual("llama3", tokenizer.rank_count)
    assert Tokenizer(cache_mb=3).with_folder(said).cache_info().limit == 3 << 20
    assert tokenizer.with_folder(said) == Tokenizer(profile="llama3")
