"""Rows of tokens over one text, set in places: stretches at whose ends every row has a boundary.

A place is a column of the page, so what stands in one column is the same bytes, and a place in
which the rows are cut differently is marked. Tokens without bytes of their own, as BOS or the
prefix that SentencePiece puts before a text, stand in the place that begins where they do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from llama3_tok.page.marks import attribute, hexadecimal, marked, plain, text_of

__all__ = ["Place", "Token", "TokenRow", "blocks", "places", "token_rows"]

MAX_TOKENS = 20_000
"""Tokens of each row on a page: more are slow in a browser, and nobody reads them."""
MAX_CHARACTERS, MAX_BYTES = 80, 32
"""What is shown of one token."""
PLACES = 100
"""Places in one block, which a browser lays out only once it comes into sight."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `text[start:end]` in bytes, its id, its text as the tokenizer writes it, its kind.

    `kind` is "" or words such as "special", "fallback" and "differs", which the page shows.
    """

    start: int
    end: int
    id: int
    piece: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """The tokens of one tokenizer, in order."""

    label: str
    tokens: Sequence[Token]


@dataclass(frozen=True, slots=True)
class Place:
    """`text[start:end]` and the tokens of each row in it."""

    start: int
    end: int
    rows: tuple[list[Token], ...]

    @property
    def differs(self) -> bool:
        """Whether the rows are cut differently here, or a token in it is said to differ."""
        if len(self.rows) == 1:
            return any("differs" in token.kind.split() for token in self.rows[0])
        cuts = [[(token.start, token.end) for token in row] for row in self.rows]
        said = any("differs" in token.kind.split() for row in self.rows for token in row)
        return said or any(cut != cuts[0] for cut in cuts[1:])


def places(length: int, rows: Sequence[TokenRow], start: int = 0) -> Iterator[Place]:
    """The places of a text of `length` bytes, from a place on whose tokens are the first given."""
    boundaries = [{token.end for token in row.tokens} for row in rows]
    common = set.intersection(*boundaries) if boundaries else set()
    ends = sorted({end for end in common if start < end < length} | {length})
    at = [0] * len(rows)
    for end in ends:
        found = []
        for index, row in enumerate(rows):
            first = last = at[index]
            while last < len(row.tokens) and (
                end == length or (row.tokens[last].end <= end and row.tokens[last].start < end)
            ):
                last += 1
            found.append(list(row.tokens[first:last]))
            at[index] = last
        yield Place(start, end, tuple(found))
        start = end


def token_rows(
    caption: str, text: bytes, rows: Sequence[TokenRow], notes: Mapping[int, str], number: int
) -> str:
    """The figure: a line of controls, and the places in the order of the text."""
    legend = "".join(
        f'<span><i class="key k{index % 3}"></i>{plain(row.label)}</span>'
        for index, row in enumerate(rows)
    )
    labels = "".join(f"<li>{plain(row.label)}" for row in rows)
    longest = max((len(row.tokens) for row in rows), default=0)
    left_out = (
        f"<p class=muted>Only about the first {MAX_TOKENS:,} of {longest:,} tokens are shown.</p>"
        if longest > MAX_TOKENS
        else ""
    )
    # Tokens of one row are cut as they are.
    several = len(rows) > 1
    differs = '<span><i class="key kd"></i>cut differently</span>' * several
    only = (
        f'<label class="pill"><input type=checkbox class=only id="only-{number}">'
        "only what differs</label>"
    ) * several
    return (
        f"<figure class=tokens><figcaption>{plain(caption)}</figcaption>"
        f"<p class=legend>{legend}{differs}</p>"
        f"<ol class=labels hidden>{labels}</ol>"
        "<p class=controls>"
        f"{only}<label class=search hidden>Find <input type=search class=find-token "
        'placeholder="piece or id"></label>'
        "<output class=found></output></p>"
        f"{_flow(caption, text, rows, notes)}{left_out}</figure>"
    )


def _flow(caption: str, text: bytes, rows: Sequence[TokenRow], notes: Mapping[int, str]) -> str:
    """The places alone, in the order of the text."""
    label = attribute(caption)
    return (
        f'<div class=flow role=group aria-label="{label}" dir=ltr>{blocks(text, rows, notes)}</div>'
    )


def blocks(
    text: bytes,
    rows: Sequence[TokenRow],
    notes: Mapping[int, str] | None = None,
    *,
    start: int = 0,
    number: int = 0,
) -> str:
    """The places in blocks: lines of the text, or parts of long ones.

    With `start`, where a block begins, those from there on: the rows begin with token `number`.
    """
    return "".join(_blocks(text, rows, notes or {}, start, number))


def _blocks(
    text: bytes, rows: Sequence[TokenRow], notes: Mapping[int, str], start: int, number: int
) -> Iterator[str]:
    colours = [count(number) for _ in rows]
    block: list[str] = []
    shown = 0
    for place in places(len(text), rows, start):
        shown += max(map(len, place.rows), default=0)
        if shown > MAX_TOKENS and place.start > start:
            break
        block.append(_place(text, place, notes.get(place.start, ""), colours))
        if len(block) == PLACES or text[place.end - 1 : place.end] == b"\n":
            yield f"<div class=line>{''.join(block)}</div>"
            block = []
    if block:
        yield f"<div class=line>{''.join(block)}</div>"


def _place(text: bytes, place: Place, why: str, colours: list["count[int]"]) -> str:
    said = f' data-why="{attribute(why)}"' if why else ""
    kind = "p d" if place.differs else "p"
    if len(place.rows) == 1 and len(place.rows[0]) == 1:
        # The token is the place: a third of the elements, which a browser draws in half the time.
        return _token(text, place.rows[0][0], next(colours[0]), f"{kind} t", said)
    rows = ""
    for row, colour in zip(place.rows, colours, strict=True):
        tokens = (_token(text, token, next(colour)) for token in row[:MAX_TOKENS])
        rows += f"<span class=r>{''.join(tokens)}</span>"
    return f'<span class="{kind}"{said}>{rows}</span>'


def _token(text: bytes, token: Token, colour: int, kind: str = "t", said: str = "") -> str:
    data = text[token.start : token.end]
    kinds = "".join(f" k-{word}" for word in token.kind.split() if word.isalpha())
    size, seen, shown = _described(data, "" if data else token.piece)
    return (
        f'<span class="{kind} c{colour % 2}{kinds}" data-id={token.id} data-a={token.start} '
        f'data-e={token.end} title="{size} at {token.start:,}{seen}"{said}>{shown}</span>'
    )


@lru_cache(maxsize=1 << 14)
def _described(data: bytes, piece: str) -> tuple[str, str, str]:
    """What is the same of a token wherever it stands. It is kept, for a page that is typed into."""
    size = f"{len(data)} byte{'s' * (len(data) != 1)}"
    return size, f": {hexadecimal(data, MAX_BYTES)}" if data else "", _shown(data, piece)


def _shown(data: bytes, piece: str) -> str:
    """The token's own bytes, or its piece where it has none."""
    head = text_of(data[: 4 * MAX_CHARACTERS])
    if not data:
        return f"<i class=z>{marked(piece[:MAX_CHARACTERS])}</i>"
    if len(head) <= MAX_CHARACTERS and len(data) <= 4 * MAX_CHARACTERS:
        return marked(head)
    return f"{marked(head[:MAX_CHARACTERS])}<i class=z>… {len(data):,} bytes</i>"
