#!/usr/bin/env python3
"""Writes docs/messages.md: every message that people may get, from the code that has it.

    scripts/messages.py           # writes the page
    scripts/messages.py --check   # exits with 1 if the page is not what the code says

In Python these are the texts of errors that are raised, of warnings, and of what becomes a part of
them: arguments of the functions that refuse, and what is called `reason`, `message`, `hint` and so
on. In Rust they are the texts with several words outside tests, comments and attributes. What is
filled in is shown as `{}`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "messages.md"
# Functions whose arguments are messages, besides the classes of errors.
_SAYS = re.compile(r"(^|\.)_?(refuse|refused|fault|warn|complain|unreadable|error|fails|\w*Error)$")
_NAMES = re.compile(
    r"(^|_)(reason|message|hint|why|problem|odd|what|way|ways|no_pad)$", re.IGNORECASE
)

_HEAD = """# Messages

Every error and warning, as the code has it; `{}` is what is filled in. Made by
`scripts/messages.py`, which a test runs. [CONTRIBUTING.md](../CONTRIBUTING.md) has the rules for
their English.
"""


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in an expression, those that stand beside each other joined."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    elif isinstance(node, ast.Call):
        for part in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield from texts(part)
    elif isinstance(node, ast.IfExp | ast.BoolOp | ast.BinOp):
        for part in ast.iter_child_nodes(node):
            yield from texts(part)


def in_python(source: str) -> Iterator[str]:
    """The messages of a module, in their order."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from texts(node.exc)
        elif isinstance(node, ast.Call) and _SAYS.search(ast.unparse(node.func)):
            yield from texts(node)
        elif (
            isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(_NAMES.search(ast.unparse(target)) for target in targets):
                yield from texts(node.value)


def in_rust(source: str) -> Iterator[str]:
    """The same of a file of the core."""
    source = source.split("#[cfg(test)]\nmod tests")[0]
    source = re.sub(r"^\s*//.*$", "", source, flags=re.MULTILINE)
    source = re.sub(r"#\[(expect|allow|deprecated)\([^\]]*\)\]", "", source)
    source = re.sub(r"\bdebug_assert\w*!\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", source)
    # Characters and bytes may have quotes, and are not messages.
    others = r"""b?'(?:[^'\\]|\\.)'|b"(?:[^"\\]|\\.)*"|r#".*?"#"""
    quoted = r'"((?:[^"\\]|\\.)*)"'
    for found in re.findall(f"{others}|{quoted}", source, flags=re.DOTALL):
        text = re.sub(r"\\\n\s*", "", found).replace('\\"', '"')
        yield re.sub(r"\{[^{}]*\}", "{}", text)


def is_message(text: str) -> bool:
    """Whether it is a sentence, or a part of one, and not a name or a pattern."""
    words = re.findall(r"[A-Za-z][a-z']+", text)
    return len(words) >= 3 and " " in text.strip() and "\\" not in text and "(?" not in text


def sections() -> Iterator[tuple[str, list[str]]]:
    """The messages by the file that has them."""
    for folder, ending, read in (("python", "py", in_python), ("rust", "rs", in_rust)):
        for path in sorted((PROJECT / folder).rglob(f"*.{ending}")):
            if path.stem in ("tests", "reference"):
                continue
            found = filter(is_message, read(path.read_text(encoding="utf-8")))
            if several := list(dict.fromkeys(" ".join(text.split()) for text in found)):
                yield path.relative_to(PROJECT).as_posix(), several


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for file, messages in sections():
        rows = "\n".join(f"- {_code(message)}" for message in messages)
        heading = file.replace("__", r"\_\_")  # which Markdown takes for bold letters
        parts.append(f"\n## {heading}\n\n{rows}\n")
    return "".join(parts)


def _code(text: str) -> str:
    """As code in Markdown, whatever marks it has."""
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{edge}{text}{edge}{marks}"


def main() -> int:
    """Writes or checks."""
    made = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == made:
            return 0
        print(
            "docs/messages.md is not what the code says: run scripts/messages.py", file=sys.stderr
        )
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
