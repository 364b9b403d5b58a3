"""Padding tokens, batches of chats and types to train in; and a model that learns with them."""

import importlib.util
import math
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import ChatFormatError, Llama3TokError, Tokenizer  # noqa: E402
from llama3_tok.data import encode_chats, pack  # noqa: E402
from llama3_tok.torch import Llama3, add_pad_token, collate, precision  # noqa: E402

CHATS = [
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
    [
        {"role": "system", "content": "Be brief, and say <|eot_id|> never."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Three?"},
        {"role": "assistant", "content": "Four, and more than that."},
    ],
]


# The padding token


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_llama_3_gets_a_row_of_zeros_and_a_mean(dtype, tied):
    tokenizer = Tokenizer(profile="llama3")
    network = models.network(dtype=dtype, tie_word_embeddings=tied)
    embedding, output = network.model.embed_tokens.weight.clone(), network.lm_head.weight.clone()
    assert add_pad_token(network, tokenizer) == 128256
    rows = network.model.embed_tokens.weight
    assert rows.shape == network.lm_head.weight.shape == (128257, 64)
    assert torch.equal(rows[:-1], embedding)
    assert torch.equal(network.lm_head.weight[:-1], output)
    assert not rows[-1].any()
    if not tied:
        mean = output.double().mean(0)
        torch.testing.assert_close(network.lm_head.weight[-1].double(), mean, atol=1e-4, rtol=1e-2)
    assert network.config.vocab_size == 128257
    assert network.config.pad_token_id == network.generation_config.pad_token_id == 128256
    assert network.model.embed_tokens.padding_idx == 128256
    assert network.dtype == dtype
    # Again: nothing is added.
    assert add_pad_token(Llama3(network, tokenizer), tokenizer) == 128256
    assert network.model.embed_tokens.weight.shape[0] == 128257


@pytest.mark.parametrize("profile", ["llama3.1", "llama3.2", "meta"])
def test_later_profiles_use_the_reserved_token_and_resize_nothing(profile):
    network = models.network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert add_pad_token(network, Tokenizer(profile=profile)) == 128004
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert network.config.pad_token_id == 128004
    assert network.model.embed_tokens.padding_idx == 128004


def test_another_reserved_token_may_be_padding():
    network = models.network()
    assert add_pad_token(network, Tokenizer(profile="llama3"), pad_id=128002) == 128002
    assert network.model.embed_tokens.weight.shape[0] == 128256


@pytest.mark.parametrize(
    ("pad_id", "said"),
    [
        (128001, "ends generation"),
        (128009, "ends generation"),
        (128000, "begins a text"),
        (64, "a token of text, 'a'"),
        (-1, "no id is negative"),
        (128300, "would leave rows between: the model has 128,256"),
    ],
)
def test_a_pad_id_with_another_meaning_is_refused(pad_id, said):
    network = models.network()
    with pytest.raises(Llama3TokError, match=said):
        add_pad_token(network, Tokenizer(profile="llama3"), pad_id=pad_id)
    assert network.config.pad_token_id is None


def test_a_pad_id_that_the_model_stops_at_is_refused():
    network = models.network(eos_token_id=[128001, 128004])
    with pytest.raises(Llama3TokError, match=r"pad_id=128004 ends generation in this model"):
        add_pad_token(network, Tokenizer())


def test_a_padded_model_answers_as_before_and_is_read_back(tmp_path):
    tokenizer = Tokenizer(profile="llama3")
    network = models.network()
    before = Llama3(network, tokenizer).generate("Hello", max_new_tokens=10).ids
    add_pad_token(network, tokenizer)
    assert Llama3(network, tokenizer).generate("Hello", max_new_tokens=10).ids == before
    network.save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    again = Llama3.load(tmp_path)
    assert again.generate("Hello", max_new_tokens=10).ids == before
    assert again.network.config.pad_token_id == 128256
    assert add_pad_token(again, again.tokenizer) == 128256
    assert again.network.model.embed_tokens.padding_idx == 128256


# Batches


@pytest.mark.parametrize("profile", ["llama3", "llama3.1"])
def test_labels_are_what_the_assistant_writes(profile):
    tokenizer = Tokenizer(profile=profile)
    pad_id = 128256 if profile == "llama3" else None
    batch = collate(tokenizer, CHATS, pad_id=pad_id)
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    assert len({tensor.shape for tensor in batch.values()}) == 1
    wanted = ["Hello.<|eot_id|>", "Two.<|eot_id|>Four, and more than that.<|eot_id|>"]
    for row, chat in enumerate(CHATS):
        ids = tokenizer.encode_chat(chat, add_generation_prompt=False)
        kept = batch["attention_mask"][row] == 1
        assert batch["input_ids"][row][kept].tolist() == ids
        assert kept.tolist() == [True] * len(ids) + [False] * (len(kept) - len(ids))
        assert set(batch["input_ids"][row][~kept].tolist()) <= {pad_id or 128004}
        learned = batch["labels"][row] != -100
        assert torch.equal(batch["labels"][row][learned], batch["input_ids"][row][learned])
        assert tokenizer.decode(batch["labels"][row][learned]) == wanted[row]


def test_the_loss_of_a_batch_is_that_of_its_learned_tokens():
    tokenizer = Tokenizer()
    network = models.network()
    batch = collate(tokenizer, CHATS)
    with torch.no_grad():
        loss = network(**batch).loss.item()
        parts = []
        for chat in CHATS:  # each alone, without padding
            ids, mask = tokenizer.encode_chat(chat, add_generation_prompt=False, return_mask=True)
            logprobs = network(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            picked = logprobs.gather(-1, torch.tensor(ids)[1:, None])[:, 0]
            parts.append(picked[torch.from_numpy(mask[1:]).bool()])
    assert math.isclose(loss, -torch.cat(parts).mean().item(), rel_tol=1e-4)


def test_a_loader_takes_it_with_tools_and_multiples():
    tokenizer = Tokenizer()
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    chats = [{"messages": CHATS[0], "tools": [tool]}, {"messages": CHATS[1]}]
    make = partial(collate, tokenizer, pad_to_multiple_of=64, date="today")
    (batch,) = torch.utils.data.DataLoader(chats, batch_size=2, collate_fn=make)
    assert batch["input_ids"].shape[1] % 64 == 0
    ids = tokenizer.encode_chat(CHATS[0], tools=[tool], date="today", add_generation_prompt=False)
    assert batch["input_ids"][0, : len(ids)].tolist() == ids


def test_conversations_that_would_train_badly_are_refused():
    tokenizer = Tokenizer()
    with pytest.raises(
        Llama3TokError, match=r"conversations\[1\] has no token .* loss would be NaN"
    ):
        collate(tokenizer, [CHATS[0], CHATS[0][:1]])
    with pytest.raises(ChatFormatError, match="row 1: max_tokens: the conversation has .* than 50"):
        collate(tokenizer, CHATS, max_tokens=50)
    with pytest.raises(
        Llama3TokError, match="all conversations have more than max_tokens=5, so no"
    ):
        collate(tokenizer, CHATS, max_tokens=5, overflow="drop")
    with pytest.raises(TypeError, match=r"collate\(\) has no option 'learn'"):
        collate(tokenizer, [{"messages": CHATS[0], "learn": "all"}])
    with pytest.raises(Llama3TokError, match="no padding token"):
        collate(Tokenizer(profile="llama3"), CHATS)
    with pytest.raises(Llama3TokError, match="ends generation"):
        collate(tokenizer, CHATS, pad_id=tokenizer.eot_id)
    with pytest.raises(ChatFormatError):
        collate(tokenizer, [[{"role": "nobody", "content": ""}]])


def test_a_batch_takes_what_is_learned_and_what_is_too_long():
    tokenizer = Tokenizer()
    question, answer = CHATS[0][:2]
    long = [question, {**answer, "content": "First."}, question, {**answer, "content": "Last."}]
    short = [question, {**answer, "content": "Short."}]
    size = len(tokenizer.encode_chat(short, add_generation_prompt=False))

    def learned(chats, **options):
        batch = collate(tokenizer, chats, **options)
        rows = zip(batch["input_ids"], batch["labels"], strict=True)
        return [tokenizer.decode(ids[labels != -100].tolist()) for ids, labels in rows]

    marked = [long[0], {**long[1], "weight": 0}, *long[2:]]
    assert learned([long]) == ["First.<|eot_id|>Last.<|eot_id|>"]
    assert learned([long, marked], learn="last") == ["Last.<|eot_id|>"] * 2
    assert learned([marked]) == ["Last.<|eot_id|>"]
    whole = tokenizer.render_chat(long, add_generation_prompt=False)
    assert learned([long], learn="all") == [whole]
    given = {"max_tokens": size + 2}
    assert learned([long, short], overflow="drop", **given) == ["Short.<|eot_id|>"]
    assert learned([long, short], overflow="fit", **given) == [
        "Last.<|eot_id|>",
        "Short.<|eot_id|>",
    ]
    cut = learned([long, short], overflow="cut", **given)
    assert cut == ["First.<|eot_id|>", "Short.<|eot_id|>"]
    batch = collate(tokenizer, [long, short], overflow="fit", **given)
    assert batch["input_ids"].shape == (2, size + 2)


def test_a_packed_row_gives_each_sequence_what_it_gives_alone():
    tokenizer, network = Tokenizer(), models.network()
    chats = encode_chats(CHATS, tokenizer=tokenizer)
    packed = pack(chats.ids, 512, strategy="best-fit", labels=chats.labels)
    assert len(packed) == 1
    row = packed[0]
    with torch.no_grad():
        together = network(
            input_ids=torch.from_numpy(row.input_ids.astype("int64"))[None],
            position_ids=torch.from_numpy(row.position_ids)[None],
            use_cache=False,  # with a cache, transformers does not look at where positions begin
        ).logits[0]
        for document, begin in zip(packed.documents, row.cu_seqlens[:-1], strict=True):
            alone = network(torch.from_numpy(chats[document].ids.astype("int64"))[None]).logits[0]
            assert torch.allclose(together[begin : begin + len(alone)], alone, atol=1e-4)


# Types


def test_float16_is_refused_with_the_reason():
    with pytest.raises(Llama3TokError, match=r"65,504.*NaN.*bfloat16"):
        precision(models.network(dtype=torch.float16))


def test_the_largest_of_float16_is_what_the_refusal_says():
    assert torch.finfo(torch.float16).max == 65504
    assert torch.tensor(70000.0).half().isinf()
    assert torch.tensor(70000.0).bfloat16().isfinite()


def test_bfloat16_and_float32_compute_as_they_are_and_with_autocast_in_bfloat16():
    ids = torch.tensor([[128000, 64, 65]])
    for network, options, wanted in (
        (models.network(dtype=torch.bfloat16), {}, torch.bfloat16),
        (models.network(), {}, torch.float32),
        (models.network(), {"autocast": True}, torch.bfloat16),
    ):
        with precision(network, **options):
            assert network(ids).logits.dtype == wanted


def test_flash_attention_gets_autocast_where_weights_are_float32():
    network = models.network()
    ids = torch.tensor([[128000, 64, 65]])
    network.config._attn_implementation = "flash_attention_2"
    context = precision(network)
    with pytest.raises(Llama3TokError, match="flash attention computes in bfloat16 and float16"):
        precision(network, autocast=False)
    network.config._attn_implementation = "sdpa"  # which this machine has
    with context:
        assert network(ids).logits.dtype == torch.bfloat16


def test_padding_gets_no_gradient():
    tokenizer = Tokenizer(profile="llama3")
    network = models.network()
    pad_id = add_pad_token(network, tokenizer)
    network(**collate(tokenizer, CHATS, pad_id=pad_id)).loss.backward()
    gradient = network.model.embed_tokens.weight.grad
    assert not gradient[pad_id].any()
    assert gradient[128009].any()


def load_example(name):
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


def test_the_example_of_many_conversations_trains(capsys, tmp_path):
    example = load_example("chats")
    path = tmp_path / "chats.jsonl"
    example.write(path)
    losses = example.main(path)
    assert all(map(math.isfinite, losses))
    assert losses[0] > 11
    assert sum(losses[-5:]) / 5 < losses[0] / 3
    printed = capsys.readouterr().out
    assert "1 skipped" in printed
    assert "rows of up to 256 tokens" in printed


def test_the_example_trains_without_nan(capsys):
    losses = load_example("finetune").main()
    assert len(losses) == 50
    assert all(map(math.isfinite, losses))
    assert losses[0] > 11  # of 128,256 tokens, all about as likely
    assert sum(losses[-5:]) / 5 < 1.5
    assert "stop_id" in capsys.readouterr().out  # it learned to stop


def test_the_example_of_a_corpus_trains(capsys):
    losses = load_example("corpus").main()
    assert all(map(math.isfinite, losses))
    assert losses[0] > 11
    assert sum(losses[-5:]) / 5 < losses[0] / 2
    assert "400 documents" in capsys.readouterr().out
