"""What the verbs that run a model share: its options, loading it, and showing what it says."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama3_tok.cli.terminal import complain, is_terminal, utf8, write
from llama3_tok.errors import CheckpointError
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from llama3_tok.torch import Llama3

__all__ = ["add_options", "loaded", "note", "options", "show"]


def add_options(parser: argparse.ArgumentParser, *, temperature: float, top_p: float) -> None:
    """Adds the folder, and how the model is loaded and its tokens are chosen."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="a model folder as transformers has it, with its tokenizer",
    )
    parser.add_argument("--system", metavar="TEXT", type=utf8, help="the system message of a chat")
    choice = parser.add_argument_group("how the answer is made")
    choice.add_argument(
        "-n",
        "--max-new-tokens",
        metavar="N",
        type=int,
        default=256,
        help="the most tokens of an answer (default: %(default)s)",
    )
    choice.add_argument(
        "-t",
        "--temperature",
        metavar="T",
        type=float,
        default=temperature,
        help="0 takes the likeliest token each time, more makes it bolder (default: %(default)s)",
    )
    choice.add_argument(
        "--top-p",
        metavar="P",
        type=float,
        default=top_p,
        help="draw from the likeliest tokens that together have this probability (default: "
        "%(default)s)",
    )
    choice.add_argument("--top-k", metavar="K", type=int, help="draw from the K likeliest tokens")
    choice.add_argument(
        "--min-p",
        metavar="P",
        type=float,
        default=0.0,
        help="leave out tokens with less than this share of the likeliest's probability",
    )
    choice.add_argument(
        "--repetition-penalty",
        metavar="R",
        type=float,
        default=1.0,
        help="more than 1 makes tokens that were there already less likely",
    )
    choice.add_argument("--seed", metavar="S", type=int, help="makes what is drawn repeatable")
    choice.add_argument(
        "--stop",
        metavar="TEXT",
        type=utf8,
        action="append",
        default=[],
        help="end the answer before this text; may be given several times",
    )
    where = parser.add_argument_group("how the model is loaded")
    where.add_argument(
        "--dtype",
        choices=("auto", "bfloat16", "float16", "float32"),
        default="auto",
        help="the type to compute in (default: that of the weights)",
    )
    where.add_argument(
        "--device",
        metavar="NAME",
        type=utf8,
        default="auto",
        help="as cpu or cuda:1 (default: the first CUDA device, else the CPU)",
    )
    where.add_argument(
        "--attention",
        choices=("sdpa", "eager", "flash_attention_2"),
        default="sdpa",
        help="the implementation of attention (default: %(default)s)",
    )


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that `Llama3.generate` takes."""
    names = (
        "max_new_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "seed",
        "stop",
    )
    return {name: getattr(arguments, name) for name in names}


@contextmanager
def loaded(arguments: argparse.Namespace) -> Iterator["Llama3"]:
    """The model, with progress on standard error if that is a terminal.

    What transformers would say besides is left out until the model is given back: `main` may be
    called in a process that goes on afterwards.
    """
    from llama3_tok.extras import require

    folder = arguments.folder
    if not os.path.isdir(folder):  # said before what is not installed
        raise CheckpointError(f"{folder}: there is no such folder", file=folder)
    shows = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    if shows:  # importing torch takes seconds, too
        sys.stderr.write(f"Loading {escaped(folder)}\n")
    require("torch", "torch")
    logging = require("transformers", "torch").utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not shows:
        logging.disable_progress_bar()
    try:
        from llama3_tok.torch import Llama3

        yield Llama3.load(
            folder,
            dtype=arguments.dtype,
            device=arguments.device,
            attention=arguments.attention,
        )
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def show(pieces: Iterable[str]) -> None:
    """Writes text as it comes; a terminal gets nothing that it would obey."""
    visible = is_terminal(sys.stdout)
    for piece in pieces:
        write((escaped(piece, keep="\n\t") if visible else piece).encode())
        if sys.stdout is not None:
            sys.stdout.flush()


def note(message: str) -> None:
    """Says something to a person: nothing in a pipe."""
    if is_terminal(sys.stderr):
        complain(message)
