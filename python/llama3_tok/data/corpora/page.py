"""What a corpus has, for people: as text, and as a page."""

from collections.abc import Mapping

from llama3_tok.data.corpora.summary import Summary
from llama3_tok.page import Page

__all__ = ["as_json", "as_page", "as_text"]

_BAR = 40
_NAMES = {
    "skipped": "records with a fault, skipped",
    "left_out": "documents outside the sample",
    "learned": "tokens that are learned",
    "unlearned": "conversations of which nothing is learned",
    "dropped": "conversations that were too long, left out",
    "cut": "conversations that were cut",
    "fitted": "conversations without their oldest turns",
}


def figures(summary: Summary) -> list[tuple[str, str]]:
    """What is counted, with its name."""
    rows = [
        ("documents", f"{summary.documents:,}"),
        ("tokens", f"{summary.tokens:,}"),
        ("shards", f"{summary.shards:,}"),
    ]
    if summary.bytes_per_token is not None:
        rows.insert(2, ("bytes of text", f"{summary.bytes:,}"))
        rows.insert(3, ("bytes per token", f"{summary.bytes_per_token:.2f}"))
    counts = ((_NAMES.get(name, name), f"{count:,}") for name, count in summary.counts.items())
    return [*rows, *counts]


def _histogram(summary: Summary) -> list[tuple[str, int]]:
    """The documents of each length, by the range."""
    lengths = dict(summary.lengths)
    if not lengths:
        return []
    rows, least = [], min(lengths)
    while least <= max(lengths):
        most = max(2 * least - 1, least)
        label = f"{least:,}" if most == least else f"{least:,} to {most:,}"
        rows.append((label, lengths.get(least, 0)))
        least = most + 1
    return rows


def as_text(summary: Summary) -> str:
    """Lines for a terminal or a file."""
    rows = figures(summary)
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}  {value}" for name, value in rows]
    histogram = _histogram(summary)
    if histogram:
        most = max(count for _, count in histogram)
        label = max(len(name) for name, _ in histogram)
        lines += ["", "documents by their tokens"]
        for name, count in histogram:
            bar = "#" * max(round(count / most * _BAR), int(count > 0))
            lines.append(f"{name.rjust(label)}  {bar} {count:,}")
    return "\n".join(lines) + "\n"


def as_json(summary: Summary) -> Mapping[str, object]:
    """For machines."""
    return {
        "folder": summary.folder,
        "format": summary.format,
        "shards": summary.shards,
        "documents": summary.documents,
        "tokens": summary.tokens,
        "bytes": summary.bytes,
        "bytes_per_token": summary.bytes_per_token,
        "lengths": {str(least): count for least, count in summary.lengths.items()},
        "counts": dict(summary.counts),
        "faults": list(summary.faults),
        "is_new": summary.is_new,
    }


def as_page(summary: Summary) -> str:
    """The same as HTML."""
    page = Page(
        "A corpus for Llama 3",
        f"{summary.tokens:,} tokens in {summary.documents:,} documents, for {summary.format}",
    )
    page.heading("What it has")
    page.facts([("folder", summary.folder), *figures(summary)])
    histogram = _histogram(summary)
    if histogram:
        page.heading("Documents by their tokens")
        page.bars("documents", [(name, count, "") for name, count in histogram])
    if summary.faults:
        page.heading("Records with a fault")
        page.table(["record"], [(fault,) for fault in summary.faults])
    return page.html()
