"""`Renderer`: what Prime Intellect's `renderers` and its users ask of one."""

import pytest

import chat_oracle
import folders
from conftest import EXAMPLES
from llama3_tok import PROFILES, ChatFormatError, InvalidTokenId, Renderer, Rollout, Tokenizer

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello!"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = '{"name": "f", "parameters": {"a": 1}}'
EOT, EOM, EOS = 128009, 128008, 128001
TOKENIZERS = {profile: Tokenizer(profile=profile) for profile in PROFILES}


@pytest.fixture(scope="module")
def renderer():
    return Renderer(TOKENIZERS["llama3.2"])


def test_it_has_the_methods_of_the_protocol(renderer):
    """Those of `renderers.base.Renderer`, which `isinstance` looks for."""
    for name in (
        *("render", "render_ids", "parse_response", "get_stop_token_ids"),
        "bridge_to_next_turn",
    ):
        assert callable(getattr(renderer, name))
    assert sorted(renderer.get_stop_token_ids()) == [EOS, EOM, EOT]


@pytest.mark.parametrize("profile", PROFILES)
def test_ids_are_those_of_encode_chat_and_each_has_its_message(profile):
    tokenizer, ends = TOKENIZERS[profile], 0
    for seed in range(max(EXAMPLES // 5, 50)):
        if profile == "meta":
            messages, options = chat_oracle.meta_conversation(seed, "json"), {}
        else:
            messages, options = chat_oracle.hf_conversation(seed, profile)
        tools = options.pop("tools", None)
        renderer = Renderer(tokenizer, **options)
        for prompts in (False, True):
            given = options | {"tools": tools, "add_generation_prompt": prompts}
            expected, mask = tokenizer.encode_chat(messages, return_mask=True, **given)
            rendered = renderer.render(messages, tools=tools, add_generation_prompt=prompts)
            ids = renderer.render_ids(messages, tools=tools, add_generation_prompt=prompts)
            assert rendered.token_ids == ids == expected
            assert rendered.sampled_mask == mask.astype(bool).tolist()
            assert rendered.message_roles == [message["role"] for message in messages]
            indices = rendered.message_indices
            assert len(indices) == len(ids)
            assert sorted(set(indices) - {-1}) == list(range(len(messages)))
            # A message is its header, what it says, and its end, in the order of the messages.
            told = [index for index in indices if index >= 0]
            assert told == sorted(told)
            for index in range(len(messages)):
                at = [place for place, one in enumerate(indices) if one == index]
                assert at == list(range(at[0], at[-1] + 1))
                assert (ids[at[0]], ids[at[-1]] in (EOT, EOM)) == (128006, True)
                ends += 1
    assert ends > 100


def test_messages_and_tools_may_have_the_shapes_of_these_libraries(renderer):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": "é"}}}
    text = {**call, "function": {"name": "f", "arguments": '{"a":"\\u00e9"}'}}
    result = {"role": "tool", "tool_call_id": "c", "name": "f", "content": "5"}
    plain = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    given = [USER, {"role": "assistant", "content": None, "tool_calls": [text]}, result]
    flat = {"name": "f", "parameters": {"type": "object"}}
    expected = TOKENIZERS["llama3.2"].encode_chat(plain, tools=[TOOL], add_generation_prompt=False)
    for tool in (TOOL, flat, {"type": "function", **flat}):
        assert renderer.render_ids(given, tools=[tool]) == expected
        assert renderer.render(given, tools=iter([tool])).token_ids == expected
    wrong = {**call, "function": {"name": "f", "arguments": "{"}}
    with pytest.raises(ChatFormatError, match="must be a dictionary, not str; json.loads"):
        renderer.render_ids([USER, {"role": "assistant", "tool_calls": [wrong]}])


def test_messages_have_spans(renderer):
    rendered = renderer.render([USER, ANSWER], add_generation_prompt=True)
    (start, between), (same, end) = rendered.message_token_spans()
    assert (between, same, len(rendered.token_ids)) == (same, between, end + 4)
    assert rendered.token_ids[start : start + 2] == [128006, 882]
    bridged = renderer.bridge_to_next_turn(rendered.token_ids, [9906, EOT], [USER])
    [(start, end)] = bridged.message_token_spans()
    assert (start, end) == (len(rendered.token_ids) + 2, len(bridged.token_ids) - 4)
    assert renderer.render([USER]).message_token_spans()[0] is not None


def test_a_response_is_read_as_an_answer(renderer):
    tokenizer = TOKENIZERS["llama3.2"]
    parsed = renderer.parse_response([*tokenizer.encode("Hello, world!"), EOT])
    assert (parsed.content, parsed.tool_calls) == ("Hello, world!", [])
    assert (parsed.reasoning_content, parsed.problem) == (None, None)
    parsed = renderer.parse_response([*tokenizer.encode(CALL), EOT], tools=[TOOL])
    [call] = parsed.tool_calls
    assert (call.name, call.arguments, call.raw) == ("f", {"a": 1}, CALL)
    assert (call.status, call.id, call.token_span, parsed.content) == ("ok", None, None, "")
    broken = '{"name": "x", broken'
    parsed = renderer.parse_response([*tokenizer.encode(broken), EOT])
    assert (parsed.content, parsed.tool_calls) == (broken, [])
    parsed = renderer.parse_response([128010, *tokenizer.encode("x = 1"), EOM])
    assert [(call.name, call.arguments) for call in parsed.tool_calls] == [
        ("code_interpreter", {"code": "x = 1"})
    ]
    text = f"I call it. {CALL}"
    assert renderer.parse_response(tokenizer.encode(text)).tool_calls == []
    lenient = Renderer(tokenizer, salvage=True).parse_response(tokenizer.encode(text))
    assert ([call.name for call in lenient.tool_calls], lenient.content) == (["f"], "I call it. ")
    with pytest.raises(InvalidTokenId, match="128256 at position 0"):
        renderer.parse_response([128256])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_bridge_keeps_the_last_turn_and_adds_what_a_rollout_adds(profile, is_cut):
    tokenizer = TOKENIZERS[profile]
    renderer = Renderer(tokenizer)
    prior = [{"role": "system", "content": "You are helpful."}, USER]
    prompt = renderer.render_ids(prior, add_generation_prompt=True)
    completion = tokenizer.encode("Hello!") + ([] if is_cut else [EOT])
    news = [[{"role": "user", "content": "What's 2+2?"}], [USER, USER]]
    if profile != "llama3":
        news.append([{"role": "tool", "content": "4"}])
    for new in news:
        bridged = renderer.bridge_to_next_turn(prompt, completion, new)
        previous = prompt + completion
        assert bridged.token_ids[: len(previous)] == previous
        rollout = Rollout(tokenizer, prior)
        rollout.add_sampled(completion)
        rollout.add(new)
        assert bridged.token_ids == rollout.ids
        if new[0]["role"] == "user":
            fresh = renderer.render_ids([*prior, ANSWER, *new], add_generation_prompt=True)
            assert bridged.token_ids == fresh
        # The new messages have their ids, and nothing is marked as sampled.
        indices = bridged.message_indices
        assert len(indices) == len(bridged.sampled_mask) == len(bridged.token_ids)
        assert set(indices[: len(previous)]) == {-1}
        assert set(indices) == {-1, *range(len(new))}
        assert set(bridged.sampled_mask) == {False}
        assert bridged.message_roles == [message["role"] for message in new]
        assert bridged.multi_modal_data is None


def test_a_bridge_is_refused_where_it_is_not_known(renderer, tmp_path):
    prompt = renderer.render_ids([USER], add_generation_prompt=True)
    completion = [9906, EOT]
    assert renderer.bridge_to_next_turn(prompt, completion, [USER]) is not None
    assert renderer.bridge_to_next_turn([], completion, [USER]) is None
    assert renderer.bridge_to_next_turn(prompt, completion, []) is None
    assert renderer.bridge_to_next_turn(prompt, completion, [ANSWER]) is None
    assert renderer.bridge_to_next_turn(prompt, completion, [USER, ANSWER]) is None
    assert renderer.bridge_to_next_turn(prompt[:-4], completion, [USER]) is None
    assert renderer.bridge_to_next_turn(prompt, [EOT, 9906], [USER]) is None
    folders.chatml(tmp_path)
    chatml = Renderer(Tokenizer(tmp_path))
    prompt = chatml.render_ids([USER], add_generation_prompt=True)
    assert chatml.bridge_to_next_turn(prompt, [9906, 128012], [USER]) is None
    rendered = chatml.render([USER])
    assert (rendered.sampled_mask, set(rendered.message_indices)) == ([], {-1})
    assert rendered.token_ids == chatml.render_ids([USER])


def test_wrong_use_of_a_renderer_is_an_error(renderer):
    with pytest.raises(ChatFormatError, match='"narrator" is not a role'):
        renderer.render([{"role": "narrator", "content": ""}])
    prompt = renderer.render_ids([USER], add_generation_prompt=True)
    with pytest.raises(ChatFormatError) as caught:
        renderer.bridge_to_next_turn(prompt, [EOT], [USER, {"role": "user"}])
    assert (caught.value.index, caught.value.field) == (1, "content")
    for call in (renderer.render, renderer.render_ids):
        with pytest.raises(TypeError, match="add_generation_prompt must be a bool"):
            call([USER], add_generation_prompt=1)
    for options in ({"tools": [TOOL]}, {"add_generation_prompt": True}, {"nothing": 1}):
        with pytest.raises(TypeError, match=rf"Renderer\(\) has no option '{next(iter(options))}'"):
            Renderer(TOKENIZERS["llama3.1"], **options)
    with pytest.raises(TypeError, match="salvage must be a bool"):
        Renderer(TOKENIZERS["llama3.1"], salvage=1)
