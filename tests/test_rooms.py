"""The core is read from the first room to the last: no import goes back up, or in a circle.

Of the package in Python no import goes in a circle either, and what is made with the tokenizer uses
what everybody can use.
"""

import ast
import re
from functools import cache
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
    if path.stem not in ("lib", "reference", "tests") and path.parent.name != "reference"
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


@cache
def _graph() -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    return {module: _imports(module) for module in FILES}


def test_imports_are_seen():
    graph = _graph()
    assert ("bpe", "token_table") in graph[("bpe", "pairs")]
    assert ("encode", "cache", "line") in graph[("encode", "cache")]
    assert sum(map(len, graph.values())) > 150
    assert {module[0] for module in FILES} == set(ROOMS) - {"reference"}


@pytest.mark.parametrize("module", FILES, ids="::".join)
def test_no_import_goes_to_a_later_room(module):
    later = {
        "::".join(other)
        for other in _graph()[module]
        if ROOMS.index(other[0]) > ROOMS.index(module[0])
    }
    assert not later


def _circle(graph):
    """Modules of which each imports the next, and the last is the first again; if there are any."""
    done, open_ = set(), []

    def visit(module):
        if module in open_:
            return [*open_[open_.index(module) :], module]
        if module in done:
            return []
        open_.append(module)
        for other in sorted(graph[module]):
            if found := visit(other):
                return found
        done.add(open_.pop())
        return []

    return next(filter(None, map(visit, graph)), [])


def test_no_import_goes_in_a_circle():
    assert not ["::".join(module) for module in _circle(_graph())]


PROJECT = RUST.parent

# The package in Python

PACKAGE = PROJECT / "python" / "llama3_tok"
SOURCE = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
# Rooms that use the tokenizer as everybody does. `data/` is not one of them: texts in buffers, and
# conversations in bulk, are the core's business without an object for each.
USERS = ("report/", "torch/", "compat/", "cli/")
# Where a call is so short that checking its arguments again would be felt.
HOT = {
    "compat/tiktoken/core.py": {
        *("self._core", "tokenizer._core"),
        *("self._core.encode", "self._core.encode_array"),
    },
    "compat/transformers/calls.py": {"self.llama3._core.encode"},
}


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse(SOURCE[file].read_text("utf-8"))


def _members(tree: ast.Module) -> set[str]:
    """The names of what the classes of a module have."""
    found: set[str] = set()
    for node in ast.walk(tree):
        for one in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(one, ast.FunctionDef):
                found.add(one.name)
            elif isinstance(one, ast.AnnAssign):
                found.add(ast.unparse(one.target))
    return found


@cache
def _own() -> set[str]:
    """What is the tokenizer's own: `_core`, and its other names without a public one."""
    return {
        name
        for file in SOURCE
        if re.match(r"tokenizer\b", file)
        for name in _members(_tree(file))
        if name.startswith("_") and not name.startswith("__")
    }


def _reached(tree: ast.Module) -> set[str]:
    """The attributes of others, and `_core` of whomever, that a module asks for."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            part: ast.expr = node
            while isinstance(part, ast.Attribute):
                owner = ast.unparse(part.value)
                if part.attr in ("_core", "core") or (
                    part.attr in _own() and owner not in ("self", "cls")
                ):
                    found.add(ast.unparse(node))
                part = part.value
    return found


def test_the_tokenizers_own_names_are_seen():
    assert {"_core", "_definition", "_bos"} <= _own()
    tree = ast.parse(
        "self._core = a._definition.folder\nself._definition, a.b._core.decode(ids)[0].c"
    )
    assert _reached(tree) == {"self._core", "a._definition.folder", "a.b._core.decode"}


@pytest.mark.parametrize("file", [file for file in SOURCE if file.startswith(USERS)])
def test_what_is_made_with_the_tokenizer_uses_what_everybody_can_use(file):
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or "", *(one.name for one in node.names)]
            names = ".".join(modules).split(".")
            assert not [name for name in names if re.match(r"_[a-z]", name)], ast.unparse(node)
    assert _reached(_tree(file)) == HOT.get(file, set())


# The modules by the names that are imported; `_core`, the extension, imports none of them.
PYTHON = {
    re.sub(r"(/__init__)?\.py$", "", f"llama3_tok/{file}").replace("/", "."): file
    for file in SOURCE
}


def _loaded(call: ast.Call, module: str, tree: ast.Module) -> set[str]:
    """What an `import_module` may load: a name, or an f-string with one part that is not known.

    That part is of a table of the module, or else anything.
    """
    argument = call.args[0]
    if isinstance(argument, ast.Constant):
        return {str(argument.value)}
    if not isinstance(argument, ast.JoinedStr):
        return set()
    *known, last = argument.values
    names = {"__name__": module}
    beginning = "".join(
        one.value if isinstance(one, ast.Constant) else names[ast.unparse(one.value)]
        for one in known
    )
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Dict)
            and ast.unparse(last.value).startswith(f"{ast.unparse(node.targets[0])}[")
        ):
            return {beginning + str(ast.literal_eval(value)) for value in node.value.values}
    return {name for name in PYTHON if re.fullmatch(re.escape(beginning) + r"\w+", name)}


def _imported(module: str, tree: ast.Module) -> set[str]:
    """The modules that one imports, wherever that stands: in functions, for types alone, lazily."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "an import that is relative is not looked for here"
            inside = {f"{node.module}.{one.name}" for one in node.names}
            # A name in a package is a module, or else something in its `__init__`.
            known = inside & {*PYTHON, "llama3_tok._core"}
            found |= known if known == inside else known | {str(node.module)}
        elif isinstance(node, ast.Call) and re.search(
            r"\b(import_module|LazyModule)$", ast.unparse(node.func)
        ):
            found |= _loaded(node, module, tree)
    return (found & PYTHON.keys()) - {module}


@cache
def _python_graph() -> dict[str, set[str]]:
    return {module: _imported(module, _tree(file)) for module, file in PYTHON.items()}


def test_imports_in_python_are_seen():
    imports = _python_graph()
    assert "llama3_tok.tokenizer" in imports["llama3_tok.text.files"]
    assert "llama3_tok.text.padding" in imports["llama3_tok"]  # lazily, by a table
    assert "llama3_tok.report" in imports["llama3_tok"]  # lazily, by its name in another table
    assert "llama3_tok.report.check" in imports["llama3_tok.report"]
    assert "llama3_tok.torch.training" in imports["llama3_tok.torch"]
    assert "llama3_tok.cli.chat_with" in imports["llama3_tok.cli"]  # lazily, whatever its name
    assert "llama3_tok.torch.scoring" in imports["llama3_tok.torch.model"]
    assert "llama3_tok.chat.conversations" in imports["llama3_tok.tokenizer"]  # as a lazy module
    assert "llama3_tok.torch.runner" in imports["llama3_tok.torch.scoring"]  # for types
    code = """
if TYPE_CHECKING:
    from llama3_tok import about, Tokenizer
def f():
    import llama3_tok.torch.model as m, json
    padding = LazyModule("llama3_tok.text.padding")
    importlib.import_module("llama3_tok.errors"), import_module(f"{__name__}.{T[n]}")
T = {"a": "report"}
"""
    assert _imported("llama3_tok", ast.parse(code)) == {
        *("llama3_tok.about", "llama3_tok.torch.model", "llama3_tok.errors", "llama3_tok.report"),
        "llama3_tok.text.padding",
    }
    assert sum(map(len, imports.values())) > 400


def test_no_import_in_python_goes_in_a_circle():
    """Wherever it stands: in a function, for types alone, by its name."""
    assert not _circle(_python_graph())


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
