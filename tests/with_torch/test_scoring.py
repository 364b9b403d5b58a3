"""Scores in windows: each token once, with the context that was promised, in bounded memory."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import InvalidTokenId, Llama3TokError  # noqa: E402
from llama3_tok.torch.scoring import windows  # noqa: E402

TEXT = "The quick brown fox 漢字 jumps over 12345 lazy dogs, Việt Nam! " * 6
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Wie geht's? 漢字"},
    {"role": "assistant", "content": "Gut, danke."},
    {"role": "user", "content": "And you?"},
    {"role": "assistant", "content": "Fine."},
]


@pytest.fixture(scope="module")
def model():
    return models.model(max_position_embeddings=64)


def one_by_one(model, ids, window, stride):
    """The log probability of each token after the first: a loop over tokens, a forward for each."""
    found = []
    for token in range(1, len(ids)):
        begin = 0
        while token >= begin + window:  # the first window that has the token
            begin += stride
        with torch.no_grad():
            given = torch.tensor([ids[begin:token]])
            logits = model.network(given, logits_to_keep=1).logits[0, -1]
        found.append(logits.float().log_softmax(-1)[ids[token]].item())
    return found


# Windows that divide the text and that do not, up to strides of one and of all but one.
@pytest.mark.parametrize(
    ("tokens", "window", "stride"),
    [
        *((2, 8, 4), (8, 8, 4), (9, 8, 4), (20, 8, 4), (23, 8, 4), (30, 8, 7), (20, 8, 1)),
        *((21, 8, 3), (3, 2, 1), (64, 64, 32), (65, 64, 32), (100, 64, 63), (128, 64, 63)),
    ],
)
def test_a_score_is_that_of_a_loop_over_tokens(model, tokens, window, stride):
    ids = [128000, *model.tokenizer.encode(TEXT * 2)][:tokens]
    assert len(ids) == tokens
    score = model.score(ids, window=window, stride=stride)
    np.testing.assert_allclose(
        score.logprobs, one_by_one(model, ids, window, stride), rtol=0, atol=2e-5
    )
    assert score.ids.tolist() == ids[1:]
    assert score.tokens == tokens - 1
    mean = np.mean(one_by_one(model, ids, window, stride))
    assert math.isclose(score.perplexity, math.exp(-mean), rel_tol=1e-4)


@pytest.mark.parametrize("window", range(2, 9))
def test_windows_give_each_token_once_with_enough_before_it(window):
    for stride in range(1, window):
        for tokens in range(2, 40):
            given = []
            for begin, first, end in windows(tokens, window, stride):
                assert end - begin <= window
                for token in range(first, end):
                    given.append(token)
                    before = token - begin
                    assert before >= (1 if begin == 0 else window - stride)
            assert given == list(range(1, tokens))


def test_a_text_has_bos_spans_and_bits_per_byte(model):
    score = model.score(TEXT, stride=32)
    ids = [128000, *model.tokenizer.encode(TEXT)]
    assert len(ids) > 64
    assert score.ids.tolist() == ids[1:]
    np.testing.assert_allclose(score.logprobs, one_by_one(model, ids, 64, 32), rtol=0, atol=2e-5)
    assert score.bytes == len(TEXT.encode())
    bits = -score.logprobs.astype("float64").sum() / math.log(2)
    assert math.isclose(score.bits_per_byte, bits / score.bytes)
    data = TEXT.encode()
    assert b"".join(data[a:b] for a, b in score.byte_spans) == data
    assert repr(score) == f"Score({len(ids) - 1:,} tokens, perplexity {score.perplexity:,.3f})"


def test_ids_have_the_spans_of_their_text(model):
    encoding = model.tokenizer.encode_with_offsets(TEXT)
    by_text, by_ids = (
        model.score(TEXT, stride=32),
        model.score([128000, *encoding.ids.tolist()], stride=32),
    )
    name = len("<|begin_of_text|>")
    assert by_ids.ids.tolist() == by_text.ids.tolist()
    assert by_ids.logprobs.tolist() == by_text.logprobs.tolist()
    assert (by_ids.byte_spans - name).tolist() == by_text.byte_spans.tolist()
    assert (by_ids.char_spans - name).tolist() == by_text.char_spans.tolist()
    assert by_ids.bytes == by_text.bytes
    # Bytes outside UTF-8 are a character each, as in an `Encoding`.
    for odd in (b"a\xff\xfe b", "漢".encode()[:2], b"\xf0\x9f\x98\x80\xed\xa0\x80x"):
        encoding = model.tokenizer.encode_with_offsets(odd)
        score = model.score([128000, *encoding.ids.tolist()])
        assert (score.char_spans - name).tolist() == encoding.char_spans.tolist(), odd


def test_the_beginning_of_a_text_has_the_same_score_whatever_follows(model):
    ids = [128000, *model.tokenizer.encode(TEXT)]
    whole = model.score(ids, window=16, stride=5)
    for tokens in (17, 22, 40):
        part = model.score(ids[:tokens], window=16, stride=5)
        np.testing.assert_allclose(part.logprobs, whole.logprobs[: tokens - 1], rtol=0, atol=2e-5)


# Conversations


def test_only_what_the_assistant_writes_may_count(model):
    ids, mask = model.tokenizer.encode_chat(CHAT, return_mask=True)
    score = model.score(CHAT, stride=32, mask="assistant")
    wanted = one_by_one(model, ids, 64, 32)
    np.testing.assert_allclose(score.logprobs, wanted, rtol=0, atol=2e-5)
    assert score.mask.tolist() == mask[1:].astype(bool).tolist()
    counted = [number for number, counts in zip(wanted, mask[1:], strict=True) if counts]
    assert score.tokens == len(counted) == mask.sum()
    assert math.isclose(score.perplexity, math.exp(-np.mean(counted)), rel_tol=1e-4)
    # `<|eot_id|>` has to be written, and is not a text.
    assert score.bytes == len(b"Gut, danke." + b"Fine.")
    bits = -sum(counted) / math.log(2)
    assert math.isclose(score.bits_per_byte, bits / score.bytes, rel_tol=1e-4)
    whole = model.score(CHAT, stride=32)
    assert whole.tokens == len(ids) - 1
    assert whole.logprobs.tolist() == score.logprobs.tolist()
    # The same by hand: ids with a mask of their own.
    for given in (mask, mask.tolist(), mask.astype(bool)):
        by_ids = model.score(ids, stride=32, mask=given)
        assert by_ids.mask.tolist() == score.mask.tolist()
        assert by_ids.bytes == score.bytes


def test_a_question_has_no_header_after_it(model):
    asked = CHAT[:2]
    expected = model.tokenizer.encode_chat(asked, add_generation_prompt=False)
    assert model.score(asked).ids.tolist() == expected[1:]
    with pytest.raises(ValueError, match="the mask leaves no token that counts"):
        model.score(asked, mask="assistant")


# Batches and memory


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_a_batch_gives_what_its_texts_give_alone(model, batch_size):
    texts = ["Hi", TEXT, "Hello world", CHAT, [128000, 9906, 1917], TEXT[:100], b"a\xff"]
    scores = model.score_batch(texts, stride=32, batch_size=batch_size)
    for text, score in zip(texts, scores, strict=True):
        alone = model.score(text, stride=32)
        np.testing.assert_allclose(score.logprobs, alone.logprobs, rtol=0, atol=2e-5)
        for name in ("ids", "byte_spans", "char_spans", "mask"):
            assert getattr(score, name).tolist() == getattr(alone, name).tolist()
        assert score.bytes == alone.bytes
    chats = model.score_batch([CHAT, CHAT[:3]], stride=32, mask="assistant", batch_size=batch_size)
    assert [one.bytes for one in chats] == [len("Gut, danke.Fine."), len("Gut, danke.")]
    assert model.score_batch([]) == []


@pytest.mark.parametrize(("batch_size", "window", "stride"), [(1, 16, 8), (3, 16, 5), (4, 64, 32)])
def test_no_more_is_read_at_a_time_than_asked_for(model, monkeypatch, batch_size, window, stride):
    shapes, rows = [], []
    inner, head = model.network.model.forward, model.network.lm_head.forward

    def forward(*, input_ids, **options):
        shapes.append(tuple(input_ids.shape))
        return inner(input_ids=input_ids, **options)

    def logits(hidden):
        rows.append(len(hidden))
        return head(hidden)

    monkeypatch.setattr(model.network.model, "forward", forward)
    monkeypatch.setattr(model.network.lm_head, "forward", logits)
    score = model.score(TEXT * 4, window=window, stride=stride, batch_size=batch_size)
    assert max(batch for batch, _ in shapes) == batch_size
    assert max(length for _, length in shapes) == window - 1
    assert max(rows) <= 128
    assert sum(rows) == score.tokens  # no logits that nobody needs


def test_out_of_memory_says_what_to_change(monkeypatch):
    model = models.model()

    def forward(**_):
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(model.network.model, "forward", forward)
    with pytest.raises(MemoryError, match="pass a smaller batch_size or window"):
        model.score("Hello")


# What is refused


def test_what_can_not_be_scored_is_refused(model):
    with pytest.raises(Llama3TokError, match=r"100 tokens .* 64; pass stride=32 or another"):
        model.score([128000] * 100)
    with pytest.raises(Llama3TokError, match=r"100 tokens .* window 16; pass stride=8"):
        model.score([128000] * 100, window=16)
    for options, said in (
        ({"window": 65}, "window must be at most 64, not 65"),
        ({"window": 1}, "window must be at least 2, not 1"),
        ({"stride": 0}, "stride must be at least 1, not 0"),
        ({"stride": 64}, "stride must be at most 63, not 64"),
        ({"window": 8, "stride": 8}, "stride must be at most 7, not 8"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"mask": "assistant"}, "mask is for messages and for ids, not for a text"),
    ):
        with pytest.raises(ValueError, match=said):
            model.score("Hello", **options)
    with pytest.raises(ValueError, match="text must not be empty"):
        model.score("")
    with pytest.raises(ValueError, match="at least two ids"):
        model.score([128000])
    with pytest.raises(InvalidTokenId):
        model.score([128000, 128256])
    with pytest.raises(TypeError, match="several go to score_batch"):
        model.score(["a", "b"])
    with pytest.raises(TypeError, match="prompts must be a sequence, not one str"):
        model.score_batch("Hello")
    with pytest.raises(ValueError, match="mask must be one of None, 'assistant'"):
        model.score_batch([CHAT], mask="user")
    for mask, error, said in (
        ([True], ValueError, "mask must have 3 values, one for each id"),
        ([0, 1, 2], TypeError, "mask must hold True and False, or 1 and 0"),
        ([0.0, 1.0, 1.0], TypeError, "mask must hold True and False"),
        ([1, 0, 0], ValueError, "the mask leaves no token that counts"),
        ("assistant", ValueError, 'mask="assistant" is for messages'),
    ):
        with pytest.raises(error, match=said):
            model.score([128000, 64, 65], mask=mask)
    with pytest.raises(ValueError, match='mask must be "assistant" or None for messages'):
        model.score(CHAT, mask=[True])


def test_special_tokens_alone_have_no_bytes(model):
    score = model.score([128000, 128009, 128009])
    assert (score.tokens, score.bytes, score.bits_per_byte) == (2, 0, math.inf)
    assert math.isfinite(score.perplexity)
