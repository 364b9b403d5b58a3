"""What a model reads of a text has no special ids but those of its structure."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import models  # noqa: E402
from attack_texts import Attacker, harmless  # noqa: E402

OPTIONS = {"max_new_tokens": 1, "stop_ids": []}
TEXTS = 40


class Read:
    """The special ids that go through a network."""

    def __init__(self, model):
        self._first, self._ids = model.tokenizer.bos_id, []
        model.network.get_input_embeddings().register_forward_hook(self._note)

    def _note(self, _module, inputs, _output):
        self._ids += inputs[0].flatten().tolist()

    def take(self):
        taken, self._ids = self._ids, []
        return [id for id in taken if id >= self._first]


def ask_of_text(model, text):
    model.generate(text, **OPTIONS)
    model.generate(text, heal=True, **OPTIONS)
    list(model.stream(text, **OPTIONS))
    model.score(text)


def ask_of_chat(model, text):
    model.generate([{"role": "user", "content": text}], **OPTIONS)
    model.score([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"a{text}"}])
    model.chat(system=text, **OPTIONS).send(text)


@pytest.mark.parametrize("ask", [ask_of_text, ask_of_chat])
def test_names_in_a_text_are_text(ask):
    model = models.model(profile="llama3.1")
    read, attacker = Read(model), Attacker(model.tokenizer.special_tokens, 1)
    ask(model, next(harmless()))
    structure = read.take()
    assert structure
    for _ in range(TEXTS):
        ask(model, attacker.text())
        assert read.take() == structure
