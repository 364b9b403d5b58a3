"""`generate(..., heal=True)`: the end of a prompt is written again."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.torch import Llama3  # noqa: E402

PROMPTS = ["Hello wor", "see https://exa", "A list:  ", "def f(x):\n    ret", "x"]


@pytest.fixture(scope="module")
def model():
    return Llama3(models.network(), Tokenizer())


def by_hand(model, prompt, steps):
    """The likeliest ids that a look at every token allows, without a cache."""
    tokenizer = model.tokenizer
    kept, continuation = tokenizer.heal(tokenizer.encode(prompt, bos=True))
    rest, ids = continuation.rest, list(kept)
    special = set(tokenizer.special_tokens.values())
    for _ in range(steps):
        with torch.no_grad():
            logits = model.network(torch.tensor([ids])).logits[0, -1, : tokenizer.vocab_size]
        if rest:
            for id in range(tokenizer.vocab_size):
                token = tokenizer.token_bytes(id)
                fits = token.startswith(rest) or rest.startswith(token)
                if id in special or not fits:
                    logits[id] = -torch.inf
        ids.append(int(logits.argmax()))
        rest = rest[len(tokenizer.token_bytes(ids[-1])) :]
    return kept, ids[len(kept) :]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_ids_are_those_of_a_look_at_every_token(model, prompt):
    kept, expected = by_hand(model, prompt, 6)
    made = model.generate(prompt, heal=True, max_new_tokens=6, stop_ids=[], return_logprobs=True)
    assert made.ids == expected
    assert made.prompt_tokens == len(kept)
    written = model.tokenizer.decode([*kept[1:], *made.ids], skip_special=True)
    assert written == prompt + made.text
    # The model's own probabilities, not those among what was allowed.
    with torch.no_grad():
        plain = model.network(torch.tensor([[*kept, *made.ids]])).logits[0].float().log_softmax(-1)
    expected = [float(plain[len(kept) - 1 + at, id]) for at, id in enumerate(made.ids)]
    assert made.logprobs == pytest.approx(expected, abs=1e-4)


def test_batches_samples_and_streams_give_the_same(model):
    options = {"heal": True, "max_new_tokens": 8, "stop_ids": []}
    alone = [model.generate(prompt, **options) for prompt in PROMPTS]
    together = model.generate_batch(PROMPTS, **options)
    assert [one.ids for one in together] == [one.ids for one in alone]
    assert [one.text for one in together] == [one.text for one in alone]
    for prompt, one in zip(PROMPTS, alone, strict=True):
        assert "".join(model.stream(prompt, **options)) == one.text
    drawn = model.generate("Hello wor", n=3, temperature=1.0, seed=5, **options)
    for one in drawn:
        assert model.tokenizer.decode([9906, *one.ids], skip_special=True).startswith("Hello wor")


def test_a_stop_string_is_not_looked_for_in_what_is_written_again(model):
    made = model.generate("Hello wor", heal=True, stop=" wor", max_new_tokens=3, stop_ids=[])
    assert made.finish_reason == "length"


def test_without_healing_nothing_changes(model):
    plain = model.generate("Hello wor", max_new_tokens=4, stop_ids=[])
    assert plain.prompt_tokens == len(model.tokenizer.encode("Hello wor", bos=True))
    assert model.generate("Hello wor", heal=False, max_new_tokens=4, stop_ids=[]).ids == plain.ids
    # An end that is certain has nothing to write again.
    chat = [*model.tokenizer.encode("Hi"), 128009]
    assert (
        model.generate(chat, heal=True, max_new_tokens=4, stop_ids=[]).ids
        == model.generate(chat, max_new_tokens=4, stop_ids=[]).ids
    )
    # The only id of a prompt is kept.
    assert model.generate([9906], heal=True, max_new_tokens=1, stop_ids=[]).prompt_tokens == 1
    with pytest.raises(TypeError, match="heal must be a bool, not int"):
        model.generate("a", heal=1)


def test_a_conversation_may_heal(model):
    chat = model.chat(heal=True, max_new_tokens=4)
    chat.send("One?")
    chat.send("Two?")
    assert len(chat.messages) == 4
