"""Llama 3.2 Vision: what can't be converted is refused before it is written, and says why."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")
pytest.importorskip("fairscale", reason="fairscale is not installed, which Meta's code needs")

import checkpoints as texts  # noqa: E402
import vision_checkpoints as checkpoints  # noqa: E402
from llama3_tok import CheckpointError  # noqa: E402
from llama3_tok.torch import convert_checkpoint, plan_checkpoint  # noqa: E402
from llama3_tok.torch.checkpoint import vision  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

CROSS = "text_model.cross_attention_layers.0"
ENCODER = "vision_model.vision_encoder"
POSITIONS = f"{ENCODER}.positional_embedding"
TABLE = "vision_model.pre_tile_positional_embedding.embedding.weight"


@pytest.fixture(autouse=True)
def _small_encoder(monkeypatch):
    monkeypatch.setattr(vision, "ENCODER", vision.Encoder(**checkpoints.ENCODER))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    checkpoints.make(folder / "meta")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vision, "ENCODER", vision.Encoder(**checkpoints.ENCODER))
        convert_checkpoint(folder / "meta", folder / "hf", dtype="bfloat16")
    (folder / "hf/conversion.json").unlink()
    return folder


def copied(source, folder):
    """A copy whose large files are links to them; those that a test changes are written anew."""
    shutil.copytree(source, folder, copy_function=lambda a, b: b)
    for path in source.iterdir():
        if path.suffix in (".pth", ".safetensors"):
            (folder / path.name).symlink_to(path)
        else:
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def meta(sound, tmp_path):
    return copied(sound / "meta", tmp_path / "meta")


@pytest.fixture
def hf(sound, tmp_path):
    return copied(sound / "hf", tmp_path / "hf")


def refused(folder, planned=True, **options):
    """The message for a folder, which a plan has, too; no file of weights is written."""
    output = folder.parent / "out"
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(folder, output, **options)
    assert not list(output.glob("*.pth")) + list(output.glob("*.safetensors"))
    if planned:
        assert not output.exists()
        with pytest.raises(CheckpointError) as again:
            plan_checkpoint(folder, output, **options)
        assert str(again.value) == str(caught.value)
    return str(caught.value)


def edit(path, part=None, **changes):
    """Changes fields of a JSON file, or of an object in it; None takes one out."""
    values = json.loads(path.read_text())
    inner = values if part is None else values[part]
    inner.update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del inner[name]
    path.write_text(json.dumps(values))


def change(folder, changes):
    """Changes tensors of Meta's one file; None takes one out."""
    path = folder / "consolidated.00.pth"
    state = torch.load(path, mmap=True, weights_only=True) | changes
    path.unlink()
    torch.save({name: value for name, value in state.items() if value is not None}, path)


def change_hf(folder, name, changed):
    """Changes a tensor of transformers' one file."""
    path = folder / "model-00001-of-00001.safetensors"
    state = safetensors.load_file(path)
    state[name] = changed(state[name])
    path.unlink()
    safetensors.save_file(state, path, {"format": "pt"})


# Meta's folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({f"{CROSS}.attention.wk.weight": None}, "wk.weight: there is no such tensor"),
        ({f"{CROSS}.gate_ffwd": None}, "gate_ffwd: there is no such tensor"),
        ({"text_model.learnable_embedding.weight": None}, "there is no such tensor"),
        ({"text_model.output.weight": None}, "text_model.output.weight: there is no such tensor"),
        (
            {f"{CROSS}.attention.q_norm.weight": torch.ones(16)},
            "its shape is [16]; each of 1 ranks must have a part of [8]",
        ),
        (
            {f"{ENCODER}.transformer.resblocks.3.mlp.c_fc.bias": torch.ones(64)},
            "its shape is [64]; each of 1 ranks must have a part of [128]",
        ),
        (
            {f"{ENCODER}.transformer.resblocks.4.ln_1.bias": torch.ones(32)},
            "no Llama 3.2 Vision model of 5 layers has such a tensor; 1 are unknown",
        ),
        ({POSITIONS: torch.ones(17, 32)}, "[17, 32], and vision_chunk_size in params.json makes"),
        ({"text_model.norm.weight": torch.ones(64).bfloat16()}, "a model has one: pass dtype="),
        (
            {"text_model.tok_embeddings.weight": torch.ones(128248, 64)},
            "make a vocabulary of 128,248, and params.json says 128,256",
        ),
    ],
)
def test_tensors_that_are_not_the_models(meta, changes, reason):
    change(meta, changes)
    message = refused(meta)
    assert reason in message
    assert str(meta / "consolidated.00.pth") in message


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"vision_chunk_size": None}, "it describes a text model, and"),
        ({"vision_chunk_size": 13}, "'vision_chunk_size' is 13, and a patch has 14 pixels"),
        ({"vision_chunk_size": 70}, "vision_chunk_size in params.json makes it [26, 32]"),
        ({"vision_chunk_size": "42"}, "'vision_chunk_size' is '42', and must be a whole number"),
        ({"vision_max_num_chunks": 9}, "is 9, and the image encoder is made for 4"),
        ({"vision_num_cross_attention_layers": None}, "has no field 'vision_num_cross_attention"),
        ({"vision_num_cross_attention_layers": 6}, "is 6, and there are 5 text layers"),
        ({"vision_num_cross_attention_layers": 1}, "has such a tensor; 13 are unknown"),
        ({"vision_num_cross_attention_layers": 3}, f"{CROSS[:-1]}2.attention_norm.weight: there"),
        ({"vision_model": {"x": 1}}, "the field 'vision_model' is none of a Llama 3 model"),
    ],
)
def test_fields_that_contradict_the_weights(meta, fields, reason):
    if fields == {"vision_chunk_size": None}:
        fields |= {"vision_max_num_chunks": None, "vision_num_cross_attention_layers": None}
    edit(meta / "params.json", **fields)
    assert reason in refused(meta)


def test_a_text_model_that_is_called_one_with_images(tmp_path):
    state = texts.weights(layers=1, kv_heads=4, dtype="bfloat16")
    folder = texts.write(tmp_path / "meta", state, checkpoints.PARAMS)
    assert "its tensors are those of a text model" in refused(folder)


def test_more_ranks_than_there_are_rows_for_the_image(meta):
    for rank in range(1, 16):
        (meta / f"consolidated.{rank:02d}.pth").symlink_to(meta / "consolidated.00.pth")
    assert "16 ranks are here, and a Llama 3.2 Vision model has 8 at most" in refused(meta)


def test_ranks_with_other_embeddings_of_tiles(sound, tmp_path):
    checkpoints.reference("make", sound / "meta", 2)
    folder = checkpoints.split(sound / "meta", tmp_path / "two", 2)
    path, name = folder / "consolidated.01.pth", f"{ENCODER}.gated_positional_embedding"
    state = torch.load(path, weights_only=True)
    state[name][3, 3, 9, 31] += 1
    torch.save(state, path)
    message = refused(folder, planned=False)
    assert f"{name}: ranks hold copies of it, and 1 of its 5,120 elements differ" in message


# The folder of transformers


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("vision_config", {"hidden_size": 48}, "'hidden_size' of its vision_config is 48, and"),
        ("vision_config", {"num_hidden_layers": None}, "is 32, and Meta's code has 4 written"),
        ("vision_config", {"intermediate_layers_indices": [1, 2]}, "is [1, 2], and Meta's code"),
        ("vision_config", {"image_size": [42, 42]}, "'image_size' is [42, 42], and must be"),
        ("vision_config", {"image_size": 56}, "makes it [17, 32]"),
        ("vision_config", {"model_type": "clip"}, "'model_type' of its vision_config is 'clip'"),
        ("text_config", {"cross_attention_layers": [0, 5]}, "Meta's code spreads them evenly"),
        ("text_config", {"cross_attention_layers": []}, "Meta's code spreads them evenly"),
        ("text_config", {"cross_attention_layers": None}, "and must be a list of layers"),
        ("text_config", {"hidden_act": "gelu"}, "'hidden_act' is 'gelu', and Meta's code has"),
        (
            "text_config",
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5}},
            "'rope_type'",
        ),
        (None, {"image_token_index": 128011}, "is 128011, and Meta's code has the image right"),
        (None, {"text_config": None}, "its text_config is None, and must be an object"),
    ],
)
def test_models_that_metas_code_would_compute_otherwise(hf, part, changes, reason):
    edit(hf / "config.json", part, **changes)
    assert reason in refused(hf, to_meta=True)


def test_a_table_whose_rows_are_not_of_one_grid(hf):
    def changed(table):
        table = table.clone()
        table[8, 3 * 32 + 5] += 1  # the last of 4 x 1 tiles, which no other ratio has
        table[6, 32 + 5] += 1  # in 2 x 2 the upper right, which 1 x 2 has, too
        return table

    change_hf(hf, TABLE, changed)
    message = refused(hf, to_meta=True)
    assert f"{TABLE}: its rows for 1 x 2 tiles and for 2 x 2 tiles differ in the tile" in message
    assert "at row 0, column 1, and Meta's layout has one embedding for both" in message


@pytest.mark.parametrize(("row", "tile", "name"), [(0, 2, "no image"), (4, 3, ""), (3, 3, "1 x 3")])
def test_a_table_with_more_than_meta_adds(hf, row, tile, name):
    def changed(table):
        table = table.clone()
        table[row, tile * 32] = 1
        return table

    change_hf(hf, TABLE, changed)
    if not name:  # all tiles of 1 x 4 are there
        convert_checkpoint(hf, hf.parent / "out", to_meta=True)
        return
    assert f"its row for {name}" in (message := refused(hf, to_meta=True))
    assert f"is not zero for tile {tile}" in message


def test_a_tensor_with_two_names(hf):
    path = hf / "model-00001-of-00001.safetensors"
    state = safetensors.load_file(path)
    state["lm_head.weight"] = state["language_model.lm_head.weight"].clone()
    path.unlink()
    safetensors.save_file(state, path, {"format": "pt"})
    message = refused(hf, to_meta=True)
    assert "has it too, as " in message
    assert "language_model.lm_head.weight" in message


@pytest.mark.parametrize(
    ("ranks", "reason"),
    [
        (3, "its 8 heads can't be spread over 3 ranks"),
        (16, "its 8 heads can't be spread over 16 ranks"),
    ],
)
def test_ranks_that_can_not_share(hf, ranks, reason):
    assert reason in refused(hf, to_meta=True, ranks=ranks)


def test_ranks_that_the_text_alone_could_be_spread_over(monkeypatch, hf):
    edit(hf / "config.json", "vision_config", attention_heads=2)
    encoder = checkpoints.ENCODER | {"heads": 2}
    monkeypatch.setattr(vision, "ENCODER", vision.Encoder(**encoder))
    message = refused(hf, to_meta=True, ranks=4)
    assert "its 2 heads of the image encoder can't be spread over 4 ranks" in message


# Wishes


@pytest.mark.parametrize("to_meta", [False, True])
def test_rows_are_not_added_or_cut(meta, hf, to_meta):
    message = refused(hf if to_meta else meta, to_meta=to_meta, vocab_rows=128320)
    assert "vocab_rows is for text models" in message


def test_a_profile_without_the_image(meta):
    message = refused(meta, profile="llama3.1")
    assert "the tokenizer of profile llama3.1 has no <|image|> with id 128,256" in message
    convert_checkpoint(meta, meta.parent / "out", profile="llama3.2-vision")


def test_an_adapter_is_not_merged(hf):
    pytest.importorskip("peft")
    message = refused(hf, to_meta=True, merge_adapter=str(hf.parent))
    assert "an adapter is merged into text models alone" in message
