"""How a text becomes ids, step by step: which alternative of the pattern cuts, and what merges.

The places and ids are the core's own, from the same code that encodes; the steps of merging are
those of the rule, which the core's tests compare with encoding.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index as integer
from typing import Any, NamedTuple, SupportsIndex, Unpack

from llama3_tok import _core, arguments
from llama3_tok.arguments import Text, TextOptions
from llama3_tok.lazy import np, npt

__all__ = [
    "ALTERNATIVES",
    "AddedPiece",
    "Alternative",
    "Explanation",
    "Mention",
    "MergeStep",
    "Node",
    "Pretoken",
    "explain",
]


class Alternative(NamedTuple):
    """One of the seven alternatives of the Llama 3 pattern, which are tried in this order."""

    number: int
    pattern: str
    what: str
    """What it matches, in words."""


ALTERNATIVES = (
    Alternative(1, "(?i:'s|'t|'re|'ve|'m|'ll|'d)", "a contraction"),
    Alternative(2, r"[^\r\n\p{L}\p{N}]?\p{L}+", "letters, with one character before them"),
    Alternative(3, r"\p{N}{1,3}", "up to three numbers"),
    Alternative(4, r" ?[^\s\p{L}\p{N}]+[\r\n]*", "symbols, with line ends after them"),
    Alternative(5, r"\s*[\r\n]+", "white space up to its last line end"),
    Alternative(6, r"\s+(?!\S)", "white space; the last before a word is left to the word"),
    Alternative(7, r"\s+", "one white space that the next piece does not take"),
)


class MergeStep(NamedTuple):
    """Two parts of a pretoken are joined: `bytes[start:middle]` and `bytes[middle:end]`."""

    start: int
    middle: int
    end: int
    id: int
    """The token of both. In Meta's vocabulary its id is its rank; the lowest goes first."""


class Node(NamedTuple):
    """A place in the tree that people are shown: some bytes, what is said of them, and parts."""

    piece: bytes
    note: str
    parts: "tuple[Node, ...]" = ()
    middle: int = 0
    """Where the two parts of the piece that were joined meet; 0 for what was not joined."""
    differs: bool = False
    """Whether this is what merging alone would give instead."""


@dataclass(frozen=True, slots=True)
class Pretoken:
    """What the pattern cut out of a text, and how it became ids."""

    bytes: bytes
    start: int
    """Where it begins in the text, in bytes."""
    alternative: Alternative
    """The alternative of the pattern that cut it."""
    ids: tuple[int, ...]
    _core: "_core.Core" = field(repr=False, compare=False)

    @property
    def end(self) -> int:
        """Where it ends in the text, in bytes."""
        return self.start + len(self.bytes)

    @property
    def vocab_first(self) -> bool:
        """Whether it is in the vocabulary as a whole; then nothing is merged."""
        return len(self.ids) == 1

    @property
    def merge_steps(self) -> list[MergeStep]:
        """How merging alone joins its bytes, in order, whether or not that is needed."""
        return [MergeStep(*step) for step in _core.merge_steps(self._core, self.bytes)]

    @property
    def merged_ids(self) -> tuple[int, ...]:
        """What merging alone gives; other ids than `ids` for the 588 that it does not reach."""
        return tuple(_core.merge_batch(self._core, [self.bytes])[0])

    @property
    def differs(self) -> bool:
        """Whether merging alone would give other ids."""
        return self.vocab_first and self.merged_ids != self.ids

    def tree(self, most: int = 200) -> Node:
        """What happened, for people; of more than `most` steps or tokens only the first tokens."""
        cut = f"alternative {self.alternative.number}: {self.alternative.what}"
        if not self.vocab_first:
            note = f"{cut}; as a whole it is not a token, so its bytes are merged"
            return Node(self.bytes, note, self._merged(most))
        whole = Node(self.bytes, f"{self.ids[0]}: as a whole it is a token")
        if not self.differs:
            return Node(self.bytes, cut, (whole,))
        ids = " ".join(map(str, self.merged_ids))
        said = f"merging alone would give {len(self.merged_ids)} tokens instead: {ids}"
        alone = Node(self.bytes, said, self._merged(most), differs=True)
        return Node(self.bytes, cut, (whole, alone))

    def _merged(self, most: int) -> tuple[Node, ...]:
        """The tokens that merging gives; with at most `most` steps, how each was joined."""
        ids = self.merged_ids
        if len(self.bytes) - len(ids) > most:  # each step makes one part of two
            return self._without_steps(ids, most)
        single = {piece: self._core.token_id(piece) for piece in _single_bytes(self.bytes)}
        # What begins at a byte so far: a byte by itself, or what the steps have joined.
        nodes = {
            at: Node(self.bytes[at : at + 1], f"{single[self.bytes[at : at + 1]]}: a single byte")
            for at in range(len(self.bytes))
        }
        for number, step in enumerate(self.merge_steps, 1):
            both = (nodes[step.start], nodes.pop(step.middle))
            # A byte by itself says nothing that the sum does not.
            parts = tuple(node for node in both if len(node.piece) > 1)
            nodes[step.start] = Node(
                self.bytes[step.start : step.end],
                f"{step.id}: step {number}",
                parts,
                step.middle - step.start,
            )
        return _first(list(nodes.values()), len(nodes), most)

    def _without_steps(self, ids: tuple[int, ...], most: int) -> tuple[Node, ...]:
        nodes, at = [], 0
        for id in ids[:most]:
            end = at + len(self._core.decode([id], False))
            nodes.append(Node(self.bytes[at:end], str(id)))
            at = end
        return _first(nodes, len(ids), most)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        value: dict[str, Any] = {
            "kind": "pretoken",
            **_place(self.bytes, self.start),
            "alternative": self.alternative.number,
            "pattern": self.alternative.pattern,
            "ids": list(self.ids),
            "vocab_first": self.vocab_first,
        }
        if not self.vocab_first or self.differs:
            value["merges"] = [step._asdict() for step in self.merge_steps]
        if self.differs:
            value["merging_alone"] = list(self.merged_ids)
        return value


@dataclass(frozen=True, slots=True)
class AddedPiece:
    """A special token, or another that a folder adds: it is looked for before the pattern cuts."""

    bytes: bytes
    """Its place in the text, with the white space that it takes; empty for BOS and EOS."""
    start: int
    id: int
    name: str

    @property
    def end(self) -> int:
        """Where it ends in the text, in bytes."""
        return self.start + len(self.bytes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Its id alone."""
        return (self.id,)

    def tree(self, most: int = 200) -> Node:
        """What happened, for people."""
        how = "found before the text is cut" if self.bytes else "added, as BOS or EOS"
        return Node(self.bytes or self.name.encode(), f"{self.id}: a special or added token, {how}")

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        place = _place(self.bytes, self.start)
        return {"kind": "added", **place, "ids": [self.id], "name": self.name}


@dataclass(frozen=True, slots=True)
class Mention:
    """The name of a special token that is plain text here, since the caller did not allow it."""

    start: int
    end: int
    id: int
    name: str

    @property
    def remedy(self) -> str:
        """What would make it a special token."""
        return f"allowed_special={{{self.name!r}}}"

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"start": self.start, "end": self.end, "id": self.id, "name": self.name}


Piece = Pretoken | AddedPiece


class Explanation(Sequence[Piece]):
    """How a text became ids: its pieces in order, which joined are the text.

    A piece is made when it is asked for, so an explanation of a long text costs little more than
    its ids.
    """

    def __init__(
        self,
        core: "_core.Core",
        text: bytes,
        pieces: "tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]",
        tokens: "tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]",
        mentions: list[Mention],
        ends: tuple[list[int], list[int]],
    ) -> None:
        self._core, self.text, self.mentions = core, text, mentions
        self._piece_ends, self._alternatives = pieces
        self._ids, self._token_ends = tokens
        self._before, self._after = ends

    @property
    def ids(self) -> list[int]:
        """All ids."""
        return [*self._before, *self._ids.tolist(), *self._after]

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._before) + len(self._piece_ends) + len(self._after)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - see Sequence
        """One piece, or with a slice a list of them."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        count, at = len(self), integer(index)
        if not -count <= at < count:
            raise IndexError(f"piece {at} is out of range for {count} pieces")
        at %= count
        if at < len(self._before):
            return self._put(self._before[at], 0)
        at -= len(self._before)
        if at >= len(self._piece_ends):
            return self._put(self._after[at - len(self._piece_ends)], len(self.text))
        return self._of_text(at)

    def at(self, byte: int) -> Piece:
        """The piece that has a byte of the text. Raises IndexError if there is no such byte."""
        if not 0 <= byte < len(self.text):
            raise IndexError(f"byte {byte} is out of range for {len(self.text)} bytes")
        return self._of_text(bisect_right(self._piece_ends, byte))

    def _of_text(self, at: int) -> Piece:
        import numpy as np

        start = int(self._piece_ends[at - 1]) if at else 0
        end = int(self._piece_ends[at])
        first, last = np.searchsorted(self._token_ends, (start, end), side="right")
        ids = tuple(self._ids[first:last].tolist())
        data = self.text[start:end]
        if number := int(self._alternatives[at]):
            return Pretoken(data, start, ALTERNATIVES[number - 1], ids, self._core)
        return AddedPiece(data, start, ids[0], self._name(ids[0]))

    def _put(self, id: int, place: int) -> AddedPiece:
        return AddedPiece(b"", place, id, self._name(id))

    def _name(self, id: int) -> str:
        return self._core.decode([id], False).decode("utf-8", "replace")

    def __repr__(self) -> str:
        """For people."""
        ids, pieces = len(self.ids), len(self)
        return f"Explanation({ids:,} id{'s' * (ids != 1)} of {pieces:,} piece{'s' * (pieces != 1)})"

    def as_json(self) -> dict[str, Any]:
        """As plain data: the pieces in order, and the names that are plain text."""
        return {
            "bytes": len(self.text),
            "ids": self.ids,
            "pieces": [piece.as_json() for piece in self],
            "mentions": [mention.as_json() for mention in self.mentions],
        }


def explain(core: "_core.Core", text: Text, **options: Unpack[TextOptions]) -> Explanation:
    """What `Tokenizer.explain` gives."""
    import numpy as np

    chosen = arguments.chosen(options, "explain")
    data = arguments.utf8(text, "text")
    core.encode(b"", chosen)  # BOS or EOS that are asked for and not there are an error
    names: TextOptions = {}
    for name in ("allowed_special", "disallowed_special"):
        if name in options:
            names[name] = options[name]
    plain = arguments.chosen(names, "explain")
    ids, spans, _ = core.encode_spans(data, plain)
    added = core.added_spans(data, plain)
    ends, alternatives = [], []
    at = 0
    for start, end, _ in [*added, (len(data), len(data), None)]:
        cuts, numbers = _core.pretoken_cuts(data[at:start])
        ends.append(cuts + at)
        alternatives.append(numbers)
        if end > start:
            ends.append(np.array([end], np.int64))
            alternatives.append(np.zeros(1, np.uint8))
        at = end
    roles = core.roles
    before = [roles["bos"]] if chosen is not None and chosen.bos else []
    after = [roles["eos"]] if chosen is not None and chosen.eos else []
    return Explanation(
        core,
        data,
        (np.concatenate(ends), np.concatenate(alternatives)),
        (ids, spans[:, 1]),
        _mentions(core, data, added),
        ([id for id in before if id is not None], [id for id in after if id is not None]),
    )


def _mentions(core: "_core.Core", data: bytes, added: list[tuple[int, int, int]]) -> list[Mention]:
    """The names of special tokens that are plain text."""
    everything = arguments.chosen({"allowed_special": "all"}, "explain")
    found = set(core.added_spans(data, everything)) - set(added)
    names = {token["id"]: token["content"] for token in core.added_tokens}
    return [Mention(start, end, id, names[id]) for start, end, id in sorted(found)]


def _first(nodes: list[Node], count: int, most: int) -> tuple[Node, ...]:
    """The first of `count` nodes, and how many there are besides."""
    if count <= most:
        return tuple(nodes)
    return (*nodes[:most], Node(b"", f"and {count - most:,} more tokens"))


def _single_bytes(data: bytes) -> set[bytes]:
    return {bytes([byte]) for byte in set(data)}


def _place(data: bytes, start: int) -> dict[str, Any]:
    return {
        "start": start,
        "end": start + len(data),
        "text": data.decode("utf-8", "replace"),
        "hex": data.hex(),
    }
