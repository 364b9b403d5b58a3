#!/usr/bin/env python3
"""Writes the manual page of `llama3-tok` from its help texts.

    scripts/man_page.py           # after a change of a help text
    scripts/man_page.py --check   # exits with 1 if the page is not what the help texts say
    man -l llama3_tok.data/data/share/man/man1/llama3-tok.1

A wheel installs the page as `share/man/man1/llama3-tok.1`. It is one page for all verbs, as there
is one command. Needs the package to be importable.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from llama3_tok import __version__
from llama3_tok.cli import budget, whole

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "llama3_tok.data/data/share/man/man1/llama3-tok.1"

_PURPOSE = "count, encode and decode text exactly as Llama 3 does"
_ENVIRONMENT = (
    ("LLAMA3_TOK_VOCAB", "a tokenizer.model, a tokenizer.json or a model folder to use"),
    ("NO_COLOR", "if set, nothing has colours"),
    ("COLUMNS", "how wide the terminal is taken to be"),
)
_STATUS = (
    ("0", "all went well"),
    ("1", "a budget is exceeded, ids differ without a known cause, or a file is not as written"),
    ("2", "wrong usage, or files that can't be used"),
    ("130", "Ctrl-C"),
)


def roff(text: str) -> str:
    """Text with nothing left that roff would take for a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^([.])", r"\\&\1", escaped, flags=re.MULTILINE)


def page() -> str:
    """The whole page."""
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    """The page, line by line."""
    top = whole()
    yield f'.TH LLAMA3\\-TOK 1 "" "llama3_tok {roff(__version__)}" "User Commands"'
    yield from [".SH NAME", rf"llama3\-tok \- {roff(_PURPOSE)}"]
    yield from [".SH SYNOPSIS", ".B llama3\\-tok", "VERB [OPTION]... [ARGUMENT]..."]
    yield from [".SH DESCRIPTION", roff(top.description or "")]
    yield "Results go to standard output, and everything else goes to standard error."
    yield ".SH VERBS"
    verbs = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    for name, verb in verbs.choices.items():
        yield from section(f"llama3-tok {name}", verb)
    yield ".SH THE HOOK FOR PRE\\-COMMIT"
    yield from section(budget.PROGRAM, budget.parser())
    yield from [".SH EXIT STATUS", *items((code, means) for code, means in _STATUS)]
    yield from [".SH ENVIRONMENT", *items(_ENVIRONMENT)]
    yield from [".SH SEE ALSO", "tiktoken, wc(1)"]


def section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """One verb: how it is called, what it takes, and its examples."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    taken = [action for action in shown if not action.option_strings]
    words = [parser._get_formatter()._format_args(action, name_of(action)) for action in taken]
    yield f".SS {roff(name)}"
    yield rf"\fB{roff(name)}\fR {roff(' '.join(['[OPTION]...', *words]))}"
    yield from [".PP", roff(parser.description or "")]
    yield from items(
        (head(action, parser), expanded(action, parser))
        for action in shown
        if not isinstance(action, argparse._HelpAction)
    )
    if parser.epilog:
        text = parser.epilog.removeprefix("examples:\n")
        yield from [".PP", "Examples:", ".PP", ".nf", roff(text), ".fi"]


def name_of(action: argparse.Action) -> str:
    """What an argument is called."""
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    metavar = action.metavar or action.dest.upper()
    return metavar if isinstance(metavar, str) else " ".join(metavar)


def head(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """As `-n N, --max-tokens N`."""
    if not action.option_strings:
        return name_of(action)
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    values = parser._get_formatter()._format_args(action, name_of(action))
    return f"{', '.join(action.option_strings)} {values}"


def expanded(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help with its defaults."""
    return parser._get_formatter()._expand_help(action) if action.help else ""


def items(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A list of terms, each with what it means."""
    for term, means in pairs:
        yield from [".TP", rf"\fB{roff(term)}\fR", roff(means)]


def main() -> int:
    """Writes or checks the page."""
    wanted = page()
    if sys.argv[1:] == ["--check"]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
        if not same:
            print("the manual page is outdated; run scripts/man_page.py", file=sys.stderr)
        return 0 if same else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
