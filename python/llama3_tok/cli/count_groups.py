"""`llama3-tok count --by`: the files of a directory, an extension or a language together."""

import os
from collections.abc import Iterable

from llama3_tok.cli.count_languages import language_of
from llama3_tok.text.files import STANDARD_INPUT, Totals, packing

__all__ = ["Group", "extension_of", "grouped"]


class Group:
    """Files that belong together."""

    __slots__ = ("files", "totals")

    def __init__(self) -> None:
        self.files, self.totals = 0, Totals()


def grouped(rows: Iterable[tuple[str, Totals]], by: str) -> dict[str, Group]:
    """The files in groups by name; the name is empty for those without what `by` asks for."""
    name_of = {"directory": _directory_of, "extension": extension_of, "language": _language_of}[by]
    groups: dict[str, Group] = {}
    for path, totals in rows:
        group = groups.setdefault(name_of(path), Group())
        group.files += 1
        group.totals.add(totals)
    return groups


def unpacked_name(path: str) -> str:
    """The name of a file, without the end that says how it is packed."""
    name = os.path.basename(path)
    return name[: len(name) - len(packing(path))]


def extension_of(path: str) -> str:
    """As `.py`, in small letters; a packed file has that of what is in it."""
    return os.path.splitext(unpacked_name(path))[1].lower()


def _directory_of(path: str) -> str:
    return os.path.dirname(path) or ("" if path == STANDARD_INPUT else ".")


def _language_of(path: str) -> str:
    return language_of(unpacked_name(path)) or ""
