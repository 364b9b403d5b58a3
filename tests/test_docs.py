"""What people read is true: the examples of the README, of the guides and of the docstrings."""

import doctest
import gzip
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import llama2_model
import llama3_tok.compat.tiktoken
from cli import COMMAND, environment
from llama3_tok import vocabulary
from llama3_tok.data import verify

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
# The guides to fine-tunes and to training data have tests of their own; the measurements
# and the messages are records without examples.
GUIDES = [
    page
    for page in sorted((ROOT / "docs").glob("*.md"))
    if page.stem not in ("data", "fine-tunes", "measurements", "messages")
]
# Those without examples of this kind: tables with tests of their own, and commands that measure.
TABLES = ("coming-from", "languages")
PAGES = [ROOT / "README.md", *GUIDES]
# The pages that the README sends people to, and what those send them to.
LINKED = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "bench" / "README.md"]
LINKED += [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "DESIGN", "CHANGELOG")]

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the examples find their files."""
    (tmp_path / "hello.txt").write_text("Hello world")
    (tmp_path / "hello.txt.gz").write_bytes(gzip.compress(b"Hello world"))
    (tmp_path / "hello.jsonl").write_text('{"text": "Hello"}\n{"text": "Hello world"}\n')
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    (tmp_path / "messages.json").write_text(json.dumps(chat))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_what_only_merges(folder, saved):
    """A `tokenizer.json` without vocab-first, and a text for which that makes a difference."""
    content = (saved / "tokenizer.json").read_text(encoding="utf-8")
    merging = content.replace('"ignore_merges": true', '"ignore_merges": false')
    assert merging != content
    (folder / "tokenizer.json").write_text(merging, encoding="utf-8")
    (folder / "viet.txt").write_text("Tiếng Việt", encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_give_what_they_show(page, folder, saved_folder, request):
    """Those in Python first, then the commands, all in one folder."""
    if page.stem == "converting":
        (folder / "tokenizer.model").symlink_to(vocabulary.find())
    if page.stem == "parity":
        write_what_only_merges(folder, saved_folder)
    if page.stem == "llama2":
        model = request.getfixturevalue("llama2_path")
        (folder / "Llama-2-7b-hf").mkdir()
        (folder / "Llama-2-7b-hf" / "tokenizer.model").symlink_to(model)
    result = doctest.testfile(
        str(page), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert result.failed == 0
    shown = commands(page.read_text(encoding="utf-8"))
    assert result.attempted + len(shown) > 0 or page.stem in TABLES
    if page.stem == "llama2" and not llama2_model.real_path():
        pytest.skip("LLAMA3_TOK_LLAMA2 does not name Llama 2's tokenizer.model")
    for command, expected in shown:
        written = output(command)
        same = doctest.OutputChecker().check_output(expected, written, doctest.ELLIPSIS)
        assert same, f"{command}\n{written}"


def commands(text):
    """The indented lines that begin with `$ `, each with the indented lines that follow it."""
    found, shown = [], None
    for line in text.splitlines():
        if line.startswith("    $ "):
            shown = []
            found.append((line.removeprefix("    $ "), shown))
        elif line and not line.startswith("    "):
            shown = None
        elif shown is not None:
            shown.append(line[4:])
    return [(command, "\n".join(lines).strip("\n") + "\n") for command, lines in found]


def output(command):
    """What a shell writes to standard output when it runs a command of the documentation."""
    python = shlex.quote(sys.executable)
    shell = f"""
        set -o pipefail
        llama3-tok() {{ {shlex.join(COMMAND)} "$@"; }}
        # What it says is all on standard error.
        llama3-tok-budget() {{ {python} -m llama3_tok.cli.budget "$@" 2>&1; }}
        python() {{ {python} "$@"; }}
        {command}"""
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, env=environment(), timeout=120, check=False
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.stdout.decode().strip("\n") + "\n"


def test_the_readme_is_one_screen_and_has_its_commands():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert max(len(line) for line in lines if not line.startswith(("|", "["))) <= 120
    assert "    pip install '.[vocab]' && llama3-tok count README.md" in lines
    assert "    pip install '.[test]' && pytest" in lines


def test_the_commands_of_the_readme_do_what_they_say(folder):
    data = (ROOT / "LICENSE").read_bytes()
    (folder / "LICENSE").write_bytes(data)
    (folder / "docs").symlink_to(ROOT / "docs")
    found = re.findall(r"^    (llama3-tok .*?) +# (.*)$", README.read_text("utf-8"), re.MULTILINE)
    assert [command.split()[1] for command, _ in found] == [
        *("count", "count", "encode", "decode", "explain", "corpus")
    ]
    (count, counted), (summary, _), (encode, ids), (decode, _), (explain, _), (corpus, _) = found
    assert output(count).strip() == counted
    kinds = {row.split()[-1] for row in output(summary).splitlines()}
    assert {".md", "total"} <= kinds
    assert ".png" not in kinds
    output(encode)
    assert (folder / "ids.txt").read_text().startswith(ids.removesuffix("..."))
    output(f"{decode} > again")
    assert (folder / "again").read_bytes() == data
    shown = output(explain)
    assert "alternative 2: letters" in shown
    assert "11655: step 5" in shown
    output(corpus)
    tokenizer = llama3_tok.Tokenizer()
    pages = [page.read_bytes() for page in (ROOT / "docs").glob("*.md")]
    assert verify(folder / "tokens").tokens == sum(tokenizer.count_batch(pages)) + len(pages)


def test_the_readme_leads_to_every_kind_of_guide():
    linked = {path for path, _ in LINK.findall(README.read_text(encoding="utf-8"))}
    assert {"docs/index.md", "docs/exactness.md", "docs/coming-from.md"} <= linked
    found = {
        path
        for path, _ in LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
        if path.endswith(".md")
    }
    # From these two every guide is one step away.
    near = {Path(path).name for path in linked | found}
    assert {page.name for page in GUIDES} <= near


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page):
    for path, place in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in path:
            continue
        target = page.parent / path if path else page
        assert target.exists(), path
        if place:
            assert place in places(target), f"{path}#{place}"


def places(page):
    """The headings of a page as links name them."""
    lines = page.read_text(encoding="utf-8").splitlines()
    headings = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def with_examples():
    """Every module of the package whose docstrings have examples."""
    for path in sorted((ROOT / "python" / "llama3_tok").rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            name = path.relative_to(ROOT / "python").with_suffix("").as_posix()
            yield name.replace("/", ".").removesuffix(".__init__")


# Their examples want Llama 2's model: test_report_compare.py.
WITH_LLAMA2 = {"llama3_tok.report", "llama3_tok.report.comparing"}
# Their examples want published weights; `with_torch/` runs the same calls with small ones.
WITH_WEIGHTS = {
    "llama3_tok.torch.checkpoint",
    "llama3_tok.torch.model",
    "llama3_tok.torch.training",
}


def test_only_what_wants_weights_is_not_run():
    assert set(with_examples()) >= WITH_LLAMA2 | WITH_WEIGHTS
    for module in WITH_WEIGHTS:
        for found in doctest.DocTestFinder().find(importlib.import_module(module)):
            assert all(example.options.get(doctest.SKIP) for example in found.examples), found.name


@pytest.mark.parametrize("module", sorted(set(with_examples()) - WITH_LLAMA2 - WITH_WEIGHTS))
def test_the_examples_of_the_docstrings_give_what_they_show(module):
    if module.startswith("llama3_tok.data."):
        pytest.importorskip("pyarrow", reason="pyarrow, of the extra `data`, is not installed")
    globs = {"llama3_tok": llama3_tok, "tiktoken": llama3_tok.compat.tiktoken}
    result = doctest.testmod(importlib.import_module(module), extraglobs=globs)
    assert result.attempted > 0
    assert result.failed == 0
