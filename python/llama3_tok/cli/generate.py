"""`llama3-tok generate`: what a model writes after a prompt, as it writes it."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from llama3_tok.cli import model
from llama3_tok.cli.terminal import UsageError, is_terminal, standard_input, write
from llama3_tok.errors import Llama3TokError

if TYPE_CHECKING:
    from llama3_tok.torch import Llama3

PURPOSE = "Write what a model writes after a prompt."
EXAMPLES = """\
  llama3-tok generate Llama-3.2-1B "The capital of France is"
  llama3-tok generate --chat Llama-3.2-1B-Instruct "Explain merge sort."
  llama3-tok generate --chat --system "Answer in French." -t 0.6 --top-p 0.9 --seed 7 FOLDER "Hi"
  git diff | llama3-tok generate --chat --json FOLDER - > message.json

The prompt is text: special tokens in it are their characters. Needs torch: pip install
'llama3_tok[torch]'.

exit codes: 0; 2 for wrong usage and for a folder that can't be used; 130 after Ctrl-C"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    model.add_options(parser, temperature=0.0, top_p=1.0)
    parser.add_argument("prompt", metavar="PROMPT", help="the text; - is standard input")
    parser.add_argument(
        "--chat", action="store_true", help="the prompt is what a user says in a chat"
    )
    parser.add_argument(
        "--json", action="store_true", help="one object in the end: text, ids, counts and speed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Generates."""
    if arguments.system is not None and not arguments.chat:
        raise UsageError("--system goes with --chat")
    text = standard_input() if arguments.prompt == "-" else os.fsencode(arguments.prompt)
    with model.loaded(arguments) as llama:
        return _generate(llama, text, arguments)


def _generate(llama: "Llama3", text: bytes, arguments: argparse.Namespace) -> int:
    """Shows what the model writes after `text`, or writes one object."""
    prompt: bytes | list[dict[str, str]] = text
    if arguments.chat:
        prompt = [{"role": "user", "content": text.decode("utf-8", "replace")}]
        if arguments.system is not None:
            prompt.insert(0, {"role": "system", "content": arguments.system})
    try:
        pieces = llama.stream(prompt, **model.options(arguments))
    except Llama3TokError:
        raise
    except ValueError as error:  # an option out of its range
        raise UsageError(arguments.in_options(str(error))) from None
    if not arguments.json:
        with pieces:
            model.show(pieces)
        if is_terminal(sys.stdout):
            write(b"\n")
        return 0
    for _ in pieces:
        pass
    import json
    from dataclasses import asdict

    result = asdict(pieces.generation)
    del result["logprobs"]
    if arguments.chat:
        result["message"] = llama.tokenizer.parse_assistant(pieces.generation.ids).to_message()
    write(json.dumps(result).encode() + b"\n")
    return 0
