#!/usr/bin/env python3
"""Ctrl-C in every long call: how soon it ends, and that it leaves nothing half written.

    PYTHONPATH=python:tests python tests/interrupts.py --runs 5 --json interrupts.json

Each call is made with an input for which it takes seconds, in a process of its own, and gets
SIGINT at a random moment; what takes less is made again and again. Printed is how long it goes on
after the signal. The calls are in `tests/long_calls.py`.
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from interpreter import seconds_after_control_c
from long_calls import LONG

LIMIT = 0.2
"""Seconds, on a machine that has nothing else to do."""


def measure(name: str, seed: object = 0) -> float:
    """Seconds that a call goes on after Ctrl-C, at a random moment of its first second."""
    one = LONG[name]
    delay = 0.05 + 0.5 * random.Random(f"{name} {seed}").random()
    here = str(Path(__file__).resolve().parent)
    with tempfile.TemporaryDirectory() as folder:
        return seconds_after_control_c(
            one.work,
            # An import of NumPy that is interrupted is an ImportError of NumPy's own.
            before=f"import numpy\n{one.before}",
            after=one.after,
            delay=delay,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), here])},
        )


def main() -> int:
    """Measures, and says with its exit code whether all calls ended in time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="the calls (default: all)")
    parser.add_argument("--runs", type=int, default=1, help="how often each is interrupted")
    parser.add_argument("--json", type=Path, help="write all times")
    arguments = parser.parse_args()
    # What a shell runs in the background ignores Ctrl-C, and so would all that this starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found: dict[str, list[float]] = {}
    failed = {}
    for name in arguments.names or LONG:
        try:
            found[name] = [round(measure(name, run), 3) for run in range(arguments.runs)]
            print(f"{max(found[name]):6.3f} s  {name}", flush=True)
        except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
            failed[name] = str(error)[-600:]
            print(f" failed   {name}: {failed[name]}", flush=True)
    record: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "python": platform.python_version(),
        "limit_seconds": LIMIT,
        "longest": dict(sorted(((name, max(times)) for name, times in found.items()))),
        "above_the_limit": {n: times for n, times in found.items() if max(times) > LIMIT},
        "seconds": found,
        "failed": failed,
    }
    longest = max((max(times) for times in found.values()), default=0.0)
    print(f"{len(found)} calls, the longest {longest:.3f} s; {len(failed)} failed")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if failed or longest > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
