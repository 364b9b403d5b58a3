"""`Llama3`: what it generates, beside transformers' `generate`, and how it ends and streams."""

import inspect
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import flags  # noqa: E402
import models  # noqa: E402
from llama3_tok import InvalidTokenId, Llama3TokError, Tokenizer  # noqa: E402
from llama3_tok.torch import Llama3  # noqa: E402

PROMPTS = [
    "Hello",
    "The quick brown fox jumps over the lazy dog, 漢字 and all.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3,
    "",
]
CHAT = [{"role": "user", "content": "Hi <|eot_id|>"}]


@pytest.fixture(scope="module")
def model():
    return models.model()


@pytest.fixture(scope="module", params=models.PROFILES)
def each_profile(request):
    return models.model(profile=request.param)


def greedy_of_transformers(model, ids, new, **options):
    given = torch.tensor([ids])
    out = model.network.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=model.stop_ids,
        pad_token_id=128004,
        **options,
    )
    return out[0, len(ids) :].tolist()


# What is generated


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_greedy_gives_the_ids_of_transformers_generate(attention, dtype):
    model = models.model(attention=attention, dtype=dtype)
    for prompt in PROMPTS:
        ids = model.tokenizer.encode(prompt, bos=True)
        made = model.generate(prompt, max_new_tokens=40)
        assert made.ids == greedy_of_transformers(model, ids, 40)
        assert made.prompt_tokens == len(ids)
        assert made.new_tokens == len(made.ids)
        assert made.finish_reason == "length"


def test_greedy_with_a_penalty_gives_the_ids_of_transformers_generate(model):
    for prompt in PROMPTS:
        ids = model.tokenizer.encode(prompt, bos=True)
        made = model.generate(prompt, max_new_tokens=30, repetition_penalty=5.0)
        assert made.ids == greedy_of_transformers(model, ids, 30, repetition_penalty=5.0)


def test_a_prompt_may_be_text_ids_or_messages(model):
    tokenizer = model.tokenizer
    ids = tokenizer.encode("Hello world", bos=True)
    expected = model.generate("Hello world", max_new_tokens=5).ids
    for same in (b"Hello world", ids, tuple(ids), np.array(ids), torch.tensor(ids)):
        assert model.generate(same, max_new_tokens=5).ids == expected
    chat = tokenizer.encode_chat(CHAT)
    made = model.generate(CHAT, max_new_tokens=5)
    assert made.prompt_tokens == len(chat)
    assert made.ids == model.generate(chat, max_new_tokens=5).ids


def test_text_in_a_prompt_makes_no_special_token(model):
    assert model.generate("<|eot_id|>", max_new_tokens=1).prompt_tokens == 8


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("profile", models.PROFILES)
def test_a_batch_gives_what_its_prompts_give_one_by_one(profile, attention):
    model = models.model(profile=profile, attention=attention)
    many = [*PROMPTS, CHAT, "x"]
    for options in ({}, {"temperature": 1.0, "top_p": 0.95, "seed": 4}):
        batch = model.generate_batch(many, max_new_tokens=12, return_logprobs=True, **options)
        for prompt, made in zip(many, batch, strict=True):
            alone = model.generate(prompt, max_new_tokens=12, return_logprobs=True, **options)
            assert (made.ids, made.text) == (alone.ids, alone.text)
            np.testing.assert_allclose(made.logprobs, alone.logprobs, atol=1e-4)


def test_padded_prompts_have_the_positions_that_they_have_alone(model, monkeypatch):
    """Rotary positions are relative, so no answer would show that they are shifted."""
    forward, seen = model.network.forward, []

    def recorded(**options):
        seen.append((options["attention_mask"].tolist(), options["position_ids"].tolist()))
        return forward(**options)

    monkeypatch.setattr(model.network, "forward", recorded)
    model.generate_batch([[64], [64, 65, 66]], max_new_tokens=3, stop_ids=[])
    assert seen == [
        ([[0, 0, 1], [1, 1, 1]], [[0, 0, 0], [0, 1, 2]]),
        ([[0, 0, 1, 1], [1, 1, 1, 1]], [[1], [3]]),
        ([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], [[2], [4]]),
    ]


def test_the_order_in_a_batch_changes_nothing(model):
    options = {"max_new_tokens": 10, "temperature": 1.5, "seed": 9}
    forward = model.generate_batch(PROMPTS, **options)
    backward = model.generate_batch(PROMPTS[::-1], **options)
    assert [made.ids for made in forward] == [made.ids for made in backward[::-1]]
    assert model.generate_batch([]) == []


def test_sequences_that_end_leave_the_others_as_they_are(model):
    """Each stops somewhere else: the ids that they had without stopping, up to the stop."""
    free = model.generate_batch(PROMPTS, max_new_tokens=12, stop_ids=[])
    stops = [made.ids[place] for made, place in zip(free, (3, 0, 7, 5), strict=True)]
    stopped = model.generate_batch(PROMPTS, max_new_tokens=12, stop_ids=stops)
    ends = set()
    for made, full in zip(stopped, free, strict=True):
        end = next(at for at, id in enumerate(full.ids) if id in stops)
        ends.add(end)
        assert made.ids == full.ids[: end + 1]
        assert made.finish_reason == "stop_id"
    assert len(ends) > 2


def test_n_samples_are_what_their_seeds_give(model):
    options = {"max_new_tokens": 8, "temperature": 1.2}
    samples = model.generate("Hello", n=3, seed=20, **options)
    assert len({tuple(made.ids) for made in samples}) == 3
    for sample, made in enumerate(samples):
        assert made.ids == model.generate("Hello", seed=20 + sample, **options).ids
    assert model.generate("Hello", n=1, **options)[0].new_tokens == 8


def test_a_seed_repeats_and_none_does_not(model):
    options = {"max_new_tokens": 10, "temperature": 1.0}
    first = model.generate("Hello", seed=1, **options).ids
    torch.manual_seed(5)  # the global generator has no part in it
    assert model.generate("Hello", seed=1, **options).ids == first
    assert model.generate("Hello", **options).ids != model.generate("Hello", **options).ids


def test_log_probabilities_are_those_of_the_model_before_temperature(model):
    for options in ({}, {"temperature": 0.5, "top_k": 3, "seed": 1, "repetition_penalty": 1.5}):
        made = model.generate("Hello", max_new_tokens=12, return_logprobs=True, **options)
        ids = torch.tensor([model.tokenizer.encode("Hello", bos=True) + made.ids])
        with torch.no_grad():
            all = model.network(ids).logits[0].log_softmax(-1)
        start = ids.shape[1] - 12
        wanted = [all[start - 1 + at, id].item() for at, id in enumerate(made.ids)]
        np.testing.assert_allclose(made.logprobs, wanted, atol=1e-4)
    assert model.generate("Hello", max_new_tokens=1).logprobs is None


def test_rows_behind_the_tokenizer_are_never_generated():
    network = models.network(vocab_size=models.VOCABULARY + 8)
    with torch.no_grad():
        network.lm_head.weight[models.VOCABULARY :] *= 100
    model = Llama3(network, Tokenizer())
    for options in ({}, {"temperature": 2.0, "seed": 1}):
        made = model.generate_batch(["a", "b c"], max_new_tokens=20, **options)
        assert max(id for each in made for id in each.ids) < models.VOCABULARY


def test_speed_is_that_of_the_clock(model, monkeypatch):
    now = iter([10.0, 12.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    assert model.generate("Hello", max_new_tokens=5).tokens_per_second == 2.0


# How it ends


def said(text, prompt="Hello"):
    """A model that says a text and then ends its turn."""
    tokenizer = Tokenizer()
    script = [*tokenizer.encode(text), tokenizer.eot_id, *tokenizer.encode(" and on and on")]
    return models.scripted(script, prompt)


@pytest.mark.parametrize("text", ["Hi there.", "漢字 😀 क्षि", "", "<|eot_id|> is text"])
def test_a_stop_id_ends_it_and_is_no_text(text):
    model = said(text)
    made = model.generate("Hello")
    assert (made.text, made.finish_reason) == (text, "stop_id")
    assert made.ids == [*model.tokenizer.encode(text), 128009]
    assert made.new_tokens == len(made.ids)


@pytest.mark.parametrize("stop", [128001, 128008, 128009])
def test_every_stop_id_of_the_profile_ends_it(stop):
    made = models.scripted([64, stop, 64], "Hello").generate("Hello")
    assert (made.text, made.ids, made.finish_reason) == ("a", [64, stop], "stop_id")


def test_stop_ids_replace_those_of_the_model():
    model = models.scripted([64, 128009, 65, 66, 67], "Hello")
    assert model.generate("Hello", stop_ids=[66]).ids == [64, 128009, 65, 66]
    assert model.generate("Hello", stop_ids=[], max_new_tokens=5).finish_reason == "length"
    with pytest.raises(InvalidTokenId):
        model.generate("Hello", stop_ids=[128256])
    with pytest.raises(TypeError, match=r"^stop_ids\[0\] must be an integer, not bool"):
        model.generate("Hello", stop_ids=[True])
    with pytest.raises(TypeError, match=r"^prompt\[0\] must be an integer, not bool"):
        model.generate([True])


def splits(text, stop):
    """Where the stop string stands, and how many tokens of the text have a part of it."""
    spans = Tokenizer().encode_with_offsets(text).char_spans
    start = text.index(stop)
    return start, sum(1 for a, b in spans if a < start + len(stop) and b > start)


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("One two three four five", "o three fo"),
        ("Question: 1\nAnswer: 2\nQuestion: 3", "\nQuestion:"),
        ("x = 漢字😀終わり and more", "字😀終"),
        ("The stop is here.", " stop"),
    ],
)
def test_a_stop_string_over_tokens_ends_it_and_no_part_is_given_out(text, stop):
    start, tokens = splits(text, stop)
    model = said(text)
    made = model.generate("Hello", stop=[stop, "never"])
    assert (made.text, made.finish_reason) == (text[:start], "stop_string")
    assert stop in model.tokenizer.decode(made.ids)
    assert stop not in model.tokenizer.decode(made.ids[:-1])
    pieces = list(model.stream("Hello", stop=stop))
    assert "".join(pieces) == text[:start]
    assert tokens > 1 or stop == " stop"  # one token is a stop string, too


def test_what_only_begins_a_stop_string_is_text():
    model = said("one two thr")
    pieces = list(model.stream("Hello", stop="three"))
    assert "".join(pieces) == "one two thr"
    assert model.generate("Hello", stop="three").finish_reason == "stop_id"
    cut = model.generate("Hello", stop=" two three", max_new_tokens=2)
    assert (cut.text, cut.finish_reason) == ("one two", "length")


def test_the_context_ends_it():
    model = models.model(max_position_embeddings=16)
    made = model.generate("a b c d e", max_new_tokens=100)
    assert made.prompt_tokens + made.new_tokens == 16
    with pytest.raises(Llama3TokError, match=r"the prompt has 16 tokens, and the context .* 16"):
        model.generate([64] * 16)
    assert model.generate([64] * 15).new_tokens == 1
    with pytest.raises(Llama3TokError, match="1,000 tokens"):
        model.stream([64] * 1000)


# Streaming


def test_pieces_are_complete_characters_and_together_the_text():
    text = "Hi 漢字 🫠 𝔘 हिन्दी naïve — ok"
    model = said(text)
    tokens = model.tokenizer.encode(text)
    assert any("�" in model.tokenizer.decode([id]) for id in tokens)  # some split characters
    pieces = list(model.stream("Hello"))
    assert "".join(pieces) == text
    assert len(pieces) > 5
    assert all(pieces)
    assert not any("�" in piece for piece in pieces)


def test_a_stream_gives_what_generate_gives(model):
    options = {"max_new_tokens": 30, "temperature": 1.0, "seed": 2}
    stream = model.stream("Hello", **options)
    with pytest.raises(RuntimeError, match="has not ended"):
        _ = stream.generation
    text = "".join(stream)
    made = model.generate("Hello", **options)
    assert text == made.text == stream.generation.text
    assert stream.generation.ids == made.ids
    assert stream.generation.finish_reason == "length"


def test_a_piece_comes_before_the_next_token_is_computed():
    model = said("one two three")
    stream = model.stream("Hello")
    prompt = model.network.prompt_tokens
    assert model.network.forwarded == 0
    assert next(stream) == "one"
    assert model.network.forwarded == prompt
    assert next(stream) == " two"
    assert model.network.forwarded == prompt + 1


@pytest.mark.parametrize("how", ["close", "with", "del"])
def test_a_stream_that_is_left_computes_no_more(how):
    model = said("one two three four")
    stream = model.stream("Hello")
    next(stream)
    before = model.network.forwarded
    if how == "close":
        stream.close()
        assert list(stream) == []
    elif how == "with":
        with stream:
            pass
    if how != "del":
        assert stream.generation.finish_reason == "cancelled"
        assert stream.generation.text == "one"
        assert list(stream) == []
    del stream
    assert model.network.forwarded == before
    assert torch.is_grad_enabled()


def test_nothing_comes_behind_a_close_not_even_what_was_held():
    stream = said("one two three four").stream("Hello", stop=" two four")
    assert next(stream) == "one"
    while len(stream._sequence.ids) < 2:
        next(stream._steps)
    stream.close()
    assert stream.generation.text == "one two"  # " two" may have begun the stop string
    assert list(stream) == []


def test_an_interrupt_between_tokens_reaches_the_caller(monkeypatch):
    model = said("one two three four")
    stream = model.stream("Hello")
    next(stream)
    monkeypatch.setattr(
        model.network, "forward", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert stream.generation.finish_reason == "cancelled"


# Scores


def test_a_score_is_the_log_probability_of_each_token(model):
    text = "The quick brown fox 漢字 jumps. " * 20  # more rows than are computed at a time
    score = model.score(text)
    ids = torch.tensor([[128000, *model.tokenizer.encode(text)]])
    assert len(score.ids) > 128
    with torch.no_grad():
        logprobs = model.network(ids).logits[0, :-1].log_softmax(-1)
    wanted = logprobs.gather(-1, ids[0, 1:, None])[:, 0].numpy()
    np.testing.assert_allclose(score.logprobs, wanted, atol=1e-4)
    loss = model.network(ids, labels=ids).loss.item()
    assert math.isclose(math.log(score.perplexity), loss, rel_tol=1e-4)
    assert score.ids.tolist() == ids[0, 1:].tolist()
    data = text.encode()
    pieces = [data[a:b] for a, b in score.byte_spans]
    assert pieces == [model.tokenizer.token_bytes(id) for id in score.ids.tolist()]
    assert score.char_spans[-1].tolist() == [len(text) - 1, len(text)]


def test_what_has_no_score_is_refused(model):
    with pytest.raises(ValueError, match="text must not be empty"):
        model.score("")
    with pytest.raises(Llama3TokError, match=r"1,001 tokens .* context of the model is 512"):
        model.score(" a" * 1000)


# What is refused


def test_flags_are_python_booleans(model):
    # The arguments that each call needs besides.
    calls = {
        model.chat: (),
        model.generate: ("Hello",),
        model.generate_batch: (["Hello"],),
        model.stream: ("Hello",),
    }
    methods = [
        method
        for name, method in inspect.getmembers(model, inspect.ismethod)
        if not name.startswith("_")
    ]
    assert {method for method in methods if list(flags.of(method))} == set(calls)
    for call, arguments in calls.items():
        flags.refuse_all_else(call, *arguments)


def test_wrong_prompts_and_options_are_refused(model):
    with pytest.raises(TypeError, match="several go to generate_batch"):
        model.generate(["a", "b"])
    with pytest.raises(TypeError, match="several go to generate_batch"):
        model.generate([[64], [65]])
    with pytest.raises(TypeError, match="prompts must be a sequence, not one str"):
        model.generate_batch("Hello")
    with pytest.raises(ValueError, match="at least one id"):
        model.generate([])
    with pytest.raises(InvalidTokenId) as refused:
        model.generate([64, 128256])
    assert (refused.value.id, refused.value.position) == (128256, 1)
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1"):
        model.generate("a", max_new_tokens=0)
    with pytest.raises(ValueError, match="n must be at least 1"):
        model.generate("a", n=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'beams'"):
        model.generate("a", beams=3)
    with pytest.raises(Llama3TokError, match=r"128,000 rows, and the tokenizer 128,256"):
        Llama3(models.network(vocab_size=128000), Tokenizer())


@pytest.mark.parametrize("profile", models.PROFILES)
def test_out_of_memory_says_what_was_needed(profile, monkeypatch):
    model = models.model(profile=profile)

    def forward(**_):
        torch.empty(1 << 60, dtype=torch.uint8)  # what the allocator refuses

    monkeypatch.setattr(model.network, "forward", forward)
    with pytest.raises(MemoryError) as error:
        model.generate_batch(["Hello there", "a"])
    # 2 (keys, values) x 2 layers x 2 heads x 16 wide x 4 bytes, for 2 sequences of 3 tokens
    assert "2 sequences of 3 tokens need 0.0 MiB for keys and values" in str(error.value)
    assert "62.9 MiB of weights" in str(error.value)
    assert "1152921504606846976" in str(error.value.__cause__)
    assert error.value.__cause__.__traceback__ is None  # its frames would keep tensors alive


def test_other_errors_of_torch_stay_what_they_are(model, monkeypatch):
    def forward(**_):
        raise RuntimeError("something else")

    monkeypatch.setattr(model.network, "forward", forward)
    with pytest.raises(RuntimeError, match="something else"):
        model.generate("Hello")


def test_numbers_that_are_none_are_named():
    network = models.network()
    with torch.no_grad():
        network.lm_head.weight[5] = math.nan
    for options in ({}, {"temperature": 1.0}):
        with pytest.raises(Llama3TokError, match=r"not numbers \(NaN\), in torch.float32"):
            Llama3(network, Tokenizer()).generate("Hello", **options)
