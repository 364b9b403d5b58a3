"""Llama 2's tokenizer beside ours: its ids are sentencepiece's, its spans are the text."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

import llama2_model
import strategies
from llama3_tok import VocabularyError, VocabularyNotFound, vocabulary
from llama3_tok.report import llama2 as module
from llama3_tok.report.llama2 import load

EXAMPLES = settings(max_examples=400)


@cache
def processor_of(path):
    return sentencepiece.SentencePieceProcessor(model_file=path)


def test_golden_ids_and_spans():
    if not llama2_model.real_path():
        pytest.skip("LLAMA3_TOK_LLAMA2 does not name Llama 2's tokenizer.model")
    llama2 = load()
    row = llama2.row([b"Hello this is a test"])
    # Facts of the published model, with BOS before.
    assert [module.BOS, *row.ids.tolist()] == [1, 15043, 445, 338, 263, 1243]
    assert row.ends.tolist() == [5, 10, 13, 15, 20]
    digest = "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347"
    assert llama2.sha256 == digest


@st.composite
def any_bytes(draw):
    text = draw(strategies.texts()).encode("utf-8", "replace")
    return text if draw(st.booleans()) else text[1:-1] + draw(st.binary(max_size=6)) + text[:9]


def as_llama2_sees(data):
    """Text for sentencepiece, and for each of its characters the bytes that it is."""
    characters, at = [], 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                characters.append((data[at : at + size].decode(), data[at : at + size]))
                break
            except UnicodeDecodeError:
                continue
        else:
            size = 1
            characters.append(("\ufffd", data[at : at + 1]))
        at += size
    return characters


def walked(llama2, ids, characters):
    """The bytes of each token, found by walking over pieces and characters."""
    queue = [("▁", b""), *characters] if characters else []
    found, rest = [], b""
    for id in ids:
        if llama2.is_byte(id):
            if not rest:
                character, rest = queue.pop(0)
                whole, written = rest, character.replace(" ", "▁").encode()
                size = len(written)
            byte = written[len(written) - size :][:1]
            assert byte == bytes([id - 3])
            size -= 1
            if whole == written:
                found.append(byte)
                rest = rest[1:]
            else:  # U+FFFD in place of a byte: its first token is that byte
                found.append(whole if size == len(written) - 1 else b"")
                rest = whole if size else b""
        else:
            taken = b""
            for character in llama2.piece(id):
                seen, data = queue.pop(0)
                assert seen.replace(" ", "▁") == character
                taken += data
            found.append(taken)
    assert not queue
    return found


@EXAMPLES
@given(data=any_bytes())
def test_spans_are_the_text_for_any_bytes(llama2, data):
    characters = as_llama2_sees(data)
    processor = processor_of(llama2.path)
    expected = processor.encode("".join(character for character, _ in characters))
    row = llama2.row([data])
    assert row.ids.tolist() == expected
    spans = list(zip(row.starts.tolist(), row.ends.tolist(), strict=True))
    assert [data[start:end] for start, end in spans] == walked(llama2, expected, characters)
    assert b"".join(data[start:end] for start, end in spans) == data


@pytest.mark.parametrize(
    "text",
    ["", " ", "   x", "a▁b▁▁ c", "\0\x01\x7f", "\n\n", "<s></s><unk><0x0A>", "𓀀\u202e▁", "\r\n"],
)
def test_spans_of_texts_that_are_easily_mapped_wrongly(llama2, text):
    data = text.encode()
    row = llama2.row([data])
    pieces = walked(llama2, row.ids.tolist(), as_llama2_sees(data))
    assert [data[a:b] for a, b in zip(row.starts, row.ends, strict=True)] == pieces


def test_bytes_that_are_not_utf8_are_what_sentencepiece_makes_of_them(llama2):
    processor = processor_of(llama2.path)
    for data in (b"\xff", b"a\xc3", b"\xe2\x82 x", b"\xf0\x9f\x98z", b"\xed\xa0\x80", b"\xc0\x80"):
        assert llama2.row([data]).ids.tolist() == processor.encode(data)


@pytest.mark.long
@EXAMPLES
@given(texts=st.lists(any_bytes(), max_size=5))
def test_texts_one_behind_the_other_have_the_tokens_of_each(llama2, texts):
    row = llama2.row(texts)
    single = [llama2.row([text]) for text in texts]
    assert row.ids.tolist() == [id for each in single for id in each.ids.tolist()]
    ends, at = [], 0
    for text, each in zip(texts, single, strict=True):
        ends += [end + at for end in each.ends.tolist()]
        at += len(text)
    assert row.ends.tolist() == ends


@EXAMPLES
@given(data=any_bytes(), where=st.integers(0, 10**6))
def test_a_text_in_parts_has_the_ids_of_the_whole(llama2, data, where):
    # Parts end at characters, as those of files do.
    characters = as_llama2_sees(data)
    at = sum(len(part) for _, part in characters[: where % (len(characters) + 1)])
    before, after = data[:at], data[at:]
    if llama2.may_cut(before, after) and before:
        parts = [*llama2.row([before]).ids, *llama2.row([after], continued=True).ids]
        assert parts == llama2.row([data]).ids.tolist()


def test_where_a_piece_reaches_over_the_place_a_text_is_not_cut(llama2):
    assert not llama2.may_cut(b"th", b"e")
    assert llama2.may_cut(b"x\n", b"y")
    whole = llama2.row([b"the"]).ids.tolist()
    parts = [*llama2.row([b"th"]).ids, *llama2.row([b"e"], continued=True).ids]
    assert parts != whole


# Finding it


def test_a_folder_and_the_environment_name_the_model(tmp_path, monkeypatch):
    path = llama2_model.write(tmp_path)
    assert load(tmp_path).path == str(path)
    monkeypatch.setenv("LLAMA3_TOK_LLAMA2", str(tmp_path))
    assert load().path == str(path)


def test_without_a_model_the_error_says_where_to_get_one(tmp_path, monkeypatch):
    monkeypatch.delenv("LLAMA3_TOK_LLAMA2", raising=False)
    for path in (None, tmp_path / "missing", tmp_path):
        with pytest.raises(VocabularyNotFound, match=r"LLAMA3_TOK_LLAMA2=PATH") as caught:
            load(path)
        assert "huggingface.co/meta-llama/Llama-2-7b-hf" in str(caught.value)


def test_other_files_are_refused_for_what_they_are(tmp_path):
    path = tmp_path / "tokenizer.model"
    cases = {
        "a Llama 3 vocabulary": Path(vocabulary.find()).read_bytes(),
        "not a SentencePiece model": b"\x00\x01 garbage " * 100,
        "is not a SentencePiece model such as Llama 2's": b"<!doctype html><title>Log in</title>",
        "has 31,999 pieces in place of 32,000": llama2_model.small()[
            : -len(llama2_model._piece(30_499))
        ],
    }
    for reason, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(VocabularyError, match=reason) as caught:
            load(path)
        assert caught.value.file == str(path)


def test_a_model_that_changes_the_text_is_refused(tmp_path):
    import io

    from llama3_tok.report.llama2 import Llama2

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox ＡＢＣ"] * 20),
        model_writer=written,
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        normalization_rule_name="nfkc",
        minloglevel=2,
    )
    model = written.getvalue() + b"".join(map(llama2_model._piece, range(31_700)))
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    with pytest.raises(VocabularyError, match="changes the text"):
        Llama2(processor, "nfkc", "").row(["ＡＢＣ".encode()])


def test_a_missing_library_is_named_with_its_command():
    code = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "from llama3_tok import report\n"
        "try: report.compare('x')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtra ")
    assert "pip install" in done.stdout
    assert "report" in done.stdout
