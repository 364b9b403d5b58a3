"""An output layer that is stored beside a tied embedding: the same bytes, or a head of its own."""

import json
import warnings

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

import checkpoints  # noqa: E402
import models  # noqa: E402
from llama3_tok import CheckpointError, Tokenizer  # noqa: E402
from llama3_tok.torch import Llama3, convert_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1}
HEAD, INPUT = "lm_head.weight", "model.embed_tokens.weight"
TOKENS = torch.tensor([[128000, 9906, 1917, 5, 7]])
FORMS = ["one file", "head elsewhere", "bin", "bin in parts"]


def folder(path, head, form="one file", **changes):
    """A folder with a tied model and what `head` makes of its embedding as the stored head."""
    made = models.network(dtype=torch.bfloat16, tie_word_embeddings=True, **SMALL, **changes)
    made.config.save_pretrained(path)
    Tokenizer(profile="llama3").save(path)
    state = {name: tensor.detach() for name, tensor in made.state_dict().items()}
    state[HEAD] = head(state[INPUT])
    if form == "one file":
        safetensors.save_file(
            {name: tensor.clone() for name, tensor in state.items()},
            path / "model.safetensors",
            {"format": "pt"},
        )
    elif form == "bin":
        torch.save(state, path / "pytorch_model.bin")
    else:
        ending = "bin" if form.startswith("bin") else "safetensors"
        stem = "pytorch_model" if ending == "bin" else "model"
        index = {}
        for number, names in enumerate(([HEAD], sorted(state.keys() - {HEAD})), 1):
            name = f"{stem}-{number:05d}-of-00002.{ending}"
            part = {one: state[one].clone() for one in names}
            if ending == "bin":
                torch.save(part, path / name)
            else:
                safetensors.save_file(part, path / name, {"format": "pt"})
            index |= dict.fromkeys(names, name)
        (path / f"{stem}.{ending}.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": index})
        )
    return path


def logits(path):
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        return model(TOKENS).logits


def other(embedding):
    return torch.randn(embedding.shape, generator=torch.Generator().manual_seed(1)).to(
        embedding.dtype
    )


def changed(row, column):
    """One bit of the embedding flipped."""

    def head(embedding):
        made = embedding.clone()
        made.view(torch.int16)[row, column] ^= 1
        return made

    return head


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_head_of_its_own_is_written_whatever_the_configuration_says(tmp_path, form, ranks):
    """As transformers 5 uses it: logits are those of the folder as transformers loads it."""
    path = folder(tmp_path / "hf", other, form)
    expected = logits(path)
    with pytest.warns(UserWarning, match="the stored lm_head.weight is another"):
        convert_checkpoint(path, tmp_path / "meta", to_meta=True, ranks=ranks, verify=True)
    rank = torch.load(tmp_path / "meta/consolidated.00.pth", weights_only=True)
    assert rank["output.weight"].data_ptr() != rank["tok_embeddings.weight"].data_ptr()
    convert_checkpoint(tmp_path / "meta", tmp_path / "back")
    assert not json.loads((tmp_path / "back/config.json").read_text())["tie_word_embeddings"]
    assert torch.equal(logits(tmp_path / "back"), expected)
    with torch.no_grad():
        assert torch.equal(Llama3.load(path, dtype="float32").network(TOKENS).logits, expected)
    tied = folder(tmp_path / "tied", lambda embedding: embedding, form)
    assert (logits(tied) - expected).abs().max() > 1


@pytest.mark.parametrize("form", FORMS)
def test_a_head_with_the_same_bytes_stays_tied(tmp_path, form):
    path = folder(tmp_path / "hf", lambda embedding: embedding, form)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_checkpoint(path, tmp_path / "meta", to_meta=True, verify=True)
    rank = torch.load(tmp_path / "meta/consolidated.00.pth", weights_only=True)
    assert rank["output.weight"].data_ptr() == rank["tok_embeddings.weight"].data_ptr()


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1023, 15), (1024, 0), (128255, 15)])
def test_one_bit_makes_another_head(tmp_path, row, column):
    path = folder(tmp_path / "hf", changed(row, column))
    with pytest.warns(UserWarning, match="the stored lm_head.weight is another"):
        convert_checkpoint(path, tmp_path / "meta", to_meta=True, verify=True)
    rank = torch.load(tmp_path / "meta/consolidated.00.pth", weights_only=True)
    differs = rank["output.weight"].view(torch.int16) != rank["tok_embeddings.weight"].view(
        torch.int16
    )
    assert differs.nonzero().tolist() == [[row, column]]


def test_a_head_of_another_type_is_another(tmp_path):
    path = folder(tmp_path / "hf", lambda embedding: embedding.float())
    with (
        pytest.warns(UserWarning, match="the stored lm_head.weight is another"),
        pytest.raises(CheckpointError, match="pass dtype='bfloat16' to convert the others to it"),
    ):
        convert_checkpoint(path, tmp_path / "meta", to_meta=True)


def test_a_head_of_another_shape_is_refused(tmp_path):
    path = folder(tmp_path / "hf", lambda embedding: embedding[:128000])
    with (
        pytest.raises(CheckpointError, match=r"its shape is \[128000, 16\]") as caught,
    ):
        convert_checkpoint(path, tmp_path / "meta", to_meta=True)
    assert caught.value.tensor == HEAD


def test_a_scaling_that_only_a_tied_model_can_have_is_refused_with_another_head(tmp_path):
    """`params.json` says that there is scaling, and the factor is told from the tie."""
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    sizes = {"rope_parameters": scaling, "max_position_embeddings": 131072}
    path = folder(tmp_path / "tied", lambda embedding: embedding, **sizes)
    convert_checkpoint(path, tmp_path / "meta", to_meta=True)
    path = folder(tmp_path / "hf", other, **sizes)
    with pytest.raises(
        CheckpointError, match="'factor' .* is 32.0, .* whose output layer is not its embedding"
    ):
        convert_checkpoint(path, tmp_path / "out", to_meta=True)
    # The scaling of 3.1 is what an untied model has.
    sizes["rope_parameters"] = scaling | {"factor": 8.0}
    path = folder(tmp_path / "of-3.1", other, **sizes)
    with pytest.warns(UserWarning, match="the stored lm_head.weight is another"):
        convert_checkpoint(path, tmp_path / "meta-3.1", to_meta=True)


@pytest.mark.parametrize("row", [0, 1024, 64127])
def test_metas_output_layer_that_differs_in_one_rank_is_written(tmp_path, row):
    """All ranks are looked at, to their last row."""
    meta = checkpoints.make(
        tmp_path / "meta",
        ranks=2,
        tied=True,
        dim=16,
        heads=4,
        wide=64,
        dtype="bfloat16",
        fields={"multiple_of": 64, "ffn_dim_multiplier": 1.3},
    )
    path = meta / "consolidated.01.pth"
    state = torch.load(path, weights_only=True)
    state["output.weight"] = changed(row, 15)(state["tok_embeddings.weight"])
    torch.save(state, path)
    convert_checkpoint(meta, tmp_path / "hf", verify=True)
    (file,) = (tmp_path / "hf").glob("*.safetensors")
    stored = safetensors.load_file(file)
    differs = stored[HEAD].view(torch.int16) != stored[INPUT].view(torch.int16)
    assert differs.nonzero().tolist() == [[64128 + row, 15]]
