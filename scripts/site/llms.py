"""The site for programs that read text: `llms.txt`, `llms-full.txt`, and each page as Markdown.

The first is a list of the pages with what each is about, as https://llmstxt.org describes it; the
second is all pages of the navigation, one after the other. The reference has its docstrings.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from blocks import of_docstring

OBJECT = re.compile(r"^::: (\S+)$", re.MULTILINE)


def write(config: dict[str, Any], pages: Path, site: Path, package: griffe.Module) -> None:
    """Writes all of them into the site, from the navigation and the pages that were laid out."""
    short = [f"# {config['site_name']}", "", f"> {config['site_description']}", ""]
    full = [*short]
    for section in config["nav"]:
        [(title, inside)] = section.items()
        short += [f"## {title}", ""]
        for page in _pages(inside):
            text = (pages / page).read_text(encoding="utf-8")
            heading, about = _beginning(text)
            short.append(f"- [{heading}]({page}){about and f': {about}'}")
            text = OBJECT.sub(lambda match: _documented(package, match[1]), text)
            (site / page).write_text(text, encoding="utf-8")
            full += [f"<!-- {page} -->", "", text]
        short.append("")
    (site / "llms.txt").write_text("\n".join(short).rstrip() + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n".join(full), encoding="utf-8")


def _pages(inside: str | list[Any]) -> Iterator[str]:
    """The pages of a part of the navigation, in order."""
    if isinstance(inside, str):
        yield inside
        return
    for entry in inside:
        for part in entry.values():
            yield from _pages(part)


def _beginning(text: str) -> tuple[str, str]:
    """The title of a page, and the first sentence of its first paragraph."""
    heading, _, rest = text.partition("\n")
    paragraphs = (part for part in rest.strip().split("\n\n"))
    prose = re.compile(r"(?!```)[A-Za-z`*\[]")
    paragraph = next((part for part in paragraphs if prose.match(part)), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return heading.lstrip("# "), re.split(r"(?<=\.)\s", plain, maxsplit=1)[0].rstrip(":")


def _documented(package: griffe.Module, name: str) -> str:
    """The docstrings of a name, and of what it has."""
    found = package[name.partition(".")[2]]
    found = found.final_target if found.is_alias else found
    parts = [f"### {name}", ""]
    if found.docstring:
        parts.append(of_docstring(found.docstring.value))
    members = found.members.values() if found.is_class else ()
    for member in members:
        if not member.name.startswith("_") and not member.is_alias and member.docstring:
            parts += [f"#### {found.name}.{member.name}", "", of_docstring(member.docstring.value)]
    return "\n".join(parts)
