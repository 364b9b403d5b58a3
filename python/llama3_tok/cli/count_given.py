"""What `llama3-tok count` is to count: texts, files, and the files of folders."""

import argparse
import os
import sys
from typing import NamedTuple

from llama3_tok.cli.terminal import UsageError, check_standard_input, given_file, is_terminal
from llama3_tok.text import files
from llama3_tok.text.files import Fault, Source

__all__ = ["Given", "given"]


class Given(NamedTuple):
    """What is counted, in this order."""

    texts: list[str]
    sources: list[Source | Fault]
    several: bool
    """Whether each has a line, and there is a total: more than one, or a folder."""
    is_named: bool
    """Whether it is more than standard input because there was nothing else."""


def given(arguments: argparse.Namespace) -> Given:
    """What the command line names. Raises UsageError, and OSError for `--files-from`."""
    paths: list[str] = list(arguments.paths)
    texts: list[str] = arguments.texts
    if arguments.null and arguments.files_from is None:
        raise UsageError("-0 is about --files-from; give that as well")
    on_input = paths.count(files.STANDARD_INPUT) + (arguments.files_from == files.STANDARD_INPUT)
    if on_input > 1:
        raise UsageError("standard input can be counted only once, and have one use")
    listed: list[str] = []
    if arguments.files_from is not None:
        listed = _listed(arguments.files_from, b"\0" if arguments.null else b"\n")
    is_named = bool(paths or texts or arguments.files_from is not None)
    if not is_named:
        if is_terminal(sys.stdin):
            raise UsageError("give PATH, or - to count standard input")
        paths = [files.STANDARD_INPUT]
    if files.STANDARD_INPUT in paths:
        check_standard_input()
    walk = {
        "hidden": arguments.hidden,
        "no_ignore": arguments.no_ignore,
        "globs": arguments.glob,
        "field": arguments.field,
    }
    named = [_hinting(source) for source in files.find(paths, **walk)]
    # A list is made by a program, which does not look into files: binary ones are left out.
    found = [_as_walked(source) for source in files.find(listed, **walk)]
    is_list = arguments.files_from is not None or arguments.by is not None
    several = is_list or len(paths) + len(texts) > 1 or any(map(files.is_folder, paths))
    return Given(texts, named + found, several, is_named)


def _listed(name: str, separator: bytes) -> list[str]:
    """The paths in a file, one after the other; a `-` among them is a file of that name."""
    data = given_file(name)
    if separator == b"\n" and b"\0" in data:
        raise UsageError("--files-from: a NUL ends each name; give -0")
    lines = data.split(separator)
    if separator == b"\n":
        lines = [line.removesuffix(b"\r") for line in lines]
    paths = [os.fsdecode(line) for line in lines if line]
    return [os.path.join(".", path) if path == files.STANDARD_INPUT else path for path in paths]


def _as_walked(source: Source | Fault) -> Source | Fault:
    return source if isinstance(source, Fault) else Source(source.path, walked=True)


def _hinting(source: Source | Fault) -> Source | Fault:
    """A path that does not exist may be meant as a text."""
    if isinstance(source, Fault) or source.walked or source.path == files.STANDARD_INPUT:
        return source
    try:
        os.stat(source.path)
    except OSError as error:
        if not isinstance(error, PermissionError):
            return Fault(source.path, f"{error.strerror}; to count a text, give -t TEXT")
    return source
