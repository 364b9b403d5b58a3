"""The benchmark's own logic, on peers made to misbehave. Nothing here judges a speed."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import cases  # noqa: E402
import chart  # noqa: E402
import compare  # noqa: E402
import corpora  # noqa: E402
import goals  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
from harness import Failure, alternate  # noqa: E402
from run import Run, Settings  # noqa: E402

import oracle  # noqa: E402

FAKES = """
import os, sys, time
from peers import Llama3Tok, Peer, Way

class Peer(Llama3Tok):
    distribution = ""
    def ways(self, case):
        return [Way("encode", self.encode)] if case in ("documents", "whole") else []

class Wrong(Peer):
    def encode(self, text):
        return [*self.tokenizer.encode(text)[:-1], 7]

class Raises(Peer):
    def encode(self, text):
        raise ValueError("no such text")

class Hangs(Peer):
    def encode(self, text):
        time.sleep(60)

class Dies(Peer):
    def encode(self, text):
        print("thread panicked at a wall", file=sys.stderr, flush=True)
        os.abort()

class Gluttonous(Peer):
    def encode(self, text):
        return bytearray(1 << 40)

class Absent(Peer):
    distribution = "no-such-distribution"

class Broken(Peer):
    def __init__(self, assets):
        raise OSError("no vocabulary")
"""
TEXT = "The quick brown fox; 1234 don't.\n\tdéjà vu 你好 <|eot_id|>\n" * 100


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the peers above importable, here and in workers."""
    (tmp_path / "fakes.py").write_text(FAKES, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def run(tmp_path: Path):
    """A run on one small corpus, with little patience."""
    vocabulary = str(oracle.vocabulary.find())
    assets = peers.Assets(vocabulary, "", oracle.PATTERN, oracle.SPECIAL)
    corpus = corpora.write("text", TEXT.encode(), "here", oracle.SPECIAL, tmp_path)
    settings = Settings(rounds=2, limit=5.0, memory=16 << 30)
    run = Run([], assets, [corpus], tmp_path, settings)
    yield run
    run.close()


def test_peers_that_differ_or_fail_are_marked_and_the_others_measured(run: Run, fakes: None):
    run.settings.limit = 2.0
    run.names = ["llama3_tok", "tiktoken"]
    run.names += [f"fakes:{name}" for name in ("Wrong", "Raises", "Hangs", "Dies", "Gluttonous")]
    cases.whole(run)
    found = {record["peer"]: record for record in run.records}
    assert list(found) == run.names
    for name in ("llama3_tok", "tiktoken"):
        assert found[name]["equal"] is True
        assert len(found[name]["samples"]) == 2
    assert found["llama3_tok"]["reference"] == "tiktoken"
    assert found["fakes:Wrong"]["equal"] is False
    assert found["fakes:Wrong"]["differing"] == 1
    assert len(found["fakes:Wrong"]["samples"]) == 2  # timed, and marked in every table
    failures = {name: record["failure"] for name, record in found.items() if record["failure"]}
    assert failures == {
        "fakes:Raises": "ValueError: no such text",
        "fakes:Hangs": "took more than 2 s",
        "fakes:Dies": "its process ended with SIGABRT: thread panicked at a wall",
        "fakes:Gluttonous": "MemoryError",
    }
    assert all(not found[name]["samples"] for name in failures)


def test_absent_peers_are_named_with_the_reason(run: Run, fakes: None):
    there, absent = compare.present(run, ["fakes:Absent", "fakes:Broken", "fakes:Wrong"])
    assert list(there) == ["fakes:Wrong"]
    assert absent == {
        "fakes:Absent": "no-such-distribution is not installed",
        "fakes:Broken": "OSError: no vocabulary",
    }


def test_fresh_processes_give_a_first_pass_and_passes_after_it(run: Run):
    run.names = ["llama3_tok"]
    run.settings.rounds, run.settings.files_bytes = 1, 1
    run.settings.file_bytes = 2_000
    cases.unseen(run)
    cases.files(run)
    found = {record["case"]: record for record in run.records}
    assert list(found) == ["unseen", "again", "files", "files again"]
    assert all(record["equal"] and record["value"] > 0 for record in found.values())
    assert found["unseen"]["bytes"] < run.corpora[0].bytes
    assert found["files"]["files"] > 1


def test_a_result_has_what_tables_and_chart_need(tmp_path: Path, capsys: pytest.CaptureFixture):
    text = tmp_path / "<text>.txt"
    text.write_text(TEXT, "utf-8")
    stored, drawn, table = (tmp_path / name for name in ("r.json", "c.svg", "t.md"))
    options = ["--quick", "--peers", "llama3_tok,tiktoken", "--cases", "special,whole,small"]
    options += ["--rounds", "1", "--json", str(stored), "--chart", str(drawn), str(text)]
    assert compare.main([*options, "--table", str(table)]) == 0
    printed = capsys.readouterr().out
    result = json.loads(stored.read_text("utf-8"))
    assert {"schema", "date", "command", "commit", "machine", "settings"} <= set(result)
    assert result["peers"]["tiktoken"] == {"version": "0.14.0"}
    assert set(result["peers"]["llama3_tok"]) == {"version", "core"}
    [corpus] = result["corpora"]
    assert corpus["special_names"] == 100
    assert len(corpus["sha256"]) == 64
    shape = {"case", "text", "peer", "way", "unit", "equal", "delivers", "failure", "samples"}
    assert all(shape <= set(record) for record in result["records"])
    ElementTree.parse(drawn)
    assert table.read_text("utf-8").startswith("| MB/s, one thread")
    assert compare.main(["--from", str(stored)]) == 0  # the same again, without measuring
    assert capsys.readouterr().out == printed


def test_wrong_ids_of_ours_are_an_error(tmp_path: Path):
    stored = tmp_path / "r.json"
    stored.write_text(json.dumps(made([record("unseen", "english", "llama3_tok", 1.0, False)])))
    assert compare.main(["--from", str(stored)]) == 1


def test_what_there_is_can_be_listed(capsys: pytest.CaptureFixture):
    assert compare.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in [*peers.PEERS, *cases.CASES])
    with pytest.raises(SystemExit):
        compare.main(["--peers", "nobody"])
    assert "no peer is called 'nobody'" in capsys.readouterr().err


# Verdicts, tables and the chart, from a result that is made up


def record(
    case: str, text: str, peer: str, seconds: float, equal: bool | None = True, **more: object
) -> dict:
    """As `Run.record` stores it, for a text of 100 MB."""
    found = {"case": case, "text": text, "peer": peer, "way": "encode", "unit": "MB/s"}
    found |= {"equal": equal, "delivers": True, "failure": None}
    return found | {"samples": [seconds] * 3, "value": 100 / seconds, "bytes": 100_000_000} | more


def made(records: list[dict], names: tuple[str, ...] = ("llama3_tok", "a", "b")) -> dict:
    machine = {"processor": "P", "cores": 2, "python": "3"}
    corpus = {"name": "english", "bytes": 100_000_000, "sha256": "0" * 64}
    return {
        "date": "2026-01-01",
        "commit": "c",
        "command": "compare",
        "machine": machine,
        "peers": {name: {"version": "1"} for name in names},
        "absent": {"gone": "not installed"},
        "corpora": [corpus],
        "records": records,
    }


def verdict(records: list[dict], what: str) -> goals.Verdict:
    results = goals.Results(made(records))
    [found] = [row for row in goals.verdicts(results) if row.what == what]
    return found


WHAT = "unseen documents, one thread: english"


@pytest.mark.parametrize(("seconds", "state"), [(0.5, goals.REACHED), (0.51, goals.MISSED)])
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
    states = {row.state for row in goals.verdicts(goals.Results(made([])))}
    assert states == {goals.UNKNOWN}
    wrong = record("unseen", "english", "llama3_tok", 0.1, equal=False)
    assert verdict([wrong, record("unseen", "english", "a", 9.0)], WHAT).state == goals.MISSED


def test_ratios_are_taken_round_by_round():
    ours = record("unseen", "english", "llama3_tok", 1, samples=[1.0, 10.0, 1.0])
    theirs = record("unseen", "english", "a", 1, samples=[2.0, 20.0, 2.0])
    assert goals.ratio(ours, theirs) == 2.0


def test_every_worst_input_must_be_fast_enough_and_first():
    texts = {"spaces": 1.0, "letters": 4.0}  # 100 and 25 MB/s
    ours = [record("worst", text, "llama3_tok", seconds) for text, seconds in texts.items()]
    theirs = [record("worst", "spaces", "a", 0.5), record("worst", "letters", "a", 8.0)]
    large = record("worst, four times", "spaces", "llama3_tok", 4.0)
    rows = goals.verdicts(goals.Results(made([*ours, *theirs, large])))
    fast, first, linear = [row for row in rows if row.what == "every worst input"]
    assert (fast.state, fast.measured) == (goals.MISSED, "slowest 25 MB/s (letters); 1 of 2 below")
    assert (first.state, first.measured) == (
        goals.MISSED,
        "slower on 1 of 2; least spaces: 0.50x a",
    )
    assert (linear.state, "4.0 times (spaces)" in linear.measured) == (goals.TOLD, True)


def test_a_smaller_file_is_no_proof_of_bounded_memory():
    counted = record("memory", "count, file", "llama3_tok", 1, value=50_000_000, unit="bytes")
    what = "`llama3-tok count` of a 10 GB file"
    assert verdict([counted], what).state == goals.UNKNOWN
    assert verdict([counted | {"bytes": 10_000_000_000}], what).state == goals.REACHED
    assert verdict([counted | {"value": 200_000_000}], what).state == goals.MISSED


def test_the_chart_and_the_tables_mark_wrong_ids():
    records = [record("unseen", "english", name, 1.0) for name in ("llama3_tok", "a")]
    records.append(record("unseen", "english", "b", 0.5, equal=False, differing=3, texts=9))
    results = goals.Results(made(records))
    drawing = ElementTree.fromstring(chart.draw(results))
    words = ["".join(element.itertext()) for element in drawing.iter() if element.text]
    assert drawing.get("role") == "img"
    assert any("english: b 200 ≠" in text for text in words)  # the description
    assert [text for text in words if text in ("llama3_tok", "a", "b")] == ["b", "llama3_tok", "a"]
    assert "200 ≠" in report.summary(results)
    full = report.full(results)
    assert "- b `encode`: unseen, english: ids differ in 3 of 9 texts" in full
    assert "absent: gone: not installed" in full


# Corpora


@pytest.mark.parametrize("size", [1, 100, 5_000])
def test_documents_cover_the_text(size: int):
    data = ("line\n" * 50 + "你好" * 500).encode()
    parts = corpora.documents(data, size)
    assert "".join(parts).encode() == data
    assert all(len(part.encode()) <= 2 * size + 3 for part in parts)


def test_names_of_special_tokens_are_taken_out():
    text, found = corpora.without_special("a<|eot_id|>b<|<|eot_id|>|>c<|x|>", ["<|eot_id|>"])
    assert "<|eot_id|>" not in text
    assert (text, found) == ("aeot_idbeot_idc<|x|>", 3)


@pytest.mark.parametrize("name", corpora.WORST)
def test_worst_inputs_have_their_size_and_differ_by_seed(name: str):
    first, same, other = (corpora.worst(name, seed, 100_000) for seed in (1, 1, 2))
    assert first == same != other
    assert 80_000 <= len(first.encode()) <= 110_000


def test_every_machine_has_texts():
    names = [name for name, data, _ in corpora.standard(100_000) if 50_000 < len(data) <= 100_000]
    assert names == ["english", "code", "multilingual"]


def test_a_cut_text_is_whole_characters():
    assert corpora.cut("你好".encode(), 4) == "你".encode()
    assert corpora.cut(b"one\ntwo\nthree", 10) == b"one\ntwo\n"


# Turns


def test_entrants_take_turns_and_stop_when_they_fail():
    turns = []

    def measure(entrant: str, number: int) -> float:
        turns.append(f"{entrant}{number}")
        if entrant == "b":
            raise Failure("broken")
        return float(number)

    results = alternate(["a", "b", "c"], 3, measure, enough=60)
    assert turns == ["a0", "b0", "c0", "c1", "a1", "c2", "a2"]
    assert results["a"] == results["c"] == [0.0, 1.0, 2.0]
    assert isinstance(results["b"], Failure)


def test_slow_entrants_get_fewer_rounds():
    assert alternate(["a"], 3, lambda entrant, number: 1.0, enough=-1) == {"a": []}
