"""The command with model folders of any shape, against `AutoTokenizer`."""

import json

import pytest

import folders
from cli import fails, on_terminal, output

transformers = pytest.importorskip("transformers")

TEXT = " a<think>b</think> <|im_end|>Sonderwort <qa>b <tool> é[MASK]<｜User｜> Hello!<image>"


@pytest.fixture(scope="module", params=folders.SHAPES)
def shape(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    folders.SHAPES[request.param](folder)
    return str(folder)


@pytest.fixture(scope="module")
def theirs(shape):
    return transformers.AutoTokenizer.from_pretrained(shape)


@pytest.mark.long
def test_ids_and_counts_are_the_same(shape, theirs):
    given = ("--vocabulary", shape)
    plain = theirs(TEXT, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert output("encode", *given, TEXT) == " ".join(map(str, plain)).encode() + b"\n"
    assert output("count", *given, stdin=TEXT.encode()) == b"%d\n" % len(plain)
    every = theirs(TEXT, add_special_tokens=False)["input_ids"]
    allowed = ("--allowed-special", "all")
    printed = output("encode", *given, *allowed, "--json", TEXT)
    assert json.loads(printed)["ids"] == every


@pytest.mark.long
def test_ids_become_text_again(shape, theirs):
    given = ("--vocabulary", shape)
    ids = theirs(TEXT, add_special_tokens=False)["input_ids"]
    words = list(map(str, ids))
    # The text of each token by itself: `decode` of some versions joins them with spaces.
    names = {id: token.content for id, token in theirs.added_tokens_decoder.items()}
    text = "".join(names.get(id) or theirs.decode([id]) for id in ids)
    assert output("decode", *given, *words) == text.encode()
    special = {id for id, token in theirs.added_tokens_decoder.items() if token.special}
    kept = "".join(names.get(id) or theirs.decode([id]) for id in ids if id not in special)
    assert output("decode", *given, "--skip-special", *words) == kept.encode()


@pytest.mark.long
def test_show_has_a_colour_for_every_added_token(shape, theirs):
    added = theirs.added_tokens_decoder
    given = ("--vocabulary", shape, "--allowed-special", "all", TEXT)
    code, shown, errors = on_terminal("show", *given, columns=400)
    assert (code, errors) == (0, b"")
    ids = theirs(TEXT, add_special_tokens=False)["input_ids"]
    # Purple is the background of a piece and of its id, and of nothing else.
    assert shown.count(b";48;5;90m") == 2 * sum(id in added for id in ids)


@pytest.mark.long
def test_what_a_folder_does_not_have_is_said_in_options(tmp_path):
    folders.nothing(tmp_path)
    given = ("encode", "--vocabulary", str(tmp_path), "hi")
    message = "llama3-tok: this tokenizer has no bos token; pass no --bos\n"
    assert fails(*given, "--bos") == message
