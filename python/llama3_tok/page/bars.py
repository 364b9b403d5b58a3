"""Bar charts as SVG inside the page: as wide as the window, readable without colours."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from llama3_tok.page.marks import attribute, plain

__all__ = ["Bar", "bars"]

Bar: TypeAlias = tuple[str, float, str] | tuple[str, Mapping[str, float]]
"""A label with a value and a note, or with the values of several series."""

LABEL, THICK, GAP = 20, 14, 12
"""Pixels: the line of a label, a bar, and what is below the bars of one label."""
LONGEST = 74
"""Percent of the width that the longest bar has; its figure stands after it."""


def bars(caption: str, rows: Sequence[Bar], unit: str) -> str:
    """A figure with one group of bars for each row, in the order given."""
    groups = [_values(row) for row in rows]
    series = list(dict.fromkeys(name for _, values, _ in groups for name in values))
    largest = max((value for _, values, _ in groups for value in values.values()), default=0) or 1
    parts, y = [], 0
    for label, values, note in groups:
        aside = f'<tspan class="muted" dx="8">{plain(note)}</tspan>' if note else ""
        parts.append(f'<text x="0" y="{y + 14}">{attribute(label)}{aside}</text>')
        y += LABEL
        for name, value in values.items():
            width = max(value, 0) / largest * LONGEST
            figure = f"{number(value)} {unit}".rstrip()
            parts.append(
                f'<rect class="b{series.index(name)}" y="{y}" height="{THICK - 2}" rx="2" '
                f'width="{width:.2f}%"><title>{attribute(" ".join((label, name, figure)))}</title>'
                f'</rect><text class="muted" x="{width:.2f}%" dx="6" y="{y + 10}">'
                f"{attribute(figure)}</text>"
            )
            y += THICK
        y += GAP
    legend = "".join(
        f'<span><i class="key b{index}"></i>{plain(name)}</span>'
        for index, name in enumerate(series)
        if name
    )
    return (
        f"<figure class=chart><figcaption>{plain(caption)}</figcaption>"
        f"{f'<p class=legend>{legend}</p>' if legend else ''}"
        f'<svg class="bars" width="100%" height="{y}" role="img" '
        f'aria-label="{attribute(f"Bar chart: {caption}")}">{"".join(parts)}</svg></figure>'
    )


def number(value: float) -> str:
    """A figure for people: whole numbers whole, others with three digits that count."""
    if value == int(value) or abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _values(row: Bar) -> tuple[str, Mapping[str, float], str]:
    if len(row) == 3:
        return row[0], {"": row[1]}, row[2]
    return row[0], row[1], ""
