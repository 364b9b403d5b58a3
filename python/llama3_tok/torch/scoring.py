"""What the tokens of a text are worth to a model: log probabilities, perplexity, bits per byte.

A text that is longer than the context is read in windows. The first window gives all its tokens,
and each after it begins `stride` tokens later and gives those that the one before did not have. So
each token is scored once, and those after the first window with at least `window - stride` tokens
before them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np

from llama3_tok import arguments
from llama3_tok.arguments import Ids, Text
from llama3_tok.chat.messages import Message
from llama3_tok.errors import Llama3TokError
from llama3_tok.lazy import npt
from llama3_tok.torch.generation import filler
from llama3_tok.torch.memory import explained, written
from llama3_tok.torch.runner import Runner

__all__ = ["Mask", "Score", "Window", "score_all", "windows"]

Mask: TypeAlias = "Literal['assistant'] | Iterable[bool | int] | None"

# Rows of 128,256 logits that are in memory at a time: half a megabyte each.
_ROWS = 128


@dataclass(frozen=True, slots=True)
class Score:
    """The tokens of a text but the first, which is BOS, and how likely the model found each.

    `ids` is `uint32[n]`. `logprobs` is `float32[n]`: the natural logarithm of a token's probability
    after all that is before it in its window. `byte_spans` and `char_spans` are `int64[n, 2]`:
    where it stands in the text, as `Encoding` has it; the text of ids or messages is what
    `decode_bytes` gives for all of them. `mask` is `bool[n]`: which tokens count. `bytes` is how
    many bytes of text those have, to which the names of special tokens do not belong.
    """

    ids: "npt.NDArray[np.uint32]"
    logprobs: "npt.NDArray[np.float32]"
    byte_spans: "npt.NDArray[np.int64]"
    char_spans: "npt.NDArray[np.int64]"
    mask: "npt.NDArray[np.bool_]"
    bytes: int

    @property
    def tokens(self) -> int:
        """How many tokens count."""
        return int(self.mask.sum())

    @property
    def total_logprob(self) -> float:
        """The logarithm of the probability of all tokens that count, together."""
        return float(self.logprobs[self.mask].sum(dtype="float64"))

    @property
    def perplexity(self) -> float:
        """`exp` of the mean negative log probability."""
        return _exp(-self.total_logprob / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """The negative logarithm to base 2 of the probability, for each byte of the text.

        Unlike the perplexity it does not depend on how the text is cut into tokens. Infinite if no
        byte counts, as where all tokens are special.
        """
        bits = -self.total_logprob / math.log(2)
        return bits / self.bytes if self.bytes else math.inf

    def __repr__(self) -> str:
        """For people."""
        return f"Score({self.tokens:,} tokens, perplexity {self.perplexity:,.3f})"


def _exp(number: float) -> float:
    try:
        return math.exp(number)
    except OverflowError:
        return math.inf


# Windows


class Window(NamedTuple):
    """A part of a text that the model reads: tokens `begin` to `end`, of which it gives some."""

    begin: int
    first: int
    """The first token that is scored here."""
    end: int


def windows(tokens: int, window: int, stride: int) -> Iterator[Window]:
    """The windows of a text of so many tokens.

    >>> [tuple(each) for each in windows(10, window=6, stride=3)]
    [(0, 1, 6), (3, 6, 9), (6, 9, 10)]
    """
    begin, first, end = 0, 1, min(window, tokens)
    yield Window(begin, first, end)
    while end < tokens:
        begin, first, end = begin + stride, end, min(begin + stride + window, tokens)
        yield Window(begin, first, end)


# Texts


class _Given(NamedTuple):
    """A text to be scored."""

    ids: "npt.NDArray[np.uint32]"
    byte_spans: "npt.NDArray[np.int64]"
    char_spans: "npt.NDArray[np.int64]"
    mask: "npt.NDArray[np.bool_]"
    bytes: int


def score_all(
    model: "Runner",
    prompts: "Sequence[Text | Ids | Sequence[Message]]",
    stride: int | None,
    window: int | None,
    mask: Mask,
    batch_size: int,
) -> list[Score]:
    """`Llama3.score` and `score_batch`, which have the description."""
    context = model.context
    size = context if window is None else arguments.count(window, "window", 2, context)
    step = size - 1 if stride is None else arguments.count(stride, "stride", 1, size - 1)
    batch_size = arguments.count(batch_size, "batch_size", 1)
    texts = [_given(model, prompt, mask) for prompt in prompts]
    for text in texts:
        if stride is None and len(text.ids) > size:
            raise Llama3TokError(
                f"the text has {len(text.ids):,} tokens in all, and the "
                + (f"context of the model is {size:,}" if window is None else f"window {size:,}")
                + f"; pass stride={size // 2} or another to score it in windows, or shorten it "
                "with Tokenizer.truncate"
            )
    logprobs = [np.zeros(len(text.ids) - 1, np.float32) for text in texts]
    parts = [
        (index, part)
        for index, text in enumerate(texts)
        for part in windows(len(text.ids), size, step)
    ]
    # Those of one length together, so that little is padded.
    parts.sort(key=lambda one: one[1].begin - one[1].end)
    for start in range(0, len(parts), batch_size):
        batch = parts[start : start + batch_size]
        found = _read(model, [(texts[index].ids, part) for index, part in batch])
        for (index, part), numbers in zip(batch, found, strict=True):
            logprobs[index][part.first - 1 : part.end - 1] = numbers
    return [
        Score(
            text.ids[1:],
            numbers,
            text.byte_spans[1:],
            text.char_spans[1:],
            text.mask[1:],
            text.bytes,
        )
        for text, numbers in zip(texts, logprobs, strict=True)
    ]


def _read(
    model: "Runner", batch: "list[tuple[npt.NDArray[np.uint32], Window]]"
) -> "list[npt.NDArray[np.float32]]":
    """The log probabilities of the tokens that each window gives."""
    import torch

    network, vocabulary = model.network, model.tokenizer.vocab_size
    longest = max(part.end - part.begin for _, part in batch) - 1
    # Padding is on the right, where no token that counts can see it.
    ids = np.full((len(batch), longest), filler(model.tokenizer), np.int64)
    for row, (given, part) in enumerate(batch):
        ids[row, : part.end - part.begin - 1] = given[part.begin : part.end - 1]
    wanted = np.concatenate([given[part.first : part.end] for given, part in batch])
    targets = torch.from_numpy(wanted.astype(np.int64)).to(model.device)

    def needs() -> str:
        return (
            f"{_ROWS} x {vocabulary:,} logits of float32 need {written(_ROWS * vocabulary * 4)}, "
            f"beside what {len(batch):,} x {longest:,} tokens do; pass a smaller batch_size or "
            "window"
        )

    found = []
    with torch.no_grad(), explained(needs):
        inputs = torch.from_numpy(ids).to(model.device)
        hidden = network.model(input_ids=inputs, use_cache=False).last_hidden_state
        kept = torch.cat(
            [
                hidden[row, part.first - 1 - part.begin : part.end - 1 - part.begin]
                for row, (_, part) in enumerate(batch)
            ]
        )
        # No more logits than needed are in memory.
        for rows, ones in zip(kept.split(_ROWS), targets.split(_ROWS), strict=True):
            logits = network.lm_head(rows)[:, :vocabulary].float()
            found.append(logits.log_softmax(-1).gather(-1, ones[:, None])[:, 0].cpu())
    ends = np.cumsum([part.end - part.first for _, part in batch])[:-1]
    return list(np.split(torch.cat(found).numpy(), ends))


def _given(model: "Runner", prompt: "Text | Ids | Sequence[Message]", mask: Mask) -> _Given:
    """A text, ids or messages, with the tokens that count."""
    tokenizer = model.tokenizer
    if isinstance(prompt, str | bytes):
        encoding = tokenizer.encode_with_offsets(prompt, bos=True)
        if len(encoding) < 2:
            raise ValueError("text must not be empty: no token has no perplexity")
        if mask is not None:
            raise ValueError("mask is for messages and for ids, not for a text")
        counts = np.ones(len(encoding), np.bool_)
        size = int(encoding.byte_spans[-1, 1])
        return _Given(encoding.ids, encoding.byte_spans, encoding.char_spans, counts, size)
    if isinstance(prompt, list | tuple) and prompt and isinstance(prompt[0], Mapping):
        if mask not in (None, "assistant"):
            raise ValueError('mask must be "assistant" or None for messages')
        listed, wrote = tokenizer.encode_chat(prompt, return_mask=True, add_generation_prompt=False)
        return _of_ids(model, listed, wrote.astype(np.bool_) if mask else None)
    if isinstance(prompt, list | tuple) and prompt and isinstance(prompt[0], str | bytes | list):
        raise TypeError("text must be one; several go to score_batch")
    given = tokenizer.checked_ids(cast(Ids, prompt), "text")
    if isinstance(mask, str):
        raise ValueError('mask="assistant" is for messages, and for ids it is one value for each')
    return _of_ids(model, given, None if mask is None else _checked(mask, len(given)))


def _of_ids(model: "Runner", listed: Sequence[int], mask: "npt.NDArray[np.bool_] | None") -> _Given:
    if len(listed) < 2:
        raise ValueError("text must have at least two ids: the first is what the second follows")
    tokenizer = model.tokenizer
    ids = np.array(listed, np.uint32)
    tokens = {id: tokenizer.decode_bytes([id]) for id in set(listed)}
    special = set(tokenizer.special_tokens.values())
    lengths = np.array([len(tokens[id]) for id in listed], np.int64)
    is_text = np.array([id not in special for id in listed], np.bool_)
    ends = lengths.cumsum()
    spans = np.stack((ends - lengths, ends), axis=1)
    counts = np.ones(len(ids), np.bool_) if mask is None else mask
    counts = counts.copy()
    counts[0] = False
    if not counts.any():
        raise ValueError("the mask leaves no token that counts; the first never does")
    data = b"".join(tokens[id] for id in listed)
    size = int(lengths[counts & is_text].sum())
    return _Given(ids, spans, _char_spans(data, spans), counts, size)


def _checked(mask: "Iterable[bool | int]", tokens: int) -> "npt.NDArray[np.bool_]":
    values: Any = mask if hasattr(mask, "__array__") else list(mask)
    array = np.asarray(values)
    if array.shape != (tokens,):
        raise ValueError(f"mask must have {tokens:,} values, one for each id, not {array.shape}")
    if array.dtype != np.bool_ and not (array.dtype.kind in "iu" and np.isin(array, (0, 1)).all()):
        raise TypeError("mask must hold True and False, or 1 and 0")
    return array.astype(np.bool_)


def _char_spans(data: bytes, spans: "npt.NDArray[np.int64]") -> "npt.NDArray[np.int64]":
    """The characters that have the bytes of each span, as `Encoding` counts them."""
    text = data.decode("utf-8", "surrogateescape")
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    is_byte = (codes >= 0xDC80) & (codes < 0xDD00)  # outside UTF-8, and one by itself
    sizes = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    ends = np.where(is_byte, 1, sizes).cumsum()
    begin = np.searchsorted(ends, spans[:, 0], side="right")
    end = np.searchsorted(ends, spans[:, 1] - 1, side="right") + 1
    return np.stack((begin, np.where(spans[:, 0] < spans[:, 1], end, begin)), axis=1)
