"""Which token comes next: filters on logits, and draws that no neighbour in a batch can change.

The filters, their order and their conventions are those of transformers' `generate`: repetition
penalty, temperature, top-k, top-p, min-p, each on float32. A sequence draws from a generator of its
own, so a seed gives the same tokens alone and in any batch.
"""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from llama3_tok import arguments
from llama3_tok.lazy import torch

__all__ = ["Sampling", "draw", "filtered", "generators"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen.

    `temperature` 0 takes the likeliest token, and then only `repetition_penalty` has an effect.
    `top_k` keeps that many of the likeliest (and those as likely as the last of them); `top_p` the
    likeliest that together reach that probability; `min_p` those that have at least that share of
    the likeliest's probability. Their defaults keep all. `repetition_penalty` divides positive
    logits of tokens that the prompt or the answer has already, and multiplies negative ones. `seed`
    makes draws repeatable.

    Raises TypeError or ValueError for a number outside its range.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _between("temperature", self.temperature, 0, math.inf)
        _between("top_p", self.top_p, 0, 1)
        _between("min_p", self.min_p, 0, 1)
        _between("repetition_penalty", self.repetition_penalty, 0, math.inf)
        if self.repetition_penalty == 0:
            raise ValueError("repetition_penalty must be more than 0; 1 means no penalty")
        if self.top_k is not None:
            arguments.count(self.top_k, "top_k", 1)
        if self.seed is not None:
            arguments.count(self.seed, "seed", 0)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0


def _between(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not least <= value <= most or not math.isfinite(value):
        limits = f"from {least} to {most}" if math.isfinite(most) else f"at least {least}"
        raise ValueError(f"{name} must be {limits}, not {value}")


def generators(
    sampling: Sampling, count: int, device: "torch.device | str" = "cpu"
) -> "list[torch.Generator]":
    """Generators for `count` samples of one prompt; with a seed, that of sample j is `seed + j`."""
    import torch

    made = []
    for sample in range(count):
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed + sample
        made.append(torch.Generator(device).manual_seed(seed % 2**63))
    return made


def filtered(
    logits: "torch.Tensor", sampling: Sampling, seen: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """Logits to draw from, `float32[batch, ids]`: those of tokens that are out are -inf.

    `seen` is `bool[batch, ids]`: the tokens that each sequence has already; it is needed for a
    repetition penalty.
    """
    import torch

    scores = logits.float()
    if sampling.repetition_penalty != 1 and seen is not None:
        penalty = sampling.repetition_penalty
        scores = torch.where(
            seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores
        )
    if sampling.is_greedy:
        return scores
    scores = scores / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scores.shape[-1]:
        last = scores.topk(sampling.top_k).values[..., -1:]
        scores = scores.masked_fill(scores < last, -math.inf)
    if sampling.top_p < 1:
        ascending, places = scores.sort()
        out = ascending.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        out[..., -1] = False
        scores = scores.masked_fill(out.scatter(-1, places, out), -math.inf)
    if sampling.min_p > 0:
        probabilities = scores.softmax(-1)
        least = sampling.min_p * probabilities.amax(-1, keepdim=True)
        scores = scores.masked_fill(probabilities < least, -math.inf)
    return scores


def draw(
    scores: "torch.Tensor", sampling: Sampling, generators: "Sequence[torch.Generator]"
) -> "torch.Tensor":
    """One id for each row of filtered scores, `int64[batch]`.

    Each id gets a time from the row's generator, exponential with its probability as the rate, and
    the first one is drawn: so each is with its probability. Rounding, which differs with a batch's
    size, then matters only where two are as good as tied; looking one number up among sums of
    probabilities would let the errors of all ids add up.
    """
    import torch

    if sampling.is_greedy:
        return scores.argmax(-1)
    numbers = torch.empty(scores.shape, dtype=torch.float64, device=scores.device)
    for row, generator in zip(numbers, generators, strict=True):
        row.uniform_(generator=generator)
    times = -numbers.log()
    return (scores.double() - times.log()).argmax(-1)
