"""The README's chart: an SVG of unseen documents and the same again, readable in dark and light."""

from html import escape

from machines import name_of, names
from report import cell
from result import Results
from run import OURS, Record
from tables import DIFFERS

WIDTH = 760
LABEL = 128
"""Pixels for the names on the left."""
VALUE = 120
"""Pixels for the figures on the right."""
BAR, ROW, TITLE, TOP, BOTTOM = 9, 25, 34, 64, 40

STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
.head { font-size: 16px; font-weight: 600 }
.corpus { font-weight: 600 }
.note, .value { fill: #59636e; font-size: 12px }
.ours { font-weight: 600; fill: #0a5ca8 }
.unseen { fill: #8c959f } .again { fill: #d1d9e0 }
.ours-unseen { fill: #0969da } .ours-again { fill: #80ccff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note, .value { fill: #9198a1 } .ours { fill: #79c0ff }
  .unseen { fill: #7d8590 } .again { fill: #3d444d }
  .ours-unseen { fill: #4493f8 } .ours-again { fill: #1f4e86 }
}
"""


def draw(*results: Results) -> str:
    """The chart as the text of an SVG file: a panel for each text, of each machine in turn."""
    panels = [
        (text if len(results) == 1 else f"{text}: {name}", bars)
        for name, one in zip(names(results), results, strict=True)
        for text in one.corpora
        if (bars := _bars(one, text))
    ]
    values = [
        record["value"] for _, bars in panels for _, pair in bars for record in pair if record
    ]
    scale = (WIDTH - LABEL - VALUE) / max(values, default=1)
    height = TOP + sum(TITLE + ROW * len(bars) for _, bars in panels) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title description">',
        '<title id="title">Encoding speed of Llama 3 tokenizers, one thread</title>',
        f'<desc id="description">{escape(_described(panels))}</desc>',
        f"<style>{STYLE}</style>",
        '<text class="head" x="0" y="20">Text to Llama 3 ids, one thread, MB/s</text>',
        *_legend(),
    ]
    y = TOP
    for text, bars in panels:
        parts.append(f'<text class="corpus" x="0" y="{y + 20}">{escape(text)}</text>')
        y += TITLE
        for name, pair in bars:
            parts += _row(name, pair, y, scale)
            y += ROW
    where = "; ".join(
        f"{name}, {one.stored['date'][:10]}"
        for name, one in zip(map(name_of, results), results, strict=True)
    )
    parts.append(f'<text class="note" x="0" y="{y + 26}">{escape(where + _marks(panels))}</text>')
    return "\n".join([*parts, "</svg>", ""])


Pair = tuple[Record | None, Record | None]
Bars = list[tuple[str, Pair]]


def _bars(results: Results, text: str) -> Bars:
    """Each peer's speed on unseen documents and again, the fastest first."""
    found = []
    for name in results.names:
        pair = results.best("unseen", text, name), results.best("again", text, name)
        if pair[0]:
            found.append((name, pair))
    return sorted(found, key=lambda bar: -(bar[1][0] or {"value": 0})["value"])


def _row(name: str, pair: Pair, y: int, scale: float) -> list[str]:
    ours = "ours" if name == OURS else ""
    parts = [
        f'<text class="{ours}" x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
    ]
    end = LABEL
    for record, kind, top in ((pair[0], "unseen", y), (pair[1], "again", y + BAR + 1)):
        if record:
            width = max(1, round(record["value"] * scale))
            end = max(end, LABEL + width)
            style = f"{ours}-{kind}" if ours else kind
            parts.append(
                f'<rect class="{style}" x="{LABEL}" y="{top}" width="{width}" height="{BAR}"/>'
            )
    figures = escape(" / ".join(cell(record) for record in pair))
    parts.append(f'<text class="value" x="{end + 6}" y="{y + 14}">{figures}</text>')
    return parts


def _legend() -> list[str]:
    return [
        '<rect class="ours-unseen" x="0" y="34" width="12" height="9"/>',
        '<rect class="unseen" x="14" y="34" width="12" height="9"/>',
        '<text class="note" x="32" y="43">unseen documents of 3 KB</text>',
        '<rect class="ours-again" x="220" y="34" width="12" height="9"/>',
        '<rect class="again" x="234" y="34" width="12" height="9"/>',
        '<text class="note" x="252" y="43">the same again</text>',
    ]


def _described(panels: list[tuple[str, Bars]]) -> str:
    """The figures in words."""
    sentences = []
    for text, bars in panels:
        figures = [f"{name} {' / '.join(cell(record) for record in pair)}" for name, pair in bars]
        sentences.append(f"{text}: {', '.join(figures)}.")
    return "MB/s on unseen documents / on the same again. " + " ".join(sentences)


def _marks(panels: list[tuple[str, Bars]]) -> str:
    cells = (cell(record) for _, bars in panels for _, pair in bars for record in pair)
    return f"; {DIFFERS} ids differ from tiktoken's" if any(DIFFERS in c for c in cells) else ""
