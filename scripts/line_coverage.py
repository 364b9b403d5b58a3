#!/usr/bin/env python3
"""Which lines of the package and of the core the tests run.

    python scripts/line_coverage.py                          # everything; takes many minutes
    python scripts/line_coverage.py -- tests/test_chat.py    # all of the core's, of Python's these
    python scripts/line_coverage.py --add -- tests/test_ids.py    # these as well, on what is built
    python scripts/line_coverage.py --report                 # of what was measured last

The core is built with LLVM's counters, once for its own tests and once as the extension, and the
Python tests run on that one. What either of them runs counts; a test's own lines in rust/ do not.
Files below 95% are shown, with the lines that no test runs. Exit status: 0 if package and core have
95%, 1 if not or if a test fails, 2 if something is missing.

It needs coverage (`pip install coverage`), what the tests need, and llvm-profdata and llvm-cov:
`rustup component add llvm-tools`, or the variables LLVM_PROFDATA and LLVM_COV with the paths of
others, of LLVM 19 or later. Nothing is installed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target/coverage"
PACKAGE = WORK / "package/llama3_tok"
LEAST = 95.0

CONFIGURATION = f"""[run]
source_pkgs = llama3_tok
parallel = true
patch = subprocess
data_file = {WORK}/package.data
[report]
exclude_also =
    if TYPE_CHECKING:
    @overload
    \\.\\.\\.$
"""

# Counters for this crate alone, so what it depends on is not built again.
WRAPPER = '#!/bin/sh\nexec "$@" -C instrument-coverage\n'


def tool(name: str) -> str:
    """The path of one of LLVM's tools."""
    if given := os.environ.get(name.upper().replace("-", "_")):
        return given
    sysroot = subprocess.run(
        ["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True
    )
    for path in Path(sysroot.stdout.strip()).glob(f"lib/rustlib/*/bin/{name}"):
        return str(path)
    print(f"{name} is missing: rustup component add llvm-tools", file=sys.stderr)
    raise SystemExit(2)


def counting() -> dict[str, str]:
    """The environment in which tests count the lines that they run."""
    return {
        **os.environ,
        "LLVM_PROFILE_FILE": str(WORK / "counted-%p-%m.profraw"),
        "COVERAGE_RCFILE": str(WORK / "coveragerc"),
        "PYTHONPATH": str(PACKAGE.parent),
    }


def build() -> None:
    """Builds both, with counters."""
    shutil.rmtree(WORK, ignore_errors=True)
    PACKAGE.parent.mkdir(parents=True)
    wrapper = WORK / "rustc.sh"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    (WORK / "coveragerc").write_text(CONFIGURATION)
    environment = {
        **os.environ,
        "RUSTC_WORKSPACE_WRAPPER": str(wrapper),
        # What is counted is not inlined across crates, and the build is quicker.
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    }

    def program(*command: str) -> str:
        command = ("cargo", *command, "--lib", "--message-format=json-render-diagnostics")
        output = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        built = [json.loads(line) for line in output.stdout.splitlines()]
        files = [file for item in built for file in item.get("filenames", [])]
        files += [item["executable"] for item in built if item.get("executable")]
        return next(file for file in reversed(files) if "llama3_tok" in Path(file).name)

    shutil.copy(program("test", "--no-run"), WORK / "core")
    program("build", "--release", "--features", "python")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    shutil.copytree(
        ROOT / "python/llama3_tok",
        PACKAGE,
        ignore=shutil.ignore_patterns("_core*.so", "__pycache__"),
    )
    shutil.copy(target / "release/libllama3_tok.so", PACKAGE / "_core.abi3.so")


def passes(*command: str) -> bool:
    """Whether these tests pass; they count lines."""
    return subprocess.run(command, cwd=ROOT, env=counting(), check=False).returncode == 0


def core_lines() -> dict[str, dict[int, int]]:
    """Of each file of the core, how often its lines ran."""
    counted = WORK / "core.profdata"
    if raw := sorted(WORK.glob("counted-*.profraw")):
        given = WORK / "profraw.list"
        given.write_text("".join(f"{path}\n" for path in raw))
        merge = ["merge", "--sparse", "--failure-mode=all", "-f", str(given), "-o", str(counted)]
        subprocess.run([tool("llvm-profdata"), *merge], check=True)
    export = [tool("llvm-cov"), "export", "--format=lcov", f"--instr-profile={counted}"]
    export += [str(WORK / "core"), "--object", str(PACKAGE / "_core.abi3.so")]
    lcov = subprocess.run(export, check=True, capture_output=True, text=True).stdout
    files: dict[str, dict[int, int]] = {}
    for record in lcov.split("end_of_record"):
        name = re.search(r"^SF:(.*)$", record, re.MULTILINE)
        path = Path(name[1]) if name else ROOT
        if not path.is_relative_to(ROOT / "rust") or re.search(r"/tests\.rs|/reference", str(path)):
            continue
        text = path.read_text(encoding="utf-8")
        tests = re.search(r"^#\[cfg\(test\)\]\n(?:#.*\n)*mod ", text, re.MULTILINE)
        end = text.count("\n", 0, tests.start()) if tests else text.count("\n") + 1
        lines = {
            int(line): int(count)
            for line, count in re.findall(r"^DA:(\d+),(\d+)", record, re.MULTILINE)
            if int(line) <= end
        }
        if lines:
            files[str(path.relative_to(ROOT))] = lines
    return files


def package_lines() -> dict[str, dict[int, int]]:
    """The same of the package: each line once or not at all."""
    environment = counting()
    coverage = [sys.executable, "-m", "coverage"]
    if list(WORK.glob("package.data.*")):
        combine = [*coverage, "combine", "--append", "-q"]
        subprocess.run(combine, cwd=ROOT, env=environment, check=True)
    output = WORK / "package.json"
    subprocess.run([*coverage, "json", "-q", "-o", output], cwd=ROOT, env=environment, check=True)
    files: dict[str, dict[int, int]] = {}
    for name, file in json.loads(output.read_text())["files"].items():
        # Processes that tests start in their own way may run the package where its sources are.
        path = ROOT / name
        place = PACKAGE if path.is_relative_to(PACKAGE) else ROOT / "python/llama3_tok"
        lines = files.setdefault(str("python/llama3_tok" / path.relative_to(place)), {})
        for line in file["missing_lines"]:
            lines.setdefault(line, 0)
        lines |= dict.fromkeys(file["executed_lines"], 1)
    return {name: lines for name, lines in files.items() if lines}


def share(lines: dict[int, int]) -> float:
    """How many of a hundred lines ran."""
    return 100 * sum(count > 0 for count in lines.values()) / len(lines)


def ranges(numbers: list[int]) -> str:
    """Line numbers as people write them: `3-5, 9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def report(name: str, files: dict[str, dict[int, int]]) -> dict[str, object]:
    """Prints a part's figure, and its files that have less than they should."""
    everything = [count for lines in files.values() for count in lines.values()]
    total = 100 * sum(count > 0 for count in everything) / len(everything)
    print(f"{name}: {total:.1f}% of {len(everything)} lines in {len(files)} files")
    below = {}
    for file, lines in sorted(files.items(), key=lambda item: share(item[1])):
        if share(lines) < LEAST:
            missing = sorted(line for line, count in lines.items() if not count)
            below[file] = round(share(lines), 1)
            print(f"  {share(lines):5.1f}%  {file}: {ranges(missing)}")
    return {"lines": len(everything), "percent": round(total, 1), "below": below}


def main() -> int:
    """Measures, unless that was done, and reports."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tests", nargs="*", help="what pytest is given; without it, all tests")
    parser.add_argument("--report", action="store_true", help="do not measure again")
    parser.add_argument("--add", action="store_true", help="do not build again, and keep counts")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    try:
        import coverage  # noqa: F401
    except ImportError:
        print("coverage is missing: pip install coverage", file=sys.stderr)
        return 2
    for name in ("llvm-profdata", "llvm-cov"):
        tool(name)
    passed = True
    if not arguments.report:
        if not arguments.add:
            build()
            passed = passes(str(WORK / "core"))
        passed &= passes(sys.executable, "-m", "coverage", "run", "-m", "pytest", *arguments.tests)
    figures = {"package": report("package", package_lines()), "core": report("core", core_lines())}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    enough = all(float(str(one["percent"])) >= LEAST for one in figures.values())
    return 0 if enough and passed else 1


if __name__ == "__main__":
    sys.exit(main())
