"""`Llama3.chat`: turns that read only what is new, and are what they are without a cache."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
transformers = pytest.importorskip("transformers")

import models  # noqa: E402
from llama3_tok import ChatFormatError, Tokenizer  # noqa: E402
from llama3_tok.torch import Llama3  # noqa: E402

OPTIONS = {"max_new_tokens": 12, "stop_ids": []}


class Counter:
    """How many tokens went through the network."""

    def __init__(self, model):
        self.tokens = 0
        embedding = model.network.get_input_embeddings()
        embedding.register_forward_hook(self._count)

    def _count(self, _module, inputs, _output):
        self.tokens += inputs[0].shape[1]

    def take(self):
        taken, self.tokens = self.tokens, 0
        return taken


@pytest.mark.parametrize("profile", models.PROFILES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_turns_read_only_what_is_new_and_answer_as_without_a_cache(profile, attention):
    model = models.model(profile=profile, attention=attention)
    counter = Counter(model)
    chat = model.chat(system="Be brief.", **OPTIONS)
    read = 0
    for turn in range(5):
        before = list(chat.messages)
        said = f"Question {turn}, which is about {'words ' * turn}"
        chat.send(said)
        forwarded = counter.take()
        ids = model.tokenizer.encode_chat([*before, {"role": "user", "content": said}])
        assert chat.last.prompt_tokens == len(ids)
        assert chat.last.ids == model.generate(ids, **OPTIONS).ids
        # The last token that is generated is not read.
        assert forwarded == len(ids) - chat.last.cached_tokens + 11
        fresh = counter.take()
        assert fresh == len(ids) + 11
        if turn:
            # All but what follows the place where the answer, encoded as text, has other ids.
            assert chat.last.cached_tokens >= read
        read = len(ids)
    assert chat.last.cached_tokens > len(ids) // 2
    assert forwarded < fresh // 2


def test_an_answer_that_is_written_as_it_was_generated_is_not_read_again():
    tokenizer = Tokenizer()
    messages = [{"role": "user", "content": "Hi"}]
    answer = [*tokenizer.encode("Hello, what can I do?"), tokenizer.eot_id]
    script = {len(tokenizer.encode_chat(messages)) + at: id for at, id in enumerate(answer)}
    messages += [
        {"role": "assistant", "content": "Hello, what can I do?"},
        {"role": "user", "content": "Nothing"},
    ]
    second = tokenizer.encode_chat(messages)
    script[len(second)] = tokenizer.eot_id
    model = Llama3(models.Scripted(script, 0), tokenizer)
    chat = model.chat()
    assert chat.send("Hi").content == "Hello, what can I do?"
    model.network.forwarded = 0
    chat.send("Nothing")
    first = len(tokenizer.encode_chat(messages[:1]))
    assert chat.last.cached_tokens == first + len(answer) - 1
    assert model.network.forwarded == len(second) - chat.last.cached_tokens


def talking(*answers, builtin_tools=None, tools=None, system=None, said=("a", "b", "c")):
    """A chat with a model that gives these answers, ids or text, in turn."""
    tokenizer = Tokenizer()
    script, messages = {}, [] if system is None else [{"role": "system", "content": system}]
    for question, answer in zip(said, answers, strict=False):
        ids = answer
        if isinstance(answer, str):
            ids = [*tokenizer.encode(answer, allowed_special="all"), tokenizer.eot_id]
        messages.append(
            {"role": "user", "content": question} if isinstance(question, str) else question
        )
        at = len(tokenizer.encode_chat(messages, tools=tools, builtin_tools=builtin_tools))
        script |= {at + place: id for place, id in enumerate(ids)}
        messages.append(tokenizer.parse_assistant(ids).to_message())
    model = Llama3(models.Scripted(script, 0), tokenizer)
    return model.chat(system=system, tools=tools, builtin_tools=builtin_tools)


WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "", "parameters": {"type": "object"}},
}


def test_calls_of_tools_are_read_and_their_results_sent():
    call = '{"name": "weather", "parameters": {"city": "Paris"}}'
    result = {"role": "tool", "content": {"degrees": 20}}
    chat = talking(call, "It is 20 degrees.", tools=[WEATHER], said=("Weather?", result))
    answer = chat.send("Weather?")
    assert [(one.name, one.arguments) for one in answer.tool_calls] == [
        ("weather", {"city": "Paris"})
    ]
    assert answer.stop_reason == "end_of_turn"
    assert chat.messages[-1]["tool_calls"][0]["function"]["name"] == "weather"
    assert chat.send(result).content == "It is 20 degrees."
    assert [message["role"] for message in chat.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert chat.answer().content == "It is 20 degrees."


def test_several_calls_that_the_format_can_not_write_stay_text():
    calls = '{"name": "a", "parameters": {}}; {"name": "b", "parameters": {}}'
    chat = talking(calls)
    assert [call.name for call in chat.send("a").tool_calls] == ["a", "b"]
    assert chat.messages[-1] == {"role": "assistant", "content": calls}


def test_an_answer_that_is_closed_stays_as_far_as_it_was_said():
    chat = talking("one two three four", "five")
    pieces = chat.stream("a")
    assert next(pieces) == "one"
    pieces.close()
    assert chat.messages == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "one"},
    ]
    assert chat.last.finish_reason == "cancelled"


def test_an_interrupt_keeps_what_was_said_and_forgets_the_cache(monkeypatch):
    model = models.model()
    chat = model.chat(**OPTIONS)
    chat.send("one")
    forward = type(model.network).forward
    calls = iter(range(100))

    def interrupted(network, *args, **options):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return forward(network, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(model.network), "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chat.send("two")
    assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2
    assert chat.last.new_tokens == 3
    chat.send("three")
    assert chat.last.cached_tokens == 0
    assert chat.last.ids == model.generate(chat.messages[:-1], **OPTIONS).ids


def test_an_error_leaves_the_conversation_as_it_was(monkeypatch):
    model = models.model()
    chat = model.chat(**OPTIONS)
    chat.send("one")
    before = list(chat.messages)
    with pytest.raises(ChatFormatError, match="role"):
        chat.send({"role": "nobody", "content": "x"})
    with pytest.raises(ChatFormatError) as error:
        chat.send("word " * 600)
    assert error.value.field == "max_tokens"
    with monkeypatch.context() as patch:
        patch.setattr(model.network, "forward", lambda **_: torch.empty(1 << 60))
        with pytest.raises(MemoryError):
            chat.send("two")
    assert chat.messages == before
    chat.send("two")
    assert chat.last.ids == model.generate(chat.messages[:-1], **OPTIONS).ids


def test_what_does_not_fit_is_left_out_from_the_oldest_turn_on():
    model = models.model(max_position_embeddings=160)
    chat = model.chat(system="S", **OPTIONS)
    lengths = []
    for turn in range(8):
        chat.send(f"{turn} " + "word " * 12)
        lengths.append(chat.last.prompt_tokens)
        kept = model.tokenizer.fit_chat(chat.messages[:-1], 160, answer_tokens=12)
        ids = model.tokenizer.encode_chat(kept.messages)
        assert chat.last.prompt_tokens == len(ids) <= 148
        assert chat.last.ids == model.generate(ids, **OPTIONS).ids
    assert kept.dropped
    assert len(chat.messages) == 17
    assert lengths[-1] < sum(lengths[:2])


def test_a_long_message_leaves_less_room_for_the_answer():
    model = models.model(max_position_embeddings=160)
    chat = model.chat(max_new_tokens=80, stop_ids=[])
    chat.send("word " * 100)
    assert chat.last.prompt_tokens > 80
    assert chat.last.prompt_tokens + chat.last.new_tokens == 160


def test_reset_begins_anew():
    model = models.model()
    chat = model.chat(system="S", **OPTIONS)
    chat.send("one")
    first = chat.last.ids
    chat.send("two")
    chat.reset()
    assert chat.messages == [{"role": "system", "content": "S"}]
    with pytest.raises(ValueError, match="no answer yet"):
        chat.answer()
    chat.send("one")
    assert (chat.last.ids, chat.last.cached_tokens) == (first, 0)


def test_a_stop_string_ends_an_answer_and_is_not_kept():
    said = talking("one two END three")
    chat = said._model.chat(stop=iter([" END"]))
    assert chat.send("a").content == "one two"
    assert chat.messages[-1] == {"role": "assistant", "content": "one two"}


def test_options_are_checked_when_the_chat_begins():
    model = models.model()
    with pytest.raises(ValueError, match="temperature"):
        model.chat(temperature=-1)
