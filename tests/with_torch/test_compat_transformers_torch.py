"""`Llama3Tokenizer` where transformers makes tensors: pipelines, collators, `generate`.

Skipped without torch, which is too large for the extra `test`: `pip install torch` runs them.
"""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok.compat.transformers import (  # noqa: E402
    Llama3Tokenizer,
    register,
    unregister,
)

CHAT = [{"role": "user", "content": "Hi <|eot_id|>"}]


@pytest.fixture(scope="module")
def ours():
    return Llama3Tokenizer()


@pytest.fixture(scope="module")
def model():
    """A Llama of a few random weights, the same each time."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128256,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        bos_token_id=128000,
        eos_token_id=[128001, 128008, 128009],
        pad_token_id=128004,
    )
    return transformers.LlamaForCausalLM(config).eval()


PROMPTS = [
    "Hello world",
    ["Hello", "a b c"],
    [{"role": "user", "content": "Hi"}],
    [[{"role": "user", "content": "Hi"}], [{"role": "user", "content": "What is it?"}]],
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_pipeline_writes_what_it_writes_with_auto_tokenizer(
    ours, theirs, model, prompt, batch_size
):
    results = [
        transformers.pipeline("text-generation", model=model, tokenizer=one)(
            prompt, max_new_tokens=5, do_sample=False, batch_size=batch_size
        )
        for one in (ours, theirs)
    ]
    assert results[0] == results[1]


def test_a_pipeline_of_a_folder_has_this_class_once_it_is_registered(tmp_path):
    folder = str(models.folder(tmp_path))
    register()
    try:
        pipe = transformers.pipeline("text-generation", model=folder)
    finally:
        unregister()
    assert type(pipe.tokenizer) is Llama3Tokenizer
    by_class = transformers.pipeline(
        "text-generation", model=folder, tokenizer=Llama3Tokenizer.from_pretrained(folder)
    )
    for prompt in ("Hello", CHAT):
        results = [one(prompt, max_new_tokens=3, do_sample=False) for one in (pipe, by_class)]
        assert results[0] == results[1]


def test_a_chat_goes_to_generate_as_tensors(ours, model):
    out = ours.apply_chat_template(CHAT, add_generation_prompt=True, return_tensors="pt")
    expected = ours.llama3.encode_chat(CHAT)
    assert out["input_ids"].tolist() == [expected]
    assert out["input_ids"].dtype == torch.int64
    generated = model.generate(**out, max_new_tokens=3, do_sample=False)
    assert generated.shape[1] <= len(expected) + 3
    assert ours.decode(generated[0]).startswith(ours.llama3.render_chat(CHAT))


@pytest.mark.parametrize(
    "collator",
    [
        lambda one: transformers.DataCollatorWithPadding(one),
        lambda one: transformers.DataCollatorWithPadding(one, pad_to_multiple_of=8),
        lambda one: transformers.DataCollatorForLanguageModeling(one, mlm=False),
        lambda one: transformers.DataCollatorForSeq2Seq(one),
    ],
)
def test_collators_give_the_same_tensors(ours, theirs, collator):
    results = []
    for one in (ours, theirs):
        one.padding_side = "right"  # pipelines change it
        features = [dict(one("a b c")), dict(one("a"))]
        for feature in features:
            feature["labels"] = list(feature["input_ids"])
        made = collator(one)
        if not isinstance(made, transformers.DataCollatorForSeq2Seq):
            for feature in features:
                del feature["labels"]
        results.append({name: value.tolist() for name, value in made(features).items()})
    assert results[0] == results[1]
    assert results[0]["input_ids"][1][:3] == [128000, 64, 128004]


def test_a_trainer_trains_with_it(ours, model, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate, which Trainer needs, is not installed")
    texts = ["Hello world", "The quick brown fox", "a", "b c"]
    data = [{"input_ids": ours(text)["input_ids"]} for text in texts]
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=2,
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=data,
        data_collator=transformers.DataCollatorForLanguageModeling(ours, mlm=False),
        processing_class=ours,
    )
    assert trainer.train().training_loss > 0
    trainer.save_model(str(tmp_path / "model"))
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert again("Hello world")["input_ids"] == [128000, 9906, 1917]


def test_masks_are_tensors_with_the_ids(ours):
    chat = [*CHAT, {"role": "assistant", "content": "Hello"}]
    out = ours.apply_chat_template(
        [chat, CHAT], padding=True, return_tensors="pt", return_assistant_tokens_mask=True
    )
    assert out["assistant_masks"].shape == out["input_ids"].shape
    row = out["input_ids"][0][out["assistant_masks"][0] == 1]
    assert ours.decode(row) == "Hello<|eot_id|>"
    assert out["assistant_masks"][1].sum() == 0
