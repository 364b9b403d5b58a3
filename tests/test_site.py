"""The site of the documentation: its blocks, its links, its reference, and what is built."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import site_built

ROOT = site_built.ROOT
sys.path.insert(0, str(ROOT / "scripts" / "site"))

import blocks  # noqa: E402
import checks  # noqa: E402
import pages  # noqa: E402

PACKAGE = ROOT / "python" / "llama3_tok"
PUBLIC = {
    "llama3_tok": "__init__.py",
    "llama3_tok.about": "about.py",
    "llama3_tok.chat": "chat/__init__.py",
    "llama3_tok.compat": "compat/__init__.py",
    "llama3_tok.compat.tiktoken": "compat/tiktoken/__init__.py",
    "llama3_tok.compat.tokenizers": "compat/tokenizers.py",
    "llama3_tok.compat.transformers": "compat/transformers/__init__.py",
    "llama3_tok.data": "data/__init__.py",
    "llama3_tok.data.huggingface": "data/huggingface.py",
    "llama3_tok.data.ray": "data/ray.py",
    "llama3_tok.data.spark": "data/spark.py",
    "llama3_tok.report": "report/__init__.py",
    "llama3_tok.serving": "serving/__init__.py",
    "llama3_tok.serving.guides": "serving/guides.py",
    "llama3_tok.serving.vllm": "serving/vllm.py",
    "llama3_tok.torch": "torch/__init__.py",
}
"""The modules that people import, and their files. Some need packages that tests do without."""
# The package has these of its own, where they are documented.
ELSEWHERE = {"llama3_tok.about.__version__", "llama3_tok.about.UNICODE_VERSION"}


def public_names():
    """Every name in the `__all__` of a public module."""
    for module, path in PUBLIC.items():
        for node in ast.parse((PACKAGE / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                yield from (f"{module}.{name}" for name in ast.literal_eval(node.value))


def listed():
    """The names that the pages of the reference ask for."""
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        yield from re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_public_name_is_in_the_reference_once():
    names = list(listed())
    assert len(names) == len(set(names))
    assert set(names) == set(public_names()) - ELSEWHERE
    assert len(names) > 90


def test_every_page_is_in_the_navigation():
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"'([^']+\.md)'", str(config["nav"]))
    assert len(named) == len(set(named))
    assert set(named) == {place for place in pages.places().values() if place.endswith(".md")}


def test_indented_examples_become_fences_and_lose_what_is_for_doctest():
    page = (
        "Text\n\n    >>> f()  # doctest: +ELLIPSIS\n    a\n    <BLANKLINE>\n    b\n\n"
        "    $ ls | wc\n    1\n\nMore\n    goes on\n\n- item\n\n    of the item\n"
    )
    lines = [line for line, _ in blocks.of_page(page)]
    assert lines[:8] == ["Text", "", "```pycon", ">>> f()", "a", "", "b", ""]
    assert lines[8:12] == ["$ ls | wc", "1", "```", ""]
    assert lines[12:17] == ["More", "    goes on", "", "- item", ""]
    assert lines[17] == "    of the item"


def test_commands_alone_are_a_block_of_their_own():
    page = (
        "    llama3-tok count a\n    llama3-tok show b\n\n    $ llama3-tok count\n    1\n\n    2\n"
    )
    lines = [line for line, _ in blocks.of_page(page)]
    assert lines[:4] == ["```sh", "llama3-tok count a", "llama3-tok show b", "```"]
    assert lines[4:10] == ["", "```console", "$ llama3-tok count", "1", "", "2"]


def test_what_stands_in_a_fence_is_code_to_its_end():
    page = "```python\na\n\n    b\n```\n[x](y)\n"
    assert list(blocks.of_page(page))[:6] == [
        ("```python", True),
        ("a", True),
        ("", True),
        ("    b", True),
        ("```", True),
        ("[x](y)", False),
    ]


def test_examples_of_docstrings_become_fences():
    text = "Gives one.\n\n>>> f()\n[1]\n\nIn C:\n>>> g()\n"
    expected = "Gives one.\n\n```pycon\n>>> f()\n[1]\n```\n\nIn C:\n\n```pycon\n>>> g()\n```\n"
    assert blocks.of_docstring(text) == expected


def test_links_lead_to_where_the_site_has_their_targets():
    known, faults = pages.places(), []

    def moved(text, name):
        return pages.page(text, name, known, faults).rstrip("\n")

    assert moved("[a](../DESIGN.md#x)", "docs/parity.md") == "[a](design/index.md#x)"
    assert moved("[a](docs/design/)", "CONTRIBUTING.md") == "[a](design/index.md)"
    assert moved("[a](parity.html)", "docs/parity.md") == "[a](reports/parity.html)"
    assert moved("[a](../chat.md)", "docs/design/chat.md") == "[a](../chat.md)"
    assert moved("[a](https://x.org/y) [b](#c)", "docs/chat.md") == "[a](https://x.org/y) [b](#c)"
    assert moved("    >>> f[a](b)", "docs/chat.md") == "```pycon\n>>> f[a](b)\n```"
    assert faults == []
    assert moved("[a](gone.md)", "docs/chat.md") == "[a](gone.md)"
    assert faults == ["docs/chat.md: gone.md leads to nothing that the site has"]


GOOD = '<p id="a"><a href="#a"></a><a href="https://x.org"></a><img src="b.png">'


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ('<a href="gone.html"></a>', "a.html: gone.html does not exist"),
        ('<img src="gone.png">', "a.html: gone.png does not exist"),
        ('<a href="a.html#no"></a>', "a.html: a.html#no: there is no such place on that page"),
        ('<a href="#no"></a>', "a.html: #no: there is no such place on that page"),
        ('<script src="https://x.org/a.js"></script>', "a.html: loads https://x.org/a.js from"),
        ('<link rel="stylesheet" href="//x.org/a.css">', "a.html: loads //x.org/a.css from"),
        ('<img srcset="b.png, https://x.org/c.png 2x">', "a.html: loads https://x.org/c.png from"),
        ("<style>a{background:url(https://x.org/d)}</style>", "a.html: the style loads https://x"),
        ('<style>@import "https://x.org/e.css"</style>', "a.html: the style loads https://x.org/e"),
    ],
)
def test_what_is_wrong_with_a_built_page_is_said(tmp_path, wrong, fault):
    (tmp_path / "b.png").write_bytes(b"")
    page = tmp_path / "a.html"
    page.write_text(GOOD)
    assert list(checks.faults(tmp_path)) == []
    page.write_text(GOOD + wrong)
    found = list(checks.faults(tmp_path))
    assert len(found) == 1
    assert found[0].startswith(fault)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return site_built.built(tmp_path_factory)


def test_every_public_name_has_its_docstring_on_the_site(site):
    html = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    for name in listed():
        assert f'id="{name}"' in html, name
    assert 'id="llama3_tok.Tokenizer.encode"' in html
    # What Markdown makes of an example that is no fence.
    assert "<blockquote>" not in html


def test_nothing_for_doctest_is_left(site):
    for page in site.rglob("*.html"):
        if page.parent.name != "reports":
            text = page.read_text(encoding="utf-8")
            assert "&lt;BLANKLINE&gt;" not in text, page
            assert "# doctest:" not in text, page


def test_programs_that_read_text_find_all_pages(site):
    names = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text(encoding="utf-8"))
    assert len(names) > 40
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    for name in names:
        text = (site / name).read_text(encoding="utf-8")
        assert text in whole
        assert not re.search(r"^::: ", text, re.MULTILINE)
    assert "The ids of a text." in (site / "api" / "tokenizer.md").read_text(encoding="utf-8")


def test_the_site_has_the_pictures(site):
    for name in ("compare.png", "parity.png"):
        assert (site / name).stat().st_size > 10_000
    assert list((site / "bench" / "results").glob("*.svg"))
    assert not any(path.suffix == ".toml" for path in Path(site).rglob("*"))
