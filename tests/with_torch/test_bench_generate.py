"""The benchmark of generation, on a tiny shape: that its ways do the same. No speed is judged."""

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import generate  # noqa: E402

import models  # noqa: E402
from llama3_tok.torch.generation import cache_keyword  # noqa: E402


def test_a_record_has_each_case(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda step, **_: step)  # which takes a minute
    path = tmp_path / "record.json"
    words = ["--shape", "tiny", "--batch", "1,3", "--prompt", "12", "--new", "5", "--rounds", "1"]
    assert generate.main([*words, "--device", "cpu", "--json", str(path)]) == 0
    record = json.loads(path.read_text())
    cases = [(case["way"], case["batch"]) for case in record["cases"]]
    assert cases == [("sdpa", 1), ("compiled", 1), ("sdpa", 3), ("compiled", 3)]
    assert all(case["tokens_per_second"] > 0 for case in record["cases"])
    assert 0 < record["cases"][0]["tokenization_share"] < 1
    assert (record["device"], record["dtype"], record["new_tokens"]) == ("cpu", "bfloat16", 5)
    assert "tokens/s" in capsys.readouterr().out


@pytest.mark.parametrize("batch", [1, 3])
def test_the_static_cache_gives_the_ids_of_the_library(batch):
    """In float32: in bfloat16 near ties may part."""
    model = models.model()
    model.stop_ids = []
    texts = generate.prompts(model, batch, 20)
    assert [model.tokenizer.count(text) + 1 for text in texts] == [20] * batch
    texts[0] = texts[0][:30]  # of another length, so that it is padded
    keyword = cache_keyword(model.network)

    def step(ids, mask, positions, cache):
        options = {"attention_mask": mask, "position_ids": positions, keyword: cache}
        return model.network(ids, **options).logits[:, -1].argmax(-1, keepdim=True)

    static = generate.compiled(model, texts, 8, step)
    assert static["ids"] == generate.ours(model, texts, 8)["ids"]
    assert generate.agreement([[1, 2, 3, 4]], [[1, 2, 4, 4]]) == 0.5
