#!/usr/bin/env python3
"""Runs the fuzz targets one after the other, and says what each did.

    python scripts/fuzz.py                         # each for 60 seconds
    python scripts/fuzz.py encode chat --seconds 600
    python scripts/fuzz.py --only python
    python scripts/fuzz.py --json record.json --add      # adds to a record
    python scripts/fuzz.py encode --corpus               # a small corpus of what was found

What is found goes to fuzz/work/TARGET, and each run goes on from there and from fuzz/corpus. An
input that breaks a target goes to fuzz/crashes/TARGET: it is committed with the fix, and the tests
replay it. Exit status: 0 if nothing broke, 1 if something did, 2 if something is missing.

The targets in Rust need a nightly toolchain and cargo-fuzz, those in Python need Atheris and the
package installed; nothing is installed here.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
TOOLCHAIN = os.environ.get("FUZZ_TOOLCHAIN", "nightly")
# With it cargo-fuzz makes programs for this target, which has the sanitizer's library.
TRIPLE = f"{platform.machine()}-unknown-linux-gnu"

# Of an input: seconds and megabytes, if the target says nothing else.
TIMEOUT = 25
MEMORY = 2048
# Of a committed corpus: files and bytes.
FILES, BYTES = 40, 12_000


@dataclass(frozen=True)
class Target:
    """A target as `fuzz/targets.toml` has it."""

    name: str
    language: str
    max_len: int
    timeout: int = TIMEOUT
    dictionary: str | None = None

    def folder(self, kind: str) -> Path:
        """Where its inputs of a kind are: `corpus`, `crashes`, or `work`."""
        return FUZZ / kind / self.name

    def command(self) -> list[str]:
        """What runs it, without options."""
        if self.language == "python":
            return [sys.executable, str(FUZZ / "python" / "fuzz_target.py"), self.name]
        built = os.environ.get("CARGO_TARGET_DIR", FUZZ / "target")
        return [str(Path(built) / TRIPLE / "release" / self.name)]

    def options(self) -> list[str]:
        """What all runs of it have."""
        found = [f"-max_len={self.max_len}", f"-timeout={self.timeout}", f"-rss_limit_mb={MEMORY}"]
        if self.dictionary is not None:
            found.append(f"-dict={FUZZ / 'dictionaries' / self.dictionary}.dict")
        return found


@dataclass
class Run:
    """What a run of a target did."""

    runs: int = 0
    edges: int = 0
    inputs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    crashes: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def result(self) -> str:
        """In a few words."""
        if self.crashes:
            return f"broken by {', '.join(Path(name).name for name in self.crashes)}"
        return self.problem or "nothing broke"


def targets() -> list[Target]:
    """All targets, in order."""
    read = tomllib.loads((FUZZ / "targets.toml").read_text())
    return [Target(name, **values) for name, values in read.items()]


# What has to be there


def missing(languages: set[str]) -> list[str]:
    """What is not installed, and what installs it."""
    found = []
    if "rust" in languages:
        if not _works("cargo", f"+{TOOLCHAIN}", "--version"):
            found.append(
                f"no {TOOLCHAIN} toolchain of Rust: rustup toolchain install {TOOLCHAIN} "
                "--profile minimal"
            )
        elif not _works("cargo", f"+{TOOLCHAIN}", "fuzz", "--version"):
            found.append("no cargo-fuzz: cargo install --locked cargo-fuzz")
        if shutil.which("c++") is None and "CXX" not in os.environ:
            found.append("no C++ compiler, which libFuzzer needs: on Debian apt install g++")
    if "python" in languages:
        modules = {
            "atheris": "no Atheris: pip install atheris (its wheels are for Linux)",
            "llama3_tok": "the package is not installed: make develop",
            "jinja2": "no jinja2, which templates need: pip install jinja2",
        }
        found += [
            how
            for name, how in modules.items()
            if not _works(sys.executable, "-c", f"import {name}")
        ]
    return found


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == 0
    except FileNotFoundError:
        return False


def build(chosen: list[Target]) -> None:
    """Builds the programs of the targets in Rust."""
    if any(target.language == "rust" for target in chosen):
        print("building the targets in Rust", flush=True)
        subprocess.run(["cargo", f"+{TOOLCHAIN}", "fuzz", "build"], check=True, cwd=ROOT)


# Running


def run(target: Target, seconds: int) -> Run:
    """Runs a target for so long, and tells on standard error how far it is."""
    work, crashes = target.folder("work"), target.folder("crashes")
    corpus = target.folder("corpus")
    for folder in (work, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    _write_seeds(target, work)
    known = set(crashes.iterdir())
    command = [*target.command(), *target.options(), f"-max_total_time={seconds}"]
    command += ["-print_final_stats=1", f"-artifact_prefix={crashes}{os.sep}", str(work)]
    command += [str(folder) for folder in (corpus, crashes) if folder.is_dir()]
    found, before, began = Run(), _cpu_seconds(), time.monotonic()
    with _place() as place, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT, env=os.environ | {"TMPDIR": place}
        )
        while True:
            try:
                process.wait(timeout=5)
                break
            except subprocess.TimeoutExpired:
                _tell(target, time.monotonic() - began, seconds, _tail(log))
        log.seek(0)
        said = log.read().decode(errors="replace")
    found.seconds = time.monotonic() - began
    found.cpu_seconds = _cpu_seconds() - before
    _read_log(found, said)
    found.inputs = sum(1 for _ in work.iterdir())
    new = sorted(set(crashes.iterdir()) - known)
    found.crashes = [str(path.relative_to(ROOT)) for path in new]
    if not any(crashes.iterdir()):
        crashes.rmdir()
    if process.returncode and not new:
        found.problem = f"ended with status {process.returncode}"
    if process.returncode:
        print(f"\n{said[-4000:]}", file=sys.stderr)
    return found


def _place() -> "tempfile.TemporaryDirectory[str]":
    """A folder for the files of a target, in memory where the system has such a place."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def _write_seeds(target: Target, folder: Path) -> None:
    """A target in Python says which inputs to begin with."""
    if target.language == "rust" or any(folder.iterdir()):
        return
    code = (
        "import sys, pathlib; sys.path[:0] = sys.argv[3:]; from importlib import import_module\n"
        "seeds = import_module(f'fuzz_checks.{sys.argv[1]}').seeds()\n"
        "for name, data in seeds.items(): pathlib.Path(sys.argv[2], name).write_bytes(data)\n"
    )
    paths = [str(FUZZ / "python"), str(ROOT / "tests")]
    command = [sys.executable, "-c", code, target.name, str(folder), *paths]
    subprocess.run(command, check=True, cwd=ROOT)


def _cpu_seconds() -> float:
    """What all processes took that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_PULSE = re.compile(r"#(\d+)\s.*?cov: (\d+) ")


def _tail(log: Any) -> str:  # noqa: ANN401 - an open file
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), 4096, max(0, size - 4096)).decode(errors="replace")


def _tell(target: Target, passed: float, seconds: int, log: str) -> None:
    pulses = _PULSE.findall(log)
    runs, edges = pulses[-1] if pulses else ("0", "0")
    line = f"{target.name}: {passed:.0f} of {seconds} s, {int(runs):,} runs, {edges} edges"
    end = "\r" if sys.stderr.isatty() else "\n"
    if sys.stderr.isatty() or round(passed / 5) % 12 == 0:
        print(f"{line:<70}", end=end, file=sys.stderr, flush=True)


def _read_log(found: Run, log: str) -> None:
    pulses = _PULSE.findall(log)
    if pulses:
        found.runs = max(int(runs) for runs, _ in pulses)
        found.edges = max(int(edges) for _, edges in pulses)
    if units := re.search(r"stat::number_of_executed_units:\s*(\d+)", log):
        found.runs = int(units[1])


# A small corpus


def keep(target: Target) -> int:
    """Makes the committed corpus of what was found: what covers most, shortest first."""
    corpus = target.folder("corpus")
    with tempfile.TemporaryDirectory() as chosen, _place() as place:
        command = [*target.command(), *target.options(), "-merge=1", chosen]
        command += [str(folder) for folder in (corpus, target.folder("work")) if folder.is_dir()]
        subprocess.run(
            command, check=True, capture_output=True, cwd=ROOT, env=os.environ | {"TMPDIR": place}
        )
        paths = sorted(Path(chosen).iterdir(), key=lambda path: (path.stat().st_size, path.name))
        # From the shortest to the longest, evenly: short ones alone reach little.
        step = max(1, -(-len(paths) // FILES))
        shutil.rmtree(corpus, ignore_errors=True)
        corpus.mkdir(parents=True)
        size = 0
        for path in paths[::-1][::step]:
            if size + path.stat().st_size <= BYTES:
                size += path.stat().st_size
                shutil.copyfile(path, corpus / path.name)
    return size


# Results


def table(found: dict[str, Run]) -> str:
    """What each target did, as lines."""
    rows = [("target", "runs", "seconds", "edges", "inputs", "result")]
    for name, run in found.items():
        numbers = (f"{run.runs:,}", f"{run.seconds:.0f}", f"{run.edges:,}", f"{run.inputs:,}")
        rows.append((name, *numbers, run.result))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:5], widths[1:], strict=True))
        + f"  {row[5]}"
        for row in rows
    )


def write_record(path: Path, found: dict[str, Run], add: bool) -> None:
    """Writes what was run as JSON; with `add` to what the file has."""
    before: dict[str, Any] = {}
    if add and path.exists():
        before = json.loads(path.read_text())
    rows: dict[str, Any] = before.get("targets", {})
    for name, run in found.items():
        row = rows.get(name, {})
        rows[name] = {
            "runs": row.get("runs", 0) + run.runs,
            "seconds": round(row.get("seconds", 0) + run.seconds),
            "cpu_seconds": round(row.get("cpu_seconds", 0) + run.cpu_seconds),
            "edges": max(row.get("edges", 0), run.edges),
            "inputs": max(row.get("inputs", 0), run.inputs),
            "broken_by": [*row.get("broken_by", []), *run.crashes],
        }
    commits = before.get("commits", [])
    commit = _said("git", "rev-parse", "--short", "HEAD")
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "commits": commits if commit in commits else [*commits, commit],
        "cpu_hours": round(sum(row["cpu_seconds"] for row in rows.values()) / 3600, 2),
        "targets": rows,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rustc": _said("rustc", f"+{TOOLCHAIN}", "--version"),
        "cargo-fuzz": _said("cargo", f"+{TOOLCHAIN}", "fuzz", "--version"),
        "atheris": _said(
            sys.executable,
            "-c",
            "from importlib.metadata import version; print(version('atheris'))",
        ),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="See docs/reliability.md.",
    )
    known = targets()
    names = [target.name for target in known]
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="one of " + ", ".join(names))
    parser.add_argument("--only", choices=("rust", "python"), help="the targets in a language")
    parser.add_argument(
        "--seconds",
        type=int,
        default=int(os.environ.get("FUZZ_SECONDS", "60")),
        help="how long each runs (default: FUZZ_SECONDS, else 60)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes a record")
    parser.add_argument("--add", action="store_true", help="adds to the record instead")
    parser.add_argument(
        "--corpus",
        action="store_true",
        help="makes the committed corpora anew, of all that was found",
    )
    options = parser.parse_args()
    if unknown := set(options.targets) - set(names):
        parser.error(
            f"there is no target {', '.join(sorted(unknown))}; they are {', '.join(names)}"
        )
    chosen = [
        target
        for target in known
        if (not options.targets or target.name in options.targets)
        and options.only in (None, target.language)
    ]
    if lacks := missing({target.language for target in chosen}):
        print(
            "\n".join(lacks),
            "With --only rust or --only python the others run.",
            sep="\n",
            file=sys.stderr,
        )
        return 2
    build(chosen)
    if options.corpus:
        for target in chosen:
            print(f"{target.name}: {keep(target):,} bytes", flush=True)
        return 0
    found: dict[str, Run] = {}
    for target in chosen:
        found[target.name] = run(target, options.seconds)
        if options.json is not None:
            write_record(
                options.json, {target.name: found[target.name]}, options.add or len(found) > 1
            )
    print(table(found))
    print(f"{sum(run.cpu_seconds for run in found.values()) / 3600:.2f} CPU-hours")
    return int(any(run.crashes or run.problem for run in found.values()))


if __name__ == "__main__":
    sys.exit(main())
