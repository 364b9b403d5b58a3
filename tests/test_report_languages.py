"""Tokens by language: which lines are told, and that the sums account for every token."""

import re
import sys
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import strategies
from cli import output
from llama3_tok import MissingExtra, report
from llama3_tok.report import languages, scripts
from llama3_tok.report.counts import Counts
from llama3_tok.report.languages import LONGEST, NOT_TOLD, Languages
from llama3_tok.report.tally import Tally

pytest.importorskip("py3langid", reason="py3langid, of the extra `report`, is not installed")

LINES = {
    "ar": "يقرأ الطلاب الكتب في المكتبة كل يوم قبل أن يعودوا إلى بيوتهم.",
    "cs": "Zítra pojedeme vlakem do Prahy a večer půjdeme na koncert.",
    "de": "Morgen fahren wir mit dem Zug nach Hamburg und besuchen unsere Freunde.",
    "el": "Το πρωί πίνουμε καφέ και διαβάζουμε την εφημερίδα στον κήπο.",
    "en": "Tomorrow we will take the train to the coast and visit our friends.",
    "es": "Mañana iremos en tren a la playa y comeremos con nuestros amigos.",
    "fi": "Huomenna matkustamme junalla rannikolle ja tapaamme ystäviämme.",
    "fr": "Demain nous prendrons le train pour aller voir nos amis à la campagne.",
    "hi": "कल हम रेलगाड़ी से समुद्र के किनारे जाएँगे और अपने दोस्तों से मिलेंगे।",
    "it": "Domani prenderemo il treno per andare a trovare i nostri amici al mare.",
    "ja": "明日は電車に乗って海へ行き、友だちと一緒に昼ご飯を食べます。",
    "ko": "내일 우리는 기차를 타고 바다에 가서 친구들과 점심을 먹을 것이다.",
    "nl": "Morgen gaan we met de trein naar de kust en bezoeken we onze vrienden.",
    "pl": "Jutro pojedziemy pociągiem nad morze i odwiedzimy naszych przyjaciół.",
    "pt": "Amanhã vamos de comboio até à praia e almoçamos com os nossos amigos.",
    "ru": "Завтра мы поедем на поезде к морю и навестим наших друзей.",
    "sv": "I morgon tar vi tåget till kusten och hälsar på våra vänner.",
    "th": "พรุ่งนี้เราจะนั่งรถไฟไปทะเลและกินข้าวกลางวันกับเพื่อน",
    "tr": "Yarın trenle deniz kıyısına gidip arkadaşlarımızı ziyaret edeceğiz.",
    "uk": "Завтра ми поїдемо потягом до моря і відвідаємо наших друзів.",
    "vi": "Ngày mai chúng tôi sẽ đi tàu hỏa ra biển và ăn trưa với bạn bè.",
    "zh": "明天我们要坐火车去海边，和朋友们一起吃午饭，然后再回家。",
}
CODE = "    for (size_t i = 0; i < len; ++i) { ptr[i] = buf[i] ^ key[i % klen]; }"


@pytest.fixture(scope="module")
def loaded():
    return Languages()


@pytest.fixture
def model(loaded):
    return emptied(loaded)


def emptied(model):
    model.sums()
    model._sums.clear()
    return model


@pytest.fixture
def told(loaded):
    """Tells the lines of a text that comes in these parts: how many are in which language."""

    def tell(*parts):
        model = emptied(loaded)
        for number, part in enumerate(parts):
            data = part if isinstance(part, bytes) else part.encode()
            letters = np.array([byte > 127 or chr(byte).isalpha() for byte in data], bool)
            # In place of tokens: where lines begin.
            begins = [0, *(at + 1 for at, byte in enumerate(data[:-1]) if byte == 10)]
            at = np.array(begins if data else [], np.int64)
            model.add([data], letters, at, at, at, continued=number > 0)
        return {code: counts.llama3 for code, counts in model.sums().items()}

    return tell


@pytest.mark.parametrize("code", LINES)
def test_a_line_of_prose_is_told(told, code):
    assert told(LINES[code]) == {code: 1}


def test_each_line_has_its_own_language(told):
    assert told("\n".join(LINES.values())) == dict.fromkeys(LINES, 1)


def test_program_text_is_not_told(told):
    assert told(f"{CODE}\n0 1 2\n") == {NOT_TOLD: 2}


def test_short_lines_go_with_the_line_above_in_their_paragraph(told):
    lines = ["I. 1\n", LINES["fr"] + "\n", "fin.\n", "\n", "2.\n", LINES["en"] + "\r\n", "end."]
    assert told("".join(lines)) == {NOT_TOLD: 2, "fr": 3, "en": 2}


def test_only_what_goes_on_has_a_line_above(told):
    assert told(LINES["de"] + "\n", "Ende.") == {"de": 2}
    assert told("Ende.") == {NOT_TOLD: 1}
    assert told("") == {}


def test_a_long_line_is_told_in_parts(tokenizer, llama2, model):
    tally = Tally(tokenizer, llama2, model)
    half = (LINES["pl"] + " ") * 200
    tally.add([(half + (LINES["zh"] + " ") * 200).encode()])
    found = model.sums()
    assert set(found) == {"pl", "zh"}
    assert abs(found["pl"].bytes - len(half.encode())) < LONGEST


def test_text_that_is_not_utf8_is_told_by_the_rest(told):
    assert told(b"\xff" + LINES["es"].encode() + b"\xff\xfe\xff") == {"es": 1}


def test_every_language_that_may_be_told_has_a_name(model):
    codes = model._model.labels
    assert [code for code in codes if languages.name(code) == code] == ["zxx"]
    assert languages.name(NOT_TOLD) == "not told"


@pytest.mark.large
@settings(max_examples=150)
@given(
    texts=st.lists(
        st.sampled_from(list(LINES.values())) | st.just("a " * 3000) | strategies.texts(),
        max_size=4,
    ),
    one=st.booleans(),
    data=st.data(),
)
def test_the_sums_are_those_of_the_lines(tokenizer, llama2, loaded, texts, one, data):
    """Several texts, or one that comes in parts, cut where both tokenizers may cut."""
    texts = [text.encode("utf-8", "replace") for text in texts]
    if one:
        texts = [b"\n".join(texts)]
    model = emptied(loaded)
    expected = {}
    for text in texts:
        chars = text.decode()
        lines = list(lines_of(model, text))
        row3 = oracle.encoding().encode_ordinary(chars)
        sizes = [len(oracle.encoding().decode_single_token_bytes(id)) for id in row3]
        begins = (
            range(len(text)),
            accumulate((len(char.encode()) for char in chars[:-1]), initial=0) if chars else (),
            [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)],
            llama2.row([text]).starts.tolist(),
        )
        for column, places in enumerate(begins):
            for place in places:
                code = next((code for end, code in lines if place < end), lines[-1][1])
                expected.setdefault(code, [0, 0, 0, 0])[column] += 1
    tally = Tally(tokenizer, llama2, model)
    if one:
        (text,) = texts
        places = [at for at in range(1, len(text)) if is_cut(llama2, text[:at], text[at:])]
        chosen = data.draw(st.sets(st.sampled_from(places))) if places else ()
        for start, end in pairwise([0, *sorted(chosen), len(text)]):
            tally.add([text[start:end]], continued=start > 0)
    else:
        tally.add(texts)
    found = model.sums()
    assert found == {code: Counts(*numbers) for code, numbers in expected.items()}
    assert sum(found.values(), Counts()) == tally.total


def lines_of(model, text):
    """Where lines end, and their languages, by the rules one after the other."""
    chars = text.decode()
    sizes = [len(char.encode()) for char in chars]
    letters = scripts.is_letter(np.repeat(scripts.of_characters(chars), sizes))
    above, at = NOT_TOLD, 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", text):
        for start in range(0, len(line), LONGEST):
            part = line[start : start + LONGEST]
            if letters[at : at + len(part)].sum() >= languages.ENOUGH:
                code, sure = model._model.classify(part.strip().decode("utf-8", "replace"))
                above = code if sure >= languages.SURE and code != "zxx" else NOT_TOLD
            at += len(part)
            yield at, above
            if not part.strip():
                above = NOT_TOLD


def is_cut(llama2, before, behind):
    """Whether a space or a line break is after a letter, and Llama 2 may cut there too."""
    return before[-1:].isalpha() and behind[:1] in b" \n" and llama2.may_cut(before, behind)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fr.txt").write_text(f"{LINES['fr']}\n" * 3)
    (tmp_path / "ja.txt").write_text(f"{LINES['ja']}\n" * 2)
    (tmp_path / "loop.c").write_text(f"{CODE}\n" * 2)
    return tmp_path


def test_files_are_told_and_sum_up(folder, tokenizer, llama2_path):
    found = report.compare(paths=[folder], tokenizer=tokenizer, llama2=llama2_path)
    by_code = dict(found.languages)
    files = {each.path.rpartition("/")[2]: each.counts for each in found.files}
    assert by_code == {"fr": files["fr.txt"], "ja": files["ja.txt"], "und": files["loop.c"]}
    assert [row["name"] for row in found.to_json()["languages"]] == [
        languages.name(code) for code, _ in found.languages
    ]
    page = found.to_html()
    assert "By language" in page
    for name in ("French", "Japanese", "not told"):
        assert name in page


def test_records_are_told_one_by_one(tmp_path, tokenizer, llama2_path):
    path = tmp_path / "x.jsonl"
    # What is short has no line above it in another record.
    path.write_text(f'{{"text": "{LINES["fr"]}"}}\n{{"text": "fin."}}\n')
    found = report.compare(paths=[path], field="text", tokenizer=tokenizer, llama2=llama2_path)
    assert {code: counts.bytes for code, counts in found.languages} == {
        "fr": len(LINES["fr"].encode()),
        "und": 4,
    }


def test_a_text_alone_is_not_told(tokenizer, llama2_path):
    found = report.compare(LINES["fr"], tokenizer=tokenizer, llama2=llama2_path)
    assert found.languages == ()
    assert "By language" not in found.to_html()


def test_the_command_shows_them(folder, llama2_path):
    shown = output("compare", "-f", folder, "--llama2", llama2_path).decode()
    table = shown[shown.index("tokens of language") :].split("\n\n")[0]
    assert re.findall(r"^(French|Japanese|not told) +\d+ +\d+ +\d\.\d\d$", table, re.M)
    assert len(table.splitlines()) == 4


def test_without_the_library_the_error_says_what_to_install(
    folder, tokenizer, llama2_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(MissingExtra, match=re.escape("llama3_tok[report]")):
        report.compare(paths=[folder], tokenizer=tokenizer, llama2=llama2_path)
    report.compare("a text needs no languages", tokenizer=tokenizer, llama2=llama2_path)
