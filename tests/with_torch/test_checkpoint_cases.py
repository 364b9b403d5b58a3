"""Folders that are no checkpoint of plain weights are called what they are, with what to do."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

import checkpoints  # noqa: E402
from llama3_tok import CheckpointError, VocabularyError  # noqa: E402
from llama3_tok.torch import Llama3, convert_checkpoint, plan_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"dim": 16, "layers": 1, "heads": 4, "kv_heads": 2, "wide": 64, "dtype": "bfloat16"}
FIELDS = {"multiple_of": 64, "ffn_dim_multiplier": 1.3}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4976698672\n".format(
    "ab" * 32
)
SHARD = "model-00001-of-00001.safetensors"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    checkpoints.make(folder / "meta", ranks=2, fields=FIELDS, **SMALL)
    convert_checkpoint(folder / "meta", folder / "hf")
    (folder / "hf/conversion.json").unlink()
    return folder


@pytest.fixture
def meta(sound, tmp_path):
    return shutil.copytree(sound / "meta", tmp_path / "meta")


@pytest.fixture
def hf(sound, tmp_path):
    return shutil.copytree(sound / "hf", tmp_path / "hf")


def said(call, *arguments, **options):
    with pytest.raises(CheckpointError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert len(message) < 1000
    return message


def refused(folder, to_meta=True):
    """The message for a folder that is converted, which a plan has, too; nothing is written."""
    output = folder.parent / "out"
    message = said(convert_checkpoint, folder, output, to_meta=to_meta)
    assert message == said(plan_checkpoint, folder, output, to_meta=to_meta)
    assert not output.exists()
    return message


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# Adapters


def add_adapter(folder, weights="adapter_model.safetensors", **says):
    folder.mkdir(exist_ok=True)
    says = {"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.1-8B"} | says
    (folder / "adapter_config.json").write_text(json.dumps(says))
    if weights:
        (folder / weights).write_bytes(b"weights")


@pytest.mark.parametrize("weights", ["adapter_model.safetensors", "adapter_model.bin", None])
def test_an_adapter_beside_the_model_is_not_left_out_silently(hf, weights):
    add_adapter(hf, weights)
    message = refused(hf)
    name = weights or "adapter_config.json"
    assert f"a LoRA adapter for meta-llama/Llama-3.1-8B is here ({name})" in message
    assert "pass merge_adapter=True to merge it into the weights" in message
    assert f"move {name} out of the folder" in message
    loading = said(Llama3.load, hf)
    assert f"is here ({name})" in loading
    assert "merge it with PEFT, save the result and load that" in loading


def test_an_adapter_beside_metas_files_is_refused(meta):
    add_adapter(meta)
    message = refused(meta, to_meta=False)
    assert "a LoRA adapter" in message
    assert "an adapter of PEFT goes with the layout of transformers" in message


def test_an_adapter_of_another_kind_is_named(hf):
    add_adapter(hf, peft_type="IA3", base_model_name_or_path=None)
    assert "an adapter (IA3) is here" in refused(hf)


@pytest.mark.parametrize("to_meta", [True, False])
def test_a_folder_with_an_adapter_alone_says_so(tmp_path, to_meta):
    add_adapter(tmp_path / "lora")
    message = refused(tmp_path / "lora", to_meta)
    assert "has a LoRA adapter for meta-llama/Llama-3.1-8B alone, without the model" in message
    assert f"to_meta=True and merge_adapter='{tmp_path / 'lora'}'" in message
    loading = said(Llama3.load, tmp_path / "lora")
    assert "a LoRA adapter for meta-llama/Llama-3.1-8B alone" in loading
    assert "merge it into that with PEFT" in loading


def test_tensors_of_an_adapter_in_the_models_file_are_named(hf):
    state = safetensors.load_file(hf / SHARD)
    state["model.layers.0.self_attn.q_proj.lora_A.weight"] = torch.zeros(2, 16)
    safetensors.save_file(state, hf / SHARD, {"format": "pt"})
    assert "it is of a LoRA adapter" in refused(hf)
    assert "it is of a LoRA adapter" in said(Llama3.load, hf)


# Quantised weights


@pytest.mark.parametrize(
    "says", [{"quant_method": "bitsandbytes", "load_in_4bit": True}, {"quant_method": "fp8"}]
)
def test_plain_weights_that_are_called_quantised_are_a_contradiction(hf, says):
    edit(hf / "config.json", quantization_config=says)
    for message in (refused(hf), said(Llama3.load, hf)):
        assert f"the weights are quantised by '{says['quant_method']}'" in message
        assert "the tensors are all plain bfloat16" in message
        assert "a copy of the folder whose config.json has no quantization_config" in message


@pytest.mark.parametrize("says", [None, {}])
def test_no_quantisation_is_none(hf, says):
    edit(hf / "config.json", quantization_config=says)
    convert_checkpoint(hf, hf.parent / "out", to_meta=True)
    assert Llama3.load(hf).dtype == torch.bfloat16


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.uint8, torch.int32])
def test_packed_weights_are_named(hf, dtype, configured):
    state = safetensors.load_file(hf / SHARD)
    name = "model.layers.0.self_attn.q_proj.weight"
    state[name] = state[name].to(dtype)
    state[name + "_scale"] = torch.ones(1)
    safetensors.save_file(state, hf / SHARD, {"format": "pt"})
    if configured:
        edit(hf / "config.json", quantization_config={"quant_method": "compressed-tensors"})
    for message in (refused(hf), said(Llama3.load, hf)):
        if configured:
            assert "the weights are quantised by 'compressed-tensors'" in message
        else:
            assert name in message
            assert ("FP8" in message) == (dtype == torch.float8_e4m3fn)
            assert "quantised" in message
        assert "take the checkpoint that was quantised" in message


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8, torch.uint8])
def test_packed_weights_in_metas_files_are_named(meta, dtype):
    path = meta / "consolidated.00.pth"
    state = torch.load(path, weights_only=True)
    name = "layers.0.feed_forward.w1.weight"
    state[name] = state[name].to(dtype)
    torch.save(state, path)
    message = refused(meta, to_meta=False)
    assert f"{name}: its type is {str(dtype).removeprefix('torch.')}" in message
    assert "take the checkpoint that was quantised, in bfloat16" in message


@pytest.mark.parametrize(
    ("field", "said_of_it"),
    [
        ({"quantization_args": {"scheme": "int4"}}, "its weights are quantised"),
        ({"lora_args": {"rank": 16, "scale": 2.0}}, "it was trained with LoRA"),
        ({"vision_model": {}, "vision_max_num_chunks": 4}, "it is of a model that reads images"),
        ({"something": 1}, "convert a copy of the folder without it"),
    ],
)
def test_fields_of_other_checkpoints_of_meta_are_explained(meta, field, said_of_it):
    edit(meta / "params.json", **field)
    assert said_of_it in refused(meta, to_meta=False)


# Images


def test_a_vision_model_is_called_one_where_it_can_not_be_run(hf):
    edit(hf / "config.json", model_type="mllama", architectures=["MllamaForConditionalGeneration"])
    message = said(Llama3.load, hf)
    assert (
        "this is a Llama 3.2 Vision model, and llama3_tok.torch runs text models alone" in message
    )
    assert "transformers runs it, as MllamaForConditionalGeneration" in message


def test_the_text_part_of_a_vision_model_is_called_that(hf):
    edit(hf / "config.json", model_type="mllama_text_model")
    for message in (refused(hf), said(Llama3.load, hf)):
        assert "this is the text part of a Llama 3.2 Vision model" in message


def test_another_model_that_reads_images_is_called_that(hf):
    edit(hf / "config.json", model_type="llava", vision_config={})
    for message in (refused(hf), said(Llama3.load, hf)):
        assert "this is a model that reads images, and of those Llama 3.2 Vision alone" in message


# Git LFS


@pytest.mark.parametrize("name", ["consolidated.00.pth", "params.json"])
def test_a_pointer_in_metas_folder_is_named(meta, name):
    (meta / name).write_text(POINTER)
    message = refused(meta, to_meta=False)
    assert message.startswith(f"{meta / name}: this is a Git LFS pointer, not the file itself")
    assert "which has 4,976,698,672 bytes" in message
    assert "git lfs pull" in message
    assert "torch.save" not in message


@pytest.mark.parametrize("name", [SHARD, "config.json", "model.safetensors.index.json"])
def test_a_pointer_in_a_folder_of_transformers_is_named(hf, name):
    (hf / name).write_text(POINTER)
    for message in (refused(hf), said(Llama3.load, hf)):
        assert message.startswith(f"{hf / name}: this is a Git LFS pointer")


def test_a_pointer_in_place_of_torchs_file_is_named(hf):
    (hf / SHARD).unlink()
    (hf / "model.safetensors.index.json").unlink()
    (hf / "pytorch_model.bin").write_text(POINTER)
    for message in (refused(hf), said(Llama3.load, hf)):
        assert message.startswith(f"{hf / 'pytorch_model.bin'}: this is a Git LFS pointer")


def test_a_pointer_in_place_of_an_adapter_is_named(hf):
    add_adapter(hf)
    (hf / "adapter_model.safetensors").write_text(POINTER)
    assert "adapter_model.safetensors: this is a Git LFS pointer" in refused(hf)


def test_a_pointer_in_place_of_the_tokenizer_is_named(meta):
    (meta / "tokenizer.model").write_text(POINTER)
    with pytest.raises(VocabularyError, match="this is a Git LFS pointer"):
        convert_checkpoint(meta, meta.parent / "out")


def test_no_advice_overwrites_the_only_copy(meta):
    path = meta / "consolidated.00.pth"
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    message = refused(meta, to_meta=False)
    assert (
        "torch.save(torch.load(file), new_file), and keep it until the new one is read" in message
    )


# Places


def test_metas_files_below_the_folder_are_found(hf, sound):
    shutil.copytree(sound / "meta", hf / "original")
    assert "to_meta=True converts it to Meta's" in refused(hf, to_meta=False)
    for name in (SHARD, "model.safetensors.index.json"):
        (hf / name).unlink()
    message = refused(hf, to_meta=False)
    assert f"Meta's files are in {hf / 'original'}: give that folder" in message
    message = refused(hf)
    assert (
        f"Meta's files are in {hf / 'original'}: give that folder, without to_meta=True" in message
    )
    assert "`llama3-tok convert-checkpoint` makes a folder for transformers of that" in said(
        Llama3.load, hf
    )
    convert_checkpoint(hf / "original", hf.parent / "out")


def test_metas_files_of_the_largest_model_are_found(tmp_path, sound):
    for name in ("mp8", "mp16"):
        shutil.copytree(sound / "meta", tmp_path / "repository/original" / name)
    message = refused(tmp_path / "repository", to_meta=False)
    original = tmp_path / "repository/original"
    assert f"Meta's files are in {original / 'mp16'} and in {original / 'mp8'}" in message


def test_the_other_direction_is_named(meta, hf):
    assert "is converted without to_meta=True" in refused(meta)
    assert "to_meta=True converts it to Meta's" in refused(hf, to_meta=False)


def test_gguf_is_named(hf):
    for name in (SHARD, "model.safetensors.index.json"):
        (hf / name).unlink()
    (hf / "llama-3.1-8b-q4.gguf").write_bytes(b"GGUF")
    for message in (refused(hf), said(Llama3.load, hf)):
        assert "llama-3.1-8b-q4.gguf is GGUF" in message
