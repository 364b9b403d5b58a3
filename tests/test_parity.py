"""Parity reports: what they find, how small they make it, and what they dare to explain."""

import base64
import json
import re
from itertools import combinations
from pathlib import Path

import pytest

import oracle
from llama3_tok import Tokenizer
from llama3_tok.formats.hugging_face import tokenizer_json
from llama3_tok.report import parity
from llama3_tok.report.battery import RANDOM_STRINGS, battery, unreachable
from llama3_tok.report.outcome import vote
from llama3_tok.report.shrink import Budget, around, shrink


@pytest.fixture(scope="module")
def on_the_battery():
    return parity()


@pytest.fixture(scope="module")
def wrong_file(tmp_path_factory):
    """A `tokenizer.json` as somebody makes it who does not know of `ignore_merges`."""
    made = tokenizer_json(Tokenizer().definition)
    del made["model"]["ignore_merges"]
    path = tmp_path_factory.mktemp("wrong") / "tokenizer.json"
    path.write_text(json.dumps(made))
    return path


@pytest.fixture(autouse=True)
def bad_references_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def by_name(report):
    return {one.name: one for one in report.references}


def causes_of(one):
    return {cause.name: count for cause, count in one.causes.items()}


# The battery


@pytest.mark.long
def test_on_the_battery_all_is_equal_or_explained(on_the_battery):
    references = by_name(on_the_battery)
    assert list(references) == ["tiktoken", "tokenizers", "meta", "transformers"]
    assert {one.status for one in references.values()} == {"compared"}
    assert {one.version for one in references.values()} >= {"0.14.0", "0.3.0"}
    assert on_the_battery.mismatches == 0
    assert on_the_battery.ok
    assert on_the_battery.title == (
        "The built-in battery: the ids of llama3_tok beside tiktoken, tokenizers, meta and "
        "transformers"
    )
    # Its odd strings say nothing of how fast anybody is.
    assert "odd strings" in on_the_battery.without_speed
    value = on_the_battery.to_json()
    speeds = [one["megabytes_per_second"] for one in (value["ours"], *value["references"])]
    assert speeds == [None] * 5
    assert "MB/s" not in on_the_battery.to_html()
    for one in references.values():
        total = one.total
        assert total.items == total.equal + total.explained + total.failures
        assert total.items == sum(group.items for group in one.groups.values())
    assert references["tiktoken"].total.failures == 1
    assert references["tokenizers"].groups["names as text"].explained > 250
    assert references["meta"].groups["runs"].explained == 4
    # What nobody has an excuse for is not excused: these are equal.
    for name in ("tiktoken", "tokenizers", "meta"):
        groups = references[name].groups
        for group in ("vocab-first", "contractions", "white space", "digits", "scripts", "random"):
            assert groups[group].equal == groups[group].items
    assert references["transformers"].groups["conversations"].equal >= 8
    assert references["meta"].groups["conversations"].equal >= 7


def test_the_battery_has_the_588_tokens_and_every_special_one(tokenizer):
    items = list(battery(tokenizer, 0))
    assert [id for id, _ in unreachable(tokenizer)] == list(oracle.unreachable())
    texts = {item.text for item in items}
    assert {oracle.encoding().decode_bytes([id]) for id in oracle.unreachable()} <= texts
    special = {item.text.decode() for item in items if item.special}
    for name in oracle.SPECIAL:
        assert any(name in text for text in special)
    assert "we'\u017f".encode() in texts
    assert sum(item.group == "random" for item in items) > 0.99 * RANDOM_STRINGS
    assert len({item.name for item in items}) == len(items)


def test_the_same_seed_gives_the_same_battery(tokenizer):
    assert list(battery(tokenizer, 7)) == list(battery(tokenizer, 7))
    of_random = [
        {item.text for item in battery(tokenizer, seed) if item.group == "random"}
        for seed in (1, 2)
    ]
    assert len(of_random[0] & of_random[1]) < RANDOM_STRINGS / 10


@pytest.mark.large
@pytest.mark.parametrize("profile", ["llama3", "llama3.2-vision", "meta"])
def test_other_profiles_have_nothing_unexplained_either(profile):
    report = parity(
        tokenizer=Tokenizer(profile=profile), references=["tokenizers", "meta", "transformers"]
    )
    assert report.mismatches == 0
    assert report.ok
    assert by_name(report)["transformers"].total.equal > 0


@pytest.mark.long
def test_the_report_is_json_and_html_and_has_what_it_takes_to_do_it_again(on_the_battery):
    value = json.loads(json.dumps(on_the_battery.to_json()))
    assert value["facts"]["seed"] == 0
    assert value["facts"]["vocabulary_sha256"] == Tokenizer().vocabulary_sha256
    assert value["ok"] is True
    one = value["references"][1]
    assert one["total"]["explained"] == sum(
        mismatch["causes"] != [] for mismatch in one["mismatches"]
    )
    named = {cause["name"] for cause in one["causes"]}
    assert named == {"special-token policy", "invalid UTF-8"}
    html = on_the_battery.to_html()
    assert on_the_battery.verdict in html
    assert "<script>" in html
    for word in ("special-token policy", "StackOverflow", "transformers"):
        assert word in html


@pytest.mark.long
def test_the_example_in_the_documentation_is_what_the_command_gives_today(on_the_battery):
    docs = Path(__file__).resolve().parent.parent / "docs"
    value, today = json.loads((docs / "parity.json").read_text()), on_the_battery.to_json()
    assert value.keys() == today.keys()
    assert value["facts"].keys() == today["facts"].keys()
    for name in ("items", "bytes", "tokens"):
        assert value["ours"][name] == today["ours"][name]
    for one, now in zip(value["references"], today["references"], strict=True):
        assert one.keys() == now.keys()
        assert one["causes"] == now["causes"]
        if one["version"] == now["version"]:
            assert one["total"] == now["total"]
    assert value["verdict"] in (docs / "parity.html").read_text()


# What a report says of itself


def test_a_speed_is_shown_from_the_size_on_at_which_it_means_something():
    text = "This is a test sentence. " * 40_000
    report = parity(texts=[text], references=["tiktoken"])
    assert report.without_speed is None
    for one in (report.ours, *report.references):
        assert one.megabytes_per_second > 0
    assert "MB/s" in report.to_html()
    report = parity(texts=[text[:-25]], references=["tiktoken"])
    assert report.without_speed.startswith("No speed is shown for 999,975 bytes: below 1,000,000")
    html = report.to_html()
    assert "MB/s" not in html
    assert f"{report.without_speed}." in html
    assert report.to_json()["references"][0]["megabytes_per_second"] is None


@pytest.mark.long
def test_the_title_says_what_was_compared(tmp_path):
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt", "d.txt")]
    for path in paths:
        path.write_text("Hello")

    def title(paths=(), texts=()):
        report = parity(paths, texts=texts, references=["tiktoken"])
        assert f"<h1>{report.title}</h1>" in report.to_html()
        assert f"<title>{report.title}</title>" in report.to_html()
        assert report.title == report.to_json()["title"]
        what, beside = report.title.split(": ")
        assert beside == "the ids of llama3_tok beside tiktoken"
        return what

    assert title(texts=["one"]) == "1 text"
    assert title(texts=["one", "two"]) == "2 texts"
    assert title(paths[:1]) == "a.txt"
    assert title(paths[:3]) == "a.txt, b.txt and c.txt"
    assert title(paths) == "4 files"
    assert title(paths[:1], ["one"]) == "a.txt and texts"


def test_progress_has_its_total_from_the_beginning(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Hello world")

    def calls(**given):
        seen = []
        parity(references=["tiktoken"], progress=lambda *call: seen.append(call), **given)
        return seen

    assert calls(texts=["one", "three"]) == [(0, 8), (3, 8), (8, 8)]
    seen = calls(paths=[path], texts=["one"])
    assert (seen[0], seen[-1]) == ((0, 14), (14, 14))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


# Wrong tokenizers


@pytest.mark.long
def test_a_tokenizer_without_ignore_merges_is_caught_with_a_small_witness(wrong_file):
    report = parity(references=["tiktoken"], against=[wrong_file])
    one = by_name(report)["against tokenizer.json"]
    assert not report.ok
    assert by_name(report)["tiktoken"].total.mismatches == 0
    # Each of the 588 alone, and the random strings that have one.
    alone = [m for m in one.mismatches if re.fullmatch(r"vocab-first \d+", m.item)]
    assert len(alone) == 588
    assert not any(mismatch.explained for mismatch in alone)
    assert causes_of(one)["no vocab-first rule"] == one.total.mismatches
    wrong = [mismatch for mismatch in one.mismatches if not mismatch.explained]
    witnesses = [mismatch.witness for mismatch in wrong if mismatch.witness is not None]
    assert len(min((witness.text for witness in witnesses), key=len)) <= len(" Việt".encode())
    (viet,) = (witness for witness in witnesses if witness.text == " Việt".encode())
    assert viet.minimal
    assert [[token.id for token in row.tokens] for row in viet.rows] == [
        [101798],
        [11655, 26298, 83],
    ]
    assert viet.verdict.startswith("against tokenizer.json is alone;")
    # All of them are as small as they can be: no part of one is another such token.
    for witness in witnesses:
        assert oracle.ranks()[witness.text] in oracle.unreachable()


def test_the_users_own_tokenizer_json_is_what_tokenizers_loads(tmp_path, releases):
    releases.copy(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    report = parity(texts=["Hello", " Việt"], tokenizer=tokenizer, references=["tokenizers"])
    assert report.references[0].total.equal == 2
    assert report.facts["vocabulary"] == "not Meta's rank file"
    # A file that has changed since gives other ids: it is this one that is asked.
    made = json.loads((tmp_path / "tokenizer.json").read_text())
    made["model"]["ignore_merges"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    report = parity(texts=["Hello", " Việt"], tokenizer=tokenizer, references=["tokenizers"])
    assert report.references[0].total.mismatches == 1


def test_one_wrong_token_in_a_large_file_is_found_and_shrunk(tmp_path, wrong_file):
    prose = "Many words stand here, and none of them is to blame. " * 4000
    (tmp_path / "big.txt").write_text(prose + "Xin chào Việt Nam!\n" + prose)
    report = parity([tmp_path / "big.txt"], references=["tiktoken"], against=[wrong_file])
    (mismatch,) = by_name(report)["against tokenizer.json"].mismatches
    assert mismatch.byte == len(prose) + len("Xin chào".encode())
    assert mismatch.witness.text == " Việt".encode()
    assert mismatch.witness.minimal


@pytest.mark.long
def test_two_wrong_ranks_are_caught_in_a_rank_file(tmp_path):
    lines = [
        b"%s %d" % (base64.b64encode(token), rank)
        for token, rank in sorted(oracle.ranks().items(), key=lambda item: item[1])
    ]
    hello, world = oracle.ranks()[b"Hello"], oracle.ranks()[b" world"]
    lines[hello], lines[world] = (
        lines[world].split()[0] + b" %d" % hello,
        lines[hello].split()[0] + b" %d" % world,
    )
    (tmp_path / "tokenizer.model").write_bytes(b"\n".join(lines))
    report = parity(texts=["Hello you", "fine"], against=[tmp_path / "tokenizer.model"])
    one = by_name(report)["against tokenizer.model"]
    assert (one.total.equal, one.total.mismatches) == (1, 1)
    assert one.mismatches[0].witness.text == b"Hello"
    assert one.sha256 is not None
    assert by_name(report)["meta"].total.equal == 2


def test_the_witness_of_a_fault_that_needs_two_places_has_both():
    text = "so many words " * 50 + "left" + " and others" * 300 + "right" + " at the end" * 50
    report = parity(texts=[text], references=["bad_references:wrong_for_two_words", "tiktoken"])
    (mismatch,) = report.references[0].mismatches
    assert mismatch.witness.minimal
    assert mismatch.witness.text == b"leftright"
    assert mismatch.causes == ()
    assert mismatch.witness.verdict == (
        "bad_references:wrong_for_two_words is alone; llama3_tok and tiktoken agree"
    )


# Known causes, and only where they are shown


def test_metas_cuts_are_known_where_they_are_the_cause():
    words = "word " * 79_999 + "so "
    texts = [words + "he", words + "hello", "=" * 25_000, "=" * 25_001, "1" * 25_001]
    report = parity(texts=texts, references=["meta", "tiktoken"])
    meta = by_name(report)["meta"]
    assert [mismatch.item for mismatch in meta.mismatches] == ["texts[1]", "texts[3]", "texts[4]"]
    assert causes_of(meta) == {"Meta's cuts": 3}
    assert meta.mismatches[0].byte == len(words) - 1
    assert by_name(report)["tiktoken"].total.equal == 5
    assert report.ok


@pytest.mark.long
def test_several_causes_at_once_are_found_together():
    text = b"<|eot_id|> caf\xe9 " + b"=" * 25_001
    report = parity(texts=[text, b"<|eot_id|>\xff"], references=["meta", "tokenizers"])
    meta, tokenizers = report.references
    found = [{cause.name for cause in one.causes} for one in meta.mismatches]
    assert found == [{"invalid UTF-8", "Meta's cuts"}, {"invalid UTF-8"}]
    found = [{cause.name for cause in one.causes} for one in tokenizers.mismatches]
    assert found == 2 * [{"invalid UTF-8", "special-token policy"}]
    assert report.ok


def test_a_newer_unicode_version_is_named_with_its_character():
    texts = ["fine", "a \U00011de0b\U00011de012 c"]
    report = parity(texts=texts, references=["bad_references:other_unicode", "tiktoken"])
    (mismatch,) = report.references[0].mismatches
    assert [cause.name for cause in mismatch.causes] == ["Unicode version (U+11DE0)"]
    assert mismatch.explained
    assert "\U00011de0" in mismatch.witness.text.decode()
    assert len(mismatch.witness.text.decode()) <= 2
    assert report.ok


def test_a_letter_that_has_always_been_one_is_no_matter_of_versions():
    report = parity(texts=["скажите", "Hi"], references=["bad_references:no_letter", "tiktoken"])
    one = report.references[0]
    assert causes_of(one) == {"character class (U+0436)": 1}
    assert (one.total.equal, one.total.mismatches) == (1, 1)
    assert not report.ok


def test_text_with_a_special_name_does_not_excuse_another_fault(wrong_file):
    texts = ["<|eot_id|> and Việt", " Việt"]
    report = parity(texts=texts, against=[wrong_file], references=["tiktoken"])
    one = by_name(report)["against tokenizer.json"]
    assert one.total.mismatches == 2
    assert not report.ok


# Conversations


def test_conversations_of_a_file_are_compared_with_transformers_and_meta(tmp_path):
    records = [
        {"messages": [{"role": "user", "content": "hi"}]},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "second <|eot_id|> third"},
                {"role": "user", "content": "fourth"},
            ]
        },
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    report = parity([path], chat=True)
    references = by_name(report)
    assert references["tiktoken"].status == "nothing to compare"
    assert (references["meta"].total.equal, references["meta"].total.items) == (2, 2)
    (mismatch,) = references["transformers"].mismatches
    assert [cause.name for cause in mismatch.causes] == ["rendered as text"]
    shown = mismatch.witness.text.decode()
    assert "<|eot_id|>" in shown
    assert not re.search("first|second|third|fourth|brief", shown)
    assert report.ok


@pytest.mark.long
def test_another_template_is_caught(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text('{"talk": [{"role": "user", "content": "hi"}]}\n')
    template = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
    report = parity([path], chat=True, field="talk", template=template, references=["transformers"])
    assert report.references[0].total.mismatches == 1
    assert report.facts["template_sha256"]
    assert not report.ok


# Shrinking and voting


@pytest.mark.parametrize("needed", [(0,), (0, 99), (3, 50, 51), (98, 99), range(0, 100, 9)])
def test_shrinking_leaves_exactly_what_is_needed(needed):
    asked = []

    def fails(units):
        asked.append(tuple(units))
        return set(needed) <= set(units)

    left, minimal = shrink(range(100), fails, Budget(5000, 60))
    assert (left, minimal) == (list(needed), True)
    assert len(asked) == len(set(asked)) or len(asked) < 1000


def test_what_is_left_is_minimal_where_units_depend_on_each_other():
    """Fails with at least three units whose sum is even: removing one alone may not do."""

    def fails(units):
        return len(units) >= 3 and sum(units) % 2 == 0

    left, minimal = shrink(range(50, 90), fails, Budget(5000, 60))
    assert minimal
    assert fails(left)
    for at in range(len(left)):
        assert not fails(left[:at] + left[at + 1 :])


def test_shrinking_stops_when_its_budget_is_spent():
    questions = []

    def fails(units):
        questions.append(1)
        return set(range(0, 1000, 2)) <= set(units)

    left, minimal = shrink(range(1000), fails, Budget(100, 60))
    assert not minimal
    assert len(questions) <= 100
    assert set(range(0, 1000, 2)) <= set(left)
    assert shrink(range(9), lambda units: True, Budget(1000, 0)) == (list(range(9)), False)


def test_a_window_about_the_place_is_tried_first():
    units = list(range(10_000))
    found = around(units, 5000, lambda part: 5001 in part and 4990 in part, Budget(100, 60))
    assert 4990 in found
    assert len(found) == 32
    assert around(units, 5000, lambda part: 0 in part and 9999 in part, Budget(9, 60)) == units


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ("aaaa", "all agree"),
        ("aaab", "d is alone; a, b and c agree"),
        ("baaa", "a is alone; b, c and d agree"),
        ("aabb", "no majority: a and b against c and d"),
        ("abcd", "no majority: a against b against c against d"),
        ("aaabc", "d and e differ from the majority; a, b and c agree"),
        ("ab", "no majority: a against b"),
    ],
)
def test_the_majority_decides(answers, verdict):
    labelled = [(chr(97 + at), given.encode()) for at, given in enumerate(answers)]
    assert vote(labelled)[1] == verdict


def test_what_is_alone_may_be_we():
    """The verdict is by numbers, whoever it hits."""
    for one, other in combinations(["tiktoken", "tokenizers"], 2):
        _, verdict = vote([("llama3_tok", b"x"), (one, b"y"), (other, b"y")])
        assert verdict == f"llama3_tok is alone; {one} and {other} agree"
