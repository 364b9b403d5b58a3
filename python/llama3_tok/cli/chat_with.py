"""`llama3-tok chat-with`: a conversation with a model, line by line."""

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from llama3_tok.cli import model
from llama3_tok.cli.terminal import UsageError, check_standard_input, complain, is_terminal, write
from llama3_tok.errors import Llama3TokError

if TYPE_CHECKING:
    from llama3_tok.torch import Conversation, Llama3

PURPOSE = "Talk with a model."
EXAMPLES = """\
  llama3-tok chat-with Llama-3.2-1B-Instruct
  llama3-tok chat-with --system "Answer in one sentence." --seed 7 Llama-3.1-8B-Instruct
  printf 'Hi\\nAnd what is new?\\n' | llama3-tok chat-with FOLDER > answers.txt

Each line is a message. Ctrl-C stops an answer, Ctrl-D leaves, /reset begins anew. What the model
has read is not read again in the next turn. Needs torch: pip install 'llama3_tok[torch]'.

exit codes: 0; 2 for wrong usage and for a folder that can't be used; 130 after Ctrl-C in a pipe"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    model.add_options(parser, temperature=0.6, top_p=0.9)


def run(arguments: argparse.Namespace) -> int:
    """Asks and answers, until there is nothing more to read."""
    check_standard_input()
    asks = is_terminal(sys.stdin)
    if asks:
        with suppress(ImportError):
            import readline  # noqa: F401 - `input` uses it
    with model.loaded(arguments) as llama:
        return _talk(llama, arguments, asks=asks)


def _talk(llama: "Llama3", arguments: argparse.Namespace, *, asks: bool) -> int:
    """The conversation, to its end."""
    try:
        chat = llama.chat(system=arguments.system, **model.options(arguments))
    except Llama3TokError:
        raise
    except ValueError as error:  # an option out of its range
        raise UsageError(arguments.in_options(str(error))) from None
    while True:
        try:
            line = input("> " if asks else "").strip()
            if line.startswith("/"):
                _obey(line, chat)
            elif line:
                _answer(line, chat, arguments, asks=asks)
        except EOFError:
            if asks:
                write(b"\n")
            return 0
        except KeyboardInterrupt:
            if not asks:
                raise
            write(b"\n")  # the line or the answer is given up, as in a shell


def _answer(line: str, chat: "Conversation", arguments: argparse.Namespace, *, asks: bool) -> None:
    """Shows what the model says; what failed is said, and a person may go on."""
    try:
        model.show(chat.stream(line))
    except (Llama3TokError, MemoryError) as error:
        if not asks:
            raise
        complain(arguments.in_options(str(error)))
    write(b"\n")


def _obey(line: str, chat: "Conversation") -> None:
    """A command."""
    if line == "/reset":
        chat.reset()
        model.note("a new conversation")
    else:
        complain(f"{line.split()[0]} is not a command; /reset starts over, Ctrl-D leaves")
