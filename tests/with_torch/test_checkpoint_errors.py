"""What can't be converted is refused before it is written, with the file, tensor and numbers."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
safetensors = pytest.importorskip("safetensors.torch")

import checkpoints  # noqa: E402
from llama3_tok import CheckpointError, Llama3TokError, VocabularyError  # noqa: E402
from llama3_tok.torch import convert_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"dim": 16, "layers": 2, "heads": 4, "kv_heads": 2, "wide": 64, "dtype": "bfloat16"}
FIELDS = {"multiple_of": 64, "ffn_dim_multiplier": 1.3}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Four ranks, of which pairs hold a KV head; and its conversion."""
    folder = tmp_path_factory.mktemp("sound")
    checkpoints.make(folder / "meta", ranks=4, fields=FIELDS, **SMALL)
    convert_checkpoint(folder / "meta", folder / "hf")
    return folder


@pytest.fixture
def meta(sound, tmp_path):
    return shutil.copytree(sound / "meta", tmp_path / "meta")


@pytest.fixture
def hf(sound, tmp_path):
    folder = shutil.copytree(sound / "hf", tmp_path / "hf")
    (folder / "conversion.json").unlink()
    return folder


def refused(source, **options):
    """The message of the error that a conversion ends with, having written nothing."""
    output = source.parent / "out"
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(source, output, **options)
    assert not output.exists() or not any(output.iterdir())
    error = caught.value
    assert isinstance(error, Llama3TokError)
    assert error.file in str(error)
    assert error.tensor in str(error)
    return str(error)


def change(folder, *ranks, **tensors):
    """Changes tensors of ranks (default: all), given with __ for dots; None takes one out."""
    for rank in ranks or range(4):
        path = folder / f"consolidated.{rank:02d}.pth"
        state = torch.load(path, weights_only=True)
        for name, value in tensors.items():
            name = name.replace("__", ".")
            if callable(value):
                value = value(state[name])
            if value is None:
                del state[name]
            else:
                state[name] = value
        torch.save(state, path)


def fields_of(folder, **fields):
    """Changes params.json; None takes a field out."""
    path = folder / "params.json"
    values = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({n: v for n, v in values.items() if v is not None}))


# Files


def test_a_missing_rank(meta):
    (meta / "consolidated.02.pth").unlink()
    message = refused(meta)
    assert "3 ranks are here, up to 3, but not consolidated.02.pth" in message


def test_the_last_ranks_missing_show_in_the_sizes(meta):
    for rank in (2, 3):
        (meta / f"consolidated.0{rank}.pth").unlink()
    assert "2 ranks with 32,064 rows make a vocabulary of 64,128" in refused(meta)


def test_a_folder_without_ranks(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no consolidated.00.pth" in refused(tmp_path / "empty")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        convert_checkpoint(tmp_path / "nowhere", tmp_path / "out")


def test_a_file_of_the_old_format(meta):
    path = meta / "consolidated.01.pth"
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    message = refused(meta)
    assert str(path) in message
    assert "torch.save has written since torch 1.6" in message
    assert "write it anew with torch.save" in message


@pytest.mark.parametrize("kept", [0, 3, 100, 0.3, 0.9, 0.9999])
def test_a_cut_file(meta, kept):
    path = meta / "consolidated.01.pth"
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    assert str(path) in refused(meta)


def test_a_login_page_in_place_of_weights(meta):
    (meta / "consolidated.00.pth").write_text("<!DOCTYPE html><title>Log in</title>")
    assert "begins with b'<!DO'" in refused(meta)


def test_damage_anywhere_never_gets_through(meta, sound, tmp_path):
    """A flipped byte is refused, or it is one that nothing uses."""
    path = meta / "consolidated.01.pth"
    data = path.read_bytes()
    # The pickled table comes first, the archive's table last, tensors between them.
    size = len(data)
    places = [*range(0, 2600, 101), *range(2600, size - 2500, size // 20)]
    places += range(size - 2500, size, 101)
    expected = (sound / "hf/model-00001-of-00001.safetensors").read_bytes()
    refusals = []
    for number, place in enumerate(places):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        output = tmp_path / f"out-{number}"
        try:
            convert_checkpoint(meta, output)
        except CheckpointError as error:
            refusals.append(str(error))
        else:
            got = (output / "model-00001-of-00001.safetensors").read_bytes()
            assert got == expected, place
        shutil.rmtree(output, ignore_errors=True)
    assert all("consolidated.01.pth" in message for message in refusals)
    assert sum("they are damaged" in message for message in refusals) >= 15
    assert len(refusals) > 40


def test_a_checksum_that_torch_left_out_is_not_missed(meta, sound):
    state = torch.load(meta / "consolidated.01.pth", weights_only=True)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, meta / "consolidated.01.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    convert_checkpoint(meta, meta.parent / "out")
    name = "model-00001-of-00001.safetensors"
    assert (meta.parent / "out" / name).read_bytes() == (sound / "hf" / name).read_bytes()


def test_a_pickle_that_would_run_something_is_not_run(meta, tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"tok_embeddings.weight": Trap()}, meta / "consolidated.00.pth")
    assert "print is not part of a table of tensors" in refused(meta)


@pytest.mark.parametrize("value", [[1, 2], {}, {"a": 1}, {3: torch.zeros(1)}])
def test_a_file_of_other_things(meta, value):
    torch.save(value, meta / "consolidated.00.pth")
    assert "no table of tensors" in (message := refused(meta)) or "no tensor" in message


# params.json


@pytest.mark.parametrize("name", ["dim", "n_layers", "n_heads"])
def test_a_field_that_nothing_else_tells(meta, name):
    fields_of(meta, **{name: None})
    assert f"has no field '{name}'" in refused(meta)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dim": "16"}, "'dim' is '16', and must be a whole number"),
        ({"dim": True}, "'dim' is True"),
        ({"n_layers": 0}, "must be positive"),
        ({"norm_eps": float("nan")}, "must be positive"),
        ({"use_scaled_rope": 1}, "must be true or false"),
        ({"n_heads": 5}, "do not divide 16 dimensions"),
        ({"n_kv_heads": 3}, "3 for keys and values"),
        ({"vocab_size": 32000}, "make a vocabulary of 128,256, and params.json says 32,000"),
        ({"multiple_of": 256}, "make 64, and multiple_of and ffn_dim_multiplier"),
        ({"ffn_dim_multiplier": None}, None),
        ({"n_layers": 3}, "layers.2.attention"),
        ({"n_layers": 1}, "no Llama 3 text model of 1 layers has such a tensor; 9 are unknown"),
        ({"n_kv_heads": None}, None),
        ({"n_heads": 2, "n_kv_heads": 2}, "4 ranks can't share the 2 heads"),
        ({"vision_max_num_chunks": 4}, "'vision_max_num_chunks' is none of a Llama 3 model"),
        ({"quantization_args": {"scheme": "int4"}}, "'quantization_args'"),
        ({"lora_args": {"rank": 16, "scale": 2.0}}, "'lora_args'"),
    ],
)
def test_fields_that_contradict_the_weights(meta, fields, reason):
    fields_of(meta, **fields)
    if reason is None:  # the defaults of Meta's code agree with the weights
        convert_checkpoint(meta, meta.parent / "out")
        return
    message = refused(meta)
    assert reason in message
    assert "params.json" in message or "consolidated" in message


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff"])
def test_params_that_are_no_object(meta, text):
    (meta / "params.json").write_text(text, encoding="latin-1")
    assert "params.json" in refused(meta)


def test_params_that_are_not_there(meta):
    (meta / "params.json").unlink()
    assert "there is no such file" in refused(meta)


# Tensors


def test_a_tensor_that_one_rank_lacks(meta):
    change(meta, 2, layers__1__attention__wq__weight=None)
    message = refused(meta)
    assert "consolidated.02.pth: layers.1.attention.wq.weight: there is no such tensor" in message


def test_a_tensor_that_all_lack(meta):
    change(meta, layers__1__ffn_norm__weight=None)
    assert "layers.1.ffn_norm.weight: there is no such tensor" in refused(meta)


@pytest.mark.parametrize("name", ["tok_embeddings", "norm", "layers.0.attention.wk"])
def test_a_tensor_that_nothing_works_without(meta, name):
    change(meta, **{f"{name.replace('.', '__')}__weight": None})
    assert f"{name}.weight: there is no such tensor" in refused(meta)


def test_a_tensor_that_is_unknown(meta):
    change(meta, layers__0__attention__bias=torch.zeros(3, dtype=torch.bfloat16))
    assert "layers.0.attention.bias: no Llama 3 text model" in refused(meta)


def test_a_tensor_that_only_one_rank_has(meta):
    change(meta, 3, extra=torch.zeros(3, dtype=torch.bfloat16))
    assert "consolidated.00.pth: extra: there is no such tensor" in refused(meta)


def test_rotary_frequencies_are_passed_over(meta, sound):
    change(meta, rope__freqs=torch.zeros(2))
    convert_checkpoint(meta, meta.parent / "out")
    name = "model-00001-of-00001.safetensors"
    assert (meta.parent / "out" / name).read_bytes() == (sound / "hf" / name).read_bytes()


def test_ranks_of_different_shapes(meta):
    change(meta, 1, layers__0__attention__wv__weight=lambda tensor: tensor[:2].clone())
    assert "it is [2, 16] of bfloat16, and [4, 16] of bfloat16 in" in refused(meta)


def test_ranks_of_different_types(meta):
    change(meta, 1, norm__weight=lambda tensor: tensor.float())
    assert "it is [16] of float32, and [16] of bfloat16 in" in refused(meta)


def test_a_shape_that_no_rank_may_have(meta):
    change(meta, layers__0__feed_forward__w2__weight=lambda tensor: tensor.t().contiguous().t()[:8])
    message = refused(meta)
    assert "layers.0.feed_forward.w2.weight: its shape is [8, 16]" in message
    assert "4 ranks must have a part of [16, 64]" in message


def test_a_model_of_several_types(meta):
    change(meta, norm__weight=lambda tensor: tensor.float())
    assert "a model has one" in refused(meta)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8, torch.float64])
def test_a_type_that_weights_do_not_have(meta, dtype):
    change(meta, norm__weight=lambda tensor: tensor.to(dtype))
    message = refused(meta)
    assert "none of bfloat16, float16, float32" in message or "not part of a table" in message


@pytest.mark.parametrize("name", ["norm", "layers.1.attention_norm", "layers.1.attention.wk"])
def test_copies_that_differ(meta, name):
    def changed(tensor):
        tensor = tensor.clone()
        tensor[-1] += 1
        return tensor

    change(meta, 1, **{f"{name.replace('.', '__')}__weight": changed})
    output = meta.parent / "out"
    with pytest.raises(CheckpointError, match=r"ranks hold copies of it, and \d+ of its") as caught:
        convert_checkpoint(meta, output)
    assert caught.value.tensor == f"{name}.weight"
    assert not list(output.glob("*.safetensors*"))


# The tokenizer


def test_weights_for_another_vocabulary(tmp_path):
    state = checkpoints.weights(vocabulary=32000, **SMALL)
    fields = checkpoints.params(dim=16, heads=4, **FIELDS, vocab_size=32000)
    meta = checkpoints.write(tmp_path / "meta", state, fields)
    assert "the tokenizer has 128,256 ids, and the weights are for 32,000" in refused(meta)


def test_a_tokenizer_that_is_missing_or_none(meta):
    (meta / "tokenizer.model").write_text("no ranks\n")
    with pytest.raises(VocabularyError):
        convert_checkpoint(meta, meta.parent / "out")
    (meta / "tokenizer.model").unlink()
    assert "the tokenizer belongs to the checkpoint" in refused(meta)


# The way back


@pytest.mark.parametrize(
    ("ranks", "reason"),
    [
        (0, "over 0 ranks"),
        (-1, "over -1 ranks"),
        (3, "its 4 heads can't be spread over 3 ranks"),
        (8, "its 4 heads can't be spread over 8 ranks"),
    ],
)
def test_ranks_that_can_not_share(hf, ranks, reason):
    assert reason in refused(hf, to_meta=True, ranks=ranks)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"model_type": "mistral"}, "'model_type' is 'mistral'"),
        ({"attention_bias": True}, "'attention_bias' is True"),
        ({"mlp_bias": True}, "'mlp_bias' is True"),
        ({"hidden_act": "gelu"}, "'hidden_act' is 'gelu'"),
        ({"head_dim": 8}, "4 heads of 8 dimensions"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5}}, "'rope_type'"),
        ({"intermediate_size": 65}, "makes it [65, 16]"),
        ({"vocab_size": 128264}, "makes it [128264, 16]"),
        ({"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1}, "9 are unknown"),
        ({"tie_word_embeddings": "yes"}, "must be true or false"),
    ],
)
def test_models_that_metas_code_would_compute_otherwise(hf, values, reason):
    path = hf / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    assert reason in refused(hf, to_meta=True)


def test_a_rope_factor_that_params_can_not_say(tmp_path, meta):
    fields_of(meta, use_scaled_rope=True)
    convert_checkpoint(meta, tmp_path / "scaled")
    path = tmp_path / "scaled/config.json"
    values = json.loads(path.read_text())
    values["rope_parameters"]["factor"] = 16.0
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="'factor' of the rotary embedding is 16.0"):
        convert_checkpoint(tmp_path / "scaled", tmp_path / "out", to_meta=True)


def test_safetensors_that_are_damaged(hf):
    path = hf / "model-00001-of-00001.safetensors"
    data = path.read_bytes()
    for broken, reason in (
        (b"", "it is not a safetensors file, or it is cut"),
        (data[:100], "it is not a safetensors file, or it is cut"),
        (data[:-1], f"it has {len(data) - 1:,} bytes, and its header speaks of {len(data):,}"),
        (data + b"\0", "bytes, and its header speaks of"),
        (data[:8] + b"[" + data[9:], "its header can't be read"),
        (data.replace(b'"BF16"', b'"I16" ', 1), "its type is I16"),
        (data.replace(b"[16,16]", b"[16,17]", 1), "and its shape is (16, 17)"),
    ):
        path.write_bytes(broken)
        assert reason in refused(hf, to_meta=True)


def test_an_index_that_names_what_is_not_there(hf):
    (hf / "model-00001-of-00001.safetensors").rename(hf / "model-1.safetensors")
    assert "model.safetensors.index.json names it" in refused(hf, to_meta=True)
    (hf / "model.safetensors.index.json").unlink()
    assert "and no pytorch_model.bin.index.json or pytorch_model.bin" in refused(hf, to_meta=True)
    (hf / "model-1.safetensors").rename(hf / "model.safetensors")
    convert_checkpoint(hf, hf.parent / "out", to_meta=True)


# Places and wishes


def test_an_output_folder_that_has_something_else_is_left_alone(meta, hf):
    before = {path.name: path.read_bytes() for path in hf.iterdir()}
    with pytest.raises(CheckpointError, match="already exists, and is not from this conversion"):
        convert_checkpoint(meta, hf)
    assert {path.name: path.read_bytes() for path in hf.iterdir()} == before


def test_input_and_output_must_differ(meta):
    with pytest.raises(CheckpointError, match="different folders"):
        convert_checkpoint(meta, meta)


def test_wishes_that_make_no_sense(meta):
    with pytest.raises(CheckpointError, match="dtype is 'int4', and must be one of bfloat16"):
        convert_checkpoint(meta, meta.parent / "out", dtype="int4")
    for size in ("5XB", "", "-1", "0", "GB", "0.1B", "5 5"):
        with pytest.raises(CheckpointError, match="size"):
            convert_checkpoint(meta, meta.parent / "out", shard_size=size)
