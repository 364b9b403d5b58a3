"""`llama3-tok encode`: the ids of a text."""

import argparse

from llama3_tok.cli.terminal import add_text, allowed_special, given_text, tokenizer, write
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Print the ids of a text."
EXAMPLES = """\
  llama3-tok encode 'Hello world'
  llama3-tok encode --tokens -f notes.txt
  llama3-tok encode --allowed-special all --json '<|eot_id|>'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    add_text(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--tokens",
        action="store_true",
        help=r"one token a line: its id, a tab, and its text with \n, \u202e, \\ and the like for "
        r"what can't be seen and \xNN for bytes of an incomplete character",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="one object: ids, tokens (the text of each alone) and spans (in bytes)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the ids."""
    text = given_text(arguments)
    allowed = allowed_special(arguments)
    encoder = tokenizer(arguments)
    asked = {"bos": arguments.bos, "eos": arguments.eos, "allowed_special": allowed}
    if arguments.json:
        import json

        encoding = encoder.encode_with_offsets(text, **asked)
        ids = encoding.ids.tolist()
        shown = {id: encoder.decode([id]) for id in set(ids)}
        tokens = [shown[id] for id in ids]
        result = {"ids": ids, "tokens": tokens, "spans": encoding.byte_spans.tolist()}
        write(json.dumps(result).encode() + b"\n")
        return 0
    ids = encoder.encode(text, **asked)
    if arguments.tokens:
        lines = {id: f"{id}\t{piece(encoder, id)}\n".encode() for id in set(ids)}
        write(b"".join([lines[id] for id in ids]))
    else:
        write(" ".join(map(str, ids)).encode() + b"\n")
    return 0


def piece(encoder: Tokenizer, id: int) -> str:
    r"""The text of a token such that no two bytes look alike: backslashes are `\\`."""
    text = encoder.token_bytes(id).decode("utf-8", "surrogateescape")
    return escaped(text.replace("\\", "\\\\"))
