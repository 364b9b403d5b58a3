"""Folders of fine-tunes: ids, text, roles and chats are those of `AutoTokenizer`.

Where text has names of special tokens, the core takes them for text unless they are allowed.
"""

import json
import pickle
import random
import warnings

import pytest

import folders
from conftest import EXAMPLES
from llama3_tok import (
    ChatFormatError,
    Llama3TokError,
    SpecialTokenError,
    Tokenizer,
    VocabularyError,
)
from llama3_tok.formats import convert

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=folders.SHAPES)
def shape(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    folders.SHAPES[request.param](folder)
    return folder


@pytest.fixture(scope="module")
def ours(shape):
    return Tokenizer(shape)


@pytest.fixture(scope="module")
def theirs(shape):
    return transformers.AutoTokenizer.from_pretrained(shape)


WORDS = [
    "Hello", " world", "!", " ", "\n", "  ", "\t", "qzq", "qz", "a", "b", "<", ">", "|", "1", "é",
    "漢字",
    ".", "_", "<|", "|>", "<|eot", "<thin", "<｜", "\u00a0", "word", " Sonderwort", "x", "　", "'s",
]  # fmt: skip


def texts(tokenizer, count, seed=0):
    """Texts with the names of added tokens in them, whole and in part, where all are used."""
    made = random.Random(seed)
    names = [name for name in tokenizer.added_tokens if "reserved" not in name]
    parts = names + names + WORDS + [name[: len(name) // 2] for name in names]
    parts += [name[1:] for name in names]
    return ["".join(made.choices(parts, k=made.randint(0, 12))) for _ in range(count)]


def test_tokens_and_roles_are_the_same(ours, theirs):
    expected = {
        (id, token.content, token.special, token.single_word, token.lstrip, token.rstrip)
        for id, token in theirs.added_tokens_decoder.items()
    }
    assert {token[:6] for token in ours.added_tokens.values()} == expected
    assert ours.vocab_size == len(theirs)
    if theirs.pad_token_id is not None:
        assert ours.pad_id == theirs.pad_token_id
    if theirs.eos_token is None:  # nothing names them; here the names of releases do
        assert (ours.bos_id, ours.eos_id) == (128000, 128001)
        return
    assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)


def test_ids_are_the_same_for_any_text(ours, theirs):
    # 10,000 texts for each shape in the large profile.
    given = texts(ours, max(EXAMPLES // 2, 1000))
    found = ours.encode_batch(given, allowed_special="all")
    for text, ids, expected in zip(
        given, found, theirs(given, add_special_tokens=False)["input_ids"], strict=True
    ):
        assert ids == expected, text
    # What it is asked not to find as a special token is text, ordinary tokens are found in it.
    expected = theirs(given, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    for text, ids, plain in zip(given, ours.encode_batch(given), expected, strict=True):
        assert ids == plain, text
    assert ours.count_batch(given).tolist() == [len(ids) for ids in expected]


def test_what_is_around_a_text_is_the_same(ours, theirs):
    for text in ("Hello world", "", "é"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]


def test_decoding_gives_the_text_with_or_without_special_tokens(ours):
    special = set(ours.special_tokens.values())
    for text in texts(ours, 300, seed=1):
        ids = ours.encode(text, allowed_special="all")
        kept = [id for id in ids if id not in special]
        assert ours.decode(ids, skip_special=True) == ours.decode(kept)
        stream = ours.stream_decoder()
        assert "".join(stream.push([id]) for id in ids) + stream.flush() == ours.decode(ids)
        if not any(token.lstrip or token.rstrip for token in ours.added_tokens.values()):
            assert ours.decode(ids) == text


def test_files_cut_anywhere_have_the_ids_of_the_text(ours, tmp_path):
    text = "".join(texts(ours, 60_000, seed=2))
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    for allowed in ("all", set()):
        expected = ours.encode(text, allowed_special=allowed)
        assert ours.encode_file(path, allowed_special=allowed).tolist() == expected
    assert ours.count_file(path) == ours.count(text)


def test_what_is_cut_off_fits_and_nothing_longer_would(ours):
    for text in texts(ours, 100, seed=3):
        for most in (1, 3, 7):
            for side in ("left", "right"):
                kept = ours.truncate(text, most, side=side)
                assert ours.count(kept) <= most
                if kept != text:
                    rest = [len(text) - at for at in range(len(text) - len(kept))]
                    longer = [text[:at] if side == "right" else text[-at:] for at in rest]
                    assert all(ours.count(one) > most for one in longer)


def test_offsets_cover_the_text(ours):
    for text in texts(ours, 200, seed=4):
        encoding = ours.encode_with_offsets(text, allowed_special="all")
        assert encoding.ids.tolist() == ours.encode(text, allowed_special="all")
        ends = [0, *encoding.byte_spans[:, 1].tolist()]
        assert encoding.byte_spans[:, 0].tolist() == ends[:-1]
        assert ends[-1] == len(text.encode())


def test_conversations_are_the_same(ours, theirs):
    if not theirs.chat_template:
        pytest.skip("this folder has no chat template")
    hi, yes = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "<t>x</t> yes"}
    for messages in ([hi], [hi, yes, hi]):
        for prompt in (False, True):
            expected = theirs.apply_chat_template(
                messages, add_generation_prompt=prompt, return_dict=False
            )
            assert ours.encode_chat(messages, add_generation_prompt=prompt) == expected
            text = theirs.apply_chat_template(
                messages, add_generation_prompt=prompt, tokenize=False
            )
            assert ours.render_chat(messages, add_generation_prompt=prompt) == text


def test_names_in_messages_are_text(ours, theirs):
    if not theirs.chat_template:
        pytest.skip("this folder has no chat template")
    special = set(ours.special_tokens.values())
    structure = [id for id in ours.encode_chat([{"role": "user", "content": "x"}]) if id in special]
    for name in ours.special_tokens:
        if "reserved" not in name:
            ids = ours.encode_chat([{"role": "user", "content": f"a{name}b"}])
            assert [id for id in ids if id in special] == structure


def test_it_is_pickled_and_saved_and_loaded_again(ours, theirs, tmp_path):
    assert pickle.loads(pickle.dumps(ours)) == ours
    ours.save(tmp_path / "again")
    again = Tokenizer(tmp_path / "again")
    assert (again.added_tokens, again.stop_ids) == (ours.added_tokens, ours.stop_ids)
    assert (again.bos_id, again.eos_id, again.pad_id) == (ours.bos_id, ours.eos_id, ours.pad_id)
    assert again.chat_templates == ours.chat_templates
    assert again.around == ours.around
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    given = texts(ours, 300, seed=5)
    assert auto(given)["input_ids"] == theirs(given)["input_ids"]
    assert auto.chat_template == theirs.chat_template or not theirs.chat_template
    assert (auto.pad_token_id, auto.eos_token_id) == (theirs.pad_token_id, ours.eos_id)


# One by one


def make(tmp_path, name):
    folders.SHAPES[name](tmp_path / name)
    return tmp_path / name


def test_stop_ids_are_those_that_a_folder_says(tmp_path):
    assert Tokenizer(make(tmp_path, "chatml")).stop_ids == [128001, 128012]
    assert Tokenizer(make(tmp_path, "added")).stop_ids == [128001, 128009]
    assert Tokenizer(make(tmp_path, "reasoning")).stop_ids == [128001]
    assert Tokenizer(make(tmp_path, "nothing")).stop_ids == [128001, 128009]
    assert Tokenizer(make(tmp_path, "published")).stop_ids == [128001, 128008, 128009]


def test_profiles_are_told(tmp_path):
    for name, profile in [
        ("chatml", "folder"),
        ("published", "llama3.1"),
        ("templates", "llama3.1"),
    ]:
        assert Tokenizer(make(tmp_path, name)).profile == profile


def test_a_rank_file_beside_gives_the_ranks_and_is_refused_if_it_is_another(tmp_path):
    folder = make(tmp_path, "chatml")
    loaded = Tokenizer(folder)
    assert loaded.vocabulary == str(folder / "tokenizer.model")
    # The names are those of tokenizer.json, whichever of the two is named.
    for path in (folder / "tokenizer.model", folder / "tokenizer.json"):
        assert Tokenizer(path).encode("<|im_end|>", allowed_special="all") == [128012]
    lines = (folder / "tokenizer.model").read_bytes().splitlines()
    lines[300], lines[301] = (
        lines[at].split()[0] + b" " + lines[301 - at + 300].split()[1] for at in (301, 300)
    )
    lines[300], lines[301] = sorted(lines[300:302], key=lambda line: int(line.split()[1]))
    (folder / "tokenizer.model").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(
        VocabularyError, match=r"token 300 is .* in it, and .* in .*tokenizer\.json"
    ):
        Tokenizer(folder)


def test_files_that_contradict_each_other_are_refused(tmp_path):
    folder = make(tmp_path, "chatml")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    original = json.dumps(config)
    config["added_tokens_decoder"]["128013"]["content"] = "<|other|>"
    folders.dump(folder / "tokenizer_config.json", config)
    with pytest.raises(
        VocabularyError, match=r"'<.other.>' the id 128013, and by .* 128013 is '<.res"
    ):
        Tokenizer(folder)
    config = json.loads(original)
    config["added_tokens_decoder"]["128300"] = folders.token(128300, "<far>")
    folders.dump(folder / "tokenizer_config.json", config)
    with pytest.raises(VocabularyError, match="'<far>' the id 128300, and by .* has the id 128256"):
        Tokenizer(folder)
    folders.dump(folder / "tokenizer_config.json", json.loads(original))
    folders.dump(folder / "generation_config.json", {"eos_token_id": 200_000})
    with pytest.raises(VocabularyError, match="its eos_token_id has 200000"):
        Tokenizer(folder)


def test_a_profile_that_a_folder_does_not_have_is_refused(tmp_path):
    with pytest.raises(
        VocabularyError, match=r'not those of profile "llama3.1": 128011 is "<.im_sta'
    ):
        Tokenizer(make(tmp_path, "chatml"), profile="llama3.1")


def test_no_bos_is_said(tmp_path):
    tokenizer = Tokenizer(make(tmp_path, "nothing"))
    assert tokenizer.bos_id is None
    with pytest.raises(Llama3TokError, match="no bos token; pass bos=False"):
        tokenizer.explain("a", bos=True)
    with pytest.raises(Llama3TokError, match="no bos token; pass bos=False"):
        tokenizer.encode("hi", bos=True)
    with pytest.raises(Llama3TokError, match="no bos token"):
        tokenizer.encode("hi" * 1_000_000, bos=True)


def test_unknown_names_are_refused(tmp_path):
    tokenizer = Tokenizer(make(tmp_path, "chatml"))
    with pytest.raises(SpecialTokenError, match="<|python|>"):
        tokenizer.encode("hi", allowed_special={"<|python|>"})
    with pytest.raises(SpecialTokenError) as caught:
        tokenizer.encode("é<|im_end|>", disallowed_special="all")
    assert (caught.value.token, caught.value.offset) == ("<|im_end|>", 2)


def test_a_template_is_chosen_by_name_or_given(tmp_path):
    tokenizer = Tokenizer(make(tmp_path, "templates"))
    hi = [{"role": "user", "content": "hi"}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert tokenizer.render_chat(hi, tools=tools).startswith('<|begin_of_text|>[{"type"')
    assert tokenizer.render_chat(hi, chat_template="default", tools=tools).startswith(
        "<|im_start|>"
    )
    assert tokenizer.render_chat(hi, chat_template="{{ messages | length }}") == "1"
    with pytest.raises(ChatFormatError, match="this tokenizer has 'default', 'tool_use'"):
        tokenizer.encode_chat(hi, chat_template="rag")
    with pytest.raises(ChatFormatError, match="this tokenizer has no chat template"):
        Tokenizer(make(tmp_path, "alone")).encode_chat(hi)


def test_documents_and_variables_reach_a_template(tmp_path):
    tokenizer = Tokenizer()
    template = "{{ documents[0].text }}{{ mood }}{{ date_string }}{{ tools_in_user_message }}"
    hi = [{"role": "user", "content": "hi"}]
    ids = tokenizer.encode_chat(
        hi,
        chat_template=template,
        documents=[{"text": "<|eot_id|>"}],
        template_variables={"mood": "<|eom_id|>"},
        date="1 Jan",
        tools_in="system",
    )
    assert ids == tokenizer.encode("<|eot_id|><|eom_id|>1 JanFalse")
    with pytest.raises(ChatFormatError, match="^documents: the format of this conv"):
        tokenizer.encode_chat(hi, documents=[{"text": "x"}])
    with pytest.raises(TypeError, match="has no option 'tool'"):
        tokenizer.encode_chat(hi, tool=[])


def test_masks_are_what_the_template_generates(tmp_path):
    tokenizer = Tokenizer(make(tmp_path, "reasoning"))
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}]
    ids, mask = tokenizer.encode_chat(messages, add_generation_prompt=False, return_mask=True)
    assert tokenizer.decode([id for id, one in zip(ids, mask, strict=True) if one]) == (
        "b c<｜end▁of▁sentence｜>"
    )
    with pytest.raises(ChatFormatError, match="has no {% generation %} block"):
        Tokenizer(make(tmp_path, "chatml")).encode_chat(messages, return_mask=True)


def test_turns_are_left_out_with_a_template_of_ones_own(tmp_path):
    tokenizer = Tokenizer(make(tmp_path, "chatml"))
    messages = [{"role": "system", "content": "be brief"}]
    for number in range(30):
        messages += [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": f"answer {number}"},
        ]
    messages.append({"role": "user", "content": "last"})
    for most in (40, 100, 1000):
        fitted = tokenizer.fit_chat(messages, most)
        assert fitted.tokens == len(tokenizer.encode_chat(fitted.messages)) <= most
        if fitted.dropped:
            first = fitted.dropped[-1] - 1
            longer = messages[:1] + messages[first:]
            assert len(tokenizer.encode_chat(longer)) > most
    with pytest.raises(ChatFormatError) as caught:
        tokenizer.fit_chat(messages, 5)
    assert caught.value.field == "max_tokens"


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
        ({"<x>": 128009}, r"'<x>' can't have the id 128009, which is '<.eot_id.>'"),
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


def test_the_class_for_transformers_reads_every_shape(shape, ours, theirs):
    from llama3_tok.compat.transformers import Llama3Tokenizer

    fast = Llama3Tokenizer.from_pretrained(shape)
    assert fast.get_added_vocab() == theirs.get_added_vocab()
    given = texts(ours, max(EXAMPLES // 20, 200), seed=6)
    for options in ({}, {"split_special_tokens": True}, {"add_special_tokens": False}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a second BOS
            found = fast(given, **options)["input_ids"]
        assert found == theirs(given, **options)["input_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one, other in zip(given[:100], given[100:200], strict=True):
            mine, expected = fast(one, other), theirs(one, other)
            assert mine["input_ids"] == expected["input_ids"]
            mine = fast(one, return_offsets_mapping=True, add_special_tokens=False)
            expected = theirs(one, return_offsets_mapping=True, add_special_tokens=False)
            assert mine["offset_mapping"] == expected["offset_mapping"]
