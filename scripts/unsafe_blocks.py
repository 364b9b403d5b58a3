#!/usr/bin/env python3
"""Writes docs/design/unsafe.md: every unsafe block of the core, why it is there, and its proof.

    scripts/unsafe_blocks.py           # writes the page
    scripts/unsafe_blocks.py --check   # exits with 1 if the page is not what the code says

The reason is that of the attribute `#[expect(unsafe_code, reason = ...)]`, without which the code
would not compile, and the proof is the comment `// SAFETY:` before the block. A block without one
of them is an error.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "design" / "unsafe.md"

_HEAD = """# Unsafe code

The core denies unsafe code (`unsafe_code = "deny"` in `Cargo.toml`). These are all the places that
are allowed it, with the reason, and the proof that nothing can go wrong, as the code has them. The
page is made by `scripts/unsafe_blocks.py`, which a test runs.

Most of them are calls of functions that are compiled for one kind of processor: a value of the type
`Avx2`, `Avx512` or `Neon` is made only after the processor was asked, and each has a safe twin in
plain words, which the tests compare with it.

How these places are tried besides: [reliability](../reliability.md#memory-safety).
"""

_CODE = re.compile(r"\bunsafe (?:impl|fn|\{)")
_TESTS = re.compile(r"#\[cfg\((?:all\()?test\b.*\nmod tests")
_REASON = re.compile(r'reason\s*=\s*"([^"]*)"')


class Block(NamedTuple):
    """An unsafe block, function or implementation."""

    line: int
    inside: str
    """The function that has it."""
    reason: str
    proof: str


class UnprovenError(Exception):
    """A block without a reason or a proof."""


def blocks(source: str, name: str) -> Iterator[Block]:
    """Those of a file outside of its tests."""
    lines = _TESTS.split(source)[0].splitlines()
    inside = reason = ""
    for at, line in enumerate(lines):
        code = line.split("//")[0]
        if "expect(" in code:
            ahead = " ".join(lines[at : at + 4])
            if "unsafe_code" in ahead and (found := _REASON.search(ahead)):
                reason = found[1]
        if found := re.search(r"\bfn (\w+)", code):
            inside = found[1]
        if not _CODE.search(code) or "unsafe fn" in code:
            continue
        if found := re.search(r"unsafe impl (\w+)", code):
            inside = found[1]
        proof = _comment_before(lines, at)
        if not reason or not proof:
            raise UnprovenError(f"{name}:{at + 1}: no reason or no proof")
        yield Block(at + 1, inside, reason, proof)


def _comment_before(lines: list[str], at: int) -> str:
    """The comment `SAFETY:` that ends before a line; an attribute may stand between."""
    found: list[str] = []
    at -= 1
    while at >= 0 and lines[at].lstrip().startswith(("#", ")", "unsafe_code", "reason")):
        at -= 1
    while at >= 0 and (text := lines[at].strip()).startswith("//"):
        found.insert(0, text.lstrip("/ "))
        if found[0].startswith("SAFETY:"):
            return " ".join(found).removeprefix("SAFETY:").strip()
        at -= 1
    return ""


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for path in sorted((PROJECT / "rust").rglob("*.rs")):
        name = path.relative_to(PROJECT).as_posix()
        if found := list(blocks(path.read_text(encoding="utf-8"), name)):
            parts.append(f"\n## {name}\n\n| in | why | proof |\n| --- | --- | --- |\n")
            parts += (
                f"| `{block.inside}` | {_cell(block.reason)} | {_cell(block.proof)} |\n"
                for block in found
            )
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Writes or checks."""
    made = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made:
            return 0
        print(
            "docs/design/unsafe.md is not what the code says: run scripts/unsafe_blocks.py",
            file=sys.stderr,
        )
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
