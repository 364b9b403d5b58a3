"""Verdicts, tables and the chart of the benchmark, from results that are made up."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench_results import made, record

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import chart  # noqa: E402
import compare  # noqa: E402
import goals  # noqa: E402
import matrix  # noqa: E402
import report  # noqa: E402
from machines import goals_table, summary  # noqa: E402
from result import Results, ratio  # noqa: E402


def verdict(records: list[dict], what: str) -> goals.Verdict:
    results = Results(made(records))
    [found] = [row for row in goals.verdicts(results) if row.what == what]
    return found


WHAT = "unseen documents, one thread: english"


@pytest.mark.parametrize(("seconds", "state"), [(0.6, goals.REACHED), (0.67, goals.MISSED)])
def test_a_ratio_is_reached_or_not(seconds: float, state: str):
    ours = record("unseen", "english", "llama3_tok", seconds)
    peers = [record("unseen", "english", "a", 1.0), record("unseen", "english", "b", 2.0)]
    found = verdict([*peers, ours], WHAT)
    assert found.state == state
    assert "x a (" in found.measured


def test_peers_with_wrong_ids_or_none_are_no_rivals():
    ours = record("unseen", "english", "llama3_tok", 0.5)
    wrong = record("unseen", "english", "a", 0.1, equal=False)
    unread = record("unseen", "english", "b", 0.1, delivers=False)
    right = record("unseen", "english", "b", 1.0, way="encode().ids")
    assert verdict([ours, wrong, unread, right], WHAT).state == goals.REACHED
    assert verdict([ours, wrong, unread], WHAT).state == goals.UNKNOWN


def test_what_was_not_measured_is_not_reached():
    states = {row.state for row in goals.verdicts(Results(made([])))}
    assert states == {goals.UNKNOWN}
    wrong = record("unseen", "english", "llama3_tok", 0.1, equal=False)
    assert verdict([wrong, record("unseen", "english", "a", 9.0)], WHAT).state == goals.MISSED


def test_ratios_are_taken_round_by_round():
    ours = record("unseen", "english", "llama3_tok", 1, samples=[1.0, 10.0, 1.0])
    theirs = record("unseen", "english", "a", 1, samples=[2.0, 20.0, 2.0])
    assert ratio(ours, theirs) == 2.0


def test_no_exact_peer_may_be_ahead_on_any_worst_input():
    texts = {"spaces": 1.0, "letters": 4.0}  # 100 and 25 MB/s
    ours = [record("worst", text, "llama3_tok", seconds) for text, seconds in texts.items()]
    theirs = [record("worst", "spaces", "a", 0.5), record("worst", "letters", "a", 8.0)]
    wrong = [record("worst", "letters", "b", 0.1, equal=False)]
    large = record("worst, four times", "spaces", "llama3_tok", 4.0)
    rows = goals.verdicts(Results(made([*ours, *theirs, *wrong, large])))
    first, fast, linear = [row for row in rows if row.what == "every worst input"]
    assert (first.state, first.measured) == (
        goals.MISSED,
        "behind on 1 of 2; least spaces: 0.50x a",
    )
    assert (fast.state, fast.measured) == (goals.TOLD, "slowest 25 MB/s (letters); 1 of 2 below")
    assert (linear.state, "4.0 times (spaces)" in linear.measured) == (goals.TOLD, True)


@pytest.mark.parametrize(
    ("case", "text", "least"),
    [
        ("unseen", "english", 1.5),
        ("unseen", "code", 1.5),
        ("unseen", "multilingual", 1.25),
        ("unseen", "cjk", 1.25),
        ("again", "code", 1.4),
        ("again", "cjk", 1.25),
        ("decode bytes", "english", 3.0),
        ("decode text", "english", 3.0),
        ("list", "english", 1.0),
    ],
)
def test_documents_and_ids_have_the_lead_that_is_asked(case: str, text: str, least: float):
    for times, state in ((least + 0.001, goals.REACHED), (least - 0.001, goals.MISSED)):
        theirs = record(case, text, "a", 1.0)
        results = Results(made([record(case, text, "llama3_tok", 1 / times), theirs]))
        results.corpora = [text]
        found = [row for row in goals.verdicts(results) if " a (" in row.measured]
        assert [row.state for row in found] == [state]


def test_short_calls_are_judged_by_who_has_the_same_interface():
    short = "small, transformers"
    records = [
        record("small", "13 characters", "llama3_tok", 1.0),
        record("small", "13 characters", "a", 2.0),
        record(short, "13 characters", "compat.transformers", 3.0),
        record(short, "13 characters", "AutoTokenizer", 2.0),
        record("decode one", "one id", "llama3_tok", 1.0),
        record("decode one", "one id", "a", 0.9),
    ]
    names = ("llama3_tok", "a", "compat.transformers", "AutoTokenizer")
    rows = {row.what: row.state for row in goals.verdicts(Results(made(records, names)))}
    assert rows["short call: 13 characters"] == goals.REACHED
    assert rows["`compat.transformers`, `encode`: 13 characters"] == goals.MISSED
    assert rows["`decode([id])`"] == goals.MISSED
    assert rows["`compat.transformers`, `decode`: one id"] == goals.UNKNOWN


def test_two_threads_are_judged_beside_one():
    one = record("threads", "english, 1 thread", "llama3_tok", 1.0)
    two = record("threads", "english, 2 threads", "llama3_tok", 0.5)
    assert verdict([one, two], "two threads: english").state == goals.REACHED
    assert verdict([one, two | {"samples": [0.6] * 3}], "two threads: english").state == (
        goals.MISSED
    )
    assert verdict([one], "two threads: english").measured == "only one processor"
    assert "2.00" in matrix.scaling(Results(made([one, two])))


def test_a_smaller_file_is_no_proof_of_bounded_memory():
    counted = record("memory", "count, file", "llama3_tok", 1, value=50_000_000, unit="bytes")
    what = "`llama3-tok count` of a 10 GB file"
    assert verdict([counted], what).state == goals.UNKNOWN
    assert verdict([counted | {"bytes": 10_000_000_000}], what).state == goals.REACHED
    assert verdict([counted | {"value": 200_000_000}], what).state == goals.MISSED


# Another commit, and other machines


def test_another_commit_is_no_rival_and_stands_beside_ours():
    then = "llama3_tok@1234567"
    records = [
        record("unseen", "english", "llama3_tok", 1.0, samples=[1.0, 1.0, 2.0]),
        record("unseen", "english", then, 1.0, samples=[1.5, 1.1, 2.0], equal=False),
        record("memory", "loaded", "llama3_tok", 1, samples=[], value=2e6, unit="bytes"),
        record("memory", "loaded", then, 1, samples=[], value=3e6, unit="bytes"),
        record("unseen", "english", "a", 1.1),
    ]
    results = Results(made(records, ("llama3_tok", "a", then)))
    assert results.rival("unseen", "english")["peer"] == "a"
    full = report.full(results)
    assert f"## llama3_tok beside {then}" in full
    [speed] = [line for line in full.splitlines() if "1.00 to 1.50" in line]
    assert " 1.100 " in speed
    assert "≠" in speed
    [memory] = [line for line in full.splitlines() if line.startswith("| memory")]
    assert " 1.500 " in memory


def test_machines_have_a_column_each(tmp_path: Path, capsys: pytest.CaptureFixture):
    paths = []
    for number, seconds in enumerate((0.5, 1.0)):
        records = [record("unseen", "english", "llama3_tok", seconds)]
        stored = made([*records, record("unseen", "english", "a", 1.0)])
        stored["machine"] = stored["machine"] | {"processor": f"P{number}"}
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(stored), "utf-8")
    drawn = tmp_path / "c.svg"
    given = ["--from", *map(str, paths), "--chart", str(drawn)]
    assert compare.main(given) == 0
    printed = capsys.readouterr().out
    assert "| what | must be | P0, 2 cores | P1, 2 cores |" in printed
    [row] = [line for line in printed.splitlines() if line.startswith("| unseen documents")]
    assert row.count(" a (") == 2
    assert row.count(goals.MISSED) == 1
    assert "200 MB/s" in row
    assert "english, unseen" in printed
    words = [element.text for element in ElementTree.parse(drawn).iter() if element.text]
    assert [word for word in words if word.startswith("english: P")][1] == "english: P1, 2 cores"
    same = [Results(made([])), Results(made([]))]
    assert "P, 2 cores, 2026-01-01" in goals_table(same) + summary(same)


def test_the_chart_and_the_tables_mark_wrong_ids():
    records = [record("unseen", "english", name, 1.0) for name in ("llama3_tok", "a")]
    records.append(record("unseen", "english", "b", 0.5, equal=False, differing=3, texts=9))
    results = Results(made(records))
    drawing = ElementTree.fromstring(chart.draw(results))
    words = ["".join(element.itertext()) for element in drawing.iter() if element.text]
    assert drawing.get("role") == "img"
    assert any("english: b 200 ≠" in text for text in words)  # the description
    assert [text for text in words if text in ("llama3_tok", "a", "b")] == ["b", "llama3_tok", "a"]
    assert "200 ≠" in report.summary(results)
    full = report.full(results)
    assert "- b `encode`: unseen, english: ids differ in 3 of 9 texts" in full
    assert "absent: gone: not installed" in full
