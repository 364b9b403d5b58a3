"""Adapters that are merged on wish: what comes of it is what PEFT makes of the model."""

import json
import shutil
import sys
import warnings
from contextlib import nullcontext

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")
peft = pytest.importorskip("peft", reason="peft is not installed: pip install peft")

import models  # noqa: E402
from llama3_tok import CheckpointError, MissingExtra  # noqa: E402
from llama3_tok.torch import convert_checkpoint, plan_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1}
TOKENS = torch.tensor([[128000, 9906, 1917, 5, 7]])
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def base_of(path, dtype=torch.float32, tied=False):
    return models.folder(path, "llama3", dtype, tie_word_embeddings=tied, **SMALL)


def network_of(path):
    return transformers.AutoModelForCausalLM.from_pretrained(path)


def adapter_of(base, path, config=None, **options):
    """A random adapter for a folder's model, and the model that has it, not merged."""
    torch.manual_seed(5)
    if config is None:
        options = {"r": 4, "lora_alpha": 16, "target_modules": ATTENTION} | options
        config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options)
    with warnings.catch_warnings():
        # Of what the newest transformers deprecates, and of a tied model with one of the two.
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(network_of(base), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "modules_to_save" in name:
                weight += torch.randn_like(weight) / 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(path)
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits.float()


def converted(base, place, **options):
    """The model after it was converted to Meta's layout with an adapter, and back."""
    convert_checkpoint(base, place / "meta", to_meta=True, verify=True, **options)
    convert_checkpoint(place / "meta", place / "back")
    return network_of(place / "back")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"target_modules": "all-linear"},
        {"target_modules": [*ATTENTION, "embed_tokens"]},
        {"target_modules": [*ATTENTION, "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"k_proj": 3}},
    ],
    ids=str,
)
@pytest.mark.parametrize("beside", [True, False])
def test_the_converted_model_is_the_base_with_the_adapter(tmp_path, options, beside):
    base = base_of(tmp_path / "hf")
    expected = logits(adapter_of(base, tmp_path / "lora", **options))
    given = tmp_path / "lora"
    if beside:
        shutil.copytree(tmp_path / "lora", base, dirs_exist_ok=True)
        with pytest.raises(CheckpointError, match="pass merge_adapter=True to merge it"):
            convert_checkpoint(base, tmp_path / "meta", to_meta=True)
        given = True
    got = logits(converted(base, tmp_path, merge_adapter=given))
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-4)
    if not beside:
        assert (logits(network_of(base)) - expected).abs().max() > 0.05


@pytest.mark.parametrize("touched", [None, "lm_head", "embed_tokens"])
def test_a_tied_model_stays_tied_unless_the_adapter_changes_one_of_the_two(tmp_path, touched):
    base = base_of(tmp_path / "hf", tied=True)
    targets = [*ATTENTION, touched] if touched else ATTENTION
    made = adapter_of(base, tmp_path / "lora", target_modules=targets)
    warned = pytest.warns(UserWarning, match="changes the embedding or the output layer")
    with warned if touched else nullcontext():
        got = converted(base, tmp_path, merge_adapter=tmp_path / "lora")
    torch.testing.assert_close(logits(got), logits(made), rtol=0, atol=2e-4)
    assert got.config.tie_word_embeddings == (touched is None)
    options = {"to_meta": True, "merge_adapter": tmp_path / "lora"}
    with warned if touched else nullcontext():
        plan = plan_checkpoint(base, tmp_path / "new", **options)
    assert plan.tied == (touched is None)


def test_bits_are_those_of_pefts_own_merging(tmp_path):
    base = base_of(tmp_path / "hf", torch.bfloat16)
    adapter_of(base, tmp_path / "lora")
    network = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = peft.PeftModel.from_pretrained(network, tmp_path / "lora").merge_and_unload()
    got = converted(base, tmp_path, merge_adapter=tmp_path / "lora")
    expected = merged.state_dict()
    assert got.state_dict().keys() == expected.keys()
    for name, tensor in got.state_dict().items():
        assert torch.equal(tensor.view(torch.int16), expected[name].view(torch.int16)), name


def test_a_run_that_was_begun_with_another_adapter_is_not_continued(tmp_path):
    base = base_of(tmp_path / "hf")
    adapter_of(base, tmp_path / "lora")
    options = {"to_meta": True, "merge_adapter": tmp_path / "lora"}
    convert_checkpoint(base, tmp_path / "meta", **options)
    shutil.copytree(tmp_path / "lora", tmp_path / "copy")
    again = convert_checkpoint(
        base, tmp_path / "meta", to_meta=True, merge_adapter=tmp_path / "copy"
    )
    assert again.kept == 1
    (file,) = (tmp_path / "lora").glob("*.safetensors")
    state = {name: tensor * 2 for name, tensor in safetensors.load_file(file).items()}
    safetensors.save_file(state, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match="with another options: adapter was"):
        convert_checkpoint(base, tmp_path / "meta", **options)


def test_a_plan_says_that_all_weights_are_in_memory_and_merges_nothing(tmp_path, monkeypatch):
    base = base_of(tmp_path / "hf")
    adapter_of(base, tmp_path / "lora")
    options = {"to_meta": True, "merge_adapter": tmp_path / "lora"}
    plain = plan_checkpoint(base, tmp_path / "out", to_meta=True)
    monkeypatch.setattr(peft.PeftModel, "from_pretrained", None)
    plan = plan_checkpoint(base, tmp_path / "out", **options)
    assert plan.memory > plain.memory + plan.bytes
    assert plan.files == plain.files


# What is refused


def test_without_peft_the_extra_is_named(tmp_path, monkeypatch):
    base = base_of(tmp_path / "hf")
    adapter_of(base, tmp_path / "lora")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"package peft: pip install 'llama3_tok\[adapters\]'"):
        convert_checkpoint(base, tmp_path / "out", to_meta=True, merge_adapter=tmp_path / "lora")
    assert not (tmp_path / "out").exists()


def test_an_adapter_goes_with_one_direction(tmp_path):
    base = base_of(tmp_path / "hf")
    adapter_of(base, tmp_path / "lora")
    convert_checkpoint(base, tmp_path / "meta", to_meta=True)
    with pytest.raises(CheckpointError, match="merge_adapter is for to_meta=True alone"):
        convert_checkpoint(tmp_path / "meta", tmp_path / "out", merge_adapter=tmp_path / "lora")
    with pytest.raises(TypeError, match="merge_adapter must be a path"):
        convert_checkpoint(base, tmp_path / "out", to_meta=True, merge_adapter=5)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    base = base_of(tmp_path / "hf")
    with pytest.raises(CheckpointError, match="there is no adapter here, whose weights are in"):
        convert_checkpoint(base, tmp_path / "out", to_meta=True, merge_adapter=True)
    adapter_of(base, tmp_path / "lora")
    (file,) = (tmp_path / "lora").glob("*.safetensors")
    file.unlink()
    with pytest.raises(CheckpointError, match="there is no adapter here"):
        convert_checkpoint(base, tmp_path / "out", to_meta=True, merge_adapter=tmp_path / "lora")


def test_an_adapter_that_can_not_be_merged_is_named(tmp_path):
    base = base_of(tmp_path / "hf")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    adapter_of(base, tmp_path / "prompt", config)
    with pytest.raises(CheckpointError, match=r"peft can't merge an adapter \(PROMPT_TUNING\)"):
        convert_checkpoint(base, tmp_path / "out", to_meta=True, merge_adapter=tmp_path / "prompt")
    path = adapter_of(base, tmp_path / "lora") and tmp_path / "lora/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 8}))
    with pytest.raises(CheckpointError, match="peft can't merge a LoRA adapter"):
        convert_checkpoint(base, tmp_path / "out2", to_meta=True, merge_adapter=tmp_path / "lora")


def test_an_adapter_of_another_model_is_refused(tmp_path):
    """PEFT would leave out what has no place, and say nothing."""
    larger = models.folder(tmp_path / "larger", "llama3", **SMALL | {"num_hidden_layers": 2})
    smaller = base_of(tmp_path / "smaller")
    adapter_of(larger, tmp_path / "of-larger")
    adapter_of(smaller, tmp_path / "of-smaller")
    for base, adapter, said in (
        (smaller, "of-larger", "the model has no place for it, .*; 8 are so"),
        (larger, "of-smaller", "the adapter does not have it, .*; 8 are so"),
    ):
        options = {"to_meta": True, "merge_adapter": tmp_path / adapter}
        with pytest.raises(CheckpointError, match=said) as caught:
            convert_checkpoint(base, tmp_path / f"out-{adapter}", **options)
        assert ".layers.1." in caught.value.tensor
