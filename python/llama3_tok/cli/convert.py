"""`llama3-tok convert`: a tokenizer file as another kind of file."""

import argparse
import os

from llama3_tok.cli.terminal import write
from llama3_tok.profiles import DEFAULT_PROFILE, PROFILES
from llama3_tok.text.visible import escaped

PURPOSE = "Write a tokenizer as a rank file, a tokenizer.json, a GGUF file or a model folder."
EXAMPLES = """\
  llama3-tok convert tokenizer.model tokenizer.json
  llama3-tok convert --profile llama3 Meta-Llama-3-8B/tokenizer.json tokenizer.model
  llama3-tok convert model.gguf tokenizer.model
  llama3-tok convert tokenizer.model for-transformers/"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a tokenizer.model, a tokenizer.json, a GGUF file or a model folder; which it is is "
        "told by its content",
    )
    parser.add_argument(
        "destination",
        metavar="DST",
        help="what to write: a rank file (.model, .tiktoken), a tokenizer.json (.json), a GGUF "
        "file without tensors (.gguf), or a folder that transformers loads",
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="the release whose special tokens and chat template are written (default: the one "
        f"that a folder was saved with, else {DEFAULT_PROFILE})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes it, and says what was written."""
    from llama3_tok.formats.convert import convert

    paths = convert(
        arguments.source, arguments.destination, profile=arguments.profile, force=arguments.force
    )
    for path in paths:
        write(f"{os.path.getsize(path):>11,} bytes  {escaped(path)}\n".encode())
    write(b"read back and compared with the source: the same tokens\n")
    return 0
