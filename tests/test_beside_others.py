"""The README's table: what it says of each library is what that library does."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import llama3_tok
import oracle

README = Path(__file__).resolve().parent.parent / "README.md"
NAME = "<|eot_id|>"
AS_TEXT = [27, 91, 68, 354, 851, 91, 29]
BYTES = b"any bytes \xff"
PLACES = "Hi 漢字"
CHARACTERS = [(0, 2), (2, 4), (3, 4), (4, 5)]


def table():
    """The cells by library and row."""
    lines = [line for line in README.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    heads, _, *rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines)
    libraries = [re.sub(r"\[(\w+)\].*", r"\1", head.strip()) for head in heads[1:]]
    return {
        library: {row[0].strip(): row[at + 1].strip() for row in rows}
        for at, library in enumerate(libraries)
    }


TABLE = table()
SPECIAL, NOT_UTF8, SPACES, STANDS, STREAM, FILES, CHATS, OTHERS = TABLE["llama3_tok"]


@pytest.fixture(scope="module")
def saved(saved_folder):
    return str(saved_folder / "tokenizer.json")


def fails(call, *arguments):
    try:
        call(*arguments)
    except Exception:  # each library has errors of its own
        return True
    return False


def spaces(encode):
    """What a million spaces give, by the ids that the rule has for them."""
    if fails(encode, " " * 1_000_000):
        return "an error"
    ids = list(encode(" " * 1_000_000))
    assert ids == llama3_tok.encode(" " * 1_000_000)
    return "encoded"


def given_back(encode, decode):
    """What becomes of bytes that are not UTF-8."""
    if fails(encode, BYTES):
        return "no"
    assert decode(encode(BYTES)) == BYTES
    return "encoded, and given back"


def test_the_table_has_the_libraries():
    assert list(TABLE) == ["llama3_tok", "tiktoken", "tokenizers", "gigatoken", "fastokens"]
    assert {len(cells) for cells in TABLE.values()} == {8}


def test_llama3_tok(tmp_path):
    cells, tokenizer = TABLE["llama3_tok"], llama3_tok.Tokenizer()
    assert cells[SPECIAL] == "text, unless allowed"
    assert tokenizer.encode(NAME) == AS_TEXT
    assert tokenizer.encode(NAME, allowed_special={NAME}) == [128009]
    assert cells[NOT_UTF8] == given_back(tokenizer.encode, tokenizer.decode_bytes)
    assert cells[SPACES] == spaces(tokenizer.encode)
    assert cells[STANDS] == "bytes and characters"
    encoding = tokenizer.encode_with_offsets(PLACES)
    assert [tuple(span) for span in encoding.char_spans.tolist()] == CHARACTERS
    assert encoding.byte_spans.tolist()[-1] == [6, 9]
    assert cells[STREAM] == "yes"
    assert tokenizer.stream_decoder().push(9906) == "Hello"
    assert cells[FILES] == "yes"
    (tmp_path / "a.txt").write_text("Hello world")
    assert tokenizer.count_files([tmp_path / "a.txt"] * 2).tolist() == [2, 2]
    assert cells[CHATS] == "yes"
    assert len(tokenizer.encode_chat([{"role": "user", "content": "Hi"}], return_mask=True)) == 2
    assert tokenizer.parse_assistant('{"name": "f", "parameters": {}}').tool_calls
    assert cells[OTHERS] == "no"
    (tmp_path / "tokenizer.json").write_text(other())
    assert fails(llama3_tok.Tokenizer, tmp_path / "tokenizer.json")


def test_tiktoken():
    cells, encoding = TABLE["tiktoken"], oracle.encoding()
    assert cells[SPECIAL] == "an error, unless told"
    assert fails(encoding.encode, NAME)
    assert encoding.encode(NAME, disallowed_special=()) == AS_TEXT
    assert cells[NOT_UTF8] == given_back(encoding.encode, encoding.decode_bytes)
    assert cells[SPACES] == spaces(encoding.encode)
    assert cells[STANDS] == "characters"
    ids = encoding.encode(PLACES)
    starts = encoding.decode_with_offsets(ids)[1]
    assert starts == [start for start, _ in CHARACTERS]
    lacks(cells, encoding, import_module("tiktoken"))
    assert cells[OTHERS] == "yes"
    assert "gpt2" in import_module("tiktoken").list_encoding_names()


def test_tokenizers(saved):
    library = import_module("tokenizers")
    cells, tokenizer = TABLE["tokenizers"], library.Tokenizer.from_file(saved)

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    assert cells[SPECIAL] == "the special token, unless told"
    assert encode(NAME) == [128009]
    tokenizer.encode_special_tokens = True
    assert encode(NAME) == AS_TEXT
    assert cells[NOT_UTF8] == given_back(encode, tokenizer.decode)
    assert cells[SPACES] == spaces(encode)
    assert cells[STANDS] == "characters"
    assert tokenizer.encode(PLACES, add_special_tokens=False).offsets == CHARACTERS
    assert cells[STREAM] == "yes"
    assert library.decoders.DecodeStream().step(tokenizer, 9906) == "Hello"
    lacks(cells, tokenizer, library)
    assert cells[OTHERS] == "yes"
    assert library.Tokenizer.from_str(other()).encode("ab a").ids == [256, 220, 64]


def test_gigatoken(saved, tmp_path):
    library = pytest.importorskip("gigatoken", reason="gigatoken is not installed")
    cells, tokenizer = TABLE["gigatoken"], library.Tokenizer.from_json(Path(saved).read_bytes())
    assert cells[SPECIAL] == "the special token, always"
    assert tokenizer.encode(NAME).tolist() == [128009]
    assert fails(tokenizer.as_tiktoken().encode_ordinary, NAME)
    assert cells[NOT_UTF8] == given_back(tokenizer.encode, tokenizer.decode)
    assert cells[SPACES] == spaces(tokenizer.encode)
    assert cells[STANDS] == "no"
    assert fails(tokenizer.as_tiktoken().decode_with_offsets, [9906])
    assert cells[FILES] == "yes"
    (tmp_path / "a.txt").write_text("Hello world")
    assert tokenizer.encode_files([tmp_path / "a.txt"], parallel=True).tolist() == [[9906, 1917]]
    lacks(cells, tokenizer, library)
    assert cells[OTHERS] == "yes"
    assert library.Tokenizer.from_json(other()).encode("ab a").tolist() == [256, 220, 64]


def test_fastokens(saved):
    library = pytest.importorskip("fastokens", reason="fastokens is not installed")
    cells, tokenizer = TABLE["fastokens"], library.Tokenizer.from_file(saved)

    def encode(text):
        return tokenizer.encode(text).ids

    assert cells[SPECIAL] == "the special token, unless told"
    assert encode(NAME) == [128009]
    assert tokenizer.encode(NAME, split_special_tokens=True).ids == AS_TEXT
    assert cells[NOT_UTF8] == given_back(encode, tokenizer.decode)
    assert cells[SPACES] == spaces(encode)
    assert cells[STANDS] == "no"
    assert fails(lambda: tokenizer.encode(PLACES).offsets)
    # What its `patch_transformers` puts in the place of the class of tokenizers.
    assert cells[STREAM] == "yes"
    assert library._native.DecodeStream().step(tokenizer, 9906) == "Hello"
    lacks(cells, tokenizer, library)
    assert cells[OTHERS] == "yes"
    assert library.Tokenizer.from_json_str(other()).encode("ab a").ids == [256, 220, 64]


def other():
    """The `tokenizer.json` of another model: all bytes, and one merge."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: at for at, letter in enumerate([*letters, "ab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.to_str()


def lacks(cells, *places):
    """Where a library has no way to do something, nothing in it is called after that."""
    names = {name.lower() for place in places for name in dir(place)}
    for row, word in ((STREAM, "stream"), (FILES, "files"), (CHATS, "chat")):
        if cells[row] == "no":
            assert not [name for name in names if word in name], row
