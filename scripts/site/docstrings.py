"""An extension of griffe: in docstrings examples become fences, and names become links.

A name in backticks is linked if the reference has it, as `Tokenizer` or `Tokenizer.encode`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import griffe
from blocks import of_docstring

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "api"
LISTED = re.compile(r"^::: (\S+)$", re.MULTILINE)
NAME = re.compile(r"(?<![\[`])`([A-Za-z_][\w.]*)`(?!`)")


def listed(folder: Path = REFERENCE) -> list[str]:
    """The names that the pages of the reference ask for, with their packages."""
    pages = sorted(folder.glob("*.md"))
    return [name for page in pages for name in LISTED.findall(page.read_text(encoding="utf-8"))]


class Docstrings(griffe.Extension):
    """Without it Markdown takes `>>>` for three quotations in each other."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Of all that a package has, once it is loaded."""
        if pkg.name != "llama3_tok":
            return
        known = dict(_known(pkg))
        for found in _objects(pkg):
            if found.docstring:
                text = of_docstring(found.docstring.value)
                found.docstring.value = linked(text, known, found.name)


def linked(text: str, known: dict[str, str], own: str) -> str:
    """A docstring with links for the names in it, but for its own and those in code."""

    def link(match: re.Match[str]) -> str:
        place = known.get(match[1].removeprefix("llama3_tok."))
        return f"[{match[0]}][{place}]" if place and match[1] != own else match[0]

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [NAME.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def _known(package: griffe.Module) -> Iterator[tuple[str, str]]:
    """What a docstring may call a name of the reference, and where that is."""
    for place in listed():
        found = package[place.partition(".")[2]]
        found = found.final_target if found.is_alias else found
        # `encode` alone may be a method, a function or another package's.
        if found.is_class:
            yield found.name, place
            for member in found.members.values():
                if not member.name.startswith("_") and not member.is_alias and member.docstring:
                    yield f"{found.name}.{member.name}", f"{place}.{member.name}"
        yield place.partition(".")[2], place


def _objects(found: griffe.Object) -> Iterator[griffe.Object]:
    """An object of the package and all that it has; what is only imported is elsewhere."""
    yield found
    for member in found.members.values():
        if not member.is_alias:
            yield from _objects(member)
