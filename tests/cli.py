"""Running the installed command as people do: in a pipe, and on a terminal.

Expected counts and ids are tiktoken's.
"""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import tty
from pathlib import Path

import oracle

_SCRIPT = Path(sys.executable).with_name("llama3-tok")
COMMAND = [str(_SCRIPT)] if _SCRIPT.is_file() else [sys.executable, "-m", "llama3_tok"]


def ids_of(text):
    return oracle.encoding().encode_ordinary(text)


def count_of(text):
    return len(ids_of(text))


def environment(**changes):
    """The environment, less what changes how things look; None takes a variable out."""
    plain = {"NO_COLOR": None, "COLUMNS": None, "TERM": "xterm-256color", **changes}
    merged = {**os.environ, **plain}
    return {name: value for name, value in merged.items() if value is not None}


def run(*arguments, stdin=b"", cwd=None, **changes):
    """Runs the command with pipes; its output is bytes."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(**changes),
        timeout=120,
        check=False,
    )


def output(*arguments, **options):
    """What a run that succeeds in silence prints."""
    done = run(*arguments, **options)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def fails(*arguments, **options):
    """What a run that fails with 2 and prints nothing says on standard error."""
    done = run(*arguments, **options)
    assert (done.returncode, done.stdout) == (2, b"")
    message = done.stderr.decode()
    assert "Traceback" not in message
    assert message.startswith("llama3-tok: ")
    return message


def objects(printed):
    """Its lines, each a JSON object."""
    return [json.loads(line) for line in printed.splitlines()]


class Terminal:
    """A pseudo-terminal, for a process to have as some of its streams."""

    def __init__(self, columns=80):
        self._ours, self.theirs = pty.openpty()
        tty.setraw(self.theirs)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def wait(self):
        """Whether it is sent something within a minute."""
        return bool(select.select([self._ours], [], [], 60)[0])

    def read(self):
        """Everything written to it, once the process has ended."""
        os.close(self.theirs)
        parts = []
        while True:
            try:
                parts.append(os.read(self._ours, 65536))
            except OSError:  # how Linux says that nobody writes any more
                break
            if not parts[-1]:
                break
        os.close(self._ours)
        return b"".join(parts)


def on_terminal(*arguments, stdin=b"", columns=80, cwd=None, **changes):
    """Runs the command with standard output on a terminal: exit code, output, standard error."""
    terminal = Terminal(columns)
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=terminal.theirs,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(**changes),
    ) as process:
        process.stdin.write(stdin)
        process.stdin.close()
        shown = terminal.read()
        return process.wait(60), shown, process.stderr.read()


def keyboard_only(*arguments):
    """Runs the command with standard input on a terminal, where nobody types."""
    terminal = Terminal()
    try:
        return subprocess.run(
            [*COMMAND, *arguments],
            stdin=terminal.theirs,
            capture_output=True,
            env=environment(),
            timeout=60,
            check=False,
        )
    finally:
        terminal.read()
