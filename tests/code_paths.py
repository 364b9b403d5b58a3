"""The code paths that this processor has, each in a process of its own."""

import os
import pickle
import subprocess
import sys
from functools import cache

from llama3_tok import about

_WORK = """
import pickle, sys
from llama3_tok import Tokenizer, about
tokenizer, answers = Tokenizer(), sys.stdout.buffer
pickle.dump(about.code_path(), answers)
while True:
    answers.flush()
    try:
        texts = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    pickle.dump(tokenizer.encode_batch(texts, threads=1), answers)
"""


class CodePath:
    """A process that takes one code path."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "LLAMA3_TOK_PATH": name},
        )
        assert pickle.load(self.process.stdout) == name

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text."""
        pickle.dump(texts, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)


@cache
def code_paths() -> dict[str, CodePath]:
    """All of them by name. They end with the process that asks, which closes their input."""
    return {name: CodePath(name) for name in about.code_paths()}
