"""`llama3-tok completion`: what a shell reads to complete verbs, options and files.

shtab writes it from the parsers that also read the command line, so no list of options has to be
kept beside them, for shells whose quoting would be the larger part of this module.
"""

import argparse
from typing import cast

from llama3_tok.cli.terminal import write
from llama3_tok.extras import require

PURPOSE = "Print what makes a shell complete the verbs, options and files of this command."
EXAMPLES = """\
  llama3-tok completion bash > ~/.local/share/bash-completion/completions/llama3-tok
  llama3-tok completion zsh > ~/.zfunc/_llama3-tok     # a folder of $fpath
  llama3-tok completion fish > ~/.config/fish/completions/llama3-tok.fish

A new shell has it. This needs the extra completion: pip install 'llama3_tok[completion]'."""

SHELLS = ("bash", "zsh", "fish")

# What an argument is called that names a file or a folder.
_FILES = ("FILE", "PATH", "SRC", "DST", "INPUT", "PAGE", "NAME|FILE")
_FOLDERS = ("DIR", "FOLDER")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")


def run(arguments: argparse.Namespace) -> int:
    """Prints it."""
    shtab = require("shtab", "completion")
    parser = cast(argparse.ArgumentParser, arguments.whole())
    _mark_files(parser, shtab.FILE, shtab.DIRECTORY)
    write(shtab.complete(parser, arguments.shell).encode())
    return 0


def _mark_files(
    parser: argparse.ArgumentParser, file: dict[str, str], folder: dict[str, str]
) -> None:
    """Says of each argument that names a file or a folder that it does."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _mark_files(verb, file, folder)
        elif action.metavar in _FILES:
            action.complete = file  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = folder  # type: ignore[attr-defined]
