"""The benchmark's own logic, on peers made to misbehave. Nothing here judges a speed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench_results import made, record

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import cases  # noqa: E402
import commits  # noqa: E402
import compare  # noqa: E402
import corpora  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
from harness import Failure, alternate  # noqa: E402
from result import Results  # noqa: E402
from run import LENGTHS, Run, Settings  # noqa: E402

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
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
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


@pytest.mark.long
def test_peers_that_differ_or_fail_are_marked_and_the_others_measured(run: Run, fakes: None):
    run.names = ["llama3_tok", "tiktoken"]
    run.ways("whole")  # starts both of them, which takes what it takes
    run.settings.limit = 6.0
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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_every_case_runs(run: Run, tmp_path: Path):
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
    assert timed >= {"language allocated", "language threads"}
    assert {one["peer"] for one in run.records if one["case"] == "language threads"} == {
        "llama3_tok"
    }
    sizes = [one["text"] for one in run.records if one["case"] == "cold"]
    assert sizes[0] == f"text, {run.corpora[0].bytes // 1000} KB"
    machine = {"processor": "P", "cores": 2, "python": "3", "memory": 1}
    stored = made(run.records, tuple(run.names)) | {"machine": machine}
    stored["corpora"] = stored["languages"] = [compare.told(corpus) for corpus in run.corpora]
    full = report.full(Results(stored))
    for title in ("Cold start", "Languages", "`decode([id])`, a call", "A batch of documents on"):
        assert f"## {title}" in full
    assert "a batch of documents, MB/s | 1 thread" in full
    (tmp_path / "stored.json").write_text(json.dumps(stored))
    wanted = ["--from", str(tmp_path / "stored.json"), "--languages", str(tmp_path / "l.md")]
    assert compare.main(wanted) == 0
    written = (tmp_path / "l.md").read_text("utf-8")
    assert written.startswith("## Languages\n")
    assert f"\n| {run.languages[0].name} " in written


@pytest.mark.long
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
    assert len(found) == 2 * (4 * len(LENGTHS) + 1)
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


# Other commits, and folders of their own


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
