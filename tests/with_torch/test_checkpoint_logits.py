"""Converted models compute what Meta's own code computes from the files that they came from."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("fairscale", reason="fairscale is not installed, which Meta's code needs")

import checkpoints  # noqa: E402
from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.torch import convert_checkpoint  # noqa: E402
from llama3_tok.torch.checkpoint.sizes import from_config  # noqa: E402

TOKENS = torch.randint(0, checkpoints.VOCABULARY, (96,), generator=torch.Generator().manual_seed(7))

# Ranks, KV heads, tied, scaled: every number of ranks with every form; 4 and 8 ranks with 2 KV
# heads hold copies of them.
CASES = [
    (ranks, 2, tied, scaled)
    for ranks in (1, 2, 4, 8)
    for tied in (False, True)
    for scaled in (False, True)
] + [(8, 8, False, True), (4, 4, True, False), (2, 4, False, True), (1, 8, False, False)]


def name_of(case):
    ranks, kv_heads, tied, scaled = case
    return f"{ranks}-ranks-{kv_heads}-kv-{'' if tied else 'un'}tied-{'' if scaled else 'un'}scaled"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of Meta's for each case, with the logits that Meta's code gives."""
    folders = {}
    for seed, case in enumerate(CASES):
        ranks, kv_heads, tied, scaled = case
        folder = tmp_path_factory.mktemp(name_of(case))
        checkpoints.make(
            folder, ranks=ranks, kv_heads=kv_heads, tied=tied, scaled=scaled, seed=seed
        )
        if tied and scaled:  # Meta's code has 8 for all models; 3.2 has 32
            (folder / "factor").write_text("32")
        folders[case] = folder
    checkpoints.meta_logits(list(folders.values()), TOKENS.tolist())
    return folders


def logits_of(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    with torch.inference_mode():
        return model(TOKENS[None]).logits[0].numpy()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_logits_are_those_of_metas_code(made, case, tmp_path):
    convert_checkpoint(made[case], tmp_path / "hf")
    expected = np.load(made[case] / "logits.npy")
    assert expected.std() > 0.5
    np.testing.assert_allclose(logits_of(tmp_path / "hf"), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("factor", 16.0), ("rope_type", "default"), ("rope_theta", 400000.0)],
)
def test_the_comparison_would_notice_another_rotary_embedding(made, setting, value, tmp_path):
    case = (1, 2, False, True)
    convert_checkpoint(made[case], tmp_path / "hf")
    path = tmp_path / "hf/config.json"
    config = json.loads(path.read_text())
    for part in ("rope_parameters", "rope_scaling"):
        config[part][setting] = value
    config[setting] = value
    path.write_text(json.dumps(config))
    difference = logits_of(tmp_path / "hf") - np.load(made[case] / "logits.npy")
    assert abs(difference).max() > 3e-4


def test_the_way_back_runs_in_metas_code(made, tmp_path):
    case = (2, 4, False, True)
    convert_checkpoint(made[case], tmp_path / "hf")
    for ranks in (1, 8):
        back = tmp_path / f"back-{ranks}"
        convert_checkpoint(tmp_path / "hf", back, to_meta=True, ranks=ranks)
        checkpoints.meta_logits([back], TOKENS.tolist())
        np.testing.assert_allclose(
            np.load(back / "logits.npy"), np.load(made[case] / "logits.npy"), rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("scaled", [False, True])
def test_config_and_tokenizer_are_those_of_the_release(tmp_path, scaled):
    checkpoints.make(tmp_path / "meta", scaled=scaled, dtype="bfloat16")
    convert_checkpoint(tmp_path / "meta", tmp_path / "hf")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "hf")
    stops = [128001, 128008, 128009] if scaled else [128001, 128009]
    assert config.eos_token_id == stops
    assert config.bos_token_id == 128000
    assert config.pad_token_id == (128004 if scaled else None)
    assert config.max_position_embeddings == (131072 if scaled else 8192)
    expected = {"rope_type": "default", "rope_theta": 500000.0}
    if scaled:
        expected |= {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
    assert config.rope_parameters == expected
    generation = transformers.GenerationConfig.from_pretrained(tmp_path / "hf")
    assert generation.eos_token_id == stops
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    ours = Tokenizer(profile="llama3.1" if scaled else "llama3")
    text = "Viet Nam: Việt, 12345 <|eot_id|>"
    assert tokenizer(text)["input_ids"] == ours.encode(text, bos=True, allowed_special="all")
    # What transformers 4 reads instead says the same.
    values = json.loads((tmp_path / "hf/config.json").read_text())
    assert values["torch_dtype"] == values["dtype"] == "bfloat16"
    assert values["rope_theta"] == 500000.0
    without_theta = {name: value for name, value in expected.items() if name != "rope_theta"}
    assert values["rope_scaling"] == (without_theta if scaled else None)
    for name in ("rope_parameters", "dtype"):
        del values[name]
    assert from_config(values, "").rope_parameters() == expected
