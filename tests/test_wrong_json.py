"""Folders whose JSON is not what it should be: refused by the name of the file, or documented.

Each value of each file is replaced by each kind of JSON. What is taken in spite of that is either a
value that says nothing here, and then the tokenizer is the same, or one of the right kind, and then
it is the tokenizer that `AutoTokenizer` makes of it.
"""

import json
import re
import shutil

import pytest

import small_vocabulary
from llama3_tok import Llama3TokError, Tokenizer, VocabularyError
from wrong_json import RAW, has_kind, mutants

transformers = pytest.importorskip("transformers")

# Files that are not read, by folder; and places that say nothing here, in all folders.
NOT_READ = {("decoder", "special_tokens_map.json"), ("decoder", "added_tokens.json")}
SAYS_NOTHING = {
    "tokenizer.json": r"version|truncation|padding|decoder\b.*|pre_tokenizer\.type|"
    r"pre_tokenizer\..*\.trim_offsets|model\.fuse_unk|"
    r"post_processor\.processors\.0\.(add_prefix_space|trim_offsets|use_regex)|"
    r"post_processor\..*\.Sequence\.type_id|"
    r"post_processor\..*\.special_tokens\.[^.]*\.(id|tokens\b.*)",
    "tokenizer_config.json": r"tokenizer_class|profile|clean_up_tokenization_spaces|"
    r"model_input_names\b.*|model_max_length|.*\.__type",
    "generation_config.json": r"bos_token_id|pad_token_id",
    "config.json": r"vocab_size|rope_parameters\.rope_theta",
}
# Places that say nothing where there is another file.
OVERRULED = {
    ("tokenizer_config.json", "chat_template"): "chat_template.jinja",
    ("config.json", "eos_token_id"): "generation_config.json",
    ("config.json", "eos_token_id.0"): "generation_config.json",
}
# Places where values of several kinds are right, and which.
SEVERAL_KINDS = {
    r"eos_token_id": (int, list),
    r"model\.dropout": (int, float),
    r"chat_template": (str, list, dict),
    r"(extra|additional)_special_tokens": (list, dict),
    r"\w+_token|(extra|additional)_special_tokens\.\w+": (str, dict),
}


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def saved(folder):
    """As `Tokenizer.save` writes it, with a model's configuration beside."""
    rank_file = folder.parent / "small.model"
    small_vocabulary.write(rank_file, small_vocabulary.rank_lines(small_vocabulary.SMALL))
    Tokenizer(rank_file).save(folder)
    rope = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 500000.0}
    config = {"model_type": "llama", "vocab_size": 519, "eos_token_id": [272]}
    dump(folder / "config.json", config | {"rope_parameters": rope})


def model(folder):
    """What ends generation is in the model's configuration alone; the template in the other."""
    saved(folder)
    (folder / "generation_config.json").unlink()
    (folder / "chat_template.jinja").unlink()


def older(folder):
    """As older versions wrote it: names in files of their own."""
    saved(folder)
    config = load(folder / "tokenizer_config.json")
    typed = {"__type": "AddedToken", "content": "<s2>", "lstrip": False}
    config["additional_special_tokens"] = ["<s1>", typed]
    dump(folder / "tokenizer_config.json", config)
    dump(folder / "added_tokens.json", {"<pad>": 519, "domain word": 520, "<s1>": 521})
    named = {"pad_token": "<pad>", "eos_token": {"content": "<|eot_id|>", "lstrip": False}}
    dump(folder / "special_tokens_map.json", named)


def decoder(folder):
    """As transformers writes it: tokens with flags and several templates in the configuration."""
    saved(folder)
    config = load(folder / "tokenizer_config.json")
    tokens = load(folder / "tokenizer.json")["added_tokens"]
    config["added_tokens_decoder"] = {str(token.pop("id")): token for token in tokens}
    config["extra_special_tokens"] = {"image_token": "<image>"}
    config["chat_template"] = [
        {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"},
        {"name": "tool_use", "template": "{{ messages[0].content }}"},
    ]
    (folder / "chat_template.jinja").unlink()
    dump(folder / "added_tokens.json", {"<image>": 519})
    dump(folder / "tokenizer_config.json", config)


FOLDERS = {make.__name__: make for make in (saved, model, older, decoder)}
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
FILES += ("generation_config.json", "config.json")


def state(tokenizer):
    """All that a folder says of a tokenizer, but the release's name."""
    roles = tokenizer.bos_id, tokenizer.eos_id, tokenizer.eot_id, tokenizer.pad_id
    added = tokenizer.added_tokens, tokenizer.vocab_size, tokenizer.stop_ids
    text = "hello <|eot_id|> <pad> x"
    ids = tokenizer.encode(text), tokenizer.encode(text, allowed_special="all")
    return roles, added, tokenizer.chat_templates, tokenizer.around, ids


def agrees(folder, ours):
    """Compares with what `AutoTokenizer` makes of a folder."""
    # It reads the model's configuration as well, and the tokenizer does not depend on it.
    dump(folder / "config.json", {"model_type": "llama"})
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    expected = {
        (id, token.content, token.special, token.single_word, token.lstrip, token.rstrip)
        for id, token in theirs.added_tokens_decoder.items()
    }
    assert {token[:6] for token in ours.added_tokens.values()} == expected
    if theirs.bos_token or theirs.eos_token or theirs.pad_token:
        assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)
    if theirs.pad_token is not None:
        assert ours.pad_id == theirs.pad_token_id
    for text in ("hello", "hello <|eot_id|> x <pad>"):
        before, after, _ = ours.around
        inner = ours.encode(text, allowed_special="all")
        assert [*before, *inner, *after] == theirs(text)["input_ids"]
    templates = theirs.chat_template or {}
    if isinstance(templates, str):
        templates = {"default": templates}
    assert ours.chat_templates == templates


def is_right(place, old, new):
    """Whether a value is one that may stand at a place, by its kind."""
    for pattern, kinds in SEVERAL_KINDS.items():
        if re.fullmatch(pattern, place):
            return new is None or type(new) in kinds
    return has_kind(new, old)


def says_nothing(folder, name, place):
    """Whether it makes no difference what a value is."""
    if (folder.name, name) in NOT_READ:
        return True
    if (name, place) in OVERRULED:
        return (folder / OVERRULED[name, place]).exists()
    return bool(place and re.fullmatch(SAYS_NOTHING.get(name, ""), place))


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / request.param
    FOLDERS[request.param](folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_a_value_of_a_wrong_kind_is_refused_or_means_nothing(folder, tmp_path, name):
    if not (folder / name).exists():
        pytest.skip(f"this folder has no {name}")
    usual = state(Tokenizer(folder))
    copied = shutil.copytree(folder, tmp_path / "folder")
    file = copied / name
    wrong = []
    for place, old, new, value in mutants(load(file)):
        dump(file, value)
        is_nothing = says_nothing(folder, name, place)
        try:
            ours = Tokenizer(copied)
        except VocabularyError as error:
            message = str(error)
            is_plain = len(message) < 1000 and not RAW.search(message)
            # What may stand there can contradict another file of the folder, which is named then.
            files = copied.iterdir() if is_right(place, old, new) else [file]
            if error.file not in map(str, files) or not is_plain:
                wrong.append((place, new, message))
            continue
        now = state(ours)
        if is_nothing:
            if now != usual:
                wrong.append((place, new, "changes the tokenizer"))
        elif not is_right(place, old, new):
            wrong.append((place, new, "is taken"))
        elif now != usual:
            try:
                agrees(copied, ours)
            except Exception as error:  # all of them are shown in the end
                wrong.append((place, new, f"AutoTokenizer: {error!r}"[:300]))
            shutil.copy(folder / "config.json", copied)
    assert not wrong, "\n".join(f"{place} as {str(new)[:20]!r}: {why}" for place, new, why in wrong)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a": ' * 100_000, "\ud800", "{} {}", "NaN"])
def test_what_is_no_object_of_json_is_refused(folder, tmp_path, name, text):
    if not (folder / name).exists() or (folder.name, name) in NOT_READ:
        pytest.skip(f"this folder has no {name}, or it is not read")
    copied = shutil.copytree(folder, tmp_path / "folder")
    (copied / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(VocabularyError) as caught:
        Tokenizer(copied)
    assert caught.value.file == str(copied / name)
    assert len(str(caught.value)) < 1000


def test_settings_beside_which_a_tokenizer_is_saved_may_be_anything_but_are_never_lost(tmp_path):
    path = tmp_path / "generation_config.json"
    tokenizer = Tokenizer()
    for text in ("[" * 100_000, '{"a": ' * 100_000, "null", '"x"', "5", "\udc00"):
        data = text.encode("utf-8", "surrogatepass")
        path.write_bytes(data)
        with pytest.raises(Llama3TokError, match="its settings are to be kept"):
            tokenizer.save(tmp_path)
        assert path.read_bytes() == data
