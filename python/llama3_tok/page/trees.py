"""Trees as nested lists: how a pretoken became ids."""

from collections.abc import Sequence

from llama3_tok.page.marks import marked, plain, text_of
from llama3_tok.text.explaining import Node

__all__ = ["tree"]

MAX_BYTES = 240
"""What is shown of one piece."""


def tree(nodes: Sequence[Node]) -> str:
    """A list of nodes and of their parts, which are at most some hundred levels deep."""
    items = "".join(
        f"<li>{_line(node)}{tree(node.parts) if node.parts else ''}</li>" for node in nodes
    )
    return f"<ul class=tree>{items}</ul>"


def _line(node: Node) -> str:
    line = f"<code>{_shown(node.piece)}</code> " if node.piece else ""
    if node.middle:
        left, right = node.piece[: node.middle], node.piece[node.middle :]
        line += f"= <code>{_shown(left)}</code> + <code>{_shown(right)}</code> "
    return f"{line}<span>{plain(node.note)}</span>"


def _shown(piece: bytes) -> str:
    more = f"<i class=z>… {len(piece):,} bytes</i>" if len(piece) > MAX_BYTES else ""
    return marked(text_of(piece[:MAX_BYTES])) + more
