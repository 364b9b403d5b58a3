"""`Rollout`: what was sampled stays as it is, and the rest is what `encode_chat` writes."""

import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chat_oracle
import folders
from conftest import EXAMPLES
from llama3_tok import PROFILES, ChatFormatError, InvalidTokenId, Rollout, Tokenizer

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
EOT, EOM, EOS = 128009, 128008, 128001
TOKENIZERS = {profile: Tokenizer(profile=profile) for profile in PROFILES}
CALL = '{"name": "f", "parameters": {"a": 1}}'


@pytest.fixture(scope="module")
def folder_tokenizers(tmp_path_factory):
    """Folders whose chat templates are run."""
    found = {}
    for make in (folders.chatml, folders.reasoning):
        folder = tmp_path_factory.mktemp(make.__name__)
        make(folder)
        found[make.__name__] = Tokenizer(folder)
        assert found[make.__name__].chat_profile is None
    return found


def sampled(tokenizer, text, *ends):
    return [*tokenizer.encode(text), *ends]


def check(rollout, answers):
    """What always holds: the ids that were sampled are there, marked, and no others are."""
    ids, mask, logprobs = rollout.ids, rollout.mask, rollout.logprobs
    assert len(ids) == len(mask) == len(logprobs)
    assert ids[: len(rollout.prompt_ids)] == rollout.prompt_ids
    assert [id for id, one in zip(ids, mask, strict=True) if one] == [
        id for answer in answers for id in answer
    ]
    assert set(mask) <= {0, 1}
    assert all(number == 0.0 for number, one in zip(logprobs, mask, strict=True) if not one)


def turns(messages):
    """A conversation as a prompt, and answers each with what follows it."""
    first = next(
        (at for at, message in enumerate(messages) if message["role"] == "assistant"), len(messages)
    )
    found = []
    for message in messages[first:]:
        if message["role"] == "assistant":
            found.append((message, []))
        else:
            found[-1][1].append(message)
    return messages[:first], found


def conversation(profile, seed):
    if profile == "meta":
        return chat_oracle.meta_conversation(seed, "json"), {}
    return chat_oracle.hf_conversation(seed, profile)


def encoded(tokenizer, messages, options):
    """The ids of a conversation, or what a rollout says if its format can't hold it."""
    try:
        return tokenizer.encode_chat(messages, **options)
    except ChatFormatError as error:
        return f"the format can't hold the conversation: {error}"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_ids_of_a_rollout_are_those_of_the_conversation(profile):
    """The answers are sampled as the format writes them, so that nothing is rewritten."""
    tokenizer, compared, equal = TOKENIZERS[profile], 0, 0
    for seed in range(max(EXAMPLES // 2, 50)):
        messages, options = conversation(profile, seed)
        prompt, answered = turns(messages)
        if not prompt or not answered or any(not new for _, new in answered[:-1]):
            continue
        rollout, before, answers = Rollout(tokenizer, prompt, **options), list(prompt), []
        for answer, new in answered:
            header = tokenizer.encode_chat(before, **options | {"add_generation_prompt": True})
            whole = tokenizer.encode_chat(
                [*before, answer], **options | {"add_generation_prompt": False}
            )
            if whole[: len(header)] != header:
                break  # of a vision model: the answer's first line end is joined with the header's
            ids = whole[len(header) :]
            rollout.add_sampled(ids)
            answers.append(ids)
            check(rollout, answers)
            before += [answer, *new]
            if new:
                rollout.add(new)
                check(rollout, answers)
        else:
            expected = tokenizer.encode_chat(
                before, **options | {"add_generation_prompt": bool(answered[-1][1])}
            )
            if expected[: len(rollout.prompt_ids)] != rollout.prompt_ids:
                # An image in a later message changes what a vision model's format begins with.
                assert rollout.rewrites != []
                continue
            assert rollout.ids == expected
            compared += 1
            again = encoded(tokenizer, rollout.messages, options)
            if isinstance(again, str):
                assert rollout.rewrites == [again]
            else:
                assert (rollout.rewrites == []) == (again == rollout.ids)
                equal += again == rollout.ids
    assert compared > 15
    assert equal > compared // 4


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(
    profile=st.sampled_from(PROFILES),
    answers=st.lists(
        st.tuples(
            st.lists(
                st.text(max_size=6) | st.sampled_from([CALL, " x\n", "[f(a=1)]"]), max_size=3
            ).map("".join)
            | st.lists(st.integers(0, 127_999), max_size=8),
            st.sampled_from([(EOT,), (EOM,), (EOS,), (), (128006, EOT)]),
            st.text(max_size=8),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_what_is_sampled_is_kept_whatever_it_is(profile, answers):
    tokenizer = TOKENIZERS[profile]
    rollout, given, before = Rollout(tokenizer, [USER]), [], []
    for answer, ends, question in answers:
        ids = tokenizer.encode(answer) if isinstance(answer, str) else answer
        ids = [*ids, *(end for end in ends if end != EOM or profile != "llama3")] or [EOT]
        rollout.add_sampled(ids)
        given.append(ids)
        check(rollout, given)
        assert rollout.ids[: len(before)] == before
        before = rollout.ids
        assert rollout.is_cut == (ids[-1] not in tokenizer.stop_ids)
        was_cut = rollout.is_cut
        new = {"role": "user", "content": question}
        rollout.add([new])
        check(rollout, given)
        assert rollout.ids[: len(before)] == before
        # What is added is what the format writes between two answers, whatever they are.
        plain = [USER, {"role": "assistant", "content": "."}]
        whole = tokenizer.encode_chat([*plain, new])
        until = tokenizer.encode_chat(plain, add_generation_prompt=False)
        added = [EOT] * was_cut + whole[len(until) :]
        assert rollout.ids[len(before) :] == added
        before = rollout.ids
        again = encoded(tokenizer, rollout.messages, {})
        assert (rollout.rewrites == []) == (again == rollout.ids)


def published(name):
    """A template of another family, and the special tokens that it has."""
    folder = os.environ.get("LLAMA3_TOK_TEMPLATES")
    if not folder:
        pytest.skip("LLAMA3_TOK_TEMPLATES does not name the folder of the published templates")
    template = Path(folder, name).read_text(encoding="utf-8")
    names = {"<|im_start|>": 128002, "<|im_end|>": 128003}
    return Tokenizer().with_special_tokens(names, eos="<|im_end|>", chat_template=template)


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("chatml", "<|im_end|>"),
        ("other-chatml-tools.jinja", "<|im_end|>"),
        ("other-think-switch.jinja", "<|eot_id|>"),
    ],
)
def test_a_chat_template_that_is_run_has_rollouts_too(folder_tokenizers, name, close):
    tokenizer = folder_tokenizers.get(name) or published(name)
    assert tokenizer.chat_profile is None
    close, options = tokenizer.special_tokens[close], {"tools": [TOOL]}
    rollout, answers = Rollout(tokenizer, [USER], **options), []
    for text in ("Hello.", "漢字 and 😀", "Bye"):
        ids = sampled(tokenizer, text, close)
        rollout.add_sampled(ids)
        answers.append(ids)
        check(rollout, answers)
        assert rollout.rewrites == []
        rollout.add([{"role": "user", "content": f"And {text}?"}])
        check(rollout, answers)
        assert rollout.ids == tokenizer.encode_chat(rollout.messages, **options)
        assert rollout.rewrites == []
    # A cut answer gets the template's end, which was not sampled.
    cut = sampled(tokenizer, "I was cut")
    rollout.add_sampled(cut)
    before = rollout.ids
    assert rollout.rewrites == []
    rollout.add([USER])
    check(rollout, [*answers, cut])
    assert rollout.ids[len(before)] == close
    assert rollout.ids == tokenizer.encode_chat(rollout.messages, **options)


def test_the_end_of_an_answer_need_not_be_a_stop_id():
    """As in a folder that says less than its template does."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    template += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    names = {"<|im_start|>": 128002, "<|im_end|>": 128003}
    tokenizer = Tokenizer().with_special_tokens(names, chat_template=template)
    assert 128003 not in tokenizer.stop_ids
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled(sampled(tokenizer, "Hello", 128003))
    assert rollout.rewrites == ["answer 0: its text is written differently"]
    rollout.add([USER])
    check(rollout, [sampled(tokenizer, "Hello", 128003)])
    assert rollout.ids.count(128003) == 3


def test_a_template_that_is_run_has_results_of_tools():
    tokenizer = published("other-chatml-tools.jinja")
    rollout = Rollout(tokenizer, [USER], tools=[TOOL])
    rollout.add_sampled(sampled(tokenizer, CALL, tokenizer.eos_id))
    before = rollout.ids
    rollout.add([{"role": "tool", "content": "42"}])
    # It writes a call in another form, and after it the same.
    rendered = tokenizer.render_chat(rollout.messages, tools=[TOOL])
    assert CALL not in rendered
    added = tokenizer.decode(rollout.ids[len(before) :])
    assert added == rendered[rendered.index("\n<|im_start|>tool\n") :]
    rollout.add_sampled(sampled(tokenizer, "It is 42.", tokenizer.eos_id))
    assert rollout.rewrites[0] == "answer 0: its text is written differently"


def test_a_template_that_drops_what_was_thought_is_said_to_rewrite(folder_tokenizers):
    tokenizer = folder_tokenizers["reasoning"]
    rollout = Rollout(tokenizer, [USER])
    ids = sampled(tokenizer, "Let me think.</think>Hello.", tokenizer.eos_id)
    rollout.add_sampled(ids)
    rollout.add([USER])
    check(rollout, [ids])
    assert rollout.rewrites == [
        "answer 0: the header before it is written differently once it is answered"
    ]
    assert rollout.ids != tokenizer.encode_chat(rollout.messages)


def test_a_template_whose_answers_have_no_end_of_their_own_is_refused(tokenizer):
    for template in (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
        "{{ bos_token }}{{ messages | tojson }}{{ eos_token }}",
    ):
        rollout = Rollout(tokenizer, [USER], chat_template=template)
        before = rollout.ids
        rollout.add_sampled(sampled(tokenizer, "Hello"))
        with pytest.raises(ChatFormatError, match="what follows an answer is not known"):
            rollout.add([USER])
        assert rollout.ids == [*before, *sampled(tokenizer, "Hello")]


# Tools


def test_results_of_tools_follow_a_call(tokenizer):
    for tools_in in ("user", "system"):
        options = {"tools": iter([TOOL]), "tools_in": tools_in}
        rollout = Rollout(tokenizer, [USER], **options)
        rollout.add_sampled(
            sampled(tokenizer, CALL, EOT), [-0.5] * (len(tokenizer.encode(CALL)) + 1)
        )
        assert rollout.answer.tool_calls[0].name == "f"
        rollout.add([{"role": "tool", "content": {"b": 2}}])
        rollout.add_sampled(sampled(tokenizer, "It is 2.", EOT))
        expected = tokenizer.encode_chat(rollout.messages, tools=[TOOL], tools_in=tools_in)
        assert (rollout.ids, rollout.rewrites) == (expected, [])
        without = len(tokenizer.encode("It is 2.")) + 1
        assert rollout.logprobs.count(-0.5) == rollout.mask.count(1) - without
        assert sum(map(math.isnan, rollout.logprobs)) == without


def test_results_follow_several_calls_which_the_format_of_a_release_can_not_hold(tokenizer):
    rollout = Rollout(tokenizer, [USER], tools=[TOOL])
    rollout.add_sampled(sampled(tokenizer, f"{CALL}; {CALL}", EOT))
    before = rollout.ids
    results = [{"role": "tool", "content": str(number)} for number in range(2)]
    rollout.add(results)
    alone = []
    for result in results:
        other = Rollout(tokenizer, [USER], tools=[TOOL])
        other.add_sampled(sampled(tokenizer, CALL, EOT))
        start = len(other.ids)
        other.add([result])
        alone += other.ids[start:-4]
    assert rollout.ids[len(before) : -4] == alone
    [reason] = rollout.rewrites
    assert "can't hold the conversation: messages[1].tool_calls" in reason


def test_code_and_built_in_tools_have_rollouts():
    tokenizer = TOKENIZERS["meta"]
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled([128010, *sampled(tokenizer, "print(1)\n", EOM)])
    rollout.add([{"role": "tool", "content": "1\n"}])
    rollout.add_sampled(sampled(tokenizer, " It is 1.\n", EOT))
    assert (rollout.ids, rollout.rewrites) == (tokenizer.encode_chat(rollout.messages), [])
    hf = TOKENIZERS["llama3.1"]
    options = {"builtin_tools": ["brave_search", "code_interpreter"]}
    rollout = Rollout(hf, [USER], **options)
    rollout.add_sampled([128010, *sampled(hf, 'brave_search.call(query="x")', EOM)])
    rollout.add([{"role": "ipython", "content": "found"}])
    assert rollout.ids == hf.encode_chat(rollout.messages, **options)
    assert rollout.rewrites == []


# What the format would write in another way


@pytest.mark.parametrize(
    ("profile", "text", "end", "sentence"),
    [
        ("llama3.1", " Hello", EOT, "white space at its beginning is taken off"),
        ("llama3.1", "Hello\n", EOT, "white space at its end is taken off"),
        ("llama3.1", " Hello \n", EOT, "white space at its beginning and end is taken off"),
        ("llama3.1", "Hello", EOS,
         "it ends with <|end_of_text|>, and the format writes <|eot_id|>"),
        ("llama3.1", '{"name":"f","parameters":{"a":1}}', EOT,
         "its calls are written in another order, spacing or form"),
        ("llama3.1", '{"parameters": {"a": 1}, "name": "f"}', EOT,
         "its calls are written in another order, spacing or form"),
        ("llama3.1", "[f(a=1)]", EOT, "its calls are written in another order, spacing or form"),
        ("llama3.1", CALL, EOM, "it ends with <|eom_id|>, and the format writes <|eot_id|>"),
        ("llama3.1", "Hello ", EOM,
         "it ends with <|eom_id|>, and the format writes <|eot_id|>, and "
         "white space at its end is taken off"),
        ("meta", CALL, EOT, "its calls are written in another order, spacing or form"),
    ],
)  # fmt: skip
def test_what_the_format_would_write_in_another_way_is_said(profile, text, end, sentence):
    tokenizer = TOKENIZERS[profile]
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled(sampled(tokenizer, text, end))
    assert rollout.rewrites == [f"answer 0: {sentence}"]
    rollout.add([USER])
    rollout.add_sampled(sampled(tokenizer, "Bye", EOT))
    assert rollout.rewrites == [f"answer 0: {sentence}"]


def test_ids_that_encoding_does_not_give_are_said():
    tokenizer = TOKENIZERS["llama3.1"]
    ids = [tokenizer.token_id(letter) for letter in "Hello"]
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled([*ids, EOT])
    assert rollout.rewrites == ["answer 0: its text has other ids when it is encoded"]
    assert rollout.answer.content == "Hello"


def test_text_before_a_call_and_code_are_said():
    tokenizer = TOKENIZERS["llama3.1"]
    rollout = Rollout(tokenizer, [USER], builtin_tools=["f"])
    call = 'f.call(query="x")'
    rollout.add_sampled([*tokenizer.encode("I look."), 128010, *tokenizer.encode(call), EOM])
    assert rollout.rewrites == ["answer 0: the text before its call is left out"]
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled([128010, *tokenizer.encode("x = 1"), EOT])
    assert rollout.rewrites == ["answer 0: its code is written as the call of a tool"]


def test_an_answer_that_is_joined_with_the_header_is_said():
    tokenizer = TOKENIZERS["llama3.2-vision"]
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled(sampled(tokenizer, "\n\nHello", EOT))
    assert rollout.rewrites == [
        "answer 0: the header before it is written differently once it is answered"
    ]


def test_an_answer_that_was_cut_is_ended_by_an_id_that_was_not_sampled(tokenizer):
    rollout = Rollout(tokenizer, [USER])
    rollout.add_sampled(tokenizer.encode("It is a"), [-1.0, -2.0, -3.0])
    assert (rollout.is_cut, rollout.rewrites) == (True, [])
    before = len(rollout.ids)
    rollout.add([{"role": "user", "content": "Go on"}])
    assert rollout.is_cut is False
    assert (rollout.ids[before], rollout.mask[before], rollout.logprobs[before]) == (EOT, 0, 0.0)
    assert (rollout.ids, rollout.rewrites) == (tokenizer.encode_chat(rollout.messages), [])


def test_an_answer_may_come_in_parts(tokenizer):
    rollout = Rollout(tokenizer, [USER])
    for id in sampled(tokenizer, "It is 2.", EOT):
        rollout.add_sampled([id], [0.5])
    rollout.add_sampled([])
    assert rollout.answer.content == "It is 2."
    assert rollout.logprobs[-5:] == [0.5] * 5
    assert rollout.messages == [USER, {"role": "assistant", "content": "It is 2."}]


def test_ids_and_logprobs_may_be_arrays(tokenizer):
    rollout = Rollout(tokenizer, iter([USER]))
    rollout.add_sampled(np.array([9906, EOT], np.uint32), np.array([-0.5, -0.25], np.float32))
    assert rollout.ids[-2:] == [9906, EOT]
    assert rollout.logprobs[-2:] == [-0.5, -0.25]
    assert json.loads(json.dumps([rollout.ids, rollout.mask, rollout.logprobs]))


# Wrong use


def test_wrong_use_is_an_error_and_changes_nothing(tokenizer):
    rollout = Rollout(tokenizer, [USER])
    with pytest.raises(ValueError, match="there is no answer yet"):
        _ = rollout.answer
    with pytest.raises(ValueError, match="add_sampled comes first"):
        rollout.add([USER])
    with pytest.raises(InvalidTokenId, match="128256 at position 1"):
        rollout.add_sampled([1, 128256])
    with pytest.raises(ValueError, match="logprobs must be as many as the ids, 2, not 1"):
        rollout.add_sampled([1, 2], [0.5])
    with pytest.raises(ValueError, match="after the stop id 128009 at position 1"):
        rollout.add_sampled([1, EOT, 1])
    assert rollout.ids == rollout.prompt_ids == tokenizer.encode_chat([USER])
    rollout.add_sampled([9906, EOT])
    with pytest.raises(ValueError, match="the answer has ended"):
        rollout.add_sampled([1])
    before = rollout.ids
    for wrong, index, field in (
        ([], None, "messages"),
        (USER, None, "messages"),
        ([USER, {"role": "narrator", "content": ""}], 1, "role"),
        ([{"role": "user"}], 0, "content"),
        (["Hi"], 0, ""),
    ):
        with pytest.raises(ChatFormatError) as caught:
            rollout.add(wrong)
        assert (caught.value.index, caught.value.field) == (index, field)
    assert rollout.ids == before
    other = Rollout(TOKENIZERS["llama3"], [USER])
    other.add_sampled([9906, EOT])
    with pytest.raises(ChatFormatError, match='"tool" is not a role of profile llama3'):
        other.add([{"role": "tool", "content": "x"}])


def test_options_of_a_rollout_are_those_of_a_conversation(tokenizer):
    rollout = Rollout(tokenizer, [USER], date="1 Jan 2030")
    assert rollout.ids == tokenizer.encode_chat([USER], date="1 Jan 2030")
    with pytest.raises(TypeError, match=r"Rollout\(\) has no option 'nothing'; its options are"):
        Rollout(tokenizer, [USER], nothing=1)
    for name in ("add_generation_prompt", "continue_final_message"):
        with pytest.raises(TypeError, match=f"has no option '{name}'"):
            Rollout(tokenizer, [USER], **{name: True})
    with pytest.raises(ChatFormatError, match="there are no messages"):
        Rollout(tokenizer, [])


def test_a_prompt_may_end_with_an_answer(tokenizer):
    """Then another answer is sampled after it, as a header follows any message."""
    rollout = Rollout(tokenizer, [USER, {"role": "assistant", "content": "Hello"}])
    prompt = [USER, {"role": "assistant", "content": "Hello"}]
    assert rollout.ids == tokenizer.encode_chat(prompt, add_generation_prompt=True)


def test_long_rollouts_take_linear_time(tokenizer):
    maker = random.Random(1)
    rollout = Rollout(tokenizer, [USER])
    for _ in range(300):
        text = " ".join(maker.choices(["one", "two", "three"], k=300)).strip()
        rollout.add_sampled(sampled(tokenizer, text, EOT))
        rollout.add([{"role": "user", "content": text}])
    assert rollout.ids == tokenizer.encode_chat(rollout.messages)
    assert rollout.rewrites == []
