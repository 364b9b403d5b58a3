"""Conversions move bits: where each comes from and goes to, both ways, in every form."""

import json
import shutil
import sys
import warnings
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

import checkpoints  # noqa: E402
from llama3_tok import CheckpointError, MissingExtra, Tokenizer  # noqa: E402
from llama3_tok.torch import convert_checkpoint, verify_checkpoint  # noqa: E402
from llama3_tok.torch.checkpoint.cast import narrowed, widened  # noqa: E402
from llama3_tok.torch.checkpoint.sizes import (  # noqa: E402
    Sizes,
    from_config,
    from_params,
    to_params,
)

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"dim": 32, "heads": 8, "kv_heads": 2, "wide": 128, "dtype": "bfloat16"}
FIELDS = {"multiple_of": 128, "ffn_dim_multiplier": 1.3}

# As in the published params.json and config.json: dim, layers, heads, multiple_of,
# ffn_dim_multiplier, then the width of the feed-forward layers.
PUBLISHED = {
    "1B": (2048, 16, 32, 256, 1.5, 8192),
    "3B": (3072, 28, 24, 256, 1.0, 8192),
    "8B": (4096, 32, 32, 1024, 1.3, 14336),
    "70B": (8192, 80, 64, 4096, 1.3, 28672),
    "405B": (16384, 126, 128, 4096, 1.2, 53248),
}


def small(folder, **changes):
    return checkpoints.make(folder, fields=FIELDS, **(SMALL | changes))


def loaded(folder):
    """All tensors of a folder of transformers."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: t for file in files for name, t in safetensors.load_file(file).items()}


def ranks_of(folder):
    """The tensors of each rank, by torch itself, as Meta's code loads them."""
    return [
        torch.load(path, mmap=True, weights_only=True, map_location="cpu")
        for path in sorted(folder.glob("consolidated.*.pth"))
    ]


def bits(tensor):
    return tensor.view({2: torch.int16, 4: torch.int32}[tensor.element_size()])


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(bits(one[name]), bits(other[name])), name


def published_permutation(weight, heads):
    """What transformers' own converter did to q and k."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_every_tensor_is_where_transformers_looks_for_it(tmp_path, ranks):
    small(tmp_path / "meta", ranks=ranks)
    convert_checkpoint(tmp_path / "meta", tmp_path / "hf")
    whole, got = checkpoints.weights(**SMALL), loaded(tmp_path / "hf")
    expected = {
        "model.embed_tokens.weight": whole["tok_embeddings.weight"],
        "model.norm.weight": whole["norm.weight"],
        "lm_head.weight": whole["output.weight"],
    }
    for layer in range(2):
        theirs, ours = f"layers.{layer}", f"model.layers.{layer}"
        wq, wk = (whole[f"{theirs}.attention.{name}.weight"] for name in ("wq", "wk"))
        expected |= {
            f"{ours}.self_attn.q_proj.weight": published_permutation(wq, 8),
            f"{ours}.self_attn.k_proj.weight": published_permutation(wk, 2),
            f"{ours}.self_attn.v_proj.weight": whole[f"{theirs}.attention.wv.weight"],
            f"{ours}.self_attn.o_proj.weight": whole[f"{theirs}.attention.wo.weight"],
            f"{ours}.mlp.gate_proj.weight": whole[f"{theirs}.feed_forward.w1.weight"],
            f"{ours}.mlp.down_proj.weight": whole[f"{theirs}.feed_forward.w2.weight"],
            f"{ours}.mlp.up_proj.weight": whole[f"{theirs}.feed_forward.w3.weight"],
            f"{ours}.input_layernorm.weight": whole[f"{theirs}.attention_norm.weight"],
            f"{ours}.post_attention_layernorm.weight": whole[f"{theirs}.ffn_norm.weight"],
        }
    assert_same(got, expected)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert model.dtype == torch.bfloat16
    assert model.state_dict().keys() == expected.keys()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("ranks", "kv_heads", "dtype"),
    [
        (1, 2, "bfloat16"),
        (2, 2, "float32"),
        (4, 4, "bfloat16"),
        (4, 2, "float32"),
        (8, 2, "bfloat16"),
        (8, 1, "float16"),
    ],
)
def test_both_round_trips_keep_every_bit(tmp_path, ranks, kv_heads, tied, dtype):
    meta = small(tmp_path / "meta", ranks=ranks, kv_heads=kv_heads, tied=tied, dtype=dtype)
    convert_checkpoint(meta, tmp_path / "hf", shard_size="5MB")
    convert_checkpoint(tmp_path / "hf", tmp_path / "back", to_meta=True, ranks=ranks, verify=True)
    convert_checkpoint(tmp_path / "back", tmp_path / "again", shard_size="5MB", verify=True)
    for mine, theirs in zip(ranks_of(tmp_path / "back"), ranks_of(meta), strict=True):
        assert_same(mine, theirs)
    for mine in ranks_of(tmp_path / "back"):
        shared = mine["output.weight"].data_ptr() == mine["tok_embeddings.weight"].data_ptr()
        assert shared == tied
    first = json.loads((meta / "params.json").read_text())
    back = json.loads((tmp_path / "back/params.json").read_text())
    assert from_params(first, "") == from_params(back, "")
    assert (meta / "tokenizer.model").read_bytes() == (
        tmp_path / "back/tokenizer.model"
    ).read_bytes()
    for path in (tmp_path / "hf").iterdir():
        if path.name != "conversion.json":  # which has the tables of the input's files
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("kv_heads", [1, 2, 4, 8])
def test_a_checkpoint_goes_from_any_number_of_ranks_to_any_other(tmp_path, kv_heads):
    convert_checkpoint(small(tmp_path / "meta", ranks=2, kv_heads=kv_heads), tmp_path / "hf")
    for ranks in (1, 4, 8):
        back = tmp_path / f"{ranks}"
        convert_checkpoint(tmp_path / "hf", back, to_meta=True, ranks=ranks)
        expected = small(tmp_path / f"made-{ranks}", ranks=ranks, kv_heads=kv_heads)
        for mine, theirs in zip(ranks_of(back), ranks_of(expected), strict=True):
            assert_same(mine, theirs)


def test_copies_of_kv_heads_may_be_counted_once_in_params(tmp_path):
    meta = small(tmp_path / "meta", ranks=8)
    fields = json.loads((meta / "params.json").read_text())
    assert fields["n_kv_heads"] == 8
    convert_checkpoint(meta, tmp_path / "counted")
    (meta / "params.json").write_text(json.dumps(fields | {"n_kv_heads": 2}))
    convert_checkpoint(meta, tmp_path / "once")
    config = json.loads((tmp_path / "once/config.json").read_text())
    assert config["num_key_value_heads"] == 2
    assert config == json.loads((tmp_path / "counted/config.json").read_text())
    assert_same(loaded(tmp_path / "once"), loaded(tmp_path / "counted"))


@pytest.mark.parametrize("form", ["left out", "stored once", "stored twice"])
def test_a_tied_model_is_told_from_its_tensors(tmp_path, form):
    meta = small(tmp_path / "meta", ranks=2, tied=True, scaled=True)
    for path in meta.glob("*.pth"):
        state = torch.load(path, weights_only=True)
        if form == "left out":
            del state["output.weight"]
        elif form == "stored twice":
            state["output.weight"] = state["output.weight"].clone()
        torch.save(state, path)
    convert_checkpoint(meta, tmp_path / "hf")
    assert "lm_head.weight" not in loaded(tmp_path / "hf")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert model.config.tie_word_embeddings
    assert model.config.rope_parameters["factor"] == 32
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


# dtypes


@pytest.mark.parametrize("given", ["bfloat16", "float32"])
@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32"])
@pytest.mark.filterwarnings("ignore:float16 has less range")
def test_dtype_converts_as_torch_does(tmp_path, given, wanted):
    small(tmp_path / "meta", ranks=2, dtype=given)
    done = convert_checkpoint(tmp_path / "meta", tmp_path / "kept", verify=True)
    assert done.dtype == given
    done = convert_checkpoint(tmp_path / "meta", tmp_path / "hf", dtype=wanted, verify=True)
    assert done.dtype == wanted
    kept = loaded(tmp_path / "kept")
    expected = {name: tensor.to(getattr(torch, wanted)) for name, tensor in kept.items()}
    assert_same(loaded(tmp_path / "hf"), expected)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert model.dtype == getattr(torch, wanted)


@pytest.mark.parametrize("given", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32"])
def test_every_number_is_converted_as_torch_does(given, wanted):
    """All of 16 bits; of 32 those around every number of 16 bits, halfway ones, and random ones."""
    if given == "float32":
        short = np.arange(1 << 16, dtype=np.uint32)
        tops = [short << 16, short.astype(np.uint16).view(np.float16).astype(np.float32).view("u4")]
        near = [top + np.uint32(step) for top in tops for step in (0, 1, 0xFFFFFFFF, 0xFFF, 0x1000)]
        near += [top + np.uint32(step) for top in tops for step in (0x1001, 0x7FFF, 0x8000, 0x8001)]
        random = np.random.default_rng(0).integers(0, 1 << 32, 1 << 20, dtype=np.uint32)
        elements = np.concatenate([*near, random])
    else:
        elements = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    numbers = torch.from_numpy(elements.view(f"i{elements.itemsize}")).view(getattr(torch, given))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = narrowed(widened(elements, given), wanted)
    expected = numbers.to(getattr(torch, wanted))
    nan = expected.isnan().numpy()
    there = got.view(f"i{got.itemsize}")
    assert (there[~nan] == bits(expected).numpy()[~nan]).all()
    # Which NaN it is depends on torch's path; it stays one, of the same sign.
    made = torch.from_numpy(there.copy()).view(getattr(torch, wanted))
    assert (made.isnan().numpy() == nan).all()
    assert (made.signbit() == numbers.signbit()).all()


def test_a_model_of_several_types_is_converted_to_one(tmp_path):
    """Norms in float32, as some save them: refused without dtype, which the error names."""
    state = checkpoints.weights(**SMALL)
    mixed = {name: t.float() if "norm" in name else t for name, t in state.items()}
    fields = checkpoints.params(dim=32, **FIELDS)
    meta = checkpoints.write(tmp_path / "mixed", mixed, fields, ranks=2)
    with pytest.raises(CheckpointError, match="pass dtype='bfloat16' to convert the others to it"):
        convert_checkpoint(meta, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    plain = checkpoints.write(tmp_path / "plain", state, fields, ranks=2)
    for wanted in ("bfloat16", "float32"):
        convert_checkpoint(meta, tmp_path / f"mixed-{wanted}", dtype=wanted, verify=True)
        convert_checkpoint(plain, tmp_path / f"plain-{wanted}", dtype=wanted, verify=True)
        got, expected = loaded(tmp_path / f"mixed-{wanted}"), loaded(tmp_path / f"plain-{wanted}")
        assert_same(got, expected)
    # And back, from a folder of transformers.
    hf = shutil.copytree(tmp_path / "plain-bfloat16", tmp_path / "hf")
    state = {name: t.float() if "norm" in name else t for name, t in loaded(hf).items()}
    (file,) = hf.glob("*.safetensors")
    safetensors.save_file(state, file, {"format": "pt"})
    (hf / "conversion.json").unlink()
    with pytest.raises(CheckpointError, match="pass dtype='bfloat16' to convert") as caught:
        convert_checkpoint(hf, tmp_path / "out", to_meta=True)
    assert "norm" in caught.value.tensor
    for wanted in ("bfloat16", "float32"):
        options = {"to_meta": True, "ranks": 2, "dtype": wanted, "verify": True}
        convert_checkpoint(hf, tmp_path / f"there-{wanted}", **options)
        convert_checkpoint(tmp_path / f"plain-{wanted}", tmp_path / f"back-{wanted}", **options)
        mine, theirs = ranks_of(tmp_path / f"there-{wanted}"), ranks_of(tmp_path / f"back-{wanted}")
        for one, other in zip(mine, theirs, strict=True):
            assert_same(one, other)


def test_float16_is_warned_of_where_only_some_have_another_type(tmp_path):
    state = {name: t.half() for name, t in checkpoints.weights(**SMALL).items()}
    fields = checkpoints.params(dim=32, **FIELDS)
    half = checkpoints.write(tmp_path / "half", state, fields)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_checkpoint(half, tmp_path / "kept", dtype="float16")
    state["norm.weight"] = state["norm.weight"].float()
    mixed = checkpoints.write(tmp_path / "mixed", state, fields)
    with pytest.warns(UserWarning, match="float16 has less range than float32: "):
        convert_checkpoint(mixed, tmp_path / "hf", dtype="float16")


def test_float16_warns_and_refuses_what_it_has_no_room_for(tmp_path):
    state = checkpoints.weights(**SMALL)
    state["norm.weight"][:3] = 70000.0
    fields = checkpoints.params(dim=32, **FIELDS)
    checkpoints.write(tmp_path / "meta", state, fields)
    with (
        pytest.warns(UserWarning, match="float16 has less range than bfloat16"),
        pytest.raises(CheckpointError, match="norm.weight: 3 of its numbers are too large") as e,
    ):
        convert_checkpoint(tmp_path / "meta", tmp_path / "hf", dtype="float16")
    assert e.value.tensor == "model.norm.weight"
    assert not list((tmp_path / "hf").glob("*.safetensors"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_checkpoint(tmp_path / "meta", tmp_path / "bf", dtype="bfloat16")


# Other folders


def test_a_folder_that_transformers_wrote_goes_to_meta(tmp_path):
    config = transformers.LlamaConfig(
        vocab_size=checkpoints.VOCABULARY,
        hidden_size=32,
        intermediate_size=88,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "hf", max_shard_size="5MB")
    Tokenizer(profile="llama3").save(tmp_path / "hf")
    convert_checkpoint(tmp_path / "hf", tmp_path / "meta", to_meta=True, ranks=2)
    convert_checkpoint(tmp_path / "meta", tmp_path / "again")
    assert_same(loaded(tmp_path / "again"), dict(model.state_dict()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_told_from_params_and_go_back(name):
    dim, layers, heads, multiple_of, multiplier, wide = PUBLISHED[name]
    fields = checkpoints.params(dim=dim, layers=layers, heads=heads, kv_heads=8, scaled=True) | {
        "multiple_of": multiple_of,
        "ffn_dim_multiplier": multiplier,
    }
    params = from_params(fields, "params.json")
    assert params.intermediate == wide
    config = transformers.LlamaConfig(
        vocab_size=128256,
        hidden_size=dim,
        intermediate_size=wide,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        tie_word_embeddings=name in ("1B", "3B"),
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0 if name in ("1B", "3B") else 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    sizes = from_config(json.loads(config.to_json_string()), "config.json")
    assert to_params(sizes, 1, "config.json") == fields
    assert to_params(sizes, 16, "config.json") == fields | {"n_kv_heads": 16}


@pytest.mark.parametrize(
    ("left_out", "default"),
    [
        ("use_scaled_rope", False),
        ("rope_theta", 500000.0),
        ("norm_eps", 1e-5),
        ("n_kv_heads", 8),
        ("vocab_size", None),
    ],
)
def test_missing_fields_have_the_defaults_of_metas_code(tmp_path, left_out, default):
    meta = small(tmp_path / "meta", kv_heads=8)
    fields = json.loads((meta / "params.json").read_text())
    if default is not None:
        assert fields.pop(left_out) == default
    (meta / "params.json").write_text(json.dumps(fields))
    convert_checkpoint(meta, tmp_path / "given")
    fields.pop(left_out, None)
    forms = [fields, fields | {left_out: None}]
    if left_out == "vocab_size":
        forms.append(fields | {left_out: -1})
    for number, form in enumerate(forms):
        (meta / "params.json").write_text(json.dumps(form))
        convert_checkpoint(meta, tmp_path / f"left-out-{number}")
        for name in ("config.json", "model-00001-of-00001.safetensors"):
            assert (tmp_path / f"left-out-{number}" / name).read_bytes() == (
                tmp_path / "given" / name
            ).read_bytes()


# The formats


def test_shards_are_filled_in_order_and_indexed(tmp_path):
    small(tmp_path / "meta")
    done = convert_checkpoint(tmp_path / "meta", tmp_path / "hf", shard_size="20kB")
    folder = tmp_path / "hf"
    assert done.files == [path.name for path in sorted(folder.glob("*.safetensors"))]
    assert done.files[0] == f"model-00001-of-{len(done.files):05d}.safetensors"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert (
        index["metadata"]["total_size"]
        == done.bytes
        == sum(tensor.nbytes for tensor in loaded(folder).values())
    )
    sizes = []
    for name in done.files:
        with safetensors.safe_open(folder / name, "pt") as file:
            held = list(file.keys())
            assert file.metadata() == {"format": "pt"}
            assert {index["weight_map"][tensor] for tensor in held} == {name}
            sizes.append([file.get_tensor(tensor).nbytes for tensor in held])
    assert all(sum(size) <= 20000 or len(size) == 1 for size in sizes)
    # No shard could have taken the first of the next.
    assert len(done.files) == 6
    assert len(index["weight_map"]) == done.tensors == 21


def test_pth_files_are_sound_archives_with_aligned_tensors(tmp_path):
    convert_checkpoint(small(tmp_path / "meta"), tmp_path / "hf")
    convert_checkpoint(tmp_path / "hf", tmp_path / "back", to_meta=True, ranks=2)
    for path in sorted((tmp_path / "back").glob("*.pth")):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
        # Mapped from the file's beginning: an address is aligned as the place in the file is.
        state = torch.load(path, mmap=True, weights_only=True)
        for tensor in state.values():
            assert tensor.untyped_storage().data_ptr() % 64 == 0
            assert tensor.is_contiguous()


def test_a_pickled_table_is_read_as_torch_reads_it(tmp_path):
    """Views of shared storages, other orders of elements, parameters, an OrderedDict."""
    from collections import OrderedDict

    from llama3_tok.torch.checkpoint.torch_file import TorchFile

    base = torch.arange(60, dtype=torch.float32)
    state = OrderedDict(
        a=base.view(6, 10),
        b=base[20:40].view(4, 5).t(),
        c=torch.nn.Parameter(base[5:6]),
        d=base.view(3, 4, 5)[:, 1, ::2],
        e=torch.tensor(1.5, dtype=torch.bfloat16),
        f=torch.tensor([2.5], dtype=torch.float16),
    )
    torch.save(state, tmp_path / "a.pth")
    file = TorchFile(str(tmp_path / "a.pth"))
    expected = torch.load(tmp_path / "a.pth", mmap=True, weights_only=True)
    assert list(file.tensors) == list(expected)
    for name, tensor in expected.items():
        kind = torch.int16 if tensor.element_size() == 2 else torch.int32
        array = tensor.detach().contiguous().view(kind).numpy()
        assert file.tensors[name].shape == array.shape
        assert file.tensors[name].dtype == str(tensor.dtype).removeprefix("torch.")
        assert (file.array(name) == array.view(file.array(name).dtype)).all()
    assert not file.shares("a", "b")


def test_verifying_without_the_input_gives_the_bytes_read(tmp_path):
    done = convert_checkpoint(small(tmp_path / "meta", tied=True), tmp_path / "hf")
    assert verify_checkpoint(tmp_path / "hf") == done.bytes


def test_nothing_needs_torch_but_an_adapter(tmp_path, monkeypatch):
    meta = small(tmp_path / "meta", ranks=2)
    monkeypatch.setitem(sys.modules, "torch", None)
    convert_checkpoint(meta, tmp_path / "hf", verify=True)
    convert_checkpoint(tmp_path / "hf", tmp_path / "back", to_meta=True, ranks=2, verify=True)
    convert_checkpoint(meta, tmp_path / "wide", dtype="float32", vocab_rows=128320, verify=True)
    with pytest.raises(MissingExtra, match=r"pip install 'llama3_tok\[adapters\]'"):
        convert_checkpoint(tmp_path / "hf", tmp_path / "out", to_meta=True, merge_adapter=True)
    assert not (tmp_path / "out").exists()


def test_the_published_sizes_have_the_published_tokenizer_profile():
    """Told by scaling and tying."""
    for scaled, tied, profile in (
        (False, False, "llama3"),
        (True, False, "llama3.1"),
        (True, True, "llama3.2"),
    ):
        sizes = Sizes(32, 2, 8, 2, 128, 128256, 1e-5, 5e5, scaled, tied)
        assert sizes.profile == profile
        assert Tokenizer(profile=profile).vocab_size == 128256


@pytest.mark.parametrize("profile", ["llama3.1", "llama3.2", "llama3.3"])
def test_a_tokenizer_that_the_weights_do_not_tell_goes_to_metas_layout_and_back(tmp_path, profile):
    """3.1, 3.2 and 3.3 have the same special tokens, and a rank file names none."""
    small(tmp_path / "meta", scaled=True)
    convert_checkpoint(tmp_path / "meta", tmp_path / "hf")
    tokenizer = Tokenizer(profile=profile)
    tokenizer.save(tmp_path / "hf")
    convert_checkpoint(tmp_path / "hf", tmp_path / "there", to_meta=True)
    # The weights are those of 3.1, for which the rank file is enough.
    is_told = profile == "llama3.1"
    assert (tmp_path / "there" / "tokenizer_config.json").exists() != is_told
    convert_checkpoint(tmp_path / "there", tmp_path / "back")
    assert Tokenizer(tmp_path / "back") == tokenizer
