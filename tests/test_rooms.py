"""The core is read from the first room to the last: no import goes back up, or in a circle."""

import re
from pathlib import Path

import pytest

RUST = Path(__file__).resolve().parent.parent / "rust"
ROOMS = re.findall(r"^(?:pub )?mod (\w+);", (RUST / "lib.rs").read_text(), re.MULTILINE)


def _module(path: Path) -> tuple[str, ...]:
    """The module of a file, as its path below the crate."""
    parts = path.relative_to(RUST).with_suffix("").parts
    return parts[:-1] if parts[-1] == "mod" else parts


FILES = {
    _module(path): path
    for path in sorted(RUST.rglob("*.rs"))
    if path.stem not in ("lib", "reference", "tests")
}


def _flat(tree: str) -> list[str]:
    """The paths of a `use`: `a::{b, c::{d, e}}` is a::b, a::c::d and a::c::e."""
    opening = tree.find("{")
    if opening < 0:
        return [tree.split(" as ")[0].strip()]
    prefix, inner = tree[:opening], tree[opening + 1 : tree.rindex("}")]
    parts, depth, start = [], 0, 0
    for at, character in enumerate(inner):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(inner[start:at])
            start = at + 1
    parts.append(inner[start:])
    return [prefix + path for part in parts if part.strip() for path in _flat(part.strip())]


def _imports(module: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The modules that a file uses outside its tests: by `use`, or by a path from `crate` on."""
    text = re.sub(r"^\s*//.*$", "", FILES[module].read_text(), flags=re.MULTILINE)
    text = text.split("#[cfg(test)]\nmod tests {")[0]
    # What is there for tests alone.
    text = re.sub(
        r"#\[cfg\(test\)\]\s*(?:use [^;]*;|[^{;]*\{.*?^    \}\n)", "", text, flags=re.M | re.S
    )
    found = set()
    paths = [path for tree in re.findall(r"\buse ([^;]+);", text) for path in _flat(tree)]
    paths += re.findall(r"\bcrate(?:::\w+)+", re.sub(r"\buse [^;]+;", "", text))
    for path in paths:
        names = path.split("::")
        if names[0] == "crate":
            names = names[1:]
        elif names[0] == "super":
            names = [*module[:-1], *names[1:]]
        elif names[0] == "self":
            names = [*module, *names[1:]]
        else:
            continue
        # The longest beginning that is a file; what follows is a name in it.
        while names and tuple(names) not in FILES:
            names.pop()
        if names and tuple(names) != module:
            found.add(tuple(names))
    return found


GRAPH = {module: _imports(module) for module in FILES}


def test_imports_are_seen():
    assert ("bpe", "token_table") in GRAPH[("bpe", "pairs")]
    assert ("encode", "cache", "line") in GRAPH[("encode", "cache")]
    assert sum(map(len, GRAPH.values())) > 150
    assert {module[0] for module in FILES} == set(ROOMS) - {"reference"}


@pytest.mark.parametrize("module", FILES, ids="::".join)
def test_no_import_goes_to_a_later_room(module):
    later = {
        "::".join(other)
        for other in GRAPH[module]
        if ROOMS.index(other[0]) > ROOMS.index(module[0])
    }
    assert not later


def test_no_import_goes_in_a_circle():
    done, open_ = set(), []

    def visit(module):
        if module in open_:
            circle = [*open_[open_.index(module) :], module]
            pytest.fail(" -> ".join("::".join(part) for part in circle))
        if module in done:
            return
        open_.append(module)
        for other in sorted(GRAPH[module]):
            visit(other)
        done.add(open_.pop())

    for module in FILES:
        visit(module)


PROJECT = RUST.parent
PAGES = [
    PROJECT / "DESIGN.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs" / "design").glob("*.md")),
    *sorted(RUST.rglob("*.rs")),
]
SOURCES = [
    path
    for folder in ("rust", "python", "bench", "scripts", "tests", "examples")
    for path in (PROJECT / folder).rglob("*")
    if path.suffix in (".rs", ".py", ".sh", ".bin")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_files_that_are_named_exist(page):
    """By their whole path or the end of it, in documents and in comments of the core."""
    text = page.read_text()
    if page.suffix == ".rs":
        text = "\n".join(re.findall(r"^\s*//[/!]?(.*)$", text, re.MULTILINE))
    known = [str(path) for path in SOURCES]
    for name in re.findall(r"(?<![\w./-])[\w/]*\w\.(?:rs|py|sh|bin)\b", text):
        assert any(path.endswith("/" + name) for path in known), name
