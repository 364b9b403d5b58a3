"""`llama3-tok count --tree`: the tokens of folders and their files, as a tree.

The form is that of repomix's tree of token counts (https://github.com/yamadashy/repomix).
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence

from llama3_tok.cli.terminal import is_terminal, write
from llama3_tok.text.files import Totals
from llama3_tok.text.visible import escaped

__all__ = ["Node", "show", "tree_of"]


class Node:
    """A folder with what is in it, or a file without."""

    __slots__ = ("children", "files", "totals")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.totals = Totals()
        self.files = 0
        """Files in it, or 1."""


def tree_of(rows: list[tuple[str, Totals]], named: Sequence[str] = ()) -> Node:
    """The tree of all files; its root has no name.

    A folder that was named is below the root under the name that it was given, as `du` has it.
    """
    root = Node()
    folders = {os.path.join(name, ""): name for name in named if _parts(name)}
    for path, totals in rows:
        node = root
        _add(node, totals)
        above = max(filter(path.startswith, folders), key=len, default=None)
        parts = _parts(path)
        if above is not None:
            parts = [folders[above].rstrip(os.sep), *_parts(path[len(above) :])]
        for name in parts:
            node = node.children.setdefault(name, Node())
            _add(node, totals)
    return root


def _add(node: Node, totals: Totals) -> None:
    node.files += 1
    node.totals.add(totals)


def _parts(path: str) -> list[str]:
    """The names of a path from its first folder on; that of an absolute one begins at the root."""
    parts = [part for part in path.split(os.sep) if part not in ("", ".")]
    return [os.sep + parts[0], *parts[1:]] if path.startswith(os.sep) and parts else parts


def show(arguments: argparse.Namespace, rows: list[tuple[str, Totals]]) -> None:
    """Prints the tree, or with `--json` one object of it."""
    root, by = tree_of(rows, arguments.paths), arguments.sort
    if arguments.json:
        for piece in _json(root, by):
            write(piece.encode())
        write(b"\n")
        return
    person = is_terminal(sys.stdout)
    for line in _lines(root, by):
        write(os.fsencode(escaped(line) if person else line) + b"\n")
    if not arguments.no_total:
        files = "1 file" if root.files == 1 else f"{root.files:,} files"
        write(f"{_tokens(root)} in {files}\n".encode())


def _lines(root: Node, by: str | None) -> Iterator[str]:
    # Folders may be nested deeper than functions.
    left = [("", *child) for child in reversed(_sorted(root, by))]
    ends = {id(left[0][2])} if left else set()  # the last one of each folder
    while left:
        before, name, node = left.pop()
        is_last = id(node) in ends
        slash = os.sep if node.children else ""
        yield f"{before}{'└── ' if is_last else '├── '}{name}{slash} ({_tokens(node)})"
        before += "    " if is_last else "│   "
        children = [(before, *child) for child in reversed(_sorted(node, by))]
        ends.update(id(child[2]) for child in children[:1])
        left += children


def _sorted(node: Node, by: str | None) -> list[tuple[str, Node]]:
    """What is in a folder, in the order of `--sort`; by name if nothing else is asked for."""
    children = sorted(node.children.items(), key=lambda child: os.fsencode(child[0]))
    if by not in (None, "path"):
        children.sort(key=lambda child: getattr(child[1].totals, by), reverse=True)
    return children


def _tokens(node: Node) -> str:
    tokens = node.totals.tokens
    return "1 token" if tokens == 1 else f"{tokens:,} tokens"


def _json(root: Node, by: str | None) -> Iterator[str]:
    """The tree as JSON, piece by piece: folders may be nested deeper than `json` goes."""
    left: list[str | tuple[str, Node]] = [("", root)]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
            continue
        name, node = item
        sums = {
            "name": name,
            "tokens": node.totals.tokens,
            "bytes": node.totals.bytes,
            "characters": node.totals.characters,
        }
        if not node.children:
            yield json.dumps(sums)
            continue
        opened = json.dumps({**sums, "files": node.files}).removesuffix("}")
        yield f'{opened}, "children": ['
        left.append("]}")
        children = _sorted(node, by)
        for place, child in enumerate(reversed(children), 1):
            left.append(child)
            if place < len(children):
                left.append(", ")
