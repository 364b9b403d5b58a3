"""`Llama3Tokenizer` beside what `AutoTokenizer` makes of a saved folder: calls and files.

What needs torch (tensors, pipelines, collators of torch) is in tests/with_torch.
"""

import copy
import json
import logging
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

import strategies
from batch_encodings import RANDOM_TEXTS, same
from conftest import EXAMPLES
from llama3_tok import PROFILES, Tokenizer
from llama3_tok.compat.transformers import Llama3Tokenizer, register, unregister

pytestmark = RANDOM_TEXTS


# What it is


def test_it_is_a_tokenizer_of_transformers(ours, theirs):
    assert isinstance(ours, PreTrainedTokenizerBase)
    assert isinstance(ours, transformers.PreTrainedTokenizer)
    for name in (
        *("vocab_size", "bos_token", "bos_token_id", "eos_token", "eos_token_id", "pad_token"),
        *("pad_token_id", "unk_token", "model_max_length", "padding_side", "truncation_side"),
        *("model_input_names", "special_tokens_map", "chat_template", "added_tokens_decoder"),
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours) == len(theirs) == 128256
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    assert set(ours.all_special_ids) == set(theirs.all_special_ids)
    assert ours.num_special_tokens_to_add(pair=True) == theirs.num_special_tokens_to_add(pair=True)


def test_without_a_folder_it_is_the_installed_vocabulary():
    made = Llama3Tokenizer(profile="llama3")
    assert made.pad_token is None
    assert made("hi")["input_ids"] == [128000, 6151]


# Text

CALLS = [
    ("Hello world", {}),
    ("", {}),
    (["", "a"], {}),
    ("a <|eot_id|> b", {}),
    ("a <|eot_id|> b", {"split_special_tokens": True}),
    ("Hello world", {"add_special_tokens": False}),
    ("Hello", {"text_pair": "world"}),
    (["Hello", "a b c"], {"text_pair": ["world", ""]}),
    ([("Hello", "world"), ("a", "b")], {}),
    (["Hello", "a b c d e"], {"padding": True}),
    (["Hello", "a b c d e"], {"padding": True, "padding_side": "left"}),
    (["Hello", "a b c d e"], {"padding": True, "pad_to_multiple_of": 8}),
    (["Hello", "a b c d e"], {"padding": "max_length", "max_length": 4, "truncation": True}),
    ("a b c d e", {"truncation": True, "max_length": 3}),
    ("a b c d e", {"truncation": True, "max_length": 3, "add_special_tokens": False}),
    ("a b c d e", {"text_pair": "f g h", "truncation": "only_second", "max_length": 9}),
    (["Hello", "a b"], {"return_attention_mask": False}),
    (["Hello", "a b"], {"return_length": True}),
    ("Hello", {"return_special_tokens_mask": True}),
    ("Hello", {"return_tensors": "np"}),
    (["Hello", "a b"], {"return_tensors": "np", "padding": True}),
    (["Hello", "world wide"], {"is_split_into_words": True}),
    ([["Hello", "world"], ["a"]], {"is_split_into_words": True}),
]


@pytest.mark.parametrize(("text", "options"), CALLS)
def test_calls_give_what_the_saved_tokenizer_gives(ours, theirs, text, options):
    same(ours(text, **options), theirs(text, **options))


def logged(call):
    """What a call logs."""
    logger, messages = logging.getLogger("transformers"), []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger.addHandler(handler)
    try:
        call()
    finally:
        logger.removeHandler(handler)
    return messages


def test_a_text_that_is_too_long_for_the_model_is_told_once(saved_folder):
    tokenizer = Llama3Tokenizer.from_pretrained(saved_folder, model_max_length=4)
    first, again = [logged(lambda: tokenizer("a b c d e f")) for _ in range(2)]
    assert len(first) == 1
    assert "(7 > 4)" in first[0]
    assert again == []
    fresh = Llama3Tokenizer.from_pretrained(saved_folder, model_max_length=4)
    assert logged(lambda: fresh(["a", "a b c d e f"], verbose=False)) == []
    assert logged(lambda: fresh(["a", "a b c d e f"], max_length=9, truncation=True)) == []


def test_ids_are_taken_as_they_are(ours):
    assert ours([])["input_ids"] == []
    assert ours([9906, 1917])["input_ids"] == [128000, 9906, 1917]
    out = ours([[9906], [1917, 0]], add_special_tokens=False, padding=True)
    assert out["input_ids"] == [[9906, 128004], [1917, 0]]
    assert out["attention_mask"] == [[1, 0], [1, 1]]


@settings(max_examples=max(EXAMPLES // 40, 1))
@given(strategies.texts())
def test_any_text_is_encoded_and_decoded_alike(ours, theirs, text):
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    ids = theirs(text)["input_ids"]
    assert ours(text)["input_ids"] == ours.encode(text) == ids
    assert ours.tokenize(text) == theirs.tokenize(text)
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert ours.convert_tokens_to_ids(ours.convert_ids_to_tokens(ids)) == ids
    for skip in (False, True):
        expected = theirs.decode(ids, skip_special_tokens=skip)
        assert ours.decode(ids, skip_special_tokens=skip) == expected
    assert ours.convert_tokens_to_string(ours.tokenize(text)) == text


def test_decoding_takes_one_id_many_and_batches(ours, theirs):
    for ids in (
        *(9906, [9906, 1917], [[9906], [128009, 1917]], np.array([9906, 1917]), [187], [], [[]]),
        *((9906, 1917), [np.int64(9906), 1917], [9906, np.int64(1917)], np.int64(9906)),
    ):
        for skip in (False, True):
            expected = theirs.decode(ids, skip_special_tokens=skip)
            assert ours.decode(ids, skip_special_tokens=skip) == expected
    batch = [[9906], [128009, 1917]]
    assert ours.batch_decode(batch, skip_special_tokens=True) == ["Hello", " world"]
    assert ours.decode([9906, 1174, 1917], clean_up_tokenization_spaces=False) == "Hello , world"


def test_what_may_stand_around_a_text_can_be_chosen():
    for bos, eos, expected in (
        (True, True, [128000, 6151, 128001]),
        (False, True, [6151, 128001]),
        (False, False, [6151]),
    ):
        made = Llama3Tokenizer(add_bos_token=bos, add_eos_token=eos)
        assert made("hi")["input_ids"] == expected


@pytest.mark.long
def test_added_tokens_are_found_in_text_kept_and_saved(tmp_path, saved_folder):
    ours = Llama3Tokenizer.from_pretrained(saved_folder)
    theirs = AutoTokenizer.from_pretrained(saved_folder)
    for tokenizer in (ours, theirs):
        assert tokenizer.add_tokens(["<tool>", "Zuerich"]) == 2
        assert tokenizer.add_special_tokens({"extra_special_tokens": ["<|mine|>"]}) == 1
    text = "a <tool>Zuerich <|mine|>b<|eot_id|> Việt"
    ids = theirs(text)["input_ids"]
    assert {128256, 128257, 128258} <= set(ids)
    ours.save_pretrained(tmp_path)
    again = Llama3Tokenizer.from_pretrained(tmp_path)
    for one in (ours, again, AutoTokenizer.from_pretrained(tmp_path)):
        assert one(text)["input_ids"] == ids
        assert one.decode(ids) == theirs.decode(ids)
        assert one.decode(ids, skip_special_tokens=True) == "a <tool>Zuerich b Việt"
        assert len(one) == 128259


# Tokens that overlap, begin or end as those of the release do, or are in the vocabulary already.
OVERLAPPING = [
    "<tool>",
    "<tool>x",
    "tool",
    "ol>",
    "Zürich",
    " Zü",
    "<|eot_id|>",
    "<|eot",
    "the",
    "Ġa",
]
PIECES = [
    *OVERLAPPING,
    "<",
    "<|",
    "|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "to",
    "x",
    " ",
    "a",
    "é",
]


@pytest.fixture(scope="module")
def with_added(saved_folder):
    """Ours and theirs, with the same tokens added."""
    both = [kind.from_pretrained(saved_folder) for kind in (Llama3Tokenizer, AutoTokenizer)]
    for tokenizer in both:
        tokenizer.add_tokens(OVERLAPPING)
        tokenizer.add_special_tokens({"extra_special_tokens": ["<|mine|>", "<|mine", "ol>y"]})
    return both


@pytest.fixture(scope="module")
def with_two_added(saved_folder):
    tokenizer = Llama3Tokenizer.from_pretrained(saved_folder)
    tokenizer.add_tokens(["<tool>", "Zürich"])
    return tokenizer


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(
    st.lists(
        st.sampled_from([*PIECES, "<|mine|>", "<|mine", "y"]) | strategies.texts(), max_size=12
    )
)
def test_added_tokens_are_found_where_auto_tokenizer_finds_them(with_added, pieces):
    ours, theirs = with_added
    text = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    ids = theirs(text)["input_ids"]
    assert ours(text)["input_ids"] == ids
    assert ours([text, "a", text])["input_ids"] == [ids, theirs("a")["input_ids"], ids]
    assert ours.tokenize(text) == theirs.tokenize(text)


@settings(max_examples=max(EXAMPLES // 40, 1))
@given(st.lists(st.sampled_from(["<tool>", "Zürich", "<|eot_id|>", " ", "x"]) | strategies.texts()))
def test_added_tokens_are_found_as_the_base_class_finds_them(with_two_added, pieces):
    tokenizer = with_two_added
    text = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    tokens = transformers.PreTrainedTokenizer.tokenize(tokenizer, text)
    assert tokenizer.encode(text, add_special_tokens=False) == tokenizer.convert_tokens_to_ids(
        tokens
    )


@pytest.mark.long
def test_an_added_token_may_take_white_space_or_be_a_word_of_its_own(saved_folder):
    both = [kind.from_pretrained(saved_folder) for kind in (Llama3Tokenizer, AutoTokenizer)]
    for tokenizer in both:
        tokenizer.add_tokens(
            [
                transformers.AddedToken("<left>", lstrip=True, special=True),
                transformers.AddedToken("<right>", rstrip=True),
                transformers.AddedToken("<both>", lstrip=True, rstrip=True, special=True),
                transformers.AddedToken("qzx", single_word=True),
            ]
        )
    texts = [
        "a  <left> qzx qzxs <|eot_id|>",
        " <both> <both>  <left>qzx",
        "<right>  <both> <right> ",
    ]
    # Every character that all versions of Unicode know, and letters in circles and squares.
    squares = [*range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A), *range(0x1F170, 0x1F18A)]
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x10000), *squares]):
        if ord(character) in squares or unicodedata.ucd_3_2_0.category(character) != "Cn":
            texts += [f"{character}qzx", f"qzx{character}"]
            if character.isspace():
                texts.append(f"a{character}<left>{character}b{character}<right>{character}c")
    ours, theirs = (one(texts)["input_ids"] for one in both)
    assert {128256, 128257, 128258, 128259} <= {id for ids in theirs for id in ids}
    assert ours == theirs


def test_a_token_that_is_added_later_is_found(saved_folder):
    tokenizer = Llama3Tokenizer.from_pretrained(saved_folder)
    tokenizer.add_tokens(["<a>"])
    assert tokenizer.encode("<a><b>", add_special_tokens=False)[0] == 128256
    tokenizer.add_tokens(["<b>"])
    assert tokenizer.encode("<a><b>", add_special_tokens=False) == [128256, 128257]


def test_an_empty_batch_has_the_columns_of_a_batch(ours):
    """AutoTokenizer fails here: it looks for the names of the columns in the first text."""
    assert dict(ours([])) == {"input_ids": [], "attention_mask": []}
    assert dict(ours([], return_attention_mask=False)) == {"input_ids": []}
    arrays = ours([], padding=True, return_tensors="np")
    assert {name: array.shape for name, array in arrays.items()} == {
        "input_ids": (0,),
        "attention_mask": (0,),
    }


# Files


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_a_saved_tokenizer_is_loaded_by_itself_and_by_auto_tokenizer(tmp_path, profile):
    ours = Llama3Tokenizer(profile=profile, model_max_length=77)
    files = ours.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {
        *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja"),
        *("special_tokens_map.json",),
    }
    assert {"tokenizer.json", "tokenizer.model"} <= {Path(path).name for path in files}
    text = "Việt " + "".join(ours.llama3.special_tokens)
    for kind in (Llama3Tokenizer, AutoTokenizer):
        again = kind.from_pretrained(tmp_path)
        assert again(text)["input_ids"] == ours(text)["input_ids"]
        assert again.chat_template == ours.chat_template
        assert (again.pad_token_id, again.model_max_length) == (ours.pad_token_id, 77)
    assert Llama3Tokenizer.from_pretrained(tmp_path).profile == profile
    assert Tokenizer(tmp_path, profile=profile).encode("Việt") == ours.llama3.encode("Việt")


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2-vision", "meta"])
def test_the_profile_is_told_by_the_special_tokens_of_a_published_folder(
    tmp_path, releases, profile
):
    releases.copy(tmp_path, profile)
    # As published: without the rank file here, and without what this package notes.
    (tmp_path / "tokenizer.model").unlink()
    config = tmp_path / "tokenizer_config.json"
    noted = f'  "profile": "{profile}",\n'
    assert noted in config.read_text()
    config.write_text(config.read_text().replace(noted, ""))
    assert Llama3Tokenizer.from_pretrained(tmp_path).profile == profile


def test_it_can_be_pickled_and_copied(ours):
    for again in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), copy.copy(ours)):
        assert again("Hello world")["input_ids"] == [128000, 9906, 1917]
        chat = [{"role": "user", "content": "Hi <|eot_id|>"}]
        assert again.apply_chat_template(chat) == ours.apply_chat_template(chat)


def test_without_transformers_the_error_names_the_command():
    code = """
import sys
sys.modules["transformers"] = None
try:
    import llama3_tok.compat.transformers
except ImportError as error:
    print(type(error).__name__, error, isinstance(error, ValueError))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "MissingExtra this needs the package transformers: "
        "pip install 'llama3_tok[transformers]' installs it True\n"
    )


def test_decoding_never_takes_spaces_out_of_a_text(saved_folder):
    text = "Hello , world ! it 's what they 've said ."
    for value in (True, False):
        made = Llama3Tokenizer.from_pretrained(saved_folder, clean_up_tokenization_spaces=value)
        ids = made.encode(text, add_special_tokens=False)
        assert made.decode(ids) == text
        assert made.decode(ids, clean_up_tokenization_spaces=True) == text
        assert made.batch_decode([ids]) == [text]


@pytest.mark.large
@pytest.mark.parametrize("bos", [None, True, False])
@pytest.mark.parametrize("eos", [None, True, False])
def test_what_is_put_around_a_text_survives_files_and_is_set(saved_folder, tmp_path, bos, eos):
    asked = {"add_bos_token": bos, "add_eos_token": eos}
    asked = {name: value for name, value in asked.items() if value is not None}
    for number, kind in enumerate((Llama3Tokenizer, AutoTokenizer)):
        made = kind.from_pretrained(saved_folder, **asked)
        path = tmp_path / str(number)
        made.save_pretrained(path)
        again = [one.from_pretrained(path) for one in (Llama3Tokenizer, AutoTokenizer)]
        for inputs in (["a"], ["a", "b c"], [["a", "b c"]], [["a", "b"], ["c", "d e"]]):
            expected = made(*inputs)["input_ids"]
            assert [one(*inputs)["input_ids"] for one in again] == [expected, expected]
        if kind is Llama3Tokenizer:
            assert (made.add_bos_token, made.add_eos_token) == (bos is not False, eos is True)
    made = Llama3Tokenizer.from_pretrained(saved_folder)
    made.add_bos_token, made.add_eos_token = bos is True, eos is True
    ids = [128000] * (bos is True) + [64] + [128001] * (eos is True)
    assert made("a")["input_ids"] == made.encode("a") == ids
    made.save_pretrained(tmp_path / "set")
    assert AutoTokenizer.from_pretrained(tmp_path / "set")("a")["input_ids"] == ids


@pytest.mark.long
def test_auto_tokenizer_gives_this_class_between_register_and_unregister(
    saved_folder, releases, tmp_path
):
    kind = type(AutoTokenizer.from_pretrained(saved_folder))
    before = AutoTokenizer.__dict__["from_pretrained"]
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path / "other")
    changed = releases.copy(tmp_path / "contradicting")
    config = json.loads((changed / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["added_tokens_decoder"] = {"128002": {"content": "<|im_start|>", "special": True}}
    (changed / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert kind is not Llama3Tokenizer
    register()
    try:
        register()
        made = AutoTokenizer.from_pretrained(
            saved_folder, trust_remote_code=False, model_max_length=9
        )
        assert type(made) is Llama3Tokenizer
        assert made.model_max_length == 9
        assert type(AutoTokenizer.from_pretrained(tmp_path / "other")) is not Llama3Tokenizer
        assert (
            type(AutoTokenizer.from_pretrained(saved_folder, use_fast=False)) is not Llama3Tokenizer
        )
        with pytest.warns(UserWarning, match="loaded by transformers' own class"):
            AutoTokenizer.from_pretrained(changed)
        with pytest.raises(OSError, match="nowhere"):
            AutoTokenizer.from_pretrained(str(tmp_path / "nowhere"))
    finally:
        unregister()
    unregister()
    assert AutoTokenizer.__dict__["from_pretrained"] is before
    assert type(AutoTokenizer.from_pretrained(saved_folder)) is kind
