"""The command, the pages that it writes and what `serve` answers: how each is attacked.

The command runs in this process, with its streams in files. Of a page it is looked at that a text
gave it no element and no attribute: those that it has are those of pages about harmless texts.
"""

import asyncio
import io
import json
import os
import random
import sys
import tempfile
from contextlib import contextmanager
from html.parser import HTMLParser

from attack_entries import DEAR, entry
from attack_texts import pieces
from llama3_tok import cli
from llama3_tok.page.page import Page
from llama3_tok.playground.app import application
from llama3_tok.playground.views import Playground

# Elements that a text never gives a page, and how many of each a page has by itself at most.
OWN = {"html": 1, "head": 1, "body": 1, "link": 1, "style": 1, "script": 1, "meta": 4}
FORBIDDEN = frozenset(
    ("img", "iframe", "object", "embed", "form", "base", "textarea", "frame", "math")
)
# Without one, a browser would ask a server for it.
NO_ICON = "data:,"


class Markup(HTMLParser):
    """What a browser would make of a page: elements, and what is wrong with them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.counts: dict[str, int] = {}
        self.wrong: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag in FORBIDDEN or self.counts[tag] > OWN.get(tag, sys.maxsize):
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            value = value or ""
            if name.startswith("on") or name in ("src", "srcdoc", "action", "formaction"):
                self.wrong.append(f"{tag} {name}={value!r}")
            own = value == NO_ICON if tag == "link" else value.startswith("#")
            if name in ("href", "xlink:href") and not own:
                self.wrong.append(f"{tag} {name}={value!r}")
            if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in value):
                self.wrong.append(f"{tag} {name} has a control character")

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.wrong.append(f"<!--{data}-->")

    def handle_decl(self, decl):
        if decl.lower() != "doctype html":
            self.wrong.append(f"<!{decl}>")

    def handle_pi(self, data):
        self.wrong.append(f"<?{data}>")

    def unknown_decl(self, data):
        self.wrong.append(f"<![{data}]>")


def clean(html: str) -> str:
    """The text of a page or a part of one, after a look at its markup."""
    markup = Markup()
    markup.feed(html)
    markup.close()
    assert not markup.wrong, markup.wrong[:5]
    html.encode()  # a surrogate would be in no file
    return "".join(markup.text)


# The command


@contextmanager
def streams(given: bytes):
    """Standard input with these bytes, and files in place of standard output and error."""
    before = sys.stdin, sys.stdout, sys.stderr
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdin = io.TextIOWrapper(io.BytesIO(given), "utf-8", "surrogateescape")
        sys.stdout = io.TextIOWrapper(out, "utf-8", "surrogateescape", write_through=True)
        sys.stderr = io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True)
        try:
            yield out, err
        finally:
            sys.stdout.flush()
            sys.stdout.detach()
            sys.stderr.flush()
            sys.stderr.detach()
            sys.stdin, sys.stdout, sys.stderr = before


def command(world, *arguments: str, given: bytes = b"") -> bytes:
    """What the command prints; it has to succeed."""
    chosen = (
        ["--profile", world.name]
        if world.is_release
        else ["--vocabulary", str(world.folder / world.name)]
    )
    with streams(given) as (out, err):
        status = cli.main([*arguments, *chosen])
        out.seek(0)
        err.seek(0)
        printed, said = out.read(), err.read()
    assert status == 0, (status, said[-500:])
    return printed


def numbers(printed: bytes) -> list[int]:
    """The ids that a verb prints."""
    return [int(word) for word in printed.replace(b",", b" ").split()]


def written(world, text: str) -> str:
    """The path of a file with a text."""
    path = world.path(".txt")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return str(path)


@entry("llama3-tok encode", "llama3-tok decode", "llama3-tok count", weight=DEAR)
def command_of_text(world, text, dice):
    given = (text() + text()).encode("utf-8", "surrogatepass")
    ids = numbers(command(world, "encode", "-", given=given))
    # The core reads standard input by itself; a file is read in the same way.
    path = world.path(".txt")
    path.write_bytes(given)
    assert numbers(command(world, "count", str(path))) == [len(ids)]
    path.unlink()
    assert json.loads(command(world, "encode", "--json", "-", given=given))["ids"] == ids
    back = command(world, "decode", "-", given=b" ".join(b"%d" % id for id in ids))
    assert not world.is_release or back == given
    # As an argument, where it is neither an option nor the name of a file.
    word = "".join(c for c in text() if c != "\0" and not "\ud800" <= c <= "\udfff").lstrip("-")
    if word and not os.path.exists(word):  # noqa: PTH110 - as the command asks
        ids += numbers(command(world, "encode", word))
        assert command(world, "count", "-t", word)
    return ids


@entry("llama3-tok truncate", "llama3-tok explain", "llama3-tok show", weight=DEAR)
def command_that_shows(world, text, dice):
    given = (text() + text()).encode("utf-8", "surrogatepass")
    kept = command(world, "truncate", "-n", "7", given=given)
    assert given.startswith(kept)
    assert len(world.tokenizer.encode(kept)) <= 7
    found = json.loads(command(world, "explain", "--json", "-", given=given))
    shown = command(world, "show", "-", given=given).decode()
    assert all(str(id) in shown for id in found["ids"])
    return found["ids"]


@entry("llama3-tok chat", "llama3-tok count", weight=DEAR)
def command_of_chats(world, text, dice):
    if world.tokenizer.chat_profile is None:
        return []
    rows = [{"role": role, "content": text()} for role in ("system", "user", "assistant", "user")]
    path = world.path(".jsonl")
    path.write_text(json.dumps({"messages": rows}) + "\n")
    ids = numbers(command(world, "chat", "--ids", str(path)))
    counted = command(world, "count", "--messages", "--json", str(path))
    assert json.loads(command(world, "chat", "--json", str(path)))["ids"] == ids
    assert counted
    path.unlink()
    return ids


@entry("llama3-tok corpus", weight=DEAR / 10)
def command_of_corpora(world, text, dice):
    source, out = world.path(".jsonl"), world.path("")
    source.write_text("".join(json.dumps({"text": text()}) + "\n" for _ in range(5)))
    command(world, "corpus", "--field", "text", "--out", str(out), str(source))
    return json.loads(command(world, "corpus", "inspect", str(out), "--document", "0", "--json"))[
        "ids"
    ]


# Pages


def page(world, *arguments: str, given: bytes = b"") -> str:
    """The page that a verb writes, looked at."""
    path = world.path(".html")
    command(world, *arguments, "--html", str(path), given=given)
    html = path.read_text(encoding="utf-8")
    path.unlink()
    clean(html)
    return html


@entry("llama3-tok show", "llama3-tok explain", weight=DEAR)
def pages_of_text(world, text, dice):
    given = (text() + text()).encode("utf-8", "surrogatepass")
    page(world, "show", "-", given=given)
    page(world, "explain", "-", given=given)
    return []


@entry("llama3-tok chat", weight=DEAR)
def pages_of_chats(world, text, dice):
    if world.tokenizer.chat_profile is None:
        return []
    rows = [{"role": role, "content": text()} for role in ("system", "user", "assistant", "user")]
    page(world, "chat", "-", given=json.dumps(rows).encode())
    return []


@entry("llama3_tok.report.compare", "llama3-tok compare", weight=DEAR / 3, releases=True)
def pages_of_comparisons(world, text, dice):
    """A text, and files whose names are attacks as well."""
    from llama3_tok import report

    given = text() + text()
    found = report.compare(given, llama2=llama2(world), tokenizer=world.tokenizer)
    assert found.total.llama3 == world.tokenizer.count(given)
    clean(found.to_html())
    name = "".join(c for c in text() if c not in "/\0" and not "\ud800" <= c <= "\udfff")[:40]
    path = world.folder / f"n{name}.txt"
    path.write_bytes(given.encode("utf-8", "surrogatepass"))
    clean(report.compare(paths=[path], llama2=llama2(world), tokenizer=world.tokenizer).to_html())
    path.unlink()
    return []


def llama2(world) -> str:
    """A model of Llama 2's kind."""
    import llama2_model

    path = world.folder / "llama2"
    if not path.exists():
        path.mkdir()
        llama2_model.write(path)
    return str(next(path.iterdir()))


@entry("llama3_tok.report.parity", "llama3-tok parity", weight=DEAR / 30, releases=True)
def pages_of_parity(world, text, dice):
    path = written(world, text() + text())
    page(world, "parity", "--reference", "tiktoken", path)
    os.unlink(path)  # noqa: PTH108
    return []


@entry(weight=1)
def parts_of_pages(world, text, dice):
    """Each kind of part by itself, with a text wherever one may be."""
    made = Page(text(), text())
    made.heading(text())
    made.note(text())
    made.facts([(text(), text())])
    made.table([text(), text()], [(text(), text()), (text(), 1)], caption=text())
    made.bars(text(), [(text(), 1.0, text()), (text(), {text(): 2.0})], text())
    clean(made.html())
    return []


# `serve`


@entry("serve /tokens", "serve /explain", "serve /chat", "llama3-tok serve", weight=0.2)
def served(world, text, dice):
    """The application with its guard, as a browser asks it; in one request, or in pieces."""
    app = application(Playground({world.name: world.tokenizer}), 8383)
    given = text() + text() or "a"
    plain = ask(app, "tokens", {"text": given}, dice)
    assert plain["count"] == world.tokenizer.count(given)
    clean(plain["html"])
    assert not world.is_release or "special" not in kinds(plain["html"])
    clean(ask(app, "explain", {"text": given, "byte": 0}, dice)["html"])
    if world.tokenizer.chat_profile is not None:
        messages = [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
        found = ask(app, "chat", {"messages": messages}, dice)
        clean(found["html"])
        assert found["count"] == world.tokenizer.count_chat(messages)
    return []


def kinds(html: str) -> set[str]:
    """The classes of the elements of a page."""
    found: set[str] = set()

    class Classes(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.update((dict(attrs).get("class") or "").split())

    Classes().feed(html)
    return found


def ask(app, name: str, question: dict, dice: random.Random) -> dict:
    """The answer to a question of the page; it has to be one."""
    body = json.dumps(question, ensure_ascii=dice.random() < 0.5)
    parts = pieces(body, dice)
    sent: list[dict] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": f"/{name}",
        "raw_path": f"/{name}".encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"127.0.0.1:8383"), (b"content-type", b"application/json")],
    }

    async def receive():
        part = parts.pop(0).encode("utf-8", "surrogatepass") if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in sent)
    assert sent[0]["status"] == 200, content[:300]
    return json.loads(content)
