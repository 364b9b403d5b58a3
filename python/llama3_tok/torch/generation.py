"""The loop that generates: prompts in, tokens one by one, each sequence with an end of its own.

The network is transformers' `LlamaForCausalLM`, called with its key-value cache; everything else is
here, since `generate` of transformers stops, streams and draws for a batch as a whole. Prompts of
different lengths are padded on the left, masked, and have the positions that they have alone. A
sequence that has ended leaves the batch.
"""

import inspect
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llama3_tok.errors import Llama3TokError
from llama3_tok.lazy import np, npt, torch
from llama3_tok.text.healing import Continuation
from llama3_tok.text.padding import reserved_id
from llama3_tok.tokenizer import StreamDecoder, Tokenizer
from llama3_tok.torch.memory import cache_bytes, explained, written
from llama3_tok.torch.sampling import Sampling, draw, filtered
from llama3_tok.torch.stopping import StopStrings

__all__ = ["FinishReason", "Generation", "Reader", "Running", "cache_keyword", "run"]

FinishReason: TypeAlias = Literal["stop_id", "stop_string", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What was generated for one prompt.

    `text` has no special tokens and ends before the stop string that was found. `ids` are all that
    the model gave, a stop id or the tokens of a stop string included; `new_tokens` is their number,
    and `prompt_tokens` that of the prompt, of which `cached_tokens` were read before, in an earlier
    turn. `finish_reason` is "stop_id", "stop_string", "length" (`max_new_tokens` or the context) or
    "cancelled". `tokens_per_second` counts new tokens, from the start until this sequence ended,
    with the time for reading the prompt. `logprobs`, if asked for, has the natural logarithm of
    each id's probability as the model gave it, before temperature and filters.
    """

    text: str
    ids: list[int] = field(repr=False)
    finish_reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    tokens_per_second: float
    logprobs: list[float] | None = field(default=None, repr=False)
    cached_tokens: int = 0


class Running:
    """One sequence while it is generated: its ids, its text so far, and whether it has ended."""

    def __init__(
        self,
        prompt: Sequence[int],
        decoder: "StreamDecoder",
        stop_ids: Collection[int],
        stops: StopStrings,
        limit: int,
        generator: "torch.Generator",
        keeps_logprobs: bool,
        rest: "Continuation | None" = None,
    ) -> None:
        self.prompt, self.generator = list(prompt), generator
        self._rest = rest
        # What of the text is still the prompt's; the beginning of a character at its end is not.
        self._repeated = len(rest.rest.decode("utf-8", "ignore")) if rest is not None else 0
        self.ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.cached = 0
        self._decoder, self._stop_ids, self._stops = decoder, stop_ids, stops
        self._limit, self._keeps_logprobs = limit, keeps_logprobs
        self._logprobs: list[float] = []
        self._pieces: list[str] = []
        self._given = 0
        self._start = time.perf_counter()
        self._seconds = 0.0

    def allowed(self) -> "npt.NDArray[np.uint32] | None":
        """The ids that may come next; None if all may."""
        return None if self._rest is None or self._rest.is_done else self._rest.allowed()

    def take(self, id: int, logprob: float) -> None:
        """The next token."""
        self.ids.append(id)
        self._logprobs.append(logprob)
        if self._rest is not None:
            self._rest.push(id)
        if id in self._stop_ids:
            self.finish_reason = "stop_id"
        else:
            text = self._decoder.push(id)
            repeated, self._repeated = self._repeated, max(0, self._repeated - len(text))
            self._pieces.append(self._stops.push(text[repeated:]))
        if self._stops.found is not None:
            self.finish_reason = "stop_string"
        elif self.finish_reason is None and len(self.ids) >= self._limit:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            self._end()

    def cancel(self) -> None:
        """Ends it here, unless it has ended."""
        if self.finish_reason is None:
            self.finish_reason = "cancelled"
            self._end()

    def _end(self) -> None:
        self._pieces.append(self._stops.push(self._decoder.flush()))
        self._pieces.append(self._stops.flush())
        self._seconds = time.perf_counter() - self._start

    def new_text(self) -> str:
        """The text since the last call."""
        pieces = self._pieces[self._given :]
        self._given = len(self._pieces)
        return "".join(pieces)

    def generation(self) -> Generation:
        """What came of it, once it has ended."""
        return Generation(
            text="".join(self._pieces),
            ids=self.ids,
            finish_reason=self.finish_reason or "cancelled",
            prompt_tokens=len(self.prompt),
            new_tokens=len(self.ids),
            tokens_per_second=len(self.ids) / self._seconds if self._seconds else 0.0,
            logprobs=self._logprobs if self._keeps_logprobs else None,
            cached_tokens=self.cached,
        )


class Reader:
    """The network and its key-value cache: ids go in, logits of what comes next come out."""

    def __init__(self, network: Any, tokenizer: "Tokenizer") -> None:  # noqa: ANN401
        from transformers import DynamicCache

        self._network, self._tokenizer = network, tokenizer
        self.cache = DynamicCache(config=network.config)
        self._cache_keyword = cache_keyword(network)
        # Of prompts that were padded: `int64[batch, length]`, and each row's next position.
        self._mask: torch.Tensor | None = None
        self._positions: torch.Tensor | None = None

    @property
    def length(self) -> int:
        """How many tokens, padding included, each row of the cache has."""
        return int(self.cache.get_seq_length())

    def crop(self, length: int) -> None:
        """Forgets what is after the first `length` tokens."""
        self.cache.crop(length - self.length)

    def read(self, prompts: "Sequence[Sequence[int]]", copies: int = 1) -> "torch.Tensor":
        """Reads prompts after what was read, and repeats each: `float[batch * copies, ids]`."""
        import torch

        lengths = [len(prompt) for prompt in prompts]
        if len(set(lengths)) == 1:
            ids = torch.tensor(prompts, device=self._network.device)
        else:
            padded = self._tokenizer.pad(
                prompts, side="left", pad_id=filler(self._tokenizer), return_tensors="pt"
            ).to(self._network.device)
            ids, self._mask = padded.input_ids, padded.attention_mask
            # Padding is masked: that it has the first token's position is of no consequence.
            self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        logits = self._forward(ids)
        if copies > 1:
            self.cache.batch_repeat_interleave(copies)
            logits = logits.repeat_interleave(copies, 0)
            if self._mask is not None and self._positions is not None:
                self._mask = self._mask.repeat_interleave(copies, 0)
                self._positions = self._positions.repeat_interleave(copies, 0)
        return logits

    def step(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Reads one more id of each row, `int64[batch]`."""
        import torch

        if self._mask is not None and self._positions is not None:
            ones = self._mask.new_ones(len(ids), 1)
            self._mask = torch.cat((self._mask, ones), dim=1)
            self._positions = self._positions[:, -1:] + 1
        return self._forward(ids[:, None].to(self._network.device))

    def keep(self, rows: list[int]) -> None:
        """Drops the other rows."""
        import torch

        kept = torch.tensor(rows, device=self._network.device)
        self.cache.batch_select_indices(kept)
        if self._mask is not None and self._positions is not None:
            self._mask, self._positions = self._mask[kept], self._positions[kept]

    def _forward(self, ids: "torch.Tensor") -> "torch.Tensor":
        """The logits after the last id, of the tokenizer's ids alone.

        A network may have more rows, as that of a padding token; they are not tokens of text.
        """
        import torch

        with torch.no_grad(), explained(lambda: self._needs(*ids.shape)):
            out = self._network(
                input_ids=ids,
                attention_mask=self._mask,
                position_ids=self._positions,
                use_cache=True,
                logits_to_keep=1,
                **{self._cache_keyword: self.cache},
            )
        logits: torch.Tensor = out.logits[:, -1, : self._tokenizer.vocab_size]
        return logits

    def _needs(self, batch: int, new: int) -> str:
        network = self._network
        each = cache_bytes(network.config, network.dtype)
        weights = sum(p.numel() * p.element_size() for p in network.parameters())
        tokens = self.length + new
        return (
            f"{batch} sequences of {tokens:,} tokens need {written(batch * tokens * each)} for "
            f"keys and values on {network.device}, beside {written(weights)} of weights and what "
            "computing needs; use fewer or shorter prompts at a time, or fewer max_new_tokens"
        )


def cache_keyword(network: Any) -> Literal["cache", "past_key_values"]:  # noqa: ANN401
    """The keyword under which the network's forward takes its key-value cache.

    transformers 5.24 renamed `past_key_values` to `cache`; from 5.40 on it no longer takes the old
    name. The signature decides and not a guess: a forward drops a keyword that it does not know,
    and would go on without what was read. A wrapper that names neither, as that of `torch.compile`
    or PEFT, hands its keywords to `LlamaForCausalLM`, so that one's signature decides. Raises
    Llama3TokError where it names neither as well.
    """
    from transformers import LlamaForCausalLM

    for forward in (network.forward, LlamaForCausalLM.forward):
        known = inspect.signature(forward).parameters
        if "cache" in known:
            return "cache"
        if "past_key_values" in known:
            return "past_key_values"
    raise Llama3TokError(
        "the network takes its key-value cache neither as `cache` nor as `past_key_values`: the "
        "installed transformers is not one that this version knows"
    )


def filler(tokenizer: "Tokenizer") -> int:
    """An id for masked places, also where the profile has no padding token."""
    if tokenizer.pad_id is not None:
        return tokenizer.pad_id
    # Whatever stands there is masked, so any id will do.
    reserved = reserved_id(tokenizer.definition)
    return 0 if reserved is None else reserved


def run(
    reader: Reader,
    prompts: Sequence[Sequence[int]],
    sequences: Sequence[Running],
    sampling: Sampling,
) -> Iterator[None]:
    """Generates until all sequences have ended; yields when each of them has one token more.

    Each prompt has `len(sequences) / len(prompts)` sequences, one after the other.
    """
    live = list(sequences)
    logits = reader.read(prompts, len(sequences) // len(prompts))
    seen = _seen(live, logits) if sampling.repetition_penalty != 1 else None
    while True:
        ids, logprobs = _next(logits, sampling, seen, live)
        if seen is not None:
            seen.scatter_(1, ids[:, None], True)
        for sequence, id, logprob in zip(live, ids.tolist(), logprobs.tolist(), strict=True):
            sequence.take(id, logprob)
        yield
        rows = [row for row, each in enumerate(live) if each.finish_reason is None]
        if not rows:
            return
        if len(rows) < len(live):
            reader.keep(rows)
            ids, live = ids[rows], [live[row] for row in rows]
            seen = None if seen is None else seen[rows]
        logits = reader.step(ids)


def _next(
    logits: "torch.Tensor",
    sampling: Sampling,
    seen: "torch.Tensor | None",
    live: Sequence[Running],
) -> "tuple[torch.Tensor, torch.Tensor]":
    """The next id of each row, and the logarithm of its probability."""
    import torch

    with torch.no_grad():
        if logits.isnan().any():
            raise Llama3TokError(
                f"the model's logits are not numbers (NaN), in {logits.dtype}: the weights are "
                "damaged, or their products too large for float16, which they aren't for bfloat16"
            )
        scores = filtered(_narrowed(logits, live), sampling, seen)
        ids = draw(scores, sampling, [each.generator for each in live])
        return ids, logits.float().log_softmax(-1).gather(-1, ids[:, None])[:, 0]


def _narrowed(logits: "torch.Tensor", live: Sequence[Running]) -> "torch.Tensor":
    """The logits with those of ids that may not come next at -inf."""
    import torch

    narrowed = logits
    for row, sequence in enumerate(live):
        ids = sequence.allowed()
        if ids is not None:
            if narrowed is logits:
                narrowed = logits.clone()
            kept = torch.tensor(ids.astype("int64"), device=logits.device)
            values = logits[row, kept]
            narrowed[row] = -torch.inf
            narrowed[row, kept] = values
    return narrowed


def _seen(sequences: Sequence[Running], logits: "torch.Tensor") -> "torch.Tensor":
    """Which tokens each sequence's prompt has: `bool[batch, ids]`."""
    import torch

    seen = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    for row, sequence in enumerate(sequences):
        seen[row, torch.tensor(sequence.prompt, device=logits.device)] = True
    return seen
