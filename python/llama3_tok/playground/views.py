"""What the page asks for, as functions from JSON to JSON; they know nothing of HTTP.

The tokens go out as the HTML that all pages have (`llama3_tok.page`), in which text is never
markup.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llama3_tok import arguments
from llama3_tok.arguments import SpecialTokens, TextOptions
from llama3_tok.errors import Llama3TokError
from llama3_tok.page.rows import Token, TokenRow, blocks
from llama3_tok.page.texts import chat_tokens, text_tokens
from llama3_tok.page.trees import tree
from llama3_tok.report.llama2 import Llama2
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

__all__ = ["MAX_LLAMA2", "MOST", "Playground"]

MOST = {"few": 250, "usual": 3000, "all": 20_000}
"""Tokens that are sent while one types, when one pauses, and when more are asked for."""
MAX_LLAMA2 = 200_000
"""Bytes of a text up to which Llama 2 is asked as one types; sentencepiece takes 0.1 s for them."""

MAX_STARTS = 64
"""Blocks of which a page says where they begin."""

MAX_EXPLAINED = 100_000
"""Bytes of a piece that is explained: merging them takes 0.1 s."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Playground:
    """The tokenizers that the page offers by their names, and Llama 2's where there is one."""

    tokenizers: "Mapping[str, Tokenizer]"
    llama2: "Llama2 | None" = None
    views: Mapping[str, Callable[[Json], Json]] = field(init=False)

    def __post_init__(self) -> None:
        """The views by the names in their addresses."""
        views = {"tokens": self.tokens, "chat": self.chat, "explain": self.explain}
        object.__setattr__(self, "views", views)

    def about(self) -> Json:
        """What the page offers."""
        return {"tokenizers": list(self.tokenizers), "llama2": self.llama2 is not None}

    def tokens(self, asked: Json) -> Json:
        """The tokens of a text: how many, and the first of them as HTML, in blocks.

        A page that has drawn a text with the same beginning says so (`_Drawn`), and gets only the
        blocks that may differ: `kept` of its own it keeps.
        """
        tokenizer, text = self._tokenizer(asked), _text(asked)
        options = _options(asked)
        encoding = tokenizer.encode_with_offsets(text, **options)
        data, most = text.encode(), _choice(asked, "most", MOST)
        drawn, limit = _Drawn.read(asked, data), MOST[most]
        kept, start, first = 0, 0, 0
        # Of Llama 2's tokens nothing says which ones what follows can change.
        if drawn is not None and self.llama2 is None:
            limit = max(limit, MOST["usual"])
            settled = len(tokenizer.encoder(**options).push(data[: drawn.same]))
            ends = encoding.byte_spans[: min(settled, limit - 1), 1].tolist()
            kept, start, first = drawn.kept(ends, len(data))
            if most == "few":
                limit = min(limit, first + MOST["few"])
        shown = text_tokens(tokenizer, encoding, first, limit)
        count = first + len(shown)
        end = shown[-1].end if count < len(encoding) else len(data)
        rows = [TokenRow("Llama 3", shown)]
        llama2, row = self._beside(data, end)
        if row is not None:
            rows.append(row)
        return {
            "count": len(encoding),
            "shown": count,
            "bytes": len(data),
            "characters": len(text),
            "llama2": llama2,
            "mentions": _mentions(tokenizer, text, options),
            "kept": kept,
            "html": blocks(data[:end], rows, start=start, number=first),
        }

    def explain(self, asked: Json) -> Json:
        """How the pretoken that has a byte of the text became ids."""
        tokenizer, text = self._tokenizer(asked), _text(asked)
        byte = asked.get("byte")
        if type(byte) is not int or not 0 <= byte < len(text.encode()):
            raise Refused("byte must be the place of a byte of the text")
        piece = tokenizer.explain(text, **_options(asked)).at(byte)
        if len(piece.bytes) > MAX_EXPLAINED:
            raise Refused(
                f"the piece has {len(piece.bytes):,} bytes; {MAX_EXPLAINED:,} are explained"
            )
        return {"start": piece.start, "end": piece.end, "html": tree([piece.tree()])}

    def chat(self, asked: Json) -> Json:
        """A conversation: its tokens with structure, content and what is learned told apart."""
        tokenizer = self._tokenizer(asked)
        options: dict[str, Any] = {
            "tools": asked.get("tools") or None,
            "add_generation_prompt": asked.get("prompt") is True,
        }
        messages = asked.get("messages")
        if not isinstance(messages, list):
            raise Refused("messages must be a list")
        try:
            arrays = tokenizer.encode_chat_array(messages, **options, return_mask=True)
            ids, mask = (array.tolist() for array in arrays)
        except Llama3TokError:
            # Not every template tells what is learned; without ids the error is the same.
            ids, mask = tokenizer.encode_chat(messages, **options), None
        shown = None if mask is None else mask[: MOST["all"]]
        data, tokens = chat_tokens(tokenizer, ids[: MOST["all"]], shown)
        rows = [TokenRow("Llama 3", tokens)]
        return {
            "count": len(ids),
            "shown": len(tokens),
            "learned": None if mask is None else sum(mask),
            "bytes": len(data),
            "kept": 0,
            "html": blocks(data, rows),
        }

    def _tokenizer(self, asked: Json) -> "Tokenizer":
        return self.tokenizers[_choice(asked, "tokenizer", self.tokenizers)]

    def _beside(self, data: bytes, end: int) -> tuple[Json | None, TokenRow | None]:
        """What Llama 2 makes of the text, and its tokens up to a place."""
        if self.llama2 is None:
            return None, None
        if len(data) > MAX_LLAMA2:
            return {"count": None, "most": MAX_LLAMA2}, None
        found = self.llama2.row([data])
        triples = zip(found.ids.tolist(), found.starts.tolist(), found.ends.tolist(), strict=True)
        tokens = [
            Token(start, stop, id, self.llama2.piece(id), "fallback" * self.llama2.is_byte(id))
            for id, start, stop in triples
            if stop <= end
        ]
        return {"count": len(found.ids)}, TokenRow("Llama 2", tokens)


@dataclass(frozen=True)
class _Drawn:
    """What a page has drawn of a text that begins as the one that is asked about."""

    same: int
    """How many bytes of both texts are the same."""
    number: int
    """The number of the first block in `starts`."""
    starts: list[int]
    """The bytes where some blocks begin, in order: the last ones in what is the same."""

    @classmethod
    def read(cls, asked: Json, data: bytes) -> "_Drawn | None":
        """What the question says of it; None if it says nothing."""
        drawn = asked.get("drawn")
        if drawn is None:
            return None
        if not isinstance(drawn, dict):
            raise Refused("drawn must be an object")
        starts = drawn.get("starts")
        if not isinstance(starts, list) or len(starts) > MAX_STARTS:
            raise Refused(f"drawn.starts must be a list of at most {MAX_STARTS} places")
        places = [drawn.get("same"), drawn.get("number"), *starts]
        if not all(type(place) is int and 0 <= place <= len(data) for place in places):
            raise Refused("what is drawn must be told by places of the text")
        return cls(places[0], places[1], places[2:])

    def kept(self, ends: list[int], length: int) -> tuple[int, int, int]:
        """How many blocks stay, where the next one begins, and the number of its first token.

        `ends` are where tokens end that nothing which follows can change, in a text of `length`
        bytes.
        """
        for index in range(len(self.starts) - 1, -1, -1):
            start = self.starts[index]
            number = bisect_right(ends, start)
            if 0 < start < length and number and ends[number - 1] == start:
                return self.number + index, start, number
        return 0, 0, 0


def _choice(asked: Json, name: str, known: Iterable[str]) -> str:
    """What is asked for of a few names; the first one if nothing is said."""
    choices = list(known)
    chosen = asked.get(name, choices[0])
    if chosen not in choices:
        raise Refused(f"{name} must be one of {', '.join(choices)}")
    return str(chosen)


def _text(asked: Json) -> str:
    text = asked.get("text")
    if not isinstance(text, str):
        raise Refused("text must be a text")
    # A browser's text may have half of a surrogate pair, which has no UTF-8.
    return arguments.utf8(text, "text").decode()


def _options(asked: Json) -> TextOptions:
    allowed: SpecialTokens = "all" if asked.get("special") is True else ()
    return {"bos": asked.get("bos") is True, "allowed_special": allowed}


def _mentions(tokenizer: "Tokenizer", text: str, options: TextOptions) -> list[str]:
    """The names of special tokens that are plain text here."""
    allowed = options.get("allowed_special", ())
    found = tokenizer.added_spans(text, allowed_special="all")
    plain = set(found) - set(tokenizer.added_spans(text, allowed_special=allowed))
    names = {token.id: token.content for token in tokenizer.added_tokens.values()}
    return sorted({escaped(names[id]) for _, _, id in plain})


class Refused(Llama3TokError):
    """A request that makes no sense; the message says why."""
