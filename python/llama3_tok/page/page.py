"""The HTML page of a report: parts are added in order, and `html` gives one file.

The file needs no network and makes no request: its style and script are inside it, and its
Content-Security-Policy allows these two by their hashes and nothing else. All text is escaped
(`marks.py`). It can be read without JavaScript, which adds search, sorting and the links between
the rows of tokens.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from llama3_tok.page.bars import Bar, bars
from llama3_tok.page.bars import number as figure
from llama3_tok.page.marks import attribute, plain
from llama3_tok.page.rows import TokenRow, token_rows
from llama3_tok.page.trees import tree
from llama3_tok.text.explaining import Node

__all__ = ["Cell", "Page"]

Cell: TypeAlias = str | int | float
"""Numbers stand to the right, and are sorted as numbers."""


WORDY = 40
"""Characters of a cell above which it is a sentence."""
FEW_ROWS = 8
"""Rows up to which a table is seen at once and needs no search."""


class Page:
    """A page under construction. All text is plain text: markup in it is shown, never obeyed.

    >>> page = Page("Tokens", "of a small text")
    >>> page.heading("Counts")
    >>> page.table(["tokenizer", "tokens"], [("Llama 3", 2), ("Llama 2", 3)])
    >>> html = page.html()
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title, self._subtitle = title, subtitle
        self._parts: list[str] = []
        self._headings: list[str] = []
        self._rows = 0

    def heading(self, text: str) -> None:
        """Begins a section."""
        self._headings.append(text)
        self._parts.append(f'<h2 id="s{len(self._headings)}">{plain(text)}</h2>')

    def note(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p class=note>{plain(text)}</p>")

    def facts(self, items: Iterable[tuple[str, Cell]]) -> None:
        """A list of labels and values: versions, hashes, the command line."""
        rows = "".join(
            f"<div><dt>{plain(label)}</dt><dd>{_cell(value)}</dd></div>" for label, value in items
        )
        self._parts.append(f"<dl>{rows}</dl>")

    def table(
        self, headers: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str | None = None
    ) -> None:
        """A table that can be sorted by its columns and searched.

        If a cell has a sentence, a narrow window shows each row as a list of headers and cells:
        a column would have room for one word.
        """
        body = [list(row) for row in rows]
        is_wordy = any(isinstance(cell, str) and len(cell) > WORDY for row in body for cell in row)
        numeric = [all(_is_figure(row[at]) for row in body) for at in range(len(headers))]
        head = "".join(
            f"<th scope=col{' class=n' if is_number else ''}>{plain(text)}</th>"
            for text, is_number in zip(headers, numeric, strict=True)
        )
        lines = "".join(
            "<tr>"
            + "".join(
                _td(value, right, header if is_wordy else "")
                for value, right, header in zip(row, numeric, headers, strict=True)
            )
            + "</tr>"
            for row in body
        )
        title = f"<caption>{plain(caption)}</caption>" if caption else ""
        label = attribute(caption or "table")
        wordy = " class=wordy" if is_wordy else ""
        search = (
            "<label class=search hidden>Filter <input type=search class=find-row "
            'placeholder="text"></label>'
        ) * (len(body) > FEW_ROWS)
        self._parts.append(
            f"<div class=data>{search}"
            f'<div class=scroll tabindex=0 role=region aria-label="{label}"><table{wordy}>{title}'
            f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div>"
        )

    def bars(self, caption: str, rows: Sequence[Bar], unit: str = "") -> None:
        """A bar chart: `(label, value, note)` each, or `(label, {series: value})`."""
        if rows:
            self._parts.append(bars(caption, rows, unit))

    def tokens(
        self,
        caption: str,
        text: bytes,
        rows: Sequence[TokenRow],
        *,
        notes: Mapping[int, str] | None = None,
    ) -> None:
        """Rows of tokens over one text, aligned.

        `notes` are sentences about places, by the byte of the text at which a place begins. The
        spans of a row ascend and lie in the text; empty ones are tokens that are not in it.
        """
        self._rows += 1
        self._parts.append(token_rows(caption, text, rows, notes or {}, self._rows))

    def tree(self, nodes: Sequence[Node]) -> None:
        """Trees of what happened, as `Pretoken.tree` gives them."""
        self._parts.append(tree(nodes))

    def html(self) -> str:
        """The whole file."""
        style, script = _resource("page.css"), _resource("page.js")
        policy = (
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )
        links = "".join(
            f'<a href="#s{number}">{plain(text)}</a>'
            for number, text in enumerate(self._headings, 1)
        )
        contents = f'<nav aria-label="Contents">{links}</nav>' if len(self._headings) > 1 else ""
        switches = "".join(
            f'<label><input type=radio name=theme id="{value}"{" checked" * (value == "auto")}>'
            f"{value}</label>"
            for value in ("auto", "light", "dark")
        )
        shows = "".join(
            f'<label class=pill><input type=checkbox id="{id}">{text}</label>' * (self._rows > 0)
            for id, text in (("marks", "white space and controls"), ("ids", "ids"))
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
            f"<title>{attribute(self._title)}</title><style>{style}</style></head>\n"
            f"<body><header><h1>{plain(self._title)}</h1>"
            f"<p class=subtitle>{plain(self._subtitle)}</p>"
            "<div class=switches><fieldset class=theme><legend>Theme</legend>"
            f"{switches}</fieldset>{shows}</div></header>{contents}\n<main>\n"
            + "\n".join(self._parts)
            + f"\n</main>{'<div id=inspector role=status hidden></div>' * (self._rows > 0)}"
            f"<script>{script}</script></body></html>\n"
        )


def _cell(value: Cell) -> str:
    return plain(value) if isinstance(value, str) else figure(value)


_FIGURE = re.compile(r"[-+]?\d+(\.\d+)?|-|")


def _is_figure(value: Cell) -> bool:
    """Whether it is a number, also one that is written out, or stands for none."""
    return not isinstance(value, str) or _FIGURE.fullmatch(value) is not None


def _td(value: Cell, right: bool, header: str) -> str:
    named = f' data-h="{attribute(header)}"' if header else ""
    if not right:
        return f"<td{named}>{_cell(value)}</td>"
    number = 0 if value in ("", "-") else value
    return f'<td class=n data-v="{number}"{named}>{_cell(value)}</td>'


@cache
def _resource(name: str) -> str:
    return files("llama3_tok.page").joinpath(name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
