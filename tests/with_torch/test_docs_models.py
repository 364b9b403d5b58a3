"""The blocks of the guides that need a model are run, with a tiny one of random weights."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.compat.transformers import unregister  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "site"))

from blocks import of_page  # noqa: E402

INSTRUCT = "Llama-3.2-1B-Instruct"
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello you"}]


def blocks(page):
    """The blocks of Python of a guide."""
    block = None
    for line, code in of_page((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if code and line.startswith("```"):
            if block is None:
                block = [line]
                continue
            if block[0] == "```python":
                yield "\n".join(block[1:])
            block = None
        elif code:
            block.append(line)


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the blocks take for given; the folders have the names of published models."""
    (tmp_path / "meta-llama").mkdir()
    models.folder(tmp_path / INSTRUCT)
    (tmp_path / "meta-llama" / INSTRUCT).symlink_to(tmp_path / INSTRUCT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tools = [{"type": "function", "function": {"description": "The weather", **WEATHER}}]
    return {
        "prompts": ["Hello", "One two three"],
        "tools": tools,
        "book": "The weather was fine. " * 20,
        "texts": ["Hello world", "Hi"],
        "messages": CHAT,
        "conversations": [CHAT, CHAT + CHAT],
        "tokenizer": Tokenizer(profile="llama3.1"),
    }


def test_running_and_scoring_a_model(names, capsys):
    running, scoring, _ = blocks("models.md")
    # A model of random weights does not end its answers.
    for call in ("top_p=0.9, seed=7)", 'stop="\\n\\n")', "tools=tools)"):
        assert call in running
        running = running.replace(call, f"{call[:-1]}, max_new_tokens=4)")
    exec(running, names)
    assert names["model"].network.config.hidden_size == 64
    exec(scoring.replace("4096", "64"), names)
    assert names["score"].tokens > 64


def test_training(names):
    *_, training = blocks("models.md")
    names["model"] = models.network(dtype=torch.bfloat16)
    exec(training, names)
    assert torch.isfinite(names["loss"])
    assert names["batch"]["input_ids"].shape[0] == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_pipelines(names):
    (pipelines,) = blocks("other-libraries.md")
    try:
        exec(pipelines.replace("200", "4"), names)
        assert type(names["pipe"].tokenizer).__name__ == "Llama3Tokenizer"
    finally:
        unregister()


def test_grammars(names):
    for library in ("xgrammar", "llguidance", "outlines_core"):
        pytest.importorskip(library, reason=f"{library}, of the extra `guides`, is not installed")
    grammars, _ = blocks("serving.md")
    names["model"] = models.model()
    exec(grammars, names)
    assert names["info"].vocab_size == models.VOCABULARY


def test_registering(names):
    from transformers import AutoTokenizer

    _, registering = blocks("serving.md")
    try:
        exec(registering, names)
        assert type(AutoTokenizer.from_pretrained(INSTRUCT)).__name__ == "Llama3Tokenizer"
    finally:
        unregister()
