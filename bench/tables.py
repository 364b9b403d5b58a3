"""Markdown tables, and what stands in a cell of one."""

from result import speed
from run import Record

DIFFERS = "\u2260"
"""Marks what comes from wrong ids."""


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown that is aligned for the terminal too; numbers stand right."""
    lines = [header, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [cell.rjust(width) for cell, width in others]
        return "| " + " | ".join([first[0].ljust(first[1]), *aligned]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]) + " |"
    return "\n".join([line(header), rule, *map(line, rows)])


def left_table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown whose cells are words."""
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]
    )


def cell(record: Record | None) -> str:
    """A speed; marked if the ids were wrong, a dash if there is none."""
    if record is None:
        return "-"
    if record["unit"] == "MB/s":
        value = record["value"]
        text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
    else:
        text = speed(record)
    return text + (f" {DIFFERS}" if record["equal"] is False else "")
