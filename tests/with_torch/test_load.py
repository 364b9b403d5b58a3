"""Folders: which model they are, and what is wrong with those that can't be loaded."""

import json

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import safetensors.torch  # noqa: E402

import checkpoints  # noqa: E402
import models  # noqa: E402
from llama3_tok import CheckpointError, Llama3TokError, Tokenizer, VocabularyError  # noqa: E402
from llama3_tok.torch import Llama3, convert_checkpoint  # noqa: E402


@pytest.fixture(autouse=True)
def no_bars():
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    yield
    if shown:
        transformers.utils.logging.enable_progress_bar()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return models.folder(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to be changed; files that are not changed are the same."""
    for path in whole.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def edit(path, **changes):
    """Changes a JSON file; a value of None takes the field out."""
    fields = json.loads(path.read_text()) if path.exists() else {}
    fields = {name: value for name, value in (fields | changes).items() if value is not None}
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(fields))


def refused(folder, said, **options):
    with pytest.raises(CheckpointError, match=said) as error:
        Llama3.load(folder, **options)
    assert str(folder) in error.value.file
    return error.value


# What is loaded


def test_a_folder_gives_the_model_that_was_saved(whole):
    model = Llama3.load(whole)
    assert (
        model.generate("Hello", max_new_tokens=10).ids
        == models.model().generate("Hello", max_new_tokens=10).ids
    )
    assert (model.dtype, model.device.type, model.context) == (torch.float32, "cpu", 512)
    assert model.tokenizer.profile == "llama3.1"
    assert model.stop_ids == [128001, 128008, 128009]
    assert not model.network.training


def test_a_converted_checkpoint_is_loaded_and_agrees_with_transformers(tmp_path):
    convert_checkpoint(checkpoints.make(tmp_path / "meta", ranks=2), tmp_path / "hf")
    model = Llama3.load(tmp_path / "hf")
    assert model.tokenizer.profile == "llama3"
    network = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "hf", dtype="auto")
    ids = torch.tensor([model.tokenizer.encode("Hello world", bos=True)])
    with torch.no_grad():
        assert torch.equal(model.network(ids).logits, network(ids).logits)
    meta = refused(tmp_path / "meta", "checkpoint in Meta's layout")
    assert "llama3-tok convert-checkpoint" in str(meta)


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_the_type_is_that_of_the_weights_whatever_the_configuration_says(stored, tmp_path):
    """Published conversions say float16 of weights that are bfloat16."""
    models.folder(tmp_path, dtype=getattr(torch, stored), hidden_size=16, intermediate_size=16)
    edit(tmp_path / "config.json", dtype="float64", torch_dtype="float64")
    if stored == "float16":
        with pytest.warns(UserWarning, match="float16 becomes float32") as warned:
            model = Llama3.load(tmp_path)
        assert warned[0].filename == __file__
        assert model.dtype == torch.float32
    else:
        assert Llama3.load(tmp_path).dtype == getattr(torch, stored)
    assert Llama3.load(tmp_path, dtype="bfloat16").dtype == torch.bfloat16
    assert Llama3.load(tmp_path, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_the_one_that_is_asked_for(whole, attention):
    model = Llama3.load(whole, attention=attention)
    assert model.network.config._attn_implementation == attention


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2", "llama3.3", "meta"])
def test_the_profile_is_what_the_tokenizer_was_saved_with(folder, profile):
    for path in folder.glob("*token*"):
        path.unlink()
    Tokenizer(profile=profile).save(folder)
    assert Llama3.load(folder).tokenizer.profile == profile


SCALED = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip


@pytest.mark.parametrize(
    ("rope", "profile"),
    [({}, "llama3"), (SCALED, "llama3.1"), (SCALED | {"factor": 32.0}, "llama3.2")],
)
@pytest.mark.parametrize("files", ["tokenizer.json", "tokenizer_config.json", "tokenizer.model"])
def test_without_a_note_names_and_scaling_tell_the_profile(folder, rope, profile, files):
    """As published: one has the names in tokenizer_config.json, others only in tokenizer.json."""
    for path in folder.glob("*token*"):
        path.unlink()
    tokenizer = Tokenizer(profile=profile)
    tokenizer.save(folder)
    names = {
        str(id): {"content": name, "special": True} for name, id in tokenizer.special_tokens.items()
    }
    noted = {"profile": None, "added_tokens_decoder": names if "config" in files else None}
    edit(folder / "tokenizer_config.json", **noted)
    if files == "tokenizer.model":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / "tokenizer.model").unlink()
    edit(folder / "config.json", rope_parameters=rope or None, rope_scaling=None)
    assert Llama3.load(folder).tokenizer.profile == profile


def test_names_overrule_the_scaling(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    Tokenizer(profile="meta").save(folder)
    edit(folder / "tokenizer_config.json", profile=None)
    assert Llama3.load(folder).tokenizer.profile == "meta"


def test_a_tokenizer_may_be_given(whole):
    tokenizer = Tokenizer(profile="llama3.2")
    assert Llama3.load(whole, tokenizer=tokenizer).tokenizer is tokenizer
    with pytest.raises(TypeError, match="tokenizer must be a Tokenizer or None, not str"):
        Llama3.load(whole, tokenizer="llama3")


def test_stop_ids_are_those_that_transformers_takes(folder):
    edit(folder / "generation_config.json", eos_token_id=128001)
    edit(folder / "config.json", eos_token_id=[128010, 128009])
    assert Llama3.load(folder).stop_ids == [128001]
    edit(folder / "generation_config.json", eos_token_id=None)
    assert Llama3.load(folder).stop_ids == [128009, 128010]
    edit(folder / "config.json", eos_token_id=None)
    assert Llama3.load(folder).stop_ids == [128001, 128008, 128009]
    edit(folder / "generation_config.json", eos_token_id=[128001, 128256])
    with pytest.raises(
        VocabularyError, match=r"eos_token_id has 128256, and there are 128,256 ids"
    ):
        Llama3.load(folder)
    refused(folder, r"eos_token_id has 128256, and there are 128,256 ids", tokenizer=Tokenizer())


# What is not


def test_other_models_are_refused(folder, tmp_path):
    edit(folder / "config.json", model_type="qwen2")
    refused(folder, "model_type is 'qwen2', and a text model of Llama 3 has 'llama'")
    edit(folder / "config.json", model_type="llama", quantization_config={"bits": 4})
    refused(folder, "quantised")
    refused(tmp_path / "none", "no such folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"config.json: there is no such file")


@pytest.mark.parametrize("rows", [32000, 128255])
def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path, rows):
    models.folder(tmp_path, vocab_size=rows, hidden_size=16, intermediate_size=16)
    said = rf"vocab_size is {rows}, and the tokenizer .* has 128,256 ids"
    refused(tmp_path, said)


def test_a_configuration_that_is_not_the_weights_is_refused(folder):
    edit(folder / "config.json", vocab_size=128264)
    error = refused(folder, r"shape is \[128256, 64\], and config.json makes it \[128264, 64\]")
    assert error.tensor in ("model.embed_tokens.weight", "lm_head.weight")
    edit(folder / "config.json", vocab_size=128256, num_hidden_layers=3)
    error = refused(folder, r"no file here has this tensor; 9 of 30 are missing")
    assert error.tensor.startswith("model.layers.2.")
    edit(folder / "config.json", num_hidden_layers=1)
    refused(folder, "a model of 1 layers has no such tensor")


def test_files_that_are_missing_or_cut_are_named(folder, tmp_path):
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.unlink()
    refused(folder, "neither model.safetensors.index.json nor model.safetensors")
    weights.write_bytes(data[:-1000])
    error = refused(folder, r"it has [\d,]+ bytes, and its header speaks of [\d,]+")
    assert error.file.endswith("model.safetensors")
    weights.write_bytes(b"<!DOCTYPE html>" + data[:100])
    refused(folder, "not a safetensors file, or it is cut")


def test_shards_that_are_missing_are_named(folder):
    whole = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(whole)
    shards = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
    for file, kept in shards.items():
        part = {name: whole[name] for name in kept}
        safetensors.torch.save_file(part, folder / file, {"format": "pt"})
    index = {name: file for file, kept in shards.items() for name in kept}
    edit(folder / "model.safetensors.index.json", metadata={}, weight_map=index)
    loaded = Llama3.load(folder)
    assert loaded.generate("Hello", max_new_tokens=5).new_tokens == 5
    (folder / "b.safetensors").unlink()
    error = refused(folder, "there is no such file, and model.safetensors.index.json names it")
    assert error.file.endswith("b.safetensors")


def test_special_tokens_that_contradict_each_other_are_refused(folder):
    names = {str(128000 + place): {"content": f"<|{place}|>"} for place in range(256)}
    edit(folder / "tokenizer_config.json", profile=None, added_tokens_decoder=names)
    with pytest.raises(VocabularyError, match=r"gives '<.0.>' the id 128000, and by .* different"):
        Llama3.load(folder)
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", bos_token="<|0|>", eos_token="<|1|>", pad_token="<|2|>")
    assert Llama3.load(folder).tokenizer.added_tokens["<|255|>"].id == 128255


def test_flash_attention_is_refused_where_it_can_not_be(whole):
    for options, said in (
        ({"dtype": "float32"}, "bfloat16 and float16 only, and the weights are float32"),
        ({"dtype": "bfloat16"}, "CUDA devices only, and this is 'cpu'"),
    ):
        with pytest.raises(Llama3TokError, match=said):
            Llama3.load(whole, attention="flash_attention_2", device="cpu", **options)


def test_what_transformers_can_not_make_is_refused(folder):
    edit(folder / "config.json", num_attention_heads="many")
    refused(folder, "transformers can make no model of it")


def test_special_tokens_that_are_not_written_as_such_are_refused(folder):
    edit(folder / "tokenizer_config.json", profile=None, added_tokens_decoder={"a": 5})
    with pytest.raises(VocabularyError, match="its added_tokens_decoder has 'a': 5"):
        Llama3.load(folder)


@pytest.mark.parametrize("device", ["nowhere", "meta:x", "xpu"])
def test_a_device_that_is_not_there_is_named(whole, device):
    with pytest.raises(Llama3TokError, match=f"the device '{device}' can't be used: "):
        Llama3.load(whole, device=device)


def test_options_out_of_range_are_refused(whole):
    with pytest.raises(ValueError, match="dtype must be one of auto, bfloat16"):
        Llama3.load(whole, dtype="int8")
    with pytest.raises(ValueError, match="attention must be one of sdpa"):
        Llama3.load(whole, attention="fast")
    with pytest.raises(TypeError, match="folder must be a path"):
        Llama3.load(5)


def test_out_of_memory_names_the_size_of_the_weights(whole, monkeypatch):
    def full(*_, **__):
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "from_pretrained", full)
    with pytest.raises(MemoryError, match=r"weights need 62.9 MiB as they are stored \(float32\)"):
        Llama3.load(whole)


def test_a_pipeline_runs_with_our_tokenizer_as_the_documentation_of_llama_3_has_it(whole):
    from llama3_tok.compat.transformers import Llama3Tokenizer

    pipeline = transformers.pipeline(
        "text-generation",
        model=str(whole),
        tokenizer=Llama3Tokenizer.from_pretrained(whole),
        model_kwargs={"dtype": torch.bfloat16},
        device="cpu",
    )
    said = "Hey how are you doing today?"
    (made,) = pipeline(said, max_new_tokens=12, do_sample=False)
    ours = Llama3.load(whole, dtype="bfloat16").generate(said, max_new_tokens=12)
    assert made["generated_text"] == said + ours.text
