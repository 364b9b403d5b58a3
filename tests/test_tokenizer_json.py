"""A `tokenizer.json` as the vocabulary: which are Llama 3's, and what is refused."""

import json

import pytest
import tokenizers
from hypothesis import given, settings

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import Tokenizer, VocabularyError
from small_vocabulary import SINGLE_BYTES, SMALL, rank_lines, refuse, write


@pytest.fixture(scope="session")
def small_json():
    return json.dumps(oracle.tokenizer_json({t: i for i, t in enumerate(SMALL)}, {}))


@pytest.fixture(scope="session")
def llama3_json(tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / "tokenizer.json"
    path.write_text(oracle.llama3_tokenizer_json(), encoding="utf-8")
    return path


def test_a_tokenizer_json_gives_the_ids_of_the_rank_file(llama3_json, tokenizer):
    same = Tokenizer(llama3_json.parent)
    assert same.vocabulary == str(llama3_json)
    assert same.special_tokens == tokenizer.special_tokens
    for token, id in oracle.ranks().items():
        assert same.token_bytes(id) == token
    for id in oracle.unreachable():
        text = tokenizer.decode([id])
        assert same.encode(text + " " + text) == tokenizer.encode(text + " " + text)


def test_a_tokenizer_json_gives_the_ids_of_hugging_face(llama3_json):
    reference = tokenizers.Tokenizer.from_file(str(llama3_json))
    same = Tokenizer(llama3_json)

    @settings(max_examples=max(EXAMPLES // 10, 1))
    @given(strategies.texts())
    def check(text):
        text = text.encode("utf-8", "replace").decode()
        assert same.encode(text, allowed_special="all") == reference.encode(text).ids

    check()


def test_a_tokenizer_json_has_the_added_tokens_that_it_says_also_none(tmp_path, small_json):
    content = json.loads(small_json)
    path = tmp_path / "tokenizer.json"
    for places in (path, tmp_path):
        content["added_tokens"] = []
        path.write_text(json.dumps(content), encoding="utf-8")
        bare = Tokenizer(places)
        assert (bare.profile, bare.chat_profile, bare.added_tokens) == ("folder", None, {})
        assert (len(bare), bare.bos_id) == (len(SMALL), None)
        with pytest.raises(VocabularyError, match="the file has 0, and the profile 256; leave"):
            Tokenizer(places, profile="llama3.1")
        # A file that does not say has those of the profile, as a rank file.
        del content["added_tokens"]
        path.write_text(json.dumps(content), encoding="utf-8")
        assert Tokenizer(places).profile == "llama3.1"
        assert Tokenizer(places, profile="llama3").profile == "llama3"
    content["added_tokens"] = None
    path.write_text(json.dumps(content), encoding="utf-8")
    refuse(path, "null", line=1)


def test_a_tokenizer_json_of_another_profile_names_the_right_one(tmp_path, small_json):
    content = json.loads(small_json)
    for profile in llama3_tok.PROFILES:
        names = list(Tokenizer(profile=profile).special_tokens)
        content["added_tokens"] = [
            {"id": len(SMALL) + place, "content": name, "special": True}
            for place, name in enumerate(names)
        ]
        path = tmp_path / f"{profile}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        assert list(Tokenizer(path, profile=profile).special_tokens) == names
        other = "llama3" if profile != "llama3" else "meta"
        with pytest.raises(VocabularyError, match=f'pass profile=.*"{profile}"'):
            Tokenizer(path, profile=other)
    id = content["added_tokens"][-1]["id"]
    content["added_tokens"][-1]["content"] = "<|custom|>"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        VocabularyError, match=f'{id} is "<.custom.>" in the file, and .*; leave the'
    ):
        Tokenizer(path, profile="meta")
    assert Tokenizer(path).special_tokens["<|custom|>"] == id
    content["added_tokens"][-1]["id"] += 1
    path.write_text(json.dumps(content), encoding="utf-8")
    refuse(path, "in order and without gaps")


def change(content, keys, value):
    for key in keys[:-1]:
        content = content[key]
    content[keys[-1]] = value


PRE = ("pre_tokenizer", "pretokenizers")


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        (("model", "type"), "Unigram", 'model.type is "Unigram"'),
        (("model", "ignore_merges"), False, "model.ignore_merges is not true"),
        (("model", "dropout"), 0.1, "model.dropout is 0.1"),
        (("model", "unk_token"), "<unk>", 'model.unk_token is "<unk>"'),
        (("model", "continuing_subword_prefix"), "##", "model.continuing_subword_prefix"),
        (("model", "end_of_word_suffix"), "</w>", "model.end_of_word_suffix"),
        (("model", "byte_fallback"), True, "model.byte_fallback is true"),
        (("model", "vocab"), [], "no tokenizer.json|model.vocab is not an object"),
        (("model", "vocab", "hello"), 999, "the id 999; its ids are 0 to 262"),
        (("model", "vocab", "hello"), 3, "the id 3 to"),
        (("model", "vocab", "hello"), -1, "the id -1"),
        (("model", "vocab", "é漢"), 263, "not in the byte-level alphabet"),
        (("model", "merges"), [], "there are 0 merges; the ranks of this vocabulary have"),
        (("model", "merges", 0), "x y", "not all three tokens are in the vocabulary"),
        (("model", "merges", 1), "h e", "the merge occurs twice"),
        (("model", "merges", 0), "hel", "merge 0"),
        (("normalizer",), {"type": "NFC"}, 'there is a normalizer "NFC"'),
        (("pre_tokenizer",), None, "pre_tokenizer is absent"),
        (("pre_tokenizer",), {"type": "ByteLevel"}, 'pre_tokenizer is "ByteLevel"'),
        ((*PRE, 0, "pattern", "Regex"), r"\w+", "is not Llama 3's"),
        ((*PRE, 0, "pattern"), {"String": " "}, "not Llama 3's Split"),
        ((*PRE, 0, "behavior"), "Removed", 'behavior of "Split" is "Removed"'),
        ((*PRE, 0, "invert"), True, 'invert of "Split" is true'),
        ((*PRE, 1, "type"), "Digits", 'type of "Digits"'),
        ((*PRE, 1, "add_prefix_space"), True, 'add_prefix_space of "ByteLevel" is true'),
        ((*PRE, 1, "use_regex"), True, 'use_regex of "ByteLevel" is true'),
    ],
)
def test_a_tokenizer_json_with_other_ids_is_refused_by_name(
    tmp_path, small_json, keys, value, reason
):
    content = json.loads(small_json)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert Tokenizer(path).encode("hello") == [SMALL.index(b"hello")]
    change(content, keys, value)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(VocabularyError, match=reason):
        Tokenizer(path)


@pytest.mark.parametrize("flag", ["single_word", "lstrip", "rstrip"])
def test_special_tokens_that_take_more_than_their_name_are_those_of_no_release(
    tmp_path, small_json, flag
):
    content = json.loads(small_json)
    names = list(Tokenizer().special_tokens)
    content["added_tokens"] = [
        {"id": len(SMALL) + place, "content": name, "special": True}
        for place, name in enumerate(names)
    ]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert list(Tokenizer(path).special_tokens) == names
    assert Tokenizer(path).profile == "llama3.1"
    content["added_tokens"][9][flag] = True
    path.write_text(json.dumps(content), encoding="utf-8")
    assert Tokenizer(path).profile == "folder"
    assert getattr(Tokenizer(path).added_tokens["<|eot_id|>"], flag)
    with pytest.raises(VocabularyError, match=r'the flags of "<.eot_id.>" differ'):
        Tokenizer(path, profile="llama3.1")


def test_merges_that_hugging_face_takes_for_a_header_are_refused(tmp_path):
    tokens = [*SINGLE_BYTES, *(b"#version"[:length] for length in range(2, 9)), b"#versiona"]
    content = oracle.tokenizer_json({t: i for i, t in enumerate(tokens)}, {})
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    refuse(path, "takes it for a header")
    content["model"]["merges"] = [merge.split(" ") for merge in content["model"]["merges"]]
    path.write_text(json.dumps(content), encoding="utf-8")
    ours, theirs = Tokenizer(path), tokenizers.Tokenizer.from_file(str(path))
    assert ours.encode("#versionac") == theirs.encode("#versionac").ids


def test_a_token_with_the_name_of_a_special_one_is_refused(tmp_path):
    path = write(tmp_path / "v.model", rank_lines([*SMALL, b"<|eot_id|>"]))
    refuse(path, '"<\\|eot_id\\|>" is an ordinary token in it')


def test_merges_in_another_order_are_refused(tmp_path, small_json):
    content = json.loads(small_json)
    content["model"]["merges"].reverse()
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    refuse(path, "not in the order of the merged tokens' ids")


def test_merges_may_be_written_as_pairs(tmp_path, small_json):
    content = json.loads(small_json)
    content["model"]["merges"] = [merge.split(" ") for merge in content["model"]["merges"]]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert Tokenizer(path).encode("hello") == [SMALL.index(b"hello")]


def test_bytes_that_are_not_utf8_are_refused_also_where_nothing_is_read(tmp_path, small_json):
    path = tmp_path / "tokenizer.json"
    for place, line in ((b'"model"', 2), (b'"version"', 1)):
        content = small_json.encode().replace(place, b'"\xff\xfe": [0, "\xc3"],\n' + place, 1)
        content = content if line == 1 else b"\n" + content
        path.write_bytes(content)
        refuse(path, "this is not UTF-8, so no tokenizer.json", line)
