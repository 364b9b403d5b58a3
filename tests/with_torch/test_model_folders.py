"""Models of fine-tunes: their folders are loaded, trained from and converted as they are."""

import json

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import folders  # noqa: E402
import models  # noqa: E402
from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.torch import Llama3, add_pad_token, collate, convert_checkpoint  # noqa: E402


def saved(path, shape, rows=128320):
    """A folder of a shape with a tiny model of so many rows."""
    folders.SHAPES[shape](path)
    said = {name: path / name for name in ("config.json", "generation_config.json")}
    kept = {name: file.read_text(encoding="utf-8") for name, file in said.items() if file.exists()}
    models.network(vocab_size=rows).save_pretrained(path)
    for name, text in kept.items():
        value = json.loads(text)
        if name == "config.json":
            value = json.loads((path / name).read_text(encoding="utf-8")) | value
            (path / "generation_config.json").unlink(missing_ok=True)
        folders.dump(path / name, value)
    return path


def test_a_model_with_more_rows_answers_and_stops_where_its_folder_says(tmp_path):
    model = Llama3.load(saved(tmp_path / "chatml", "chatml"))
    assert model.tokenizer.profile == "folder"
    assert model.stop_ids == [128001, 128012]
    hi = [{"role": "user", "content": "hi"}]
    assert model.tokenizer.encode_chat(hi)[0] == 128011
    scripted = models.scripted([9906, 1917, 128012, 9906], "hi", model.tokenizer)
    generated = scripted.generate("hi")
    assert (generated.text, generated.finish_reason) == ("Hello world", "stop_id")
    conversation = model.chat()
    assert isinstance(conversation.send("hi").content, str | None)
    assert len(conversation.messages) == 2


def test_stop_ids_of_a_model_alone_count(tmp_path):
    assert Llama3.load(saved(tmp_path / "added", "added")).stop_ids == [128001, 128009]


def test_a_batch_of_conversations_of_a_folder_is_trained_on(tmp_path):
    path = saved(tmp_path / "reasoning", "reasoning")
    model = Llama3.load(path)
    chats = [
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>x</think>Yo"}]
    ]
    batch = collate(model.tokenizer, chats, pad_id=128004)
    learned = batch["input_ids"][batch["labels"] != -100].tolist()
    assert model.tokenizer.decode(learned) == "Yo<｜end▁of▁sentence｜>"
    assert model.network(**batch).loss.isfinite()


def test_an_added_padding_token_is_written_and_its_row_left_out_for_meta(tmp_path):
    model = Llama3(models.network(), Tokenizer(profile="llama3"))
    id = add_pad_token(model, model.tokenizer)
    assert (model.tokenizer.pad_id, model.tokenizer.special_tokens["<pad>"]) == (id, 128256)
    folder = tmp_path / "padded"
    model.network.save_pretrained(folder)
    model.tokenizer.save(folder)
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    assert (auto.pad_token, auto.pad_token_id, len(auto)) == ("<pad>", 128256, 128257)
    again = Llama3.load(folder)
    assert again.tokenizer.pad_id == again.network.config.pad_token_id == 128256
    assert add_pad_token(again, again.tokenizer) == 128256
    convert_checkpoint(folder, tmp_path / "meta", to_meta=True, ranks=2)
    params = json.loads((tmp_path / "meta" / "params.json").read_text(encoding="utf-8"))
    assert params["vocab_size"] == 128256
    files = sorted(path.name for path in (tmp_path / "meta").iterdir() if "tok" in path.name)
    assert files == ["tokenizer.model"]
    convert_checkpoint(tmp_path / "meta", tmp_path / "back")
    back = Llama3.load(tmp_path / "back")
    for name, tensor in model.network.state_dict().items():
        rows = tensor[:128256] if tensor.shape[0] == 128257 else tensor
        assert torch.equal(back.network.state_dict()[name], rows), name


@pytest.mark.parametrize("shape", ["chatml", "reasoning", "templates"])
def test_a_folder_converted_to_meta_and_back_has_its_tokens(tmp_path, shape):
    path = saved(tmp_path / shape, shape, rows=128256)
    convert_checkpoint(path, tmp_path / "meta", to_meta=True)
    convert_checkpoint(tmp_path / "meta", tmp_path / "back")
    ours, back = Tokenizer(path), Tokenizer(tmp_path / "back")
    assert back.added_tokens == ours.added_tokens
    if ours.profile == "folder":
        assert (back.bos_id, back.eos_id, back.stop_ids) == (
            ours.bos_id,
            ours.eos_id,
            ours.stop_ids,
        )
        assert back.chat_templates == ours.chat_templates
