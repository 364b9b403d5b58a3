"""Token classification, whose pipeline asks for a fast tokenizer, beside `AutoTokenizer`.

Skipped without torch, which is too large for the extra `test`: `pip install torch` runs them.
"""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.compat.transformers import Llama3Tokenizer  # noqa: E402

TEXTS = ["My name is Wolfgang 😀 in Zürich", ["Hi there", "a longer text here"]]
LONG = "one two three four five six seven eight nine ten eleven"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    Tokenizer().save(folder)
    # A text of the pipeline is cut to the model's length, in windows if it is asked for them.
    return [
        kind.from_pretrained(folder, model_max_length=12)
        for kind in (Llama3Tokenizer, transformers.AutoTokenizer)
    ]


@pytest.fixture(scope="module")
def model():
    """A Llama of a few random weights that tells three kinds of tokens, the same each time."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128256,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=128004,
        num_labels=3,
    )
    return transformers.LlamaForTokenClassification(config).eval()


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words:UserWarning")
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_tokens_are_classified_as_with_auto_tokenizer(both, model, strategy):
    results = []
    for tokenizer in both:
        pipe = transformers.pipeline(
            "token-classification",
            model=model,
            tokenizer=tokenizer,
            aggregation_strategy=strategy,
            ignore_labels=[],
        )
        found = [pipe(text) for text in TEXTS]
        found.append(pipe(["My", "name", "is"], is_split_into_words=True))
        if strategy != "none":
            found.append(pipe(LONG, stride=2))
        results.append(found)
    assert results[0] == results[1]
    ends = [one["end"] for one in results[0][0]]
    assert ends[-1] == len(TEXTS[0])


def test_labels_of_tokens_are_padded_as_with_auto_tokenizer(both):
    results = []
    for tokenizer in both:
        collator = transformers.DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=4)
        features = []
        for words in (["Hello", "wonderful", "world"], ["a"]):
            out = tokenizer(words, is_split_into_words=True)
            labels = [-100 if word is None else word for word in out.word_ids()]
            features.append({**out, "labels": labels})
        results.append({name: value.tolist() for name, value in collator(features).items()})
    assert results[0] == results[1]
    assert results[0]["labels"][1] == [-100, 0] + [-100] * 6


def test_tensors_have_the_places(both):
    outs = [
        tokenizer(
            [LONG, "a"],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=6,
            stride=2,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for tokenizer in both
    ]
    assert list(outs[0]) == list(outs[1])
    for name in outs[1]:
        assert outs[0][name].dtype == outs[1][name].dtype
        assert torch.equal(outs[0][name], outs[1][name])
    assert len(outs[0]["offset_mapping"].shape) == 3
