"""What may have been meant by a command line that is wrong."""

import argparse
import re
from collections.abc import Iterable, Sequence

from llama3_tok.errors import Llama3TokError, SpecialTokenError

__all__ = ["hint_of_name", "plainer", "unexpected"]

_AS_HELP = "argument -h/--help: ignored explicit argument "
_NO_VERB = re.compile(r"argument VERB: invalid choice: ('.*') \(choose from (.*)\)", re.DOTALL)
_FILE = ("-f", "--file")
_TEXT = ("-t", "--text")


def plainer(parser: argparse.ArgumentParser, message: str) -> str:
    """What argparse says, in plainer words where it says something else than what is wrong."""
    if message.startswith(_AS_HELP):
        return unexpected(parser, [f"-h{message.removeprefix(_AS_HELP)[1:-1]}"])
    if no_verb := _NO_VERB.fullmatch(message):
        given, known = no_verb[1], re.findall(r"[a-z-]+", no_verb[2])
        return f"there is no verb {given}{_meant(given[1:-1], known)}"
    return message


def unexpected(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """The message for words that a verb does not take, and what it takes in their place."""
    takes = {str(action.metavar) for action in parser._actions if not action.option_strings}
    options = [word for word in words if word.startswith("-")]
    given = f"unexpected: {' '.join(words)}"
    if not options:
        return f"{given}; a text with spaces needs quotation marks"
    option = options[0].partition("=")[0]
    if option in _FILE and takes & {"PATH", "FILE"}:
        name = "PATH" if "PATH" in takes else "FILE"
        return f"{given}; files are given without it, as {name}"
    if option in _TEXT and "TEXT" in takes:
        return f"{given}; a text is given without it, as TEXT"
    if option in _TEXT and "FILE" in takes:
        return f"{given}; a text is given on standard input"
    if "TEXT" in takes:
        return f"{given}; a text that begins with - goes after --"
    return given


def hint_of_name(error: Llama3TokError, arguments: argparse.Namespace) -> str:
    """What a name that is not a special token may have been meant as, and where all names are."""
    if not isinstance(error, SpecialTokenError) or error.offset is not None:
        return ""
    if getattr(arguments, "allowed_special", None) is None:
        return ""
    from llama3_tok.cli.terminal import tokenizer

    names = tokenizer(arguments).special_tokens
    meant = f"; did you mean <|{error.token}|>?" if f"<|{error.token}|>" in names else None
    meant = meant or _meant(error.token, names)
    return f"{meant or ';'} 'llama3-tok doctor --json' has all names"


def _meant(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""
