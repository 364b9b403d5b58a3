"""The command `llama3-tok`: its verbs, options and exit codes.

It exits with 0, with 1 if a budget is exceeded, with 2 for wrong usage and for files that can't be
used, and with 130 after Ctrl-C. It is quiet if its reader goes away. Each verb is one module here,
which is imported when it is asked for, so that the others start fast.
"""

import argparse
import gc
import os
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, Protocol, TextIO, cast

from llama3_tok import __version__
from llama3_tok.cli.hints import hint_of_name, plainer, unexpected
from llama3_tok.cli.terminal import UNUSABLE, UsageError, complain, utf8
from llama3_tok.errors import Llama3TokError
from llama3_tok.profiles import DEFAULT_PROFILE, PROFILES

__all__ = ["main", "whole"]

INTERRUPTED = 130


class Verb(Protocol):
    """What the module of a verb has."""

    PURPOSE: str
    """One line."""
    EXAMPLES: str
    """Shown below the options."""

    def arguments(self, parser: argparse.ArgumentParser, /) -> None:
        """Adds what the verb takes."""

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Does it, and gives the exit code."""


VERBS = (
    "count",
    "encode",
    "decode",
    "show",
    "explain",
    "truncate",
    "chat",
    "compare",
    "parity",
    "generate",
    "chat-with",
    "convert",
    "convert-checkpoint",
    "corpus",
    "serve",
    "doctor",
    "completion",
)

# The verbs whose tokenizer is that of what they are given, or that need none.
_OWN_TOKENIZER = ("convert", "convert-checkpoint", "generate", "chat-with", "completion")


def _verb(name: str) -> Verb:
    return cast(Verb, import_module(f"llama3_tok.cli.{name.replace('-', '_')}"))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal.

    argparse asks for the width with each argument, through a module that imports archivers.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:  # standard output is not a terminal
        return 80


# How the library's messages write an argument, and what one about a parameter begins with.
_QUOTED = r"""(?:"[^"]*"|'[^']*')"""
_PARAMETER = re.compile(
    rf"\b([a-z][a-z_]*)(?:=(True\b|False\b|{_QUOTED}(?: or {_QUOTED})*|(?=[ ,;]|$))"
    "|(?= must | is for ))"
)
# What the command has other words for.
_SPELLED = {'documents="line"': "--lines", 'documents="separator"': "--separator"}
_UNQUOTED = str.maketrans("", "", "\"'")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where to read on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's
        super().__init__(*args, **kwargs)
        self.set_defaults(in_options=self.in_options)

    def error(self, message: str) -> NoReturn:
        complain(plainer(self, message))
        self.exit(UNUSABLE, f"Try '{self.prog} --help'.\n")

    def in_options(self, message: str) -> str:
        """A message of the library with the verb's options in place of Python's parameters.

        `tools_in="system"` becomes `--tools-in system`, `bos=True` and `bos=` become `--bos`,
        `bos=False` becomes `no --bos`, and `top_k must be` at the beginning `--top-k must be`; what
        is no option of the verb stays. The rest of the package speaks Python, and this is the one
        place where that is translated. A verb that shows such a message itself finds this function
        among its arguments.
        """
        return _PARAMETER.sub(self._option, message)

    def _option(self, match: re.Match[str]) -> str:
        name, values = match.groups()
        option = "--" + name.replace("_", "-")
        if (spelled := _SPELLED.get(match[0])) in self._option_string_actions:
            return str(spelled)
        # A form of conversations is an option by itself.
        if name == "form" and values and (form := f"--{values.translate(_UNQUOTED)}"):
            return form if form in self._option_string_actions else match[0]
        if option not in self._option_string_actions or (values is None and match.start() > 0):
            return match[0]
        if values in (None, "", "True"):
            return option
        if values == "False":
            return f"no {option}"
        return f"{option} {values.translate(_UNQUOTED)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with `argv` (default: the process's own) and gives its exit code."""
    status = _status(sys.argv[1:] if argv is None else argv)
    if argv is None and "torch" not in sys.modules:
        # The process ends here, and all objects with it: it need not look for unused ones before.
        # What comes with torch counts its own at the end, and warns of those that are left.
        gc.freeze()
    return status


def _status(argv: Sequence[str]) -> int:
    try:
        status = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _drop_output(0)
    except KeyboardInterrupt:
        return _drop_output(INTERRUPTED)
    except OSError as error:
        complain(f"{os.fsdecode(error.filename or 'standard output')}: {error.strerror or error}")
        return _drop_output(UNUSABLE)
    except MemoryError as error:
        complain(str(error) or "out of memory")
    return UNUSABLE


def _warn(
    parser: "_Parser",
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Where in this program a warning arose is of no interest to its user."""
    complain(f"warning: {parser.in_options(str(message))}")


def _run(argv: Sequence[str]) -> int:
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    # Only what is asked for is built; without a verb, or with a wrong one, the help names all.
    parsers = _parsers(argv[:1] if argv[:1] and argv[0] in VERBS else VERBS)
    try:
        arguments, surplus = parsers[""].parse_known_args(_shielded(argv))
        parser = parsers[arguments.verb or ""]
        if surplus:
            parser.error(unexpected(parser, surplus))
        if not arguments.verb:
            parser.print_help(sys.stderr)
            return UNUSABLE
        arguments.whole = whole
        try:
            with warnings.catch_warnings():
                warnings.showwarning = partial(_warn, parser)
                return _verb(arguments.verb).run(arguments)
        except UsageError as error:
            parser.error(str(error))
        except Llama3TokError as error:
            complain(parser.in_options(str(error)) + hint_of_name(error, arguments))
            return UNUSABLE
    except SystemExit as stop:  # how argparse ends for --help and for errors
        return stop.code if isinstance(stop.code, int) else UNUSABLE


def whole() -> argparse.ArgumentParser:
    """The parser of the command with all verbs. A verb finds this function among its arguments."""
    return _parsers(VERBS)[""]


def _parsers(names: Iterable[str]) -> dict[str, _Parser]:
    """The parsers of verbs, and of the whole under the empty name."""
    top = _Parser(
        prog="llama3-tok",
        description="Counts, encodes and decodes text exactly as Llama 3 does.",
        epilog="'llama3-tok help VERB', or 'llama3-tok VERB --help', tells more about each.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"llama3-tok {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", title="verbs", prog=top.prog)
    parsers: dict[str, _Parser] = {"": top}
    for name in names:
        verb = _verb(name)
        parsers[name] = parser = verbs.add_parser(
            name,
            help=verb.PURPOSE,
            description=verb.PURPOSE,
            epilog=f"examples:\n{verb.EXAMPLES}",
            formatter_class=_Help,
            allow_abbrev=False,
        )
        verb.arguments(parser)
        if name not in _OWN_TOKENIZER:
            _add_tokenizer(parser)
    return parsers


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tokenizer")
    group.add_argument(
        "--profile",
        choices=PROFILES,
        help="the release whose special tokens are used; a folder must have them (default: what a "
        f"folder says itself, else {DEFAULT_PROFILE})",
    )
    group.add_argument(
        "--vocabulary",
        metavar="PATH",
        type=utf8,
        help="a tokenizer.model, a tokenizer.json or a model folder (default: LLAMA3_TOK_VOCAB, "
        "then the installed llama-models)",
    )


def _shielded(argv: Sequence[str]) -> list[str]:
    """Keeps argparse from taking an id as `-5,6` for an option, so that `decode` can refuse it."""
    if argv[:1] != ["decode"]:
        return list(argv)
    return [f" {word}" if word[:1] == "-" and word[1:2].isdigit() else word for word in argv]


def _drop_output(status: int) -> int:
    """Sends what is still unwritten nowhere: the interpreter would complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return status
