"""The benchmark's own logic, on peers made to misbehave. Nothing here judges a speed."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import cases  # noqa: E402
import chart  # noqa: E402
import commits  # noqa: E402
import compare  # noqa: E402
import corpora  # noqa: E402
import goals  # noqa: E402
import languages  # noqa: E402
import matrix  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
from harness import Failure, alternate  # noqa: E402
from machines import goals_table, summary  # noqa: E402
from result import Results, ratio  # noqa: E402
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
    settings = Settings(rounds=2, limit=60.0, memory=16 << 30)
    run = Run([], assets, [corpus], tmp_path, settings)
    yield run
    run.close()


def test_peers_that_differ_or_fail_are_marked_and_the_others_measured(run: Run, fakes: None):
    run.settings.limit = 6.0
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
        "fakes:Hangs": "took more than 6 s",
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


def test_every_case_runs(run: Run):
    """Each on a small text, with two peers: what it records has values and right ids."""
    run.names = ["llama3_tok", "tiktoken"]
    run.settings.rounds, run.settings.worst_bytes = 1, 1_000
    run.settings.file_bytes, run.settings.files_bytes = 2_000, 1
    run.settings.count_bytes = 100_000
    run.languages = run.corpora
    worst = dict(list(corpora.WORST.items())[:2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cases.worst_inputs.WORST", worst)
        for case in cases.CASES.values():
            case(run)
    failed = [one for one in run.records if one["failure"] or one["equal"] is False]
    # The text has names of special tokens' letters alone, and tiktoken has no fault here.
    assert failed == []
    timed = {one["case"] for one in run.records if one["samples"] or "value" in one}
    assert timed >= {"unseen", "again", "cold", "decode one", "threads", "language", "memory"}
    assert timed >= {"language again", "language decode", "language memory"}
    sizes = [one["text"] for one in run.records if one["case"] == "cold"]
    assert sizes[0] == f"text, {run.corpora[0].bytes // 1000} KB"
    machine = {"processor": "P", "cores": 2, "python": "3", "memory": 1}
    stored = made(run.records, tuple(run.names)) | {"machine": machine}
    stored["corpora"] = stored["languages"] = [compare.told(corpus) for corpus in run.corpora]
    full = report.full(Results(stored))
    for title in ("Cold start", "Languages", "`decode([id])`, a call", "A batch of documents on"):
        assert f"## {title}" in full


def test_the_interface_of_transformers_is_measured_on_both_sides(run: Run, tmp_path: Path):
    written = tmp_path / "json" / "tokenizer.json"
    written.parent.mkdir()
    written.write_text(oracle.llama3_tokenizer_json(), "utf-8")
    run.assets = run.assets._replace(tokenizer_json=str(written))
    run.names = ["compat.transformers", "AutoTokenizer"]
    run.settings.rounds = 1
    cases.transformers(run)
    cases.decode_one(run)
    found = {(one["case"], one["text"], one["peer"], one["way"]) for one in run.records}
    assert len(found) == 2 * (2 * 2 + 1)
    assert all(one["equal"] and one["samples"] for one in run.records)
    cases.load(run)
    assert len(run.records) == len(found)  # they have no part in what is not theirs


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
    assert compare.arguments(["--cases", "again,unseen,small"]).cases == ["documents", "small"]


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


def test_a_commit_is_exported_built_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With an installer that only copies: compiling is the compiler's business."""
    root = tmp_path / "project"
    (root / "llama3_tok").mkdir(parents=True)
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for word in ("one", "two"):
        (root / "llama3_tok" / "_core.so").write_text(word)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", word], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(commits, "_install", lambda source, folder: source.rename(folder))
    said: list[str] = []
    full = commits.resolve(root, "HEAD~1")
    folder = commits.build(root, full, said.append)
    assert (folder / "llama3_tok" / "_core.so").read_text() == "one"
    assert commits.build(root, full, said.append) == folder
    assert said == [f"building commit {full[:7]}"]
    assert commits.core_hash(folder) != commits.core_hash(root)
    with pytest.raises(commits.BuildError, match="'nothing' is not a commit"):
        commits.resolve(root, "nothing")


def test_a_commit_that_is_none_is_said(capsys: pytest.CaptureFixture, tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, "utf-8")
    options = ["--against-commit", "no-such-commit", "--peers", "llama3_tok", str(text)]
    assert compare.main([*options, "--json", str(tmp_path / "r.json")]) == 2
    assert "'no-such-commit' is not a commit" in capsys.readouterr().err


def test_a_peer_may_come_from_a_folder_of_its_own(run: Run, tmp_path: Path, fakes: None):
    """As tokenizers 1.0 does beside 0.23, and another commit of this project."""
    for word in ("here", "there"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "library.py").write_text(f"NAME = {word!r}\n", "utf-8")
    code = """
from peers import Peer, Way
class Own(Peer):
    def __init__(self, assets):
        import library
        self.name = library.NAME
    def ways(self, case):
        return [Way(self.name, str)]
"""
    (tmp_path / "own.py").write_text(code, "utf-8")
    (tmp_path / "library.py").write_text("NAME = 'nowhere'\n", "utf-8")
    run.assets = run.assets._replace(folders={"own:Own": str(tmp_path / "there")})
    with run.worker("own:Own") as worker:
        assert worker.call("ways", case="documents") == [("there", True)]
    with pytest.raises(peers.PackageNotFoundError):
        peers.installed("tokenizers-1.0", str(tmp_path))


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
    assert names == ["english", "code", "multilingual", "cjk"]


def test_every_machine_has_twenty_languages(tmp_path: Path):
    """A machine that has no catalogue gets made-up texts, and says so."""
    for system in (languages.SYSTEM, tmp_path):
        found = {name: data for name, data, _ in languages.languages(60_000, system)}
        assert len(found) >= languages.ENOUGH
        assert all(languages.LEAST <= len(data) <= 60_000 for data in found.values())
        assert len(set(found.values())) == len(found)
        for data in found.values():
            data.decode()
    assert all(name.startswith("made up, ") for name in found)


def test_what_a_program_left_in_english_is_in_no_language(tmp_path: Path):
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    pairs = [(f"message {n}", f"Nachricht {n}, übersetzt") for n in range(1_000)]
    catalogue(folder / "one.mo", [*pairs, ("left in English", "left in English")])
    catalogue(folder / "two.mo", pairs)
    found = {name: data for name, data, _ in languages.languages(100_000, tmp_path)}
    lines = found["German"].decode().splitlines()
    assert lines == [text for _, text in sorted(pairs)]


def catalogue(path: Path, pairs: list[tuple[str, str]]) -> None:
    """Writes a message catalogue as GNU gettext does."""
    pairs = sorted([("", "Content-Type: text/plain; charset=UTF-8\n"), *pairs])
    words = [[pair[side].encode() + b"\0" for pair in pairs] for side in (0, 1)]
    head, at = 28, 28 + 16 * len(pairs)
    tables, texts = b"", b""
    for side in words:
        for word in side:
            tables += struct.pack("<II", len(word) - 1, at + len(texts))
            texts += word
    start = struct.pack("<7I", 0x950412DE, 0, len(pairs), head, head + 8 * len(pairs), 0, 0)
    path.write_bytes(start + tables + texts)


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
