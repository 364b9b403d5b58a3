"""Filters and draws, beside transformers' own processors and the probabilities themselves."""

import itertools

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

from transformers.generation.logits_process import (  # noqa: E402
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llama3_tok.torch.sampling import Sampling, draw, filtered, generators  # noqa: E402

CHOICES = list(
    itertools.product(
        (0.3, 1.0, 1.7), (None, 1, 40, 200_000), (1.0, 0.9, 0.5, 0.0), (0.0, 0.05, 1.0), (1.0, 1.3)
    )
)


def theirs(sampling):
    """The processors that `generate` makes, in its order."""
    made = [RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty))]
    made.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k is not None:
        made.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        made.append(TopPLogitsWarper(sampling.top_p))
    made.append(MinPLogitsWarper(sampling.min_p))
    return LogitsProcessorList(made)


def test_filters_keep_what_those_of_transformers_keep():
    generator = torch.Generator().manual_seed(1)
    kept = set()
    for case, (temperature, top_k, top_p, min_p, penalty) in enumerate(CHOICES):
        sampling = Sampling(temperature, top_k, top_p, min_p, penalty)
        size = 128256 if case % 24 == 0 else 500
        logits = torch.randn(2, size, generator=generator) * 4
        if case % 3 == 0:
            logits = logits.round()  # ties, at the edges of top-k and top-p too
        prompt = torch.randint(size, (2, 30), generator=generator)
        seen = torch.zeros(2, size, dtype=torch.bool).scatter_(1, prompt, True)
        ours = filtered(logits, sampling, seen)
        expected = theirs(sampling)(prompt, logits.clone())
        assert torch.equal(ours, expected), sampling
        kept.update(ours.isfinite().sum(-1).tolist())
    assert {1, 500, 128256} <= kept


def test_greedy_takes_the_likeliest_after_the_penalty():
    logits = torch.tensor([[2.0, 1.9, -1.0]])
    seen = torch.tensor([[True, False, False]])
    assert draw(filtered(logits, Sampling()), Sampling(), []).tolist() == [0]
    punished = Sampling(repetition_penalty=1.2)
    assert draw(filtered(logits, punished, seen), punished, []).tolist() == [1]


def test_draws_have_the_probabilities():
    """Chi-squared over 20,000 draws; an id that is out is never drawn."""
    wanted = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    scores = wanted.log().expand(20_000, -1).contiguous()
    sampling = Sampling(temperature=1.0)
    one = torch.Generator().manual_seed(7)
    counts = draw(scores, sampling, [one] * 20_000).bincount(minlength=6).double()
    assert counts[wanted == 0].sum() == 0
    expected = 20_000 * wanted[wanted > 0].double()
    assert float(((counts[wanted > 0] - expected) ** 2 / expected).sum()) < 16.3  # p = 0.001, 3 df


def test_a_row_draws_the_same_alone_and_beside_others():
    scores = torch.randn(8, 1000, generator=torch.Generator().manual_seed(3))
    sampling = Sampling(temperature=1.0, seed=11)
    together = draw(scores, sampling, generators(sampling, 8))
    for row in range(8):
        alone = draw(scores[row : row + 1], sampling, [generators(sampling, 8)[row]])
        assert alone.item() == together[row].item()
    assert draw(scores, sampling, generators(sampling, 8)).tolist() == together.tolist()


def test_sample_j_is_drawn_with_seed_plus_j_and_without_a_seed_differently():
    def numbers(sampling, count):
        return [torch.rand(1, generator=each).item() for each in generators(sampling, count)]

    assert numbers(Sampling(1.0, seed=5), 3)[2] == numbers(Sampling(1.0, seed=7), 1)[0]
    assert numbers(Sampling(1.0), 1) != numbers(Sampling(1.0), 1)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"temperature": -1}, ValueError, "temperature must be at least 0, not -1"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"temperature": "1"}, TypeError, "temperature must be a number, not str"),
        ({"top_p": 1.5}, ValueError, "top_p must be from 0 to 1, not 1.5"),
        ({"min_p": -0.1}, ValueError, "min_p"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, not 0"),
        ({"top_k": 1.5}, TypeError, "top_k must be an int"),
        ({"repetition_penalty": 0}, ValueError, "repetition_penalty must be more than 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": True}, TypeError, "seed must be an int"),
    ],
)
def test_numbers_out_of_range_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        Sampling(**options)
