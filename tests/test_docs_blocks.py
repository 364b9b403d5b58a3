"""Every block of code in the documentation is run by a test, or can't be and is checked otherwise.

Examples with `>>>` and `$` give what they show: `test_docs.py`, `test_docs_data.py` and
`test_docs_fine_tunes.py`. Blocks of Python that need a model are run by
`with_torch/test_docs_models.py`. The rest are lists of commands: the parser of the command reads
them, or what they name is there.
"""

import doctest
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

import llama3_tok
from llama3_tok.cli import VERBS, _parsers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "site"))

from blocks import of_page  # noqa: E402

DESIGN = [ROOT / "DESIGN.md", *sorted((ROOT / "docs" / "design").glob("*.md"))]
OTHERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *DESIGN, *OTHERS, ROOT / "bench" / "README.md"]

WITH_A_MODEL = {"models.md": 3, "other-libraries.md": 1, "serving.md": 2}
"""Pages and their blocks of Python, which `with_torch/test_docs_models.py` runs."""
DIAGRAMS = {"DESIGN.md": 1, "corpora.md": 1}
"""Pages and their pictures of a flow, which are no code."""
RECORDS = {"README.md": 1}
"""What a benchmark printed once: it can't be printed again."""


def blocks(page):
    """The blocks of a page: language and lines."""
    block = None
    for line, code in of_page(page.read_text(encoding="utf-8")):
        if code and block is None:
            block = (line.lstrip("`"), [])
        elif code and line.startswith("```"):
            yield block
            block = None
        elif code:
            block[1].append(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_kind_that_a_test_runs(page):
    kinds = [kind for kind, _ in blocks(page)]
    # Those of YAML are read by `test_cli_budget.py`, which runs the hook.
    assert set(kinds) <= {"pycon", "console", "sh", "python", "text", "yaml"}
    assert kinds.count("yaml") == (page.name == "command-line.md")
    assert kinds.count("python") == WITH_A_MODEL.get(page.name, 0)
    known = {**DIAGRAMS, **(RECORDS if page.parent.name == "bench" else {})}
    assert kinds.count("text") == known.get(page.name, 0)
    if page.parent.name != "docs" and page.name != "README.md":
        assert "console" not in kinds, "nothing runs it there"


@pytest.mark.parametrize("page", DESIGN, ids=lambda page: page.stem)
def test_the_examples_of_the_design_give_what_they_show(page):
    globs = {"llama3_tok": llama3_tok, "tokenizer": llama3_tok.Tokenizer()}
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8", globs=globs)
    assert result.failed == 0


def commands(lines):
    """The commands of a block, each as its words."""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        command = []
        for word in [*words, "&&"]:
            if word in ("|", "&&", "||"):
                for sign in {"<", ">"} & set(command):  # and the name of a file
                    command = command[: command.index(sign)]
                if command:
                    yield command
                command = []
            else:
                command.append(word)


SHELL = [
    (page, command)
    for page in PAGES
    for kind, lines in blocks(page)
    if kind == "sh"
    for command in commands(lines)
]


def test_there_are_commands():
    assert len(SHELL) > 50
    assert len({page for page, _ in SHELL}) > 8


@pytest.mark.parametrize(
    ("page", "command"), SHELL, ids=lambda part: part.stem if isinstance(part, Path) else part[-1]
)
def test_a_command_is_one_that_there_is(page, command):
    while re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", command[0]):
        command = command[1:]
    checks = {
        "llama3-tok": of_llama3_tok,
        "make": of_make,
        "pip": of_pip,
        "python": of_python,
        "pytest": of_pytest,
    }
    if command[0] in checks:
        checks[command[0]](command[1:])
    elif command[0].startswith("scripts/"):
        assert os.access(ROOT / command[0], os.X_OK)
    else:
        # Programs that are not this project's.
        assert command[0] in ("cargo", "git", "vllm"), command


def of_llama3_tok(words):
    parser = _parsers(VERBS)[""]
    arguments, surplus = parser.parse_known_args(words)
    assert arguments.verb
    assert not surplus


def of_make(words):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words[0] in targets


def of_pip(words):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])
    for name in re.findall(r"-r (\S+)", " ".join(words)):
        assert (ROOT / name).is_file()


def of_python(words):
    script = ROOT / words[0]
    assert script.exists()
    text = (script / "__main__.py" if script.is_dir() else script).read_text(encoding="utf-8")
    for option in re.findall(r"--[\w-]+", " ".join(words)):
        assert f'"{option}"' in text, option


def of_pytest(words):
    for word in words:
        if word.startswith("tests/"):
            assert (ROOT / word).exists()
