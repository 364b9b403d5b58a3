"""`vocab_rows`, `profile`, plans, and `pytorch_model.bin`."""

import json
import pickle
import shutil

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

import checkpoints  # noqa: E402
import models  # noqa: E402
from llama3_tok import (  # noqa: E402
    CheckpointError,
    Llama3TokError,
    Tokenizer,
    VocabularyError,
    profiles,
)
from llama3_tok.torch import Llama3, convert_checkpoint, plan_checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"dim": 16, "layers": 1, "heads": 4, "kv_heads": 4, "wide": 64, "dtype": "bfloat16"}
FIELDS = {"multiple_of": 64, "ffn_dim_multiplier": 1.3}
HEAD, INPUT = "lm_head.weight", "model.embed_tokens.weight"
IDS = 128256


def small(folder, *, rows=IDS, ranks=1, **changes):
    """A folder of Meta's with so many rows."""
    sizes = SMALL | changes
    state = checkpoints.weights(vocabulary=rows, **sizes)
    fields = checkpoints.params(dim=16, layers=1, heads=4, kv_heads=4, **FIELDS, vocab_size=rows)
    return checkpoints.write(folder, state, fields, ranks)


def loaded(folder):
    files = sorted(folder.glob("*.safetensors"))
    return {name: t for file in files for name, t in safetensors.load_file(file).items()}


def ranks_of(folder, name):
    """A tensor of Meta's, its rows put together."""
    files = sorted(folder.glob("consolidated.*.pth"))
    return torch.cat([torch.load(file, weights_only=True)[name] for file in files])


def bits(tensor):
    return tensor.view({2: torch.int16, 4: torch.int32}[tensor.element_size()])


def assert_rows(got, given, rows, filler):
    """The rows of `given`, cut, or with `filler` after them."""
    kept = min(len(given), rows)
    assert got.shape == (rows, given.shape[1])
    assert torch.equal(bits(got[:kept]), bits(given[:kept]))
    if rows > kept:  # a sum of so many rows may end in another last place of a double
        expected = filler.expand(rows - kept, -1)
        torch.testing.assert_close(got[kept:], expected, rtol=2e-6, atol=0)
        assert torch.equal(bits(got[kept:]), bits(got[kept]).expand(rows - kept, -1))


def mean(tensor):
    """The mean row, by torch in double."""
    return tensor.double().mean(0).float().to(tensor.dtype)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(("given", "rows"), [(IDS, IDS + 64), (IDS + 8, IDS), (IDS + 8, IDS + 64)])
def test_rows_are_cut_or_added_for_transformers(tmp_path, given, rows, dtype, tied):
    meta = small(tmp_path / "meta", rows=given, ranks=2, tied=tied, dtype=dtype)
    convert_checkpoint(meta, tmp_path / "hf", vocab_rows=rows, verify=True)
    got = loaded(tmp_path / "hf")
    whole = checkpoints.weights(vocabulary=given, **SMALL | {"tied": tied, "dtype": dtype})
    average = mean(whole["output.weight"])
    embedding = whole["tok_embeddings.weight"]
    assert_rows(got[INPUT], embedding, rows, average if tied else torch.zeros_like(average))
    if tied:
        assert HEAD not in got
    else:
        assert_rows(got[HEAD], whole["output.weight"], rows, average)
    assert json.loads((tmp_path / "hf/config.json").read_text())["vocab_size"] == rows
    model = Llama3.load(tmp_path / "hf", dtype="float32")
    assert model.generate("Hello", max_new_tokens=3).new_tokens == 3


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize(
    ("given", "rows"), [(IDS, IDS + 512 * 1024), (IDS + 8, IDS), (IDS + 8, IDS + 64)]
)
def test_rows_are_cut_or_added_for_meta(tmp_path, given, rows, ranks, tied):
    """With four ranks and many rows the last have padding alone."""
    hf = tmp_path / "hf"
    convert_checkpoint(small(tmp_path / "meta", rows=given, tied=tied), hf)
    convert_checkpoint(
        hf, tmp_path / "back", to_meta=True, ranks=ranks, vocab_rows=rows, verify=True
    )
    whole = loaded(hf)
    average = mean(whole[INPUT if tied else HEAD])
    got = ranks_of(tmp_path / "back", "tok_embeddings.weight")
    assert_rows(got, whole[INPUT], rows, average if tied else torch.zeros_like(average))
    got = ranks_of(tmp_path / "back", "output.weight")
    assert_rows(got, whole[INPUT if tied else HEAD], rows, average)
    params = json.loads((tmp_path / "back/params.json").read_text())
    assert params["vocab_size"] == rows
    # And as they were: what was added is cut off.
    convert_checkpoint(tmp_path / "back", tmp_path / "again", vocab_rows=given)
    if rows > given:
        assert torch.equal(loaded(tmp_path / "again")[INPUT], whole[INPUT])


def test_a_padding_row_is_never_the_likeliest(tmp_path):
    """Its logit is the mean of the others', whatever the model has read."""
    meta = small(tmp_path / "meta", dtype="float32")
    convert_checkpoint(meta, tmp_path / "hf", vocab_rows=IDS + 64)
    network = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    ids = torch.randint(0, IDS, (4, 32), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        # All logits may be below zero: that of a row of zeros would be the largest.
        network.lm_head.weight -= network.lm_head.weight.abs().max()
        network.lm_head.weight[IDS:] = network.lm_head.weight[:IDS].double().mean(0).float()
        logits = network(ids).logits
    torch.testing.assert_close(logits[..., IDS], logits[..., :IDS].mean(-1), rtol=1e-4, atol=1e-3)
    assert (logits.argmax(-1) < IDS).all()


def test_rows_are_cast_after_they_are_made(tmp_path):
    meta = small(tmp_path / "meta", dtype="float32")
    convert_checkpoint(meta, tmp_path / "hf", vocab_rows=IDS + 8, dtype="bfloat16", verify=True)
    whole = checkpoints.weights(**SMALL | {"dtype": "float32"})
    expected = whole["output.weight"].double().mean(0).float().bfloat16()
    assert torch.equal(loaded(tmp_path / "hf")[HEAD][-1], expected)


def test_a_padding_token_may_be_left_out_and_rows_added(tmp_path):
    """As `add_pad_token` makes them: the row of the token goes, and what is added is by itself."""
    from llama3_tok.torch import add_pad_token

    model = Llama3(models.network(hidden_size=16), Tokenizer(profile="llama3"))
    add_pad_token(model, model.tokenizer)
    model.network.save_pretrained(tmp_path / "hf")
    model.tokenizer.save(tmp_path / "hf")
    convert_checkpoint(
        tmp_path / "hf", tmp_path / "meta", to_meta=True, ranks=2, vocab_rows=IDS + 64, verify=True
    )
    given = model.network.get_input_embeddings().weight.detach()[:IDS]
    got = ranks_of(tmp_path / "meta", "tok_embeddings.weight")
    assert_rows(got, given, IDS + 64, torch.zeros(16))
    given = model.network.lm_head.weight.detach()[:IDS]
    assert_rows(ranks_of(tmp_path / "meta", "output.weight"), given, IDS + 64, mean(given))


def test_rows_of_ids_are_never_cut(tmp_path):
    meta = small(tmp_path / "meta", rows=IDS + 8)
    for rows in (1, IDS - 1):
        with pytest.raises(CheckpointError, match="vocab_rows must be at least 128,256"):
            convert_checkpoint(meta, tmp_path / "out", vocab_rows=rows)
    with pytest.raises(ValueError, match="vocab_rows must be at least 1, not 0"):
        convert_checkpoint(meta, tmp_path / "out", vocab_rows=0)
    with pytest.raises(TypeError, match="vocab_rows must be an int, not str"):
        convert_checkpoint(meta, tmp_path / "out", vocab_rows="128256")
    with pytest.raises(CheckpointError, match="tokens can't be spread over 2 ranks evenly"):
        convert_checkpoint(
            _converted(meta, tmp_path), tmp_path / "out", to_meta=True, ranks=2, vocab_rows=IDS + 9
        )
    assert not (tmp_path / "out").exists()


def _converted(meta, place):
    convert_checkpoint(meta, place / "hf")
    return place / "hf"


# Profiles


@pytest.mark.parametrize("profile", ["llama3.1", "llama3.2", "llama3.3", "meta"])
def test_a_profile_may_be_named_where_the_weights_tell_another(tmp_path, profile):
    """A model without scaling, as of Llama 3, that was trained with the tokens of a later one."""
    meta = small(tmp_path / "meta")
    convert_checkpoint(meta, tmp_path / "told")
    assert Tokenizer(tmp_path / "told").profile == "llama3"
    convert_checkpoint(meta, tmp_path / "hf", profile=profile)
    assert Tokenizer(tmp_path / "hf").profile == profile
    assert Tokenizer(tmp_path / "hf").special_tokens == Tokenizer(profile=profile).special_tokens
    told, named = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("told", "hf")
    )
    # What the weights do say is not what somebody names.
    for part in ("rope_parameters", "max_position_embeddings"):
        assert named[part] == told[part]


def test_the_scaling_is_that_of_the_release_that_is_named(tmp_path):
    state = checkpoints.weights(**SMALL | {"tied": True})
    fields = checkpoints.params(dim=16, layers=1, heads=4, kv_heads=4, scaled=True, **FIELDS)
    meta = checkpoints.write(tmp_path / "meta", state, fields)
    for profile, factor in ((None, 32.0), ("llama3.2", 32.0), ("llama3.1", 8.0), ("llama3", 32.0)):
        output = tmp_path / str(profile)
        convert_checkpoint(meta, output, profile=profile)
        config = json.loads((output / "config.json").read_text())
        assert config["rope_parameters"]["factor"] == factor


def with_rank_file_alone(folder, meta):
    """A folder of transformers with a plain rotary embedding and nothing but ranks of tokens."""
    convert_checkpoint(meta, folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    return folder


def test_a_tokenizer_of_another_release_than_the_weights_is_taken(tmp_path):
    """A plain rotary embedding with the tokens of 3.1, where only the chat template says so."""
    hf = with_rank_file_alone(tmp_path / "hf", small(tmp_path / "meta"))
    template = profiles.chat_template("llama3.1")
    (hf / "chat_template.jinja").write_text(template)
    convert_checkpoint(hf, tmp_path / "out", to_meta=True)
    assert Tokenizer(tmp_path / "out").profile == "llama3.1"


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.3", "meta"])
def test_any_profile_may_be_named_for_a_rank_file_alone(tmp_path, profile):
    """In either direction, whatever the weights and what transformers adds tell of the release."""
    hf = with_rank_file_alone(tmp_path / "hf", small(tmp_path / "meta"))
    convert_checkpoint(hf, tmp_path / "out", to_meta=True, profile=profile)
    convert_checkpoint(tmp_path / "out", tmp_path / "again")
    assert Tokenizer(tmp_path / "again").special_tokens == Tokenizer(profile=profile).special_tokens
    for path in (tmp_path / "hf/config.json", tmp_path / "hf/generation_config.json"):
        shutil.copy(path, tmp_path / "meta")
    convert_checkpoint(tmp_path / "meta", tmp_path / "back", profile=profile)
    assert Tokenizer(tmp_path / "back").special_tokens == Tokenizer(profile=profile).special_tokens


def test_a_role_that_only_another_release_has_a_token_for_asks_for_a_profile(tmp_path):
    hf = with_rank_file_alone(tmp_path / "hf", small(tmp_path / "meta"))
    names = {
        "pad_token": {"content": "<|finetune_right_pad_id|>"},
        "bos_token": "<|begin_of_text|>",
    }
    (hf / "special_tokens_map.json").write_text(json.dumps(names))
    with pytest.raises(CheckpointError, match="128,257 ids.*; its files do not say which release"):
        convert_checkpoint(hf, tmp_path / "out", to_meta=True)
    with pytest.raises(
        CheckpointError, match="'<.finetune_right_pad_id.>', which is not a special"
    ):
        convert_checkpoint(hf, tmp_path / "out", to_meta=True, profile="llama3")
    convert_checkpoint(hf, tmp_path / "out", to_meta=True, profile="llama3.1")
    assert Tokenizer(tmp_path / "out").pad_id == 128004


def test_a_profile_that_contradicts_the_folder_is_refused_with_one_that_fits(tmp_path):
    convert_checkpoint(small(tmp_path / "meta"), tmp_path / "hf")
    with pytest.raises(VocabularyError, match='pass profile="llama3"'):
        convert_checkpoint(tmp_path / "hf", tmp_path / "out", to_meta=True, profile="llama3.1")
    convert_checkpoint(tmp_path / "hf", tmp_path / "out", to_meta=True, profile="llama3")
    with pytest.raises(Llama3TokError, match="unknown profile"):
        convert_checkpoint(tmp_path / "meta", tmp_path / "other", profile="llama4")


# Plans


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("to_meta", [False, True])
@pytest.mark.parametrize("wishes", [{}, {"dtype": "float32"}, {"vocab_rows": IDS + 64}])
def test_a_plan_is_what_is_done_then_and_writes_nothing(tmp_path, to_meta, wishes):
    source = small(tmp_path / "meta", ranks=2)
    options = {"shard_size": "3MB"} | wishes
    if to_meta:
        source = _converted(source, tmp_path)
        options = {"to_meta": True, "ranks": 2} | wishes
    before = tree(tmp_path)
    plan = plan_checkpoint(source, tmp_path / "out", **options)
    assert tree(tmp_path) == before
    assert plan.kept == 0
    assert plan.needed == plan.bytes <= plan.free
    done = convert_checkpoint(source, tmp_path / "out", **options)
    assert [file.name for file in plan.files] == done.files
    for name in ("tensors", "bytes", "dtype", "ranks", "folder"):
        assert getattr(plan, name) == getattr(done, name)
    for file in plan.files:
        over = (tmp_path / "out" / file.name).stat().st_size - file.bytes
        assert 0 < over < 20_000
    weights = [p for p in source.iterdir() if p.suffix in (".pth", ".safetensors")]
    assert plan.input_bytes == sum(path.stat().st_size for path in weights)
    assert (plan.layers, plan.vocab_rows) == (1, wishes.get("vocab_rows", IDS))
    assert (plan.tied, plan.profile) == (False, "llama3")
    # Again, when all is there, and when one is not.
    before = tree(tmp_path)
    again = plan_checkpoint(source, tmp_path / "out", **options)
    assert (again.kept, again.needed) == (len(done.files), 0)
    assert tree(tmp_path) == before
    (tmp_path / "out" / done.files[0]).unlink()
    again = plan_checkpoint(source, tmp_path / "out", **options)
    assert (again.kept, again.needed) == (len(done.files) - 1, plan.files[0].bytes)


def test_a_plan_is_refused_where_the_conversion_would_be(tmp_path):
    meta = small(tmp_path / "meta")
    convert_checkpoint(meta, tmp_path / "out")
    with pytest.raises(CheckpointError, match="an earlier run began here with another options"):
        plan_checkpoint(meta, tmp_path / "out", dtype="float32")
    (tmp_path / "out/conversion.json").unlink()
    with pytest.raises(CheckpointError, match="already exists, and is not from this conversion"):
        plan_checkpoint(meta, tmp_path / "out")
    with pytest.raises(CheckpointError, match="different folders"):
        plan_checkpoint(meta, meta)
    with pytest.raises(CheckpointError, match="dtype is 'int8'"):
        plan_checkpoint(meta, tmp_path / "other", dtype="int8")


# pytorch_model.bin


def as_bin(folder, state, shards=1):
    """Replaces the weights of a folder with torch's files."""
    for path in folder.glob("model*"):
        path.unlink()
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return folder
    index, names = {}, sorted(state)
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        mine = names[number::shards]
        torch.save({one: state[one] for one in mine}, folder / name)
        index |= dict.fromkeys(mine, name)
    (folder / "pytorch_model.bin.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    return folder


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_torchs_files_give_what_safetensors_files_give(tmp_path, shards, tied):
    hf = tmp_path / "hf"
    convert_checkpoint(small(tmp_path / "meta", tied=tied), hf)
    convert_checkpoint(hf, tmp_path / "expected", to_meta=True, ranks=2)
    # A module's own state: an OrderedDict with notes, in which a tied layer has two names; and the
    # frequencies that older releases wrote.
    state = transformers.LlamaForCausalLM.from_pretrained(hf).state_dict()
    assert HEAD in state
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    as_bin(hf, state if shards == 1 else dict(state), shards)
    convert_checkpoint(hf, tmp_path / "meta-again", to_meta=True, ranks=2, verify=True)
    for rank in range(2):
        name = f"consolidated.{rank:02d}.pth"
        expected, got = (tmp_path / where / name for where in ("expected", "meta-again"))
        assert expected.read_bytes() == got.read_bytes()
    model = Llama3.load(hf)
    network = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "hf", dtype="auto")
    ids = torch.tensor([[128000, 9906]])
    with torch.no_grad():
        assert torch.equal(model.network(ids).logits, network(ids).logits)


class Trap:
    """A pickle that would run something."""

    ran = False

    def __reduce__(self):
        return _spring, ()


def _spring():
    Trap.ran = True
    return torch.zeros(1)


def test_no_pickle_is_run(tmp_path):
    hf = _converted(small(tmp_path / "meta"), tmp_path)
    state = loaded(hf)
    as_bin(hf, state | {"model.norm.weight": Trap()})
    for call in (
        lambda: convert_checkpoint(hf, tmp_path / "out", to_meta=True),
        lambda: plan_checkpoint(hf, tmp_path / "out", to_meta=True),
        lambda: Llama3.load(hf),
    ):
        with pytest.raises(CheckpointError, match="_spring is not part of a table of tensors"):
            call()
    (hf / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="it is not the zip archive"):
        convert_checkpoint(hf, tmp_path / "out", to_meta=True)
    assert not Trap.ran


def test_damage_in_torchs_files_is_found(tmp_path):
    hf = _converted(small(tmp_path / "meta"), tmp_path)
    as_bin(hf, loaded(hf))
    path = hf / "pytorch_model.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="they are damaged"):
        convert_checkpoint(hf, tmp_path / "out", to_meta=True)


def test_safetensors_files_count_before_torchs(tmp_path):
    """As transformers takes them."""
    hf = _converted(small(tmp_path / "meta"), tmp_path)
    (hf / "pytorch_model.bin").write_bytes(b"something else")
    convert_checkpoint(hf, tmp_path / "out", to_meta=True)


def test_an_index_of_torchs_files_names_what_is_there(tmp_path):
    hf = _converted(small(tmp_path / "meta"), tmp_path)
    as_bin(hf, loaded(hf), 2)
    (hf / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(CheckpointError, match="pytorch_model.bin.index.json names it"):
        convert_checkpoint(hf, tmp_path / "out", to_meta=True)
    (hf / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "config.json"}}')
    with pytest.raises(CheckpointError, match="it is not a file of that kind"):
        convert_checkpoint(hf, tmp_path / "out", to_meta=True)
