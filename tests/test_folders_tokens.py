"""Own special tokens, and what files say of tokens and their roles in several ways."""

import json
import pickle
import random
import warnings

import pytest

import folders
from conftest import EXAMPLES
from folders import make, texts
from llama3_tok import (
    ChatFormatError,
    Llama3TokError,
    Tokenizer,
    VocabularyError,
)
from llama3_tok.formats import convert

transformers = pytest.importorskip("transformers")

# Own tokens


def test_special_tokens_may_be_given():
    plain = Tokenizer()
    names = {"<|im_start|>": 128002, "<|im_end|>": 128003, "<think>": 128256, "<far>": 128300}
    own = Tokenizer(special_tokens=names)
    assert own.encode("<think>x<|im_end|><far>", allowed_special="all") == [
        128256,
        87,
        128003,
        128300,
    ]
    assert own.encode("<think>") == plain.encode("<think>")
    assert "<|reserved_special_token_0|>" not in own.special_tokens
    assert (own.vocab_size, plain.vocab_size) == (128301, 128256)
    assert own == plain.with_special_tokens(names) != plain
    # Conversations are still those of the release, whose names are there.
    hi = [{"role": "user", "content": "hi"}]
    assert own.encode_chat(hi) == plain.encode_chat(hi)
    own = plain.with_special_tokens(names, eos="<|im_end|>", pad="<think>", bos="<|im_start|>")
    assert (own.bos_id, own.eos_id, own.pad_id) == (128002, 128003, 128256)
    assert own.stop_ids == [128001, 128003, 128008, 128009]
    assert own("a")["input_ids"] == [128002, 64]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            {"<x>": 128009},
            r"'<x>' can't have the id 128009, which is '<.eot_id.>'; only reserved ids and those "
            "from 128256 on are free",
        ),
        ({"<x>": 5}, "'<x>' can't have the id 5, which is a token of text"),
        ({"<|eot_id|>": 128256}, "is a token already, with the id 128009"),
        ({"Hello": 128256}, "is a token already, with the id 9906"),
    ],
)
def test_ids_and_names_that_others_have_are_refused(names, reason):
    with pytest.raises(Llama3TokError, match=reason):
        Tokenizer(special_tokens=names)


def test_gaps_can_not_be_written(tmp_path):
    own = Tokenizer(special_tokens={"<far>": 128300})
    with pytest.raises(Llama3TokError, match="'<far>' has the id 128300, and 128256 has no token"):
        own.save(tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.large
def test_a_folder_stays_the_same_whatever_is_done_to_it(tmp_path):
    """Saving, loading and converting in any order."""
    made = random.Random(EXAMPLES)
    for number, name in enumerate(
        ["chatml", "added", "reasoning", "embedding", "words", "templates"]
    ):
        tokenizer = Tokenizer(make(tmp_path, name))
        given = texts(tokenizer, 200, seed=number)
        expected = tokenizer.encode_batch(given, allowed_special="all")
        around, templates = tokenizer.around, tokenizer.chat_templates
        path = tmp_path / name
        for step in range(4):
            out = tmp_path / f"{name}-{step}"
            if made.random() < 0.5:
                tokenizer.save(out)
            else:
                convert.convert(str(path), str(out))
            tokenizer, path = Tokenizer(out), out
            if made.random() < 0.3:
                tokenizer = pickle.loads(pickle.dumps(tokenizer))
            assert tokenizer.encode_batch(given, allowed_special="all") == expected
            assert (tokenizer.around, tokenizer.chat_templates) == (around, templates)


@pytest.mark.long
@pytest.mark.parametrize("name", ["chatml", "reasoning", "published", "templates", "nothing"])
def test_gguf_holds_what_a_folder_says(tmp_path, name):
    pytest.importorskip("gguf")
    tokenizer = Tokenizer(make(tmp_path, name))
    convert.convert(str(tmp_path / name), str(tmp_path / "x.gguf"))
    convert.convert(str(tmp_path / "x.gguf"), str(tmp_path / "again"))
    again = Tokenizer(tmp_path / "again")
    same = {
        name: token._replace(normalized=False) for name, token in tokenizer.added_tokens.items()
    }
    assert again.added_tokens == same
    assert (again.bos_id, again.eos_id, again.pad_id) == (
        tokenizer.bos_id,
        tokenizer.eos_id,
        tokenizer.pad_id,
    )
    assert again.chat_templates == tokenizer.chat_templates
    with warnings.catch_warnings():
        given = texts(tokenizer, 200)
    every = tokenizer.encode_batch(given, allowed_special="all")
    assert again.encode_batch(given, allowed_special="all") == every


def test_gguf_refuses_what_it_can_not_hold(tmp_path):
    pytest.importorskip("gguf")
    make(tmp_path, "added")
    with pytest.raises(Llama3TokError, match=r"'\[MASK\]' takes white space or whole words only"):
        convert.convert(str(tmp_path / "added"), str(tmp_path / "x.gguf"))


def test_names_are_looked_up_in_the_vocabulary_as_they_are_written_there(tmp_path):
    """What `tokenizer.json` writes as a token is that token, whatever text it would be."""
    folder = folders.write(
        tmp_path / "written",
        more=[
            folders.token(264, "Ġa", "special"),
            folders.token(128256, "Việt", "normalized"),
            folders.token(128257, " a", "normalized"),
        ],
        config={},
    )
    ours, theirs = Tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("Ġa", "xĠa Việt a", " a aĠa", "Việt"):
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, allowed_special="all") == expected
    assert ours.encode("Việt") == [128256]
    ours.save(tmp_path / "again")
    assert Tokenizer(tmp_path / "again").added_tokens == ours.added_tokens
    with pytest.raises(VocabularyError, match='gives "Ġa" the id 128256.*so 264 was expected'):
        Tokenizer(folders.write(tmp_path / "w", more=[folders.token(128256, "Ġa")], config={}))


# Roles and flags that files give in several ways

PLAIN_X = folders.token(128256, "<x>", "plain")
STRIPPED_X = folders.token(128256, "<x>", "special", "lstrip")
END = folders.token(128256, "<end>", "special", "single_word")
TYPED = {"__type": "AddedToken", "content": "<e>", "special": False, "lstrip": True}


@pytest.mark.large
@pytest.mark.parametrize(
    ("more", "config", "files"),
    [
        # An ordinary token that is given a role is special.
        ([PLAIN_X], {"pad_token": "<x>"}, {}),
        ([PLAIN_X], {"pad_token": "<x>", "added_tokens_decoder": "none"}, {}),
        ([PLAIN_X], {"image_token": "<x>"}, {}),
        ([PLAIN_X], {"extra_special_tokens": ["<x>"]}, {}),
        # Flags of tokenizer.json count more than an older file's.
        (
            [PLAIN_X],
            {"added_tokens_decoder": "none"},
            {"added_tokens": {"<x>": 128256, "<|eot_id|>": 128009}},
        ),
        ([STRIPPED_X], {"added_tokens_decoder": "none"}, {"added_tokens": {"<x>": 128256}}),
        # Roles of a map alone.
        ([], None, {"special_tokens_map": {"eos_token": "<|eot_id|>", "pad_token": "<|eot_id|>"}}),
        (
            [],
            {"added_tokens_decoder": "none", "pad_token": "<|eot_id|>"},
            {"special_tokens_map": {"pad_token": None, "unk_token": "<|eom_id|>"}},
        ),
        (
            [],
            {"added_tokens_decoder": "none", "extra_special_tokens": ["<c>"]},
            {"special_tokens_map": {"extra_special_tokens": ["<s>", "<c>"]}},
        ),
        (
            [],
            {"added_tokens_decoder": "none", "additional_special_tokens": ["<c>"]},
            {"special_tokens_map": {"additional_special_tokens": ["<s>", "<t>"]}},
        ),
        (
            [],
            {"added_tokens_decoder": "none"},
            {"special_tokens_map": {"additional_special_tokens": ["<s>"]}},
        ),
        (
            [],
            {"added_tokens_decoder": "none"},
            {"special_tokens_map": {"extra_special_tokens": ["<s>"]}},
        ),
        ([], {"additional_special_tokens": [TYPED]}, {}),
        ([], {"extra_special_tokens": {"image_token": TYPED}}, {}),
        # Names that are written as tokens of the vocabulary.
        ([], {"pad_token": "Ġworld"}, {}),
        ([], {"pad_token": "é", "unk_token": "Ċ"}, {}),
    ],
)
def test_what_files_say_in_several_ways_is_taken_as_transformers_takes_it(
    tmp_path, more, config, files
):
    from llama3_tok.compat.transformers import Llama3Tokenizer

    folder = folders.write(tmp_path / "folder", more=more, config=config, **files)
    ours, theirs = Tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    fast = Llama3Tokenizer.from_pretrained(folder)
    assert ours.vocab_size == len(theirs) == len(fast)
    assert (fast.pad_token_id, fast.eos_token_id) == (theirs.pad_token_id, theirs.eos_token_id)
    assert ours.eos_id == theirs.eos_token_id
    template = "{{ pad_token }}|{{ unk_token }}|{{ image_token }}|{{ eos_token }}"
    asked = {"chat_template": template, "tokenize": False}
    hi = [{"role": "user", "content": "hi"}]
    assert ours.render_chat(hi, chat_template=template) == theirs.apply_chat_template(hi, **asked)
    ours.save(tmp_path / "saved")
    fast.save_pretrained(tmp_path / "fast")
    both = [transformers.AutoTokenizer.from_pretrained(tmp_path / one) for one in ("saved", "fast")]
    for text in ("a <x>b", "\t<x>", "<|eot_id|>!", "<c><s><t><e> <e>", "Ġworld é Ċ world"):
        split = theirs(text, split_special_tokens=True, add_special_tokens=False)["input_ids"]
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == split
        assert ours.encode(text, allowed_special="all") == ids
        for one in (fast, *both):
            assert one(text, add_special_tokens=False)["input_ids"] == ids
    assert [one.pad_token for one in both] == [theirs.pad_token] * 2
    assert [one.unk_token for one in both] == [theirs.unk_token] * 2


def test_an_ordinary_token_that_is_given_as_a_special_one_is_special(tmp_path):
    plain = Tokenizer(folders.write(tmp_path / "folder", more=[PLAIN_X], config={}))
    changed = plain.with_special_tokens({"<x>": 128256})
    assert [one.added_tokens["<x>"].special for one in (plain, changed)] == [False, True]
    assert plain.encode("<x>") == changed.encode("<x>", allowed_special="all") == [128256]
    assert len(changed.encode("<x>")) > 1


@pytest.mark.parametrize("key", ["extra_special_tokens", "additional_special_tokens"])
def test_a_token_that_only_the_map_of_special_tokens_names_is_one(tmp_path, key):
    config = {"added_tokens_decoder": "none"}
    folder = folders.write(tmp_path / "folder", config=config, special_tokens_map={key: ["<s>"]})
    tokenizer = Tokenizer(folder)
    assert tokenizer.encode("<s>", allowed_special="all") == [tokenizer.added_tokens["<s>"].id]
    assert len(tokenizer.encode("<s>")) > 1


@pytest.mark.long
@pytest.mark.parametrize("name", ["../../evil", "a/b", "x\0y", "..", "a\\b", "/tmp/evil"])
def test_a_folder_does_not_choose_where_it_is_saved(tmp_path, name):
    given = [{"name": "default", "template": "a"}, {"name": name, "template": "b"}]
    folder = folders.write(tmp_path / "a" / "folder", config={"chat_template": given})
    tokenizer = Tokenizer(folder)
    with pytest.raises(Llama3TokError, match="can't be saved, since that is not a name for a file"):
        tokenizer.save(tmp_path / "a" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*") if "evil" in path.name) == []


@pytest.mark.parametrize(
    "config",
    [
        {"pad_token": "\ud800"},
        {"added_tokens_decoder": {"9" * 5000: {"content": "<x>"}}},
        {"added_tokens_decoder": {"128256": "<x>"}},
        {"chat_template": 5},
        {"extra_special_tokens": 5},
    ],
)
def test_odd_values_are_refused_in_a_short_message(tmp_path, config):
    folder = folders.write(tmp_path / "folder", config=None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(VocabularyError) as caught:
        Tokenizer(folder)
    assert caught.value.file == str(folder / "tokenizer_config.json")
    assert len(str(caught.value)) < 1000


def test_a_token_that_must_be_a_word_is_text_where_a_template_writes_it_in_one(tmp_path):
    template = (
        "{{ bos_token }}{% for m in messages %}{% generation %}{{ m.content }}<end>"
        "{% endgeneration %}x{% endfor %}"
    )
    folder = folders.write(tmp_path / "folder", more=[END], config={"chat_template": template})
    ours, theirs = Tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for content in ("hi", "hi!", "", "a <end> b<end>c"):
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": content}]
        if "<end>" not in content:
            expected = theirs.apply_chat_template(messages, return_dict=False)
            assert ours.encode_chat(messages) == expected
        ids, mask = ours.encode_chat(messages, return_mask=True)
        learned = ours.decode([id for id, one in zip(ids, mask, strict=True) if one])
        assert learned.replace("x", "") == f"{content}<end>{content}<end>"


def test_variables_of_a_template_have_their_own_names():
    tokenizer, hi = Tokenizer(), [{"role": "user", "content": "hi"}]
    for name in ("tokens", "messages", "names", "template", "continue_in"):
        with pytest.raises(ChatFormatError, match=f"can't be called '{name}'"):
            tokenizer.encode_chat(hi, chat_template="{{ 1 }}", template_variables={name: 1})
    with pytest.raises(TypeError, match="template_variables must be a dictionary"):
        tokenizer.encode_chat(hi, chat_template="{{ 1 }}", template_variables=5)
