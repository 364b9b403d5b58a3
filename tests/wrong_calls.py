"""Random calls of everything public of a tokenizer, mostly wrong ones.

Each has to give something, or raise what is documented: TypeError, ValueError (with it all errors
of this package but InternalError), OSError or, where a package is missing, ImportError. Run by
itself, it makes as many calls as it is told:
`PYTHONPATH=python:tests python tests/wrong_calls.py 100000`.
"""

import contextlib
import inspect
import os
import random
import resource
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

import llama3_tok
from llama3_tok import InternalError, Tokenizer

# MemoryError: a batch may be padded to any length, and the system then refuses so much.
DOCUMENTED = (TypeError, ValueError, OSError, ImportError, MemoryError)

# What writes a folder, and what is for other modules of the package.
LEFT_OUT = {"save", "of"}

ODD = [
    *(None, True, False, 0, 1, -1, 7, 128_000, 128_256, 2**31, 2**32, 2**63, 2**70, -(2**70)),
    *(
        1.5,
        float("nan"),
        float("inf"),
        "",
        "a",
        "Hello world",
        "\ud800",
        "<|eot_id|>",
        "all",
        "x" * 3000,
    ),
    *(b"", b"\xff", b"Hello", bytearray(b"ab"), memoryview(b"abc"), object(), len, Ellipsis),
    *(
        [],
        [9906],
        [9906, 1917],
        [-1],
        [None],
        ["a"],
        [b"a"],
        ["a", "b"],
        [[1], [2, 3]],
        [1.5],
        [True],
    ),
    *(
        (),
        (1, 2),
        {},
        {"a": 1},
        {"text": "a"},
        set(),
        {"<|eot_id|>"},
        {1},
        frozenset({"a"}),
        range(3),
    ),
    *(
        np.array([1, 2]),
        np.array([1.5]),
        np.array([[1]]),
        np.array([], "u4"),
        np.array(["a"]),
        np.uint32(5),
    ),
    *(
        [{"role": "user", "content": "Hi"}],
        [{"role": "x"}],
        [{"role": "user"}],
        [{}],
        {"role": "user"},
    ),
    *(
        [{"role": "user", "content": [1]}],
        "llama3",
        "llama3.1",
        "left",
        "right",
        "np",
        "pt",
        "lines",
    ),
]


def targets(tokenizer):
    """Callables by name: methods, static ones too, and the functions of the package."""
    found = {}
    for name in dir(tokenizer):
        if name.startswith("_") or name in LEFT_OUT:
            continue
        value = getattr(tokenizer, name)
        if callable(value):
            found[name] = value
    found["()"] = tokenizer.__call__
    found["[]"] = getattr(tokenizer, "__getitem__", len)
    for name in ("encode", "decode", "count", "Tokenizer", "assistant_stream", "parse_assistant"):
        if hasattr(llama3_tok, name):
            found[f"llama3_tok.{name}"] = getattr(llama3_tok, name)
    return found


def names_of(target):
    """The parameters that may be given by name."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        one.name for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]


OPTIONS = [
    *("bos", "eos", "allowed_special", "disallowed_special", "threads", "max_tokens", "field"),
    *("errors", "skip_special", "max_bytes", "max_ratio", "nonsense"),
]


def call(rng, name, target, known):
    """Makes a call with what `rng` chooses, of the parameters that are `known`, too.

    Gives whether it gave something.
    """
    positional = [rng.choice(ODD) for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3)))]
    options = rng.sample([*known, *OPTIONS], rng.choice((0, 0, 1, 2)))
    named = {option: rng.choice(ODD) for option in options}
    try:
        result = target(*positional, **named)
        if inspect.isgenerator(result) or type(result).__name__ in ("Files", "starmap"):
            for _, _ in zip(range(3), result, strict=False):
                pass
    except InternalError:
        raise
    except DOCUMENTED:
        return False
    except BaseException as error:
        what = f"{name}{(*positional, named)!r}"[:1000]
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return True


def run(count, seed=0):
    """Makes so many calls: how many gave something, and how many raised."""
    rng, tokenizer = random.Random(seed), Tokenizer()
    made = targets(tokenizer)
    known = {name: names_of(target) for name, target in made.items()}
    given = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.chdir(folder),
    ):
        warnings.simplefilter("ignore")
        for _ in range(count):
            name = rng.choice(list(made))
            given += call(rng, name, made[name], known[name])
    assert tokenizer.encode("Hello world") == [9906, 1917]
    return given, count - given


def resident():
    """Megabytes of memory in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


if __name__ == "__main__":
    warmed = run(3000, seed=1)
    before = resident()
    given, raised = run(int(sys.argv[1]))
    print(f"{given} gave something, {raised} raised; {resident() - before:.1f} MB more")
    os._exit(0)
