#!/usr/bin/env python3
"""Runs a fuzz target in Python under Atheris: `fuzz/python/fuzz_target.py answer -runs=1000`.

What follows the name of the target is libFuzzer's. Only the package is instrumented. The package
has to be installed, or named by PYTHONPATH.
"""

import sys
from importlib import import_module
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Runs the target that the command line names."""
    sys.path[:0] = [str(ROOT / "fuzz" / "python"), str(ROOT / "tests")]
    from fuzz_checks import TARGETS

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: {sys.argv[0]} {{{','.join(TARGETS)}}} [libFuzzer's options]")
    with atheris.instrument_imports(include=["llama3_tok"]):
        target = import_module(f"fuzz_checks.{sys.argv[1]}")
        # What is imported when it is first used is imported now, so that it is instrumented, too.
        for data in target.seeds().values():
            target.check(data)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
