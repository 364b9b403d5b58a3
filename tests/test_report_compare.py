"""Llama 3 beside Llama 2: the sums are those of the tokenizers, each cause is shown where it is."""

import doctest
import gzip
import importlib
import json
import os
import re
from collections import Counter
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

import folders
import llama2_model
import oracle
import strategies
from llama3_tok import Tokenizer, _core, report
from llama3_tok.report import scripts
from llama3_tok.report.causes import MEANINGS, Explainer
from llama3_tok.report.counts import Counts
from llama3_tok.report.tally import Tally

EXAMPLES = settings(max_examples=150)


@pytest.fixture(scope="module")
def explainer(tokenizer, llama2):
    return Explainer(tokenizer, llama2, _core.tokens(tokenizer._core))


def explained(tokenizer, llama2, explainer, text):
    """Places that are cut differently, found by sets, with their cuts from the explainer."""
    data = text.encode()
    row = llama2.row([data])
    ids3 = oracle.encoding().encode_ordinary(text)
    tokens3 = [oracle.encoding().decode_single_token_bytes(id) for id in ids3]
    ends3 = list(accumulate(map(len, tokens3)))
    ends2 = row.ends.tolist()
    # Not by the module regex: its newer versions know letters and numbers that tiktoken does not.
    pretokens = _core.pretoken_ends(data).tolist()
    common = sorted({0} | (set(ends3) & set(ends2)))
    for start, end in pairwise(common):
        in2 = [
            at
            for at, begin in enumerate([0, *ends2[:-1]])
            if start <= begin < end or (begin == end == len(data) and end == common[-1])
        ]
        in3 = [at for at, last in enumerate(ends3) if start < last <= end]
        if len(in2) == len(in3) == 1:
            continue
        cuts = explainer.explain(
            data[start:end],
            [ids3[at] for at in in3],
            [int(row.ids[at]) for at in in2],
            [ends2[at] - start for at in in2],
            [at - start for at in pretokens if start < at < end],
            begins=start == 0,
        )
        yield data, start, end, set(ends3), ends2, pretokens, row, cuts, len(in2) - len(in3)


def holds(llama2, cause, data, start, end, at, ends3, ends2, pretokens, row):
    """Whether a cause holds at a cut, by brute force over pieces and ranks."""
    text = data[start:end]
    pieces = llama2.pieces[259:]
    left = data[:at].decode("utf-8", "replace")[-1:]
    right = data[at:].decode("utf-8", "replace")[:1]
    token3 = around(sorted(ends3), at, data)
    token2 = around(ends2, at, data)

    def merge_cuts(piece):
        return set(accumulate(len(oracle_bytes(id)) for id in oracle.merge(piece)))

    if cause == "dummy prefix":
        if at == 0:
            return start == 0 and llama2.piece(int(row.ids[0])) == "▁"
        alone = llama2.row([b"\n" + text]).ends.tolist()
        cut_without = at - start + 1 in alone
        return start == 0 and cut_without == (at not in ends2)
    if cause == "digits":
        pair = left + right
        return pair.isnumeric() and len(pair) == 2 and not any(pair in piece for piece in pieces)
    if cause == "byte fallback":
        beside = [
            int(id) for id, b, e in zip(row.ids, row.starts, row.ends, strict=True) if at in (b, e)
        ]
        return any(3 <= id < 259 for id in beside)
    if cause == "white space":
        return left.isspace() and right.isspace()
    if cause == "vocab-first":
        begin, token = token3
        whole = begin in {0, *pretokens} and begin + len(token) in pretokens
        return whole and at - begin in merge_cuts(token)
    if cause == "pattern":
        return at in pretokens and at - start not in merge_cuts(text)
    begin, token = token3 if at in ends2 else token2
    if at in ends2:
        written = token.decode("utf-8", "replace").replace(" ", "▁")
        known = b"\xff" not in token and written in pieces and "\ufffd" not in written
        if "\ufffd" in written and written in pieces:
            known = written.replace("▁", " ").encode() == token
        known |= begin == 0 and "▁" + written in pieces and "\ufffd" not in written
    else:
        known = token in oracle.ranks()
    return known == (cause == "merge order")


def oracle_bytes(id):
    return oracle.encoding().decode_single_token_bytes(id)


def around(ends, at, data):
    begin = max((end for end in ends if end < at), default=0)
    last = min((end for end in ends if end > at), default=len(data))
    return begin, data[begin:last]


@pytest.mark.long
@EXAMPLES
@given(text=strategies.texts())
@example(text="\U00011de0:vající")
def test_each_cause_holds_where_it_is_named_and_together_they_are_the_difference(
    tokenizer, llama2, explainer, text
):
    text = text.encode("utf-8", "replace").decode()
    for *place, row, cuts, more in explained(tokenizer, llama2, explainer, text):
        data, start, end, ends3, ends2, pretokens = place
        inside3 = {at for at in ends3 if start < at < end}
        inside2 = {at for at in ends2 if start < at < end}
        assert not inside3 & inside2
        at = Counter((cut.at + start, cut.extra) for cut in cuts)
        for cut in inside2:
            assert at[cut, "llama2"] >= 1
        for cut in inside3:
            assert at[cut, "llama3"] == 1
        extra = Counter(cut.extra for cut in cuts)
        assert extra["llama2"] - extra["llama3"] == more
        for cut in cuts:
            assert cut.causes
            for cause in cut.causes:
                assert holds(
                    llama2, cause, data, start, end, cut.at + start, ends3, ends2, pretokens, row
                ), (cause, cut, data[start:end])


@pytest.mark.large
@EXAMPLES
@given(texts=st.lists(strategies.texts(), max_size=4))
def test_the_sums_are_those_of_the_tokenizers(tokenizer, llama2, texts):
    data = [text.encode("utf-8", "replace") for text in texts]
    tally = Tally(tokenizer, llama2)
    tally.add(data)
    seen = [text.decode() for text in data]
    ids3 = [oracle.encoding().encode_ordinary(text) for text in seen]
    ids2 = [llama2._processor.encode(text) for text in seen]
    assert tally.total == Counts(
        sum(map(len, data)), sum(map(len, seen)), sum(map(len, ids3)), sum(map(len, ids2))
    )
    assert sum(tally.scripts, Counts()) == tally.total
    more = sum(number if row == "llama2" else -number for (_, row), number in tally.causes.items())
    assert more == tally.total.llama2 - tally.total.llama3
    alone = ["".join(llama2._processor.decode([id]) for id in ids) for ids in ids2]
    lost = [text.count(" ") - one.count(" ") for text, one in zip(seen, alone, strict=True)]
    if not any("▁" in text for text in seen):
        assert tally.spaces_lost == sum(lost)


def test_known_texts_have_the_causes_that_are_known(tokenizer):
    if not llama2_model.real_path():
        pytest.skip("LLAMA3_TOK_LLAMA2 does not name Llama 2's tokenizer.model")
    cases = {
        "x 2024": "digits",
        "x\n\n": "byte fallback",
        "x Việt": "vocab-first",
        f"x{' ' * 40}y": "white space",
        "12": "dummy prefix",
        "x\n'return": "pattern",
        "x 好きな": "vocabulary",
        "x rax": "merge order",
    }
    for text, cause in cases.items():
        found = report.compare(text, tokenizer=tokenizer)
        assert cause in {each.cause for each in found.causes}, text
    assert set(cases.values()) == set(MEANINGS)


# Files


@pytest.fixture(scope="module")
def long_text():
    lines = [
        "def f(x):",
        "    return  x + 1234",
        "\t\tViệt 好き 𓀀",
        "x" * 300,
        "",
        "   ",
        "😀 e\u0301",
    ]
    return "\n".join(lines[at * 7919 % 7] + str(at) for at in range(40_000)) + " " * 500


def sums(comparison):
    found = comparison.to_json()
    # Of a text alone no languages are told.
    of_files = ("files", "types", "languages")
    for key in (*of_files, "seconds", "excerpts", "versions", "texts", "strings"):
        found.pop(key)
    for cause in found["causes"]:
        cause.pop("examples")
    return found


@pytest.mark.large
def test_a_file_in_parts_gives_what_its_text_gives(tokenizer, llama2_path, long_text, tmp_path):
    whole = report.compare(long_text, tokenizer=tokenizer, llama2=llama2_path)
    plain, packed, records = (tmp_path / name for name in ("a.txt", "b.txt.gz", "c.jsonl"))
    plain.write_text(long_text)
    packed.write_bytes(gzip.compress(long_text.encode()))
    records.write_text(json.dumps({"body": long_text}) + "\n")
    languages = []
    for paths, field in (([plain], None), ([packed], None), ([records], "body")):
        read = []
        found = report.compare(
            paths=paths, field=field, tokenizer=tokenizer, llama2=llama2_path, progress=read.append
        )
        assert sums(found) == sums(whole)
        languages.append(found.languages)
        assert len(read) > 1
        assert read == sorted(read)
        assert read[-1] == paths[0].stat().st_size
    assert whole.total.llama3 == tokenizer.count(long_text)
    # The record comes in one part, the files in several.
    assert languages[0] == languages[1] == languages[2] != ()


def test_folders_types_faults_and_binary_files(tokenizer, llama2_path, tmp_path):
    (tmp_path / "a.py").write_text("print(1)\n")
    (tmp_path / "b.py").write_text("x = 2\n")
    (tmp_path / "c").write_text("no suffix")
    (tmp_path / "d.bin").write_bytes(b"\0\1\2" * 100)
    missing = tmp_path / "missing.txt"
    found = report.compare(paths=[tmp_path, missing], tokenizer=tokenizer, llama2=llama2_path)
    assert [Path(each.path).name for each in found.files] == ["a.py", "b.py", "c"]
    assert {name: number for name, number, _ in found.types} == {".py": 2, "none": 1}
    assert sum((each.counts for each in found.files), Counts()) == found.total
    assert [(fault.path, fault.reason) for fault in found.faults] == [
        (str(missing), "No such file or directory")
    ]
    only = report.compare(paths=[tmp_path], globs=["*.py"], tokenizer=tokenizer, llama2=llama2_path)
    assert len(only.files) == 2


@pytest.mark.long
def test_the_page_of_files_has_the_answers_first_and_as_many_excerpts_as_it_bears(
    tokenizer, llama2_path, tmp_path
):
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text("In 2024 the weather was 12345. " * 400)

    def page(**given):
        made = report.compare(tokenizer=tokenizer, llama2=llama2_path, **given).to_html()
        return made, re.findall(r"<h2[^>]*>(.*?)</h2>", made)

    html, headings = page(paths=[tmp_path])
    assert "<h1>Llama 3 beside Llama 2: 30 files</h1>" in html
    assert headings[-2:] == ["Token by token", "About this page"]
    assert headings[:3] == ["Counts", "Why they differ", "By script"]
    # 20 beginnings are kept, which are few enough.
    assert html.count('class="flow"') + html.count("class=flow") == 20
    assert "The beginnings of 10 more files are not shown here." in html
    # With 12,000 bytes of each it would be too many.
    html, _ = page(paths=[tmp_path], excerpt=12_000)
    shown = html.count('class="flow"') + html.count("class=flow")
    assert 1 < shown < 10
    assert f"The beginnings of {30 - shown} more files are not shown here." in html
    # Of a text itself the tokens come first.
    _, headings = page(text="In 2024 it rained.")
    assert headings[:3] == ["Counts", "Token by token", "Why they differ"]


def test_added_tokens_of_a_folder_are_text(tokenizer, llama2_path, tmp_path):
    text = "a <think>hi</think> Sonderwort [MASK] <｜User｜>"
    expected = report.compare(text, tokenizer=tokenizer, llama2=llama2_path)
    for shape in ("reasoning", "added"):
        folders.SHAPES[shape](tmp_path / shape)
        own = Tokenizer(tmp_path / shape)
        assert own.count(text) != expected.total.llama3
        found = report.compare(text, tokenizer=own, llama2=llama2_path)
        assert (found.total, found.causes) == (expected.total, expected.causes)


def test_contexts_and_costs_are_arithmetic(tokenizer, llama2_path):
    found = report.compare("word " * 9000, tokenizer=tokenizer, llama2=llama2_path, price=(0.5, 2))
    total = found.total
    assert found.costs == {"llama3": total.llama3 * 0.5 / 1e6, "llama2": total.llama2 * 2 / 1e6}
    for each in found.windows:
        tokens = total.llama2 if each["model"] == "Llama 2" else total.llama3
        assert (each["windows"] - 1) * each["tokens"] < tokens <= each["windows"] * each["tokens"]
        assert each["characters"] == int(45_000 * each["tokens"] / tokens)


def test_strings_that_gain_and_lose_are_told_with_their_tokens(tokenizer, llama2_path):
    text = "In 2024 and 2024 and 2024.\n\n" * 3
    found = report.compare(text, tokenizer=tokenizer, llama2=llama2_path)
    for pair, times in (*found.gains, *found.losses):
        assert tokenizer.decode_bytes(pair.llama3) == pair.text
        assert text.encode().count(pair.text) >= times
        assert len(pair.llama3) != len(pair.llama2)
    assert any(pair.text in (b"202", b"2024") and times == 9 for pair, times in found.gains)


def test_the_empty_text(tokenizer, llama2_path):
    found = report.compare("", tokenizer=tokenizer, llama2=llama2_path)
    assert found.total == Counts()
    assert found.total.ratio is None
    assert json.loads(json.dumps(found.to_json()))["total"]["llama3"]["tokens"] == 0
    assert "The text is empty." in found.to_html()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, ValueError),
        ({"text": "x", "paths": ["y"]}, ValueError),
        ({"text": "x", "price": -1}, ValueError),
        ({"text": "x", "price": float("nan")}, ValueError),
        ({"text": 5}, TypeError),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, llama2_path):
    with pytest.raises(error):
        report.compare(**arguments, llama2=llama2_path)


# What is written about it


@pytest.fixture
def real_model():
    if not llama2_model.real_path():
        pytest.skip("LLAMA3_TOK_LLAMA2 does not name Llama 2's tokenizer.model")
    return llama2_model.real_path()


@pytest.mark.parametrize("module", ["llama3_tok.report", "llama3_tok.report.comparing"])
def test_the_examples_of_the_docstrings(module, real_model, tmp_path, monkeypatch):
    (tmp_path / "tokenizer.model").symlink_to(real_model)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.large
def test_the_example_in_docs_is_what_the_corpora_give(real_model, monkeypatch, tokenizer):
    folder = os.environ.get("LLAMA3_TOK_CORPORA")
    if not folder:
        pytest.skip("LLAMA3_TOK_CORPORA does not name the folder of the corpora")
    docs = Path(__file__).resolve().parent.parent / "docs"
    written = json.loads((docs / "compare.json").read_text())
    monkeypatch.chdir(folder)
    paths = ["code.txt", "english.txt", "multilingual.txt"]
    found = report.compare(
        paths=paths, llama2=real_model, tokenizer=tokenizer, excerpt=700, price=0.2
    ).to_json()
    for key in ("seconds", "versions"):
        del written[key], found[key]
    assert json.loads(json.dumps(found)) == written


# Scripts


def test_letters_have_the_script_that_unicode_gives_them():
    import unicodedata

    specific = regex.compile(r"[^\p{Script=Common}\p{Script=Inherited}\p{Script=Unknown}]")
    listed = {
        name: regex.compile(rf"\p{{Script={name}}}")
        for name in scripts.NAMES[3:]
        if name != scripts.OTHER
    }
    for point in range(0x110000):
        char = chr(point)
        if unicodedata.category(char)[0] in "LM" and specific.match(char):
            name = scripts.NAMES[scripts.of_character(point)]
            if name == scripts.OTHER:
                assert not any(pattern.match(char) for pattern in listed.values()), hex(point)
            else:
                assert listed[name].match(char), (hex(point), name)


@EXAMPLES
@given(text=strategies.texts())
def test_a_token_has_the_script_of_its_first_letter(tokenizer, text):
    import numpy as np

    text = text.encode("utf-8", "replace").decode()
    ids = tokenizer.encode(text)
    ends = np.cumsum([len(tokenizer.token_bytes(id)) for id in ids], dtype=np.int64)
    by_character = scripts.of_characters(text)
    by_byte = np.repeat(by_character, [len(char.encode()) for char in text])
    found = scripts.of_tokens(by_byte, ends)
    for id, end, script in zip(ids, ends, found, strict=True):
        of_bytes = by_byte[end - len(tokenizer.token_bytes(id)) : end].tolist()
        letters = [each for each in of_bytes if each >= 3]
        assert script == (letters[0] if letters else max(of_bytes))
