"""JSON of checkpoints that is not what it should be: refused by the name of the file.

What is taken is a value of the right kind, or one that says nothing about the weights.
"""

import json
import re
import shutil
import struct
from dataclasses import replace
from functools import partial

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")

import checkpoints  # noqa: E402
from llama3_tok import CheckpointError, Tokenizer  # noqa: E402
from llama3_tok.torch import convert_checkpoint, verify_checkpoint  # noqa: E402
from llama3_tok.torch.checkpoint.hugging_face import HuggingFaceFolder  # noqa: E402
from llama3_tok.torch.checkpoint.job import read_record  # noqa: E402
from llama3_tok.torch.checkpoint.meta import MetaFolder  # noqa: E402
from llama3_tok.torch.checkpoint.sizes import (  # noqa: E402
    from_config,
    from_params,
    to_config,
)
from llama3_tok.torch.checkpoint.stored import Safetensors  # noqa: E402
from llama3_tok.torch.folder import ModelFolder  # noqa: E402
from wrong_json import RAW, has_kind, mutants  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"dim": 16, "layers": 2, "heads": 4, "kv_heads": 2, "wide": 64, "dtype": "bfloat16"}
FIELDS = {"multiple_of": 64, "ffn_dim_multiplier": 1.3}
FILES = {
    "params.json": ("meta", lambda folder: MetaFolder(str(folder)).sizes),
    "config.json": ("hf", lambda folder: HuggingFaceFolder(str(folder)).sizes),
    "model.safetensors.index.json": ("hf", lambda folder: HuggingFaceFolder(str(folder)).sizes),
    "conversion.json": ("hf", verify_checkpoint),
}
SAYS_NOTHING = {
    "params.json": r"max_seq_len|max_batch_size",
    # What transformers computes with, or how a model is run or trained; ids are the tokenizer's.
    "config.json": r"architectures\b.*|attention_dropout|(bos|eos|pad)_token_id\b.*|dtype|"
    r"initializer_range|max_position_embeddings|torch_dtype|use_cache|rope_scaling\b.*|rope_theta",
    "model.safetensors.index.json": r"metadata\b.*",
    "conversion.json": r"input\..*|options\..*",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    fields = FIELDS | {"max_seq_len": 8192, "max_batch_size": 32}
    checkpoints.make(folder / "meta", ranks=2, fields=fields, **SMALL)
    convert_checkpoint(folder / "meta", folder / "hf", shard_size="3MB")
    return folder


def outcome(read, folder, file):
    """What is read, or None for a refusal; its message is checked."""
    try:
        return read(folder)
    except CheckpointError as error:
        message = str(error)
        assert str(file) in message or str(folder) in message
        assert len(message) < 1000
        assert not RAW.search(message), message
        return None


@pytest.mark.parametrize("name", FILES)
def test_a_value_of_a_wrong_kind_is_refused_or_means_nothing(sound, tmp_path, name):
    kind, read = FILES[name]
    folder = shutil.copytree(sound / kind, tmp_path / kind)
    file = folder / name
    usual = read(folder)
    refused = 0
    for place, old, new, value in mutants(json.loads(file.read_text())):
        file.write_text(json.dumps(value))
        found = outcome(read, folder, file)
        refused += found is None
        if place and re.fullmatch(SAYS_NOTHING[name], place):
            assert found == usual, (place, new)
        elif found is not None:
            assert has_kind(new, old), (place, new)
    assert refused > 5


IMAGES = {"vision_chunk_size": 560, "vision_num_cross_attention_layers": 2}


@pytest.mark.parametrize("name", ["params.json", "config.json"])
def test_a_wrong_kind_in_what_is_said_of_images_is_refused(sound, tmp_path, name):
    params = json.loads((sound / "meta/params.json").read_text()) | IMAGES
    params |= {"vision_max_num_chunks": 4}
    file = tmp_path / name
    sizes = MetaFolder(str(sound / "meta")).sizes
    sizes = replace(sizes, vision=from_params(params, str(file)).vision)
    given = params if name == "params.json" else to_config(sizes, "bfloat16", {"bos_token_id": 1})
    read = partial(from_params if name == "params.json" else from_config, file=str(file))
    nothing = SAYS_NOTHING[name] + ("|tie_word_embeddings|dropout" if name == "config.json" else "")
    usual, refused = read(given), 0
    for part in (None, "text_config", "vision_config"):
        for key, kept in (given if part is None else given.get(part, {})).items():
            for place, old, new, fields in mutants({key: kept}):
                if not place or place.startswith(("text_config.", "vision_config.")):
                    continue  # the file as a whole, and what has its own turn
                if place == "rope_parameters" and not new:
                    continue  # then the fields of transformers 4 are read
                values = given | (fields if part is None else {part: given[part] | fields})
                found = outcome(lambda folder, values=values: read(values), tmp_path, file)
                refused += found is None
                if re.fullmatch(nothing, place):
                    assert found == usual, (part, place, new)
                elif found is not None:
                    assert has_kind(new, old), (part, place, new)
    assert refused > 50


def test_a_header_of_a_wrong_kind_is_refused(sound, tmp_path):
    path = next(path for path in sorted((sound / "hf").glob("*.safetensors")))
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    file = tmp_path / "model.safetensors"
    usual = Safetensors(str(path)).tensors
    refused = 0
    for place, _, new, value in mutants(header):
        text = json.dumps(value).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        found = outcome(lambda folder: Safetensors(str(file)).tensors, tmp_path, file)
        refused += found is None
        if place.startswith("__metadata__"):
            assert found == usual
        else:
            assert found is None, (place, new)
    assert refused > 50


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_what_a_model_folder_says_is_of_the_right_kind(sound, tmp_path, name):
    folder = shutil.copytree(sound / "hf", tmp_path / "hf")
    tokenizer = Tokenizer(folder)
    if name == "config.json":  # then it is asked for what ends generation
        (folder / "generation_config.json").unlink()
    file = folder / name

    def read(folder):
        model = ModelFolder(str(folder))
        return model.tokenizer(tokenizer).vocab_size, model.stop_ids(tokenizer)

    usual, refused = read(folder), 0
    for place, _, new, value in mutants(json.loads(file.read_text())):
        file.write_text(json.dumps(value))
        found = outcome(read, folder, file)
        refused += found is None
        if found not in (None, usual):
            # A number for a list of one, and a list of none: nothing ends generation.
            assert place.startswith("eos_token_id"), (place, new)
            assert new is None or type(new) in (int, list), (place, new)
    assert refused > 5


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a": ' * 100_000, "\ud800", "{} {}", "NaN"])
def test_what_is_no_object_of_json_is_refused(sound, tmp_path, name, text):
    kind, read = FILES[name]
    folder = shutil.copytree(sound / kind, tmp_path / kind)
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    assert caught.value.file == str(folder / name)


def test_a_record_that_lost_a_part_is_refused_and_not_taken_for_a_finished_one(sound, tmp_path):
    folder = shutil.copytree(sound / "hf", tmp_path / "hf")
    record = read_record(str(folder))
    name = next(iter(record["files"]))
    for entry in (None, {}, {"bytes": "5"}, {"bytes": 5, "sha256": []}):
        damaged = record | {"files": record["files"] | {name: entry}}
        (folder / "conversion.json").write_text(json.dumps(damaged))
        with pytest.raises(CheckpointError, match="it has no size and hashes of the file 'model-"):
            convert_checkpoint(sound / "meta", folder, shard_size="3MB")
