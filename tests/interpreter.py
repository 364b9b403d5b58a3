"""Running Python code in a process of its own, so that what it does to the process stays there."""

import subprocess
import sys
import textwrap

INTERRUPTED = """
import os, signal, sys, threading, time, llama3_tok
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
tokenizer = llama3_tok.Tokenizer()
{before}
def interrupt():
    global sent
    time.sleep({delay})
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
thread = threading.Thread(target=interrupt)
try:
    thread.start()
    {work}
    sys.exit("the work ended before the signal came")
except KeyboardInterrupt:
    took = time.monotonic() - sent
{after}
    print(took)
"""


def run_python(code: str, timeout: float = 120, **options) -> subprocess.CompletedProcess[str]:
    """Runs code and takes what it prints; `options` are those of `subprocess.run`."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)


def seconds_after_control_c(
    work: str, *, before: str = "", after: str = "", delay: float = 0.3, **options
) -> float:
    """Seconds that a line of Python goes on after Ctrl-C, which comes `delay` after its beginning.

    Whatever it needs is made by `before`, and `after` is done when it has ended. It has two
    processors at most: work that lasts on one machine then lasts on one with many as well.
    """
    parts = {"before": textwrap.dedent(before), "after": textwrap.indent(after, "    ")}
    done = run_python(INTERRUPTED.format(work=work, delay=delay, **parts), **options)
    assert done.stdout, done.stderr
    return float(done.stdout)
