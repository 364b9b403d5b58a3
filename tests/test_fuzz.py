"""The fuzz targets: committed inputs are replayed, and what runs the targets reads them rightly.

The targets in Rust are replayed by `cargo test --manifest-path fuzz/Cargo.toml`.
"""

import importlib.util
import json
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from fuzz_checks import TARGETS
from fuzz_checks.given import Given, text_of

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
SAID = tomllib.loads((FUZZ / "targets.toml").read_text())


def load():
    spec = importlib.util.spec_from_file_location("fuzz_script", ROOT / "scripts" / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = load()


def inputs(kind, target):
    return sorted((FUZZ / kind / target).glob("*"))


@pytest.mark.parametrize("target", TARGETS)
def test_every_committed_input_passes(target):
    module = import_module(f"fuzz_checks.{target}")
    corpus = inputs("corpus", target)
    assert corpus
    for path in [*corpus, *inputs("crashes", target)]:
        try:
            module.check(path.read_bytes())
        except BaseException as error:
            raise AssertionError(f"{path}: {error!r}") from error


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_pass(target):
    module = import_module(f"fuzz_checks.{target}")
    for data in module.seeds().values():
        module.check(data)


def test_all_targets_are_said():
    programs = tomllib.loads((FUZZ / "Cargo.toml").read_text())["bin"]
    in_rust = [name for name, said in SAID.items() if said["language"] == "rust"]
    assert in_rust == [program["name"] for program in programs]
    in_python = [name for name, said in SAID.items() if said["language"] == "python"]
    assert in_python == list(TARGETS)
    dictionaries = {said["dictionary"] for said in SAID.values() if "dictionary" in said}
    assert dictionaries == {path.stem for path in (FUZZ / "dictionaries").iterdir()}


def test_dictionaries_are_as_libfuzzer_reads_them():
    for path in (FUZZ / "dictionaries").iterdir():
        for line in path.read_text().splitlines():
            inner = re.fullmatch(r'"((?:[^"\\]|\\["\\]|\\x[0-9a-f]{2})+)"', line)
            assert inner, f"{path.name}: {line}"


def test_corpora_are_small_and_of_targets():
    paths = [path for path in (FUZZ / "corpus").rglob("*") if path.is_file()]
    assert {path.parent.name for path in paths} == set(SAID)
    assert sum(path.stat().st_size for path in paths) < 300_000
    for path in paths:
        assert path.stat().st_size <= SAID[path.parent.name]["max_len"], path


# The bytes of an input as choices


def test_an_input_makes_the_same_choices_and_ends_in_zeros():
    given = Given(bytes([3, 1, 2, 7, 0x61, 0xFF]))
    assert given.choice("abcd") == "d"
    assert given.flag()
    assert given.sample("abc", 1) == ["c"]
    assert given.number(10) == 7
    assert not given.is_empty
    assert given.rest() == b"a\xff"
    assert given.is_empty
    assert (given.number(5), given.flag(), given.bytes(), given.rest()) == (0, False, b"", b"")


def test_any_bytes_are_text():
    assert text_of("é😀".encode()) == "é😀"
    assert text_of(b"\xed\xa0\x80") == "\ud800"
    assert text_of(b"a\xff") == "a\udcff"


# What runs them

LOG = """#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb
#1024\tpulse  cov: 345 ft: 913 corp: 17/200b lim: 4 exec/s: 512 rss: 41Mb
#4242\tDONE   cov: 350 ft: 999 corp: 20/300b lim: 4 exec/s: 70 rss: 41Mb
"""


def test_a_log_says_runs_and_edges():
    found = script.Run()
    script._read_log(found, LOG)
    assert (found.runs, found.edges) == (4242, 350)
    script._read_log(found, LOG + "stat::number_of_executed_units: 4250\n")
    assert found.runs == 4250


def fuzzer(folder, monkeypatch, *lines):
    """The script with one target, a program that does what the lines say."""
    program = folder / "fuzzer.py"
    program.write_text(
        "import sys, pathlib\n"
        "prefix = next(a for a in sys.argv if a.startswith('-artifact_prefix=')).split('=')[1]\n"
        + "\n".join(lines)
    )
    target = script.Target("encode", "rust", 10)
    monkeypatch.setattr(script, "FUZZ", folder)
    monkeypatch.setattr(script, "ROOT", folder)
    monkeypatch.setattr(script.Target, "command", lambda _: [sys.executable, str(program)])
    return target


def test_a_run_that_breaks_nothing(tmp_path, monkeypatch):
    target = fuzzer(tmp_path, monkeypatch, f"sys.stderr.write({LOG!r})")
    found = script.run(target, 1)
    assert (found.runs, found.edges, found.result) == (4242, 350, "nothing broke")
    assert not (tmp_path / "crashes" / "encode").exists()


def test_a_run_that_breaks_says_by_what(tmp_path, monkeypatch, capsys):
    target = fuzzer(
        tmp_path,
        monkeypatch,
        "pathlib.Path(prefix + 'crash-1').write_bytes(b'x')",
        "sys.exit('it panicked')",
    )
    found = script.run(target, 1)
    assert found.crashes == ["crashes/encode/crash-1"]
    assert found.result == "broken by crash-1"
    assert "it panicked" in capsys.readouterr().err
    # It is known now, and a run that ends in another way is no success.
    found = script.run(fuzzer(tmp_path, monkeypatch, "sys.exit(9)"), 1)
    assert (found.crashes, found.result) == ([], "ended with status 9")


def test_a_record_is_added_to(tmp_path):
    path = tmp_path / "record.json"
    run = script.Run(runs=10, edges=5, inputs=2, seconds=60.0, cpu_seconds=1800.0)
    script.write_record(path, {"encode": run}, add=False)
    script.write_record(path, {"encode": run, "chat": run}, add=True)
    record = json.loads(path.read_text())
    assert record["targets"]["encode"]["runs"] == 20
    assert record["targets"]["chat"]["runs"] == 10
    assert record["cpu_hours"] == 1.5
    script.write_record(path, {"encode": run}, add=False)
    assert list(json.loads(path.read_text())["targets"]) == ["encode"]


def test_what_is_missing_is_said_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(script, "_works", lambda *_: False)
    monkeypatch.setattr(script.shutil, "which", lambda _: None)
    monkeypatch.delenv("CXX", raising=False)
    said = "\n".join(script.missing({"rust", "python"}))
    for command in ("rustup toolchain install", "apt install g++", "pip install atheris"):
        assert command in said
    monkeypatch.setattr(script, "_works", lambda *command: "fuzz" not in command)
    assert "cargo install --locked cargo-fuzz" in script.missing({"rust"})[0]


def test_a_table_has_a_line_for_each_target():
    lines = script.table({"encode": script.Run(runs=1234), "chat": script.Run(problem="no")})
    assert [line.split()[0] for line in lines.splitlines()] == ["target", "encode", "chat"]
    assert "1,234" in lines


def test_clusterfuzzlite_builds_what_is_there():
    text = (ROOT / ".clusterfuzzlite" / "build.sh").read_text()
    assert "fuzz/fuzz_targets/*.rs" in text
    assert (ROOT / ".clusterfuzzlite" / "project.yaml").read_text() == "language: rust\n"
