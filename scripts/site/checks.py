"""What must hold of the built site: links lead somewhere, and no page asks another host.

The generator checks the links of Markdown that it understands. Here the pages are read as a browser
reads them: also pictures, reports, raw HTML, and what the theme put in.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

LOADED = {"script", "img", "iframe", "source", "video", "audio", "embed", "object", "image", "use"}
"""Elements whose address a browser loads by itself; those of `link` are loaded, too."""
OUTSIDE = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])((?:https?:)?//[^'")\s]+)""")
"""Addresses that style sheets load."""


class Address(NamedTuple):
    """An address in a page."""

    text: str
    is_loaded: bool


class _Reader(HTMLParser):
    """Names and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.addresses: list[Address] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collects what the element has."""
        values = {name: value for name, value in attrs if value}
        self.names.update(values[key] for key in ("id", "name") if key in values)
        for key in ("href", "src", "data", "poster", "xlink:href"):
            if key in values:
                loaded = tag in LOADED or (
                    tag == "link" and "canonical" not in values.get("rel", "")
                )
                self.addresses.append(Address(values[key], loaded))
        for candidate in values.get("srcset", "").split(","):
            if candidate.strip():
                self.addresses.append(Address(candidate.split()[0], True))


def faults(site: Path) -> Iterator[str]:
    """What is wrong, a sentence each."""
    pages = {
        path.relative_to(site).as_posix(): _read(path) for path in sorted(site.rglob("*.html"))
    }
    for name, page in pages.items():
        for address in page.addresses:
            yield from _of_address(site, pages, name, address)
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.html"), *site.rglob("*.svg")]):
        for outside in OUTSIDE.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: the style loads {outside}"


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def _of_address(
    site: Path, pages: dict[str, _Reader], name: str, address: Address
) -> Iterator[str]:
    """What is wrong with one address of a page."""
    parts = urlsplit(address.text)
    if parts.scheme == "data":
        return
    if parts.scheme or parts.netloc:
        if address.is_loaded:
            yield f"{name}: loads {address.text} from another host"
        return
    if parts.path.startswith("/"):
        # Only the page for wrong addresses has them: it is shown at any depth.
        target = parts.path.lstrip("/")
    else:
        target = normpath(f"{name.rpartition('/')[0] or '.'}/{unquote(parts.path)}")
    target = name if not parts.path else target
    path = site / target
    if not path.is_file() and not (path / "index.html").is_file():
        yield f"{name}: {address.text} does not exist"
    elif parts.fragment and target in pages:
        fragment = unquote(parts.fragment)
        if fragment not in pages[target].names:
            yield f"{name}: {address.text}: there is no such place on that page"
