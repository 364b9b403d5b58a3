"""Runs the tests with one of the mutants that scripts/mutants_core.py has put into the core."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Which tests of the package concern a room.
PYTHON_TESTS = {
    "pretokenize": ["parity", "code_points"],
    "pieces": ["parity", "parity_inputs"],
    "merge": ["parity", "parity_inputs"],
    "cache": ["cache", "parity"],
    "special": ["special_tokens", "stream_decoder", "tokenizer_parts", "truncate"],
    "chat": ["chat_oracles", "chat_meta", "chat", "chat_mask", "chat_injection"],
}


def fails(
    program: str, arguments: list[str], mutant: int, cases: int, seconds: float
) -> str | None:
    """The first test that fails with a mutant, or `timeout`; None if all pass."""
    environment = {
        **os.environ,
        "MUTANT": str(mutant),
        "PROPTEST_CASES": str(cases),
        "PROPTEST_RNG_SEED": "19",
        "PROPTEST_MAX_SHRINK_ITERS": "0",
        "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true",
        "RUST_BACKTRACE": "0",
    }
    # Seconds of the processor, whatever else runs; ten times as many of the clock for what waits.
    limits = ["sh", "-c", f'ulimit -c 0 && ulimit -t {seconds:.0f} && exec "$@"', "limits"]
    limits = ["timeout", "-s", "KILL", str(10 * seconds), *limits]
    command = [*limits, program, "--test-threads", "1", *arguments]
    running = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, errors="replace",
    )  # fmt: skip
    started = ""
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if found := re.match(r"test (\S+) (?:- should panic )?\.\.\. ?(.*)", line):
                started = found[1]
                if found[2].strip() == "FAILED":
                    running.terminate()
                    return started
    # `timeout` ends as what it runs does, or itself as it kills that.
    if running.returncode in (-signal.SIGKILL, -signal.SIGXCPU, 128 + 9, 128 + signal.SIGXCPU):
        return "timeout"
    return None if running.returncode == 0 else f"the process ended ({running.returncode})"


def extension(tree: Path, target: str) -> Path:
    """Builds the extension with the same mutants; gives the folder of a package that has it."""
    environment = {**os.environ, "CARGO_TARGET_DIR": target}
    environment |= {"CARGO_PROFILE_DEV_OPT_LEVEL": "1", "CARGO_PROFILE_DEV_DEBUG": "0"}
    command = ["cargo", "build", "--quiet", "--lib", "--features", "python"]
    subprocess.run(command, cwd=tree, env=environment, check=True)
    package = tree.parent / "package"
    shutil.rmtree(package, ignore_errors=True)
    others = shutil.ignore_patterns("_core*.so", "__pycache__")
    shutil.copytree(ROOT / "python/llama3_tok", package / "llama3_tok", ignore=others)
    shutil.copy(Path(target, "debug/libllama3_tok.so"), package / "llama3_tok/_core.abi3.so")
    return package


def fails_in_python(package: Path, room: str, mutant: int, seconds: float) -> str | None:
    """The first of the package's tests of a room that fails with a mutant; None if all pass."""
    environment = {
        **os.environ,
        "MUTANT": str(mutant),
        "PYTHONPATH": str(package),
        "LLAMA3_TOK_EXAMPLES": "20",
    }
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    pytest += ["-p", "no:randomly", "--numprocesses", "0"]
    pytest += [f"tests/test_{test}.py" for test in PYTHON_TESTS[room]]
    command = ["timeout", "-s", "KILL", str(10 * seconds), *pytest]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode in (-signal.SIGKILL, 128 + 9):
        return "timeout"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    ending = found[1] if found else f"the process ended ({ended.returncode})"
    return None if ended.returncode == 0 else ending
