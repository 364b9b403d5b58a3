"""Code blocks of Markdown and of docstrings, as the site shows them.

Pages and docstrings have their examples as doctest takes them: indented, and with `>>>` or `$` in
front. The site wants fences that name a language, so that code is coloured and can be copied, and
nothing that is there for doctest alone.
"""

import re
from collections.abc import Iterator

INDENT = "    "
DIRECTIVE = re.compile(r"\s*#\s*doctest:.*$")
COMMANDS = ("llama3-tok ", "pip ", "python ", "pytest ", "make ", "git ", "cargo ", "vllm ")
COMMANDS += ("LLAMA3_TOK_", "PYTHONPATH=", "scripts/")
LIST_ITEM = re.compile(r"\s*([-*+]|\d+\.)\s")


def language(first: str) -> str:
    """What a block is written in, by its first line."""
    if first.startswith(">>> "):
        return "pycon"
    if first.startswith("$ "):
        return "console"
    return "sh" if first.startswith(COMMANDS) else "text"


def shown(line: str) -> str:
    """A line of an example without what only doctest reads."""
    return "" if line.strip() == "<BLANKLINE>" else DIRECTIVE.sub("", line)


def fenced(lines: list[str]) -> list[str]:
    """Lines of a block, without their indentation, as a fence."""
    mark = "````" if any(line.lstrip().startswith("```") for line in lines) else "```"
    return [mark + language(lines[0]), *map(shown, lines), mark]


def of_page(text: str) -> Iterator[tuple[str, bool]]:
    """The lines of a page with its indented blocks as fences; each with whether it is code.

    What is indented in an item of a list belongs to the item, and stays.
    """
    block: list[str] = []
    fence, above, prose = "", "", ""
    for line in [*text.splitlines(), ""]:
        if block:
            if line.startswith(INDENT) or not line.strip():
                block.append(line.removeprefix(INDENT))
                continue
            yield from _closed(block)
            block = []
        if fence or line.startswith("```"):
            yield line, True
            if fence:
                fence = "" if line.startswith(fence) else fence
            else:
                fence = line[: len(line) - len(line.lstrip("`"))]
        elif line.startswith(INDENT) and not above.strip() and not LIST_ITEM.match(prose):
            block = [line.removeprefix(INDENT)]
        else:
            yield line, False
            prose = line if line.strip() else prose
        above = line
    if block:
        yield from _closed(block)


def _closed(block: list[str]) -> Iterator[tuple[str, bool]]:
    """A block as a fence, with the empty lines after it."""
    while not block[-1].strip():
        block.pop()
    # Commands alone, and after an empty line one with what it prints: these are two blocks.
    ends = [at for at in range(1, len(block)) if block[at].startswith("$ ") and not block[at - 1]]
    if ends and language(block[0]) == "sh":
        yield from _closed(block[: ends[0]])
        block = block[ends[0] :]
    yield from ((line, True) for line in fenced(block))
    yield "", False


def of_docstring(text: str) -> str:
    """A docstring with its examples as fences; an example ends with an empty line."""
    lines: list[str] = []
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if block and not line.strip():
            lines += [*fenced(block), line]
            block = []
        elif block or line.startswith(">>> "):
            if not block and lines and lines[-1].strip():
                lines.append("")
            block.append(line)
        else:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"
