"""Running Python code in a process of its own, so that what it does to the process stays there."""

import subprocess
import sys
import textwrap


def run_python(code: str, timeout: float = 120, **options) -> subprocess.CompletedProcess[str]:
    """Runs code and takes what it prints; `options` are those of `subprocess.run`."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
