"""`Tokenizer.save`: what it writes, and who can read it."""

import hashlib
import json
import pickle

import pytest
import tokenizers
from hypothesis import given, settings

import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import PROFILES, Tokenizer, VocabularyError
from llama3_tok._core import META_SHA256
from llama3_tok.profiles import chat_template
from saved_files import NAMES, load
from small_vocabulary import SINGLE_BYTES, small


@pytest.fixture(scope="module", params=PROFILES)
def saved(request, releases):
    return Tokenizer(profile=request.param), releases.folder(request.param)


@pytest.fixture(scope="module")
def hugging_face_file(saved_folder):
    return tokenizers.Tokenizer.from_file(str(saved_folder / "tokenizer.json"))


# What is written


def test_a_folder_is_made_with_those_above_it(tmp_path, tiny):
    assert tiny.save(tmp_path / "new" / "folder") is None
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == NAMES


def test_a_folder_has_the_files_that_others_look_for(saved):
    assert {path.name for path in saved[1].iterdir()} == NAMES


def test_the_rank_file_is_metas_byte_for_byte(saved):
    data = (saved[1] / "tokenizer.model").read_bytes()
    assert hashlib.sha256(data).hexdigest() == META_SHA256


@pytest.mark.long
def test_the_tokenizer_json_has_what_hugging_faces_conversion_gives(saved):
    tokenizer, folder = saved
    ours = load(folder / "tokenizer.json")
    theirs = oracle.tokenizer_json(oracle.ranks(), tokenizer.special_tokens)
    assert len(ours["model"]["merges"]) == 280_147
    assert ours["model"] == theirs["model"]
    assert ours["pre_tokenizer"] == theirs["pre_tokenizer"]
    assert ours["added_tokens"] == theirs["added_tokens"]
    assert list(ours) == list(theirs)


@pytest.mark.long
def test_tokenizers_writes_the_same_file(saved):
    """What is not read by tokenizers, or not as it is meant, would be missing or other there."""
    ours = load(saved[1] / "tokenizer.json")
    theirs = json.loads(tokenizers.Tokenizer.from_file(str(saved[1] / "tokenizer.json")).to_str())
    theirs["model"]["merges"] = [" ".join(pair) for pair in theirs["model"]["merges"]]
    assert theirs == ours


def test_the_configurations_name_the_ids_of_the_profile(saved):
    tokenizer, folder = saved
    names = {id: name for name, id in tokenizer.special_tokens.items()}
    roles = {"bos_token": names[128000], "eos_token": names[128001]}
    ids = {"bos_token_id": 128000, "eos_token_id": tokenizer.stop_ids}
    if tokenizer.profile != "llama3":
        roles["pad_token"] = "<|finetune_right_pad_id|>"
        ids["pad_token_id"] = 128004
    assert load(folder / "special_tokens_map.json") == roles
    assert load(folder / "generation_config.json") == ids
    config = load(folder / "tokenizer_config.json")
    assert roles.items() <= config.items()
    assert config["clean_up_tokenization_spaces"] is False
    assert config["chat_template"] == (folder / "chat_template.jinja").read_text(encoding="utf-8")


# Who reads it


def test_what_was_saved_is_read_as_the_same_tokenizer(saved):
    tokenizer, folder = saved
    for path in (folder, folder / "tokenizer.model", folder / "tokenizer.json"):
        again = Tokenizer(path, profile=tokenizer.profile)
        assert again.special_tokens == tokenizer.special_tokens
        assert again.vocab_size == tokenizer.vocab_size
        expected = [*oracle.encoding().encode_ordinary("Hello  Việt "), 128009]
        assert again.encode("Hello  Việt <|eot_id|>", allowed_special="all") == expected


def test_a_saved_folder_says_which_profile_it_is(saved):
    tokenizer, folder = saved
    for path in (folder, folder / "tokenizer.model", folder / "tokenizer.json"):
        again = Tokenizer(path)
        assert again.profile == tokenizer.profile
        messages = [{"role": "user", "content": "hi"}]
        assert again.encode_chat(messages) == tokenizer.encode_chat(messages)
        assert pickle.loads(pickle.dumps(again)) == again


@pytest.mark.long
def test_the_profile_of_a_saved_folder_survives_auto_tokenizer_in_silence(saved, tmp_path, caplog):
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.enable_propagation()
    try:
        AutoTokenizer.from_pretrained(saved[1]).save_pretrained(tmp_path)
    finally:
        logging.disable_propagation()
    assert caplog.records == []
    assert Tokenizer(tmp_path).profile == saved[0].profile


def test_the_environments_folder_says_which_profile_it_is(saved, monkeypatch):
    monkeypatch.setenv("LLAMA3_TOK_VOCAB", str(saved[1]))
    assert Tokenizer().profile == saved[0].profile


def test_a_chosen_profile_with_the_same_special_tokens_is_chosen(releases):
    folder = releases.folder("llama3.2")
    assert Tokenizer(folder, profile="llama3.1").profile == "llama3.1"


def test_a_rank_file_of_another_name_is_not_the_folders(tmp_path, releases):
    releases.copy(tmp_path, "llama3")
    (tmp_path / "tokenizer.model").rename(tmp_path / "other.model")
    assert Tokenizer(tmp_path / "other.model").profile == "llama3.1"


@pytest.mark.long
def test_another_profile_than_the_saved_one_is_refused_where_special_tokens_differ(saved):
    tokenizer, folder = saved
    for profile in PROFILES:
        same = Tokenizer(profile=profile).special_tokens == tokenizer.special_tokens
        for path in (folder, folder / "tokenizer.model", folder / "tokenizer.json"):
            if same:
                assert Tokenizer(path, profile=profile).encode("hi") == [6151]
            else:
                with pytest.raises(VocabularyError, match=r"pass profile=") as caught:
                    Tokenizer(path, profile=profile)
                # The file that says which special tokens there are.
                assert caught.value.file == str(folder / "tokenizer.json")


@pytest.mark.parametrize("config", ["{}", '{"profile": 3}', '{"profile": ["llama3.1"]}'])
def test_a_configuration_that_tells_no_profile_is_not_minded(tmp_path, releases, config):
    releases.copy(tmp_path, "llama3")
    (tmp_path / "tokenizer_config.json").write_text(config)
    assert Tokenizer(tmp_path).profile == "llama3"


@pytest.mark.parametrize("config", ["", "[]", '{"bos_token": 5}', '{"added_tokens_decoder": []}'])
def test_a_configuration_that_can_not_be_read_is_refused(tmp_path, releases, config):
    releases.copy(tmp_path, "llama3")
    # Where it has no added_tokens_decoder, what this file says counts, as in transformers.
    (tmp_path / "special_tokens_map.json").unlink()
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(VocabularyError) as caught:
        Tokenizer(tmp_path)
    assert caught.value.file == str(tmp_path / "tokenizer_config.json")


@pytest.mark.long
def test_auto_tokenizer_gives_the_same_ids_and_text(saved):
    from transformers import AutoTokenizer

    tokenizer, folder = saved
    theirs = AutoTokenizer.from_pretrained(folder)
    assert (theirs.bos_token_id, theirs.eos_token_id) == (128000, 128001)
    assert theirs.pad_token_id == tokenizer.pad_id
    assert len(theirs) == tokenizer.vocab_size
    text = "Hello , it 's\n\n  Việt <|eot_id|> 漢字 " + "".join(tokenizer.special_tokens)
    ids = theirs(text)["input_ids"]
    assert ids == tokenizer.encode(text, bos=True, allowed_special="all")
    assert theirs.decode(ids) == "<|begin_of_text|>" + text
    plain = theirs(text, split_special_tokens=True, add_special_tokens=False)["input_ids"]
    assert plain == tokenizer.encode(text)


def test_generation_config_is_read_by_transformers(saved):
    from transformers import GenerationConfig

    tokenizer, folder = saved
    config = GenerationConfig.from_pretrained(folder)
    assert config.eos_token_id == tokenizer.stop_ids
    assert config.pad_token_id == tokenizer.pad_id
    assert config.bos_token_id == 128000


@pytest.mark.long
def test_tokenizers_gives_the_same_ids_for_every_token(hugging_face_file, tokenizer):
    for id in oracle.unreachable():
        text = tokenizer.token_bytes(id).decode()
        assert hugging_face_file.encode(text, add_special_tokens=False).ids == [id]
    for name, id in tokenizer.special_tokens.items():
        assert hugging_face_file.encode(name, add_special_tokens=False).ids == [id]
    texts = [
        token.decode()
        for token in oracle.ranks()
        if token.decode("utf-8", "ignore").encode() == token
    ]
    theirs = [one.ids for one in hugging_face_file.encode_batch(texts, add_special_tokens=False)]
    assert theirs == tokenizer.encode_batch(texts)


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(strategies.texts())
def test_tokenizers_gives_the_same_ids_for_any_text(hugging_face_file, tokenizer, text):
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    expected = [128000, *tokenizer.encode(text, allowed_special="all")]
    assert hugging_face_file.encode(text).ids == expected


def test_tokenizers_gives_the_same_ids_for_real_text(hugging_face_file, tokenizer, corpus):
    step = 20_000
    slices = [corpus[at : at + step] for at in range(0, len(corpus), 10 * step)]
    theirs = [one.ids for one in hugging_face_file.encode_batch(slices, add_special_tokens=False)]
    assert theirs == tokenizer.encode_batch(slices)


def test_a_merge_that_looks_like_a_header_is_written_as_a_pair(tmp_path):
    parts = [b"#v", b"#ve", b"#ver", b"#vers", b"#versi", b"#versio", b"#version", b"#versions"]
    tokenizer = small(tmp_path / "small.model", [*SINGLE_BYTES, *parts])
    tokenizer.save(tmp_path / "saved")
    assert ["#version", "s"] in load(tmp_path / "saved" / "tokenizer.json")["model"]["merges"]
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    # One pretoken, which is not a token as a whole: it is merged.
    ids = theirs.encode("#versionsx", add_special_tokens=False).ids
    assert ids == tokenizer.encode("#versionsx") == [263, ord("x")]


def test_a_vocabulary_without_merges_is_saved_and_read(tmp_path):
    small(tmp_path / "small.model", SINGLE_BYTES).save(tmp_path / "saved")
    for name in ("tokenizer.json", "tokenizer.model"):
        assert Tokenizer(tmp_path / "saved" / name).encode("ab") == [97, 98]


def test_every_profile_has_a_chat_template():
    for profile in llama3_tok.PROFILES:
        assert "<|start_header_id|>" in chat_template(profile)


def test_a_tokenizer_json_by_itself_is_a_release_with_its_chats(tokenizer, saved_folder, tmp_path):
    """No file speaks of conversations: they are the release's, and `save` writes its template."""
    (tmp_path / "alone").mkdir()
    data = (saved_folder / "tokenizer.json").read_bytes()
    (tmp_path / "alone" / "tokenizer.json").write_bytes(data)
    for path in (tmp_path / "alone", tmp_path / "alone" / "tokenizer.json"):
        alone = llama3_tok.Tokenizer(path)
        assert alone.chat_templates == tokenizer.chat_templates
        alone.save(tmp_path / "again")
        for file in saved_folder.iterdir():
            assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name
    # A configuration that has no template says that there is none, as the base models' does.
    (tmp_path / "alone" / "tokenizer_config.json").write_text('{"bos_token": "<|begin_of_text|>"}')
    assert llama3_tok.Tokenizer(tmp_path / "alone").chat_templates == {}
