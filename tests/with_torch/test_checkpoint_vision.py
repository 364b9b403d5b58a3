"""Llama 3.2 Vision: converted models compute what Meta's own code computes, from the same bits."""

import json
import re
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")
pytest.importorskip("fairscale", reason="fairscale is not installed, which Meta's code needs")

import vision_checkpoints as checkpoints  # noqa: E402
from llama3_tok import CheckpointError, cli  # noqa: E402
from llama3_tok.torch import (  # noqa: E402
    Llama3,
    convert_checkpoint,
    plan_checkpoint,
    verify_checkpoint,
)
from llama3_tok.torch.checkpoint import vision  # noqa: E402
from llama3_tok.torch.checkpoint.sizes import Sizes, to_config  # noqa: E402
from llama3_tok.torch.checkpoint.tensors import as_published, tensors  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("tokenizer_saved_once"),
    # transformers 5.16 calls its own encoder by a name that it deprecates.
    pytest.mark.filterwarnings("ignore:`hidden_state` is deprecated:FutureWarning"),
]

CASES = checkpoints.cases()
SHARD = "20MB"


@pytest.fixture(autouse=True)
def _small_encoder(monkeypatch):
    """Meta's code has the image encoder's sizes written into it, and so has the conversion."""
    monkeypatch.setattr(vision, "ENCODER", vision.Encoder(**checkpoints.ENCODER))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint in 1, 2 and 8 ranks; the first two with the logits that Meta's code gives."""
    folder = tmp_path_factory.mktemp("vision")
    checkpoints.make(folder / "1", 2, 8)
    for ranks in (2, 8):
        checkpoints.split(folder / "1", folder / str(ranks), ranks)
    checkpoints.logits(folder / "1", folder / "2")
    return folder


@pytest.fixture(scope="module")
def converted(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vision, "ENCODER", vision.Encoder(**checkpoints.ENCODER))
        convert_checkpoint(made / "1", made / "hf", shard_size=SHARD)
    return made / "hf"


def ranks_of(folder):
    """The tensors of each rank, as Meta's code loads them."""
    paths = sorted(folder.glob("consolidated.*.pth"))
    return [torch.load(path, mmap=True, weights_only=True) for path in paths]


def loaded(folder):
    files = sorted(folder.glob("*.safetensors"))
    return {name: t for file in files for name, t in safetensors.load_file(file).items()}


def network(folder):
    """transformers' model, with its image encoder as Meta's code has it.

    Since 4.56 the states of the encoder's layers that transformers lists are their results, and
    before they were what goes into them, as in Meta's code; the configuration's numbers stayed.
    """
    model = transformers.MllamaForConditionalGeneration.from_pretrained(folder).eval()
    encoder = model.model.vision_model
    listed = encoder.transformer(torch.zeros(1, 4, checkpoints.ENCODER["width"]))
    if len(listed.hidden_states) == checkpoints.ENCODER["layers"]:
        encoder.intermediate_layers_indices = [
            index - 1 for index in encoder.intermediate_layers_indices
        ]
    return model


def given(tokens, images, spans):
    """A case as transformers' model takes it."""
    arguments = {"input_ids": torch.tensor([tokens])}
    if not images:
        return arguments
    count, side, length = len(images), checkpoints.SIDE, len(tokens)
    pixels = torch.zeros(1, count, 4, 3, side, side)
    there = torch.zeros(1, count, 4, dtype=torch.long)
    seen = torch.zeros(1, length, count, 4, dtype=torch.long)
    for at, ((tiles, _), (start, end)) in enumerate(zip(images, spans, strict=True)):
        pixels[0, at, : len(tiles)] = tiles
        there[0, at, : len(tiles)] = 1
        seen[0, start : length if end < 0 else end, at, : len(tiles)] = 1
    ratios = torch.tensor([[checkpoints.RATIOS.index(ratio) + 1 for _, ratio in images]])
    return arguments | {
        "pixel_values": pixels,
        "aspect_ratio_ids": ratios,
        "aspect_ratio_mask": there,
        "cross_attention_mask": seen,
    }


@torch.inference_mode()
def logits_of(model, case):
    return model(**given(**case)).logits[0].numpy()


# Logits


@pytest.mark.parametrize("ranks", [1, 2])
def test_logits_are_those_of_metas_code(made, ranks, tmp_path):
    convert_checkpoint(made / str(ranks), tmp_path / "hf")
    model, expected = network(tmp_path / "hf"), np.load(made / str(ranks) / "logits.npz")
    assert model.dtype == torch.float32
    for name, case in CASES.items():
        if name != "blind":
            assert expected[name].std() > 0.5
            np.testing.assert_allclose(
                logits_of(model, case), expected[name], rtol=0, atol=1e-4, err_msg=name
            )


def test_the_encoders_layers_that_are_taken_are_where_transformers_differs(made, converted):
    model, expected = network(converted), np.load(made / "1/logits.npz")["1x1"]
    encoder = model.model.vision_model
    if encoder.intermediate_layers_indices == list(checkpoints.ENCODER["taken"]):
        pytest.skip("this release of transformers takes those that Meta's code takes")
    encoder.intermediate_layers_indices = list(checkpoints.ENCODER["taken"])
    assert abs(logits_of(model, CASES["1x1"]) - expected).max() > 1e-2


def test_tokens_that_see_no_image_are_where_transformers_differs(made, converted):
    """Meta's code lets nothing of the images into them; transformers the mean of all tiles."""
    model, expected = network(converted), np.load(made / "1/logits.npz")["blind"]
    assert abs(logits_of(model, CASES["blind"]) - expected).max() > 1e-2
    sees = torch.ones(1, len(CASES["blind"]["tokens"]), 1)
    sees[0, 0] = 0
    for layer in model.model.language_model.layers:
        if hasattr(layer, "cross_attn"):
            layer.cross_attn.register_forward_hook(
                lambda module, inputs, output: (output[0] * sees, *output[1:])
            )
    np.testing.assert_allclose(logits_of(model, CASES["blind"]), expected, rtol=0, atol=1e-4)


def test_the_comparison_would_notice_one_exchanged_tensor(made, converted):
    model, expected = network(converted), np.load(made / "1/logits.npz")
    table = model.model.vision_model.gated_positional_embedding.tile_embedding.weight
    with torch.no_grad():
        table[[2, 5]] = table[[5, 2]]  # 1 x 2 and 2 x 1 tiles
    assert abs(logits_of(model, CASES["1x2"]) - expected["1x2"]).max() > 1e-2
    assert abs(logits_of(model, CASES["2x2"]) - expected["2x2"]).max() < 1e-4


# Bits


def renamed(name):
    """The published name of a tensor of Meta's, by other means than the conversion's."""
    own = {0: 0, 1: 2, 2: 3, 3: 4, 4: 6}  # of 5 text layers, and 2 of cross-attention
    cross = {0: 1, 1: 5}
    name = re.sub(
        r"^text_model\.(cross_attention_)?layers\.(\d)",
        lambda m: (
            f"language_model.model.layers.{(cross if m[1] else own)[int(m[2])]}"
            + (".X" if m[1] else ".S")
        ),
        name,
    )
    for old, new in (
        (r"\.X\.attention\.w(.)", r".cross_attn.\1_proj"),
        (r"\.X\.attention\.(.)_norm", r".cross_attn.\1_norm"),
        (r"\.X\.gate_attn", ".cross_attn_attn_gate"),
        (r"\.X\.gate_ffwd", ".cross_attn_mlp_gate"),
        (r"\.S\.attention\.w(.)", r".self_attn.\1_proj"),
        (r"\.[XS]\.attention_norm", ".input_layernorm"),
        (r"\.[XS]\.ffn_norm", ".post_attention_layernorm"),
        (r"\.[XS]\.feed_forward\.w1", ".mlp.gate_proj"),
        (r"\.[XS]\.feed_forward\.w2", ".mlp.down_proj"),
        (r"\.[XS]\.feed_forward\.w3", ".mlp.up_proj"),
        (r"^text_model\.norm", "language_model.model.norm"),
        (r"^text_model\.output", "language_model.lm_head"),
        (r"^vision_model\.vision_projection", "multi_modal_projector"),
        (r"\.vision_encoder\.", "."),
        (r"conv1\._linear", "patch_embedding"),
        (r"resblocks\.(\d)\.attn\.w(.)", r"layers.\1.self_attn.\2_proj"),
        (r"resblocks\.(\d)\.mlp\.c_fc", r"layers.\1.mlp.fc1"),
        (r"resblocks\.(\d)\.mlp\.c_proj", r"layers.\1.mlp.fc2"),
        (r"resblocks\.(\d)\.ln_1", r"layers.\1.input_layernorm"),
        (r"resblocks\.(\d)\.ln_2", r"layers.\1.post_attention_layernorm"),
        (r"resblocks\.(\d)\.gate", r"layers.\1.gate"),
        (r"\.ln_(pre|post)", r".layernorm_\1"),
        (r"(pre|post)_tile_pos_embed\.gate", r"\1_tile_positional_embedding.gate"),
        (r"(pre|post)_tile_pos_embed\.embedding", r"\1_tile_positional_embedding.embedding.weight"),
        (r"gated_positional_embedding_gate", "gated_positional_embedding.gate"),
        (r"gated_positional_embedding$", "gated_positional_embedding.tile_embedding.weight"),
        (r"model\.positional_embedding", "model.gated_positional_embedding.embedding"),
    ):
        name = re.sub(old, new, name)
    return name


def halves(weight, heads):
    """Rows of rotary pairs as halves, which is what transformers' own converter did."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def table_of(grid):
    """The table by aspect ratio, written out."""
    table = torch.zeros(9, 4, *grid.shape[2:], dtype=grid.dtype)
    for row, (height, width) in enumerate(checkpoints.RATIOS, 1):
        for top in range(height):
            for left in range(width):
                table[row, top * width + left] = grid[top, left]
    return table.flatten(1)


def expected_of(state):
    """What transformers' files must have, from Meta's tensors of one rank."""
    embedding = state.pop("text_model.tok_embeddings.weight")
    added = state.pop("text_model.learnable_embedding.weight")
    expected = {"language_model.model.embed_tokens.weight": torch.cat([embedding, added])}
    for name, tensor in state.items():
        if re.match(r"text_model\.layers\.\d\.attention\.w[qk]\.", name):
            tensor = halves(tensor, len(tensor) // 8)
        if tensor.ndim == 4:
            tensor = table_of(tensor)
        if name.endswith("conv1._linear.weight"):
            tensor = tensor.view(-1, 3, 14, 14)
        expected[renamed(name)] = tensor
    return expected


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


def test_every_tensor_is_where_transformers_looks_for_it(made, converted):
    expected = expected_of(ranks_of(made / "1")[0])
    assert_same(loaded(converted), expected)
    with torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(converted)
        model = transformers.MllamaForConditionalGeneration(config)
    needed = {as_published(name): tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in expected.items()} == needed


@pytest.mark.parametrize("ranks", [2, 8])
def test_ranks_make_the_same_files(made, converted, ranks, tmp_path):
    """With 8, each of the 4 heads for keys and values is in two of them."""
    convert_checkpoint(made / str(ranks), tmp_path / "hf", shard_size=SHARD, verify=True)
    names = {path.name for path in converted.iterdir()}
    assert names == {path.name for path in (tmp_path / "hf").iterdir()}
    for name in names - {"conversion.json"}:
        assert (converted / name).read_bytes() == (tmp_path / "hf" / name).read_bytes(), name


def test_another_type_is_torchs(made, tmp_path):
    convert_checkpoint(made / "2", tmp_path / "hf", dtype="bfloat16", verify=True)
    expected = expected_of(ranks_of(made / "1")[0])
    assert_same(loaded(tmp_path / "hf"), {n: t.bfloat16() for n, t in expected.items()})
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert {config["dtype"], config["vision_config"]["dtype"]} == {"bfloat16"}


# The way back


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_the_way_back_has_all_that_images_reach(made, converted, ranks, tmp_path):
    convert_checkpoint(converted, tmp_path / "meta", to_meta=True, ranks=ranks, verify=True)
    params = json.loads((tmp_path / "meta/params.json").read_text())
    given = json.loads((made / str(ranks) / "params.json").read_text())
    shape = {"ffn_dim_multiplier", "multiple_of"}  # others may make the same width
    assert {n: params[n] for n in given.keys() - shape} == {
        n: given[n] for n in given.keys() - shape
    }
    for got, expected in zip(ranks_of(tmp_path / "meta"), ranks_of(made / str(ranks)), strict=True):
        for tensor in expected.values():
            if tensor.ndim == 4:
                for top in range(4):
                    for left in range(4):
                        if (top + 1) * (left + 1) > 4:
                            tensor[top, left] = 0
        assert_same(got, expected)
    convert_checkpoint(tmp_path / "meta", tmp_path / "hf", shard_size=SHARD)
    assert_same(loaded(tmp_path / "hf"), loaded(converted))


def test_metas_code_computes_the_same_after_both_ways(made, converted, tmp_path):
    convert_checkpoint(converted, tmp_path / "meta", to_meta=True)
    shutil.copy(made / "1/encoder.json", tmp_path / "meta")
    checkpoints.logits(tmp_path / "meta")
    expected, got = np.load(made / "1/logits.npz"), np.load(tmp_path / "meta/logits.npz")
    for name in CASES:
        assert np.array_equal(got[name], expected[name]), name


def test_what_transformers_saves_has_a_way_to_meta_and_back(made, converted, tmp_path):
    """Also if the tensors have the names of its class."""
    model = transformers.MllamaForConditionalGeneration.from_pretrained(converted)
    model.save_pretrained(tmp_path / "saved")
    named = dict(model.state_dict())
    assert "lm_head.weight" in named
    shutil.copytree(tmp_path / "saved", tmp_path / "named")
    (tmp_path / "named/model.safetensors").unlink()
    safetensors.save_file(named, tmp_path / "named/model.safetensors", {"format": "pt"})
    for name in ("saved", "named"):
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(converted / file, tmp_path / name)
        convert_checkpoint(tmp_path / name, tmp_path / f"{name}-meta", to_meta=True, ranks=2)
        convert_checkpoint(tmp_path / f"{name}-meta", tmp_path / f"{name}-back")
        assert_same(loaded(tmp_path / f"{name}-back"), loaded(converted))


# What Meta's files may be like


def test_a_lone_file_may_have_no_number(made, converted, tmp_path):
    checkpoints.write_about(tmp_path / "meta")
    shutil.copy(made / "1/consolidated.00.pth", tmp_path / "meta/consolidated.pth")
    convert_checkpoint(tmp_path / "meta", tmp_path / "hf")
    assert_same(loaded(tmp_path / "hf"), loaded(converted))
    shutil.copy(made / "1/consolidated.00.pth", tmp_path / "meta")
    with pytest.raises(CheckpointError, match="only one can be the first rank"):
        convert_checkpoint(tmp_path / "meta", tmp_path / "other")


def test_a_gate_may_be_repeated(made, converted, tmp_path):
    checkpoints.write_about(tmp_path / "meta")
    state = ranks_of(made / "1")[0] | {"text_model.rope.freqs": torch.zeros(4)}
    name = "text_model.cross_attention_layers.1.gate_attn"
    state[name] = state[name].repeat(64)
    torch.save(state, tmp_path / "meta/consolidated.00.pth")
    convert_checkpoint(tmp_path / "meta", tmp_path / "hf", verify=True)
    assert_same(loaded(tmp_path / "hf"), loaded(converted))
    state[name][5] += 1
    torch.save(state, tmp_path / "meta/consolidated.00.pth")
    with pytest.raises(CheckpointError, match="1 of its 64 elements differ from the first"):
        convert_checkpoint(tmp_path / "meta", tmp_path / "other")


def test_layers_of_cross_attention_are_where_metas_code_has_them(made):
    known = json.loads((made / "1/schedules.json").read_text())
    assert len(known) == 210 + 32 + 80
    for numbers, layers in known.items():
        assert list(vision.schedule(*map(int, numbers.split("/")))) == layers, numbers
    assert known["32/8"] == [3, 7, 11, 15, 19, 23, 27, 31]


# The published sizes: the class of transformers has the same tensors


@pytest.mark.parametrize(
    ("dim", "layers", "heads", "wide", "cross", "image"),
    [(4096, 32, 32, 14336, 8, 448), (4096, 32, 32, 14336, 8, 560), (8192, 80, 64, 28672, 20, 560)],
    ids=["11B", "11B-Instruct", "90B"],
)
def test_tables_have_the_published_sizes(monkeypatch, dim, layers, heads, wide, cross, image):
    monkeypatch.setattr(vision, "ENCODER", vision.Encoder())
    images = vision.Vision(image, vision.schedule(layers, cross), vision.ENCODER)
    sizes = Sizes(
        dim, layers, heads, 8, wide, 128256, 1e-5, 5e5, scaled=True, tied=False, vision=images
    )
    config = transformers.MllamaConfig.from_dict(to_config(sizes, "bfloat16", {}))
    if layers == 32:  # what transformers has for 11B, but for the size of an image
        usual = transformers.MllamaConfig()
        assert config.text_config.cross_attention_layers == usual.text_config.cross_attention_layers
        assert config.vision_config.to_dict() | {"image_size": 448, "dtype": None} == (
            usual.vision_config.to_dict() | {"image_size": 448, "dtype": None}
        )
    with torch.device("meta"):
        state = transformers.MllamaForConditionalGeneration(config).state_dict()
    needed = {as_published(name): tuple(tensor.shape) for name, tensor in state.items()}
    assert {tensor.hf: tensor.there for tensor in tensors(sizes)} == needed


# The rest is as of text models


def test_a_plan_says_what_is_done(made, tmp_path):
    planned = plan_checkpoint(made / "2", tmp_path / "hf", shard_size=SHARD)
    assert not (tmp_path / "hf").exists()
    assert (planned.layers, planned.vocab_rows, planned.tied) == (5, 128256, False)
    assert (planned.profile, planned.ranks) == ("llama3.2-vision", 2)
    done = convert_checkpoint(made / "2", tmp_path / "hf", shard_size=SHARD)
    assert done.files == [file.name for file in planned.files]
    assert (done.tensors, done.bytes) == (planned.tensors, planned.bytes)
    assert verify_checkpoint(tmp_path / "hf") == done.bytes


def test_a_run_that_was_cut_goes_on(made, converted, tmp_path):
    class Cut(Exception):
        pass

    def cut(done, total):
        if done > total * 0.6:
            raise Cut

    with pytest.raises(Cut):
        convert_checkpoint(made / "1", tmp_path / "hf", shard_size=SHARD, progress=cut)
    assert not (tmp_path / "hf/model.safetensors.index.json").exists()
    done = convert_checkpoint(made / "1", tmp_path / "hf", shard_size=SHARD, verify=True)
    assert done.kept
    assert_same(loaded(tmp_path / "hf"), loaded(converted))


def test_the_command_converts_both_ways(made, tmp_path, capsys):
    options = ["convert-checkpoint", "--verify"]
    there = ["--input-dir", str(made / "2"), "--output-dir", str(tmp_path / "hf")]
    back = ["--input-dir", str(tmp_path / "hf"), "--output-dir", str(tmp_path / "meta")]
    assert cli.main([*options, *there]) == 0
    assert cli.main([*options, "--to-meta", "--ranks", "2", *back]) == 0
    assert capsys.readouterr().out.count("read back: the same bytes") == 2


def test_a_processor_cuts_images_as_metas_code_does(made, converted):
    images = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install Pillow")
    processor = transformers.AutoProcessor.from_pretrained(converted)
    image = images.new("RGB", (2 * checkpoints.SIDE, checkpoints.SIDE), (10, 20, 30))
    inputs = processor(images=image, text="<|image|>What?", return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 1, 4, 3, checkpoints.SIDE, checkpoints.SIDE)
    assert inputs["aspect_ratio_ids"].tolist() == [[checkpoints.RATIOS.index((1, 2)) + 1]]
    assert inputs["aspect_ratio_mask"].tolist() == [[[1, 1, 0, 0]]]
    assert inputs["input_ids"][0, 1 if inputs["input_ids"][0, 0] == 128000 else 0] == 128256
    # The mean and deviation in Meta's `VariableSizeImageTransform`.
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    for channel, value in enumerate((10, 20, 30)):
        expected = (value / 255 - mean[channel]) / deviation[channel]
        got = inputs["pixel_values"][0, 0, :2, channel]
        assert torch.allclose(got, torch.full_like(got, expected), atol=1e-5)
    assert network(converted)(**inputs).logits.isfinite().all()


def test_a_model_that_reads_images_is_not_run_here(made, converted):
    for folder in (made / "1", converted):
        with pytest.raises(CheckpointError, match="llama3_tok.torch runs text models alone"):
            Llama3.load(folder)
