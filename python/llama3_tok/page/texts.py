"""Pages of one text: its tokens, a conversation with what is learned of it, and an explanation."""

from collections.abc import Iterable, Sequence
from itertools import repeat

from llama3_tok.page.marks import text_of
from llama3_tok.page.page import Page
from llama3_tok.page.rows import Token, TokenRow
from llama3_tok.text.encoding import Encoding
from llama3_tok.text.explaining import Explanation
from llama3_tok.tokenizer import Tokenizer

__all__ = ["chat_page", "chat_tokens", "explained_page", "text_page", "text_tokens"]


def text_page(tokenizer: "Tokenizer", encoding: "Encoding", text: bytes) -> str:
    """The tokens of a text."""
    page = Page("Tokens", f"of {len(text):,} bytes")
    page.facts(facts(tokenizer, text, len(encoding)))
    page.tokens("The text", text, [TokenRow("tokens", text_tokens(tokenizer, encoding))])
    return page.html()


def chat_page(tokenizer: "Tokenizer", ids: Sequence[int], mask: Sequence[int] | None) -> str:
    """A conversation as its model reads it: structure, content, and what training learns."""
    page = Page("A conversation", f"as {tokenizer.chat_profile or tokenizer.profile} reads it")
    text, tokens = chat_tokens(tokenizer, ids, mask)
    learned = sum(mask) if mask is not None else None
    page.facts(
        [
            *facts(tokenizer, text, len(ids)),
            ("learned in training", "unknown" if learned is None else f"{learned:,} tokens"),
        ]
    )
    page.note(
        "Special tokens and roles, the structure, are grey and framed. What training learns, the "
        "assistant's part, is underlined."
    )
    page.tokens("The conversation", text, [TokenRow("tokens", tokens)])
    return page.html()


def explained_page(explanation: "Explanation", tokenizer: "Tokenizer", most: int) -> str:
    """How a text becomes ids: a tree for each of at most `most` pieces."""
    page = Page("How a text becomes ids", "what cuts it, and what is merged")
    page.facts(
        [*facts(tokenizer, explanation.text, len(explanation.ids)), ("pieces", len(explanation))]
    )
    page.heading("Pieces")
    page.note(
        "An id is a rank: of two parts that are a token together, the lowest is joined first."
    )
    page.tree([piece.tree() for piece in explanation[:most]])
    if len(explanation) > most:
        page.note(f"and {len(explanation) - most:,} more pieces, which are not shown")
    if explanation.mentions:
        page.heading("Names that are plain text here")
        page.table(
            ["name", "at byte", "id", "what makes it special"],
            [
                (mention.name, mention.start, mention.id, mention.remedy)
                for mention in explanation.mentions[:most]
            ],
        )
    return page.html()


def facts(
    tokenizer: "Tokenizer", text: bytes, count: int
) -> Iterable[tuple[str, str | int | float]]:
    """What a page says of a text as a whole, which has `count` tokens."""
    return (
        ("tokens", count),
        ("bytes", len(text)),
        ("characters", len(text.decode("utf-8", "surrogateescape"))),
        ("bytes per token", f"{len(text) / count:.2f}" if count else "-"),
        ("tokenizer", tokenizer.profile),
    )


def text_tokens(
    tokenizer: "Tokenizer", encoding: "Encoding", start: int = 0, end: int | None = None
) -> list[Token]:
    """Tokens of a text, by their numbers, in their places. BOS and EOS have no bytes of it."""
    added = {token.id for token in tokenizer.added_tokens.values()}
    ids, spans = encoding.ids[start:end].tolist(), encoding.byte_spans[start:end].tolist()
    written = {id: text_of(tokenizer.token_bytes(id)) for id in set(ids)}
    return [
        Token(start, end, id, written[id], "special" if id in added else "")
        for id, (start, end) in zip(ids, spans, strict=True)
    ]


def chat_tokens(
    tokenizer: "Tokenizer", ids: Sequence[int], mask: Sequence[int] | None
) -> tuple[bytes, list[Token]]:
    """The text of a conversation with the names of its special tokens, and its tokens over it.

    Their kinds are "special", "role" for what stands in the header of a message, and "learned"
    where the mask is 1.
    """
    added = {token.id for token in tokenizer.added_tokens.values()}
    specials = tokenizer.special_tokens
    opens, closes = (specials.get(f"<|{side}_header_id|>") for side in ("start", "end"))
    pieces = {id: tokenizer.token_bytes(id) for id in set(ids)}
    tokens: list[Token] = []
    at, in_header = 0, False
    for id, learned in zip(ids, mask or repeat(0, len(ids)), strict=True):
        if id == closes:
            in_header = False
        kinds = [
            word
            for word, holds in (
                ("special", id in added),
                ("role", in_header),
                ("learned", learned),
            )
            if holds
        ]
        if id == opens:
            in_header = True
        end = at + len(pieces[id])
        tokens.append(Token(at, end, id, text_of(pieces[id]), " ".join(kinds)))
        at = end
    return b"".join(pieces[id] for id in ids), tokens
