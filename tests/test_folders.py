"""Folders of fine-tunes: ids, text, roles and chats are those of `AutoTokenizer`.

Where text has names of special tokens, the core takes them for text unless they are allowed.
"""

import json
import pickle
import warnings

import pytest

import folders
from conftest import EXAMPLES
from folders import make, texts
from llama3_tok import (
    ChatFormatError,
    Llama3TokError,
    SpecialTokenError,
    Tokenizer,
    VocabularyError,
)

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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
