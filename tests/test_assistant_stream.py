"""`assistant_stream`: however an answer is divided, it tells what `parse_assistant` reads."""

import json
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from answers import EOM, EOS, EOT, PAD, TAG, answers, content, divided, finished
from conftest import EXAMPLES
from llama3_tok import (
    AnswerEnd,
    AssistantMessage,
    CallArguments,
    CallDropped,
    CallEnd,
    CallStart,
    ContentDelta,
    assistant_stream,
    parse_assistant,
)
from streamed import put_together, same, told


def chr_of(byte):
    return bytes([byte])


# However it is divided


@settings(max_examples=EXAMPLES)
@given(text=answers, seed=st.integers(0, 2**32), salvage=st.booleans(), hold_calls=st.booleans())
def test_the_deltas_of_text_are_the_answer_however_it_is_divided(text, seed, salvage, hold_calls):
    whole = parse_assistant(text, salvage=salvage)
    stream = assistant_stream(salvage=salvage, hold_calls=hold_calls)
    deltas = told(stream, divided(text, seed))
    same(put_together(deltas), whole)
    assert stream.message == whole
    if hold_calls:
        assert not any(isinstance(delta, CallDropped) for delta in deltas)


@settings(max_examples=EXAMPLES)
@given(
    parts=st.lists(
        answers | st.sampled_from([TAG, EOT, EOM, EOS, PAD, 128006, 128002]), max_size=5
    ),
    seed=st.integers(0, 2**32),
    salvage=st.booleans(),
    hold_calls=st.booleans(),
    whole_tokens=st.booleans(),
)
def test_the_deltas_of_ids_are_the_answer_however_they_are_divided(
    tokenizer, parts, seed, salvage, hold_calls, whole_tokens
):
    ids = []
    for part in parts:
        if isinstance(part, int):
            ids.append(part)
        else:
            # Whole tokens, or those of single bytes, of which some end inside a character.
            raw = part.encode("utf-8", "replace")
            ids += (
                tokenizer.encode(raw) if whole_tokens else map(tokenizer.token_id, map(chr_of, raw))
            )
    whole = tokenizer.parse_assistant(ids, salvage=salvage)
    stream = tokenizer.assistant_stream(salvage=salvage, hold_calls=hold_calls)
    deltas = told(stream, divided(ids, seed))
    same(put_together(deltas), whole)
    assert stream.message == whole


@settings(max_examples=EXAMPLES)
@given(text=answers, salvage=st.booleans())
def test_an_answer_of_one_part_and_one_of_single_characters_tell_the_same(text, salvage):
    by_one, at_once = (
        told(assistant_stream(salvage=salvage), parts) for parts in (text, [text] if text else [])
    )
    same(put_together(by_one), put_together(at_once))


def test_ids_may_be_one_or_a_list_or_an_array(tokenizer):
    ids = [*tokenizer.encode("Hi [f(a=1)] 😀"), EOT]
    expected = tokenizer.parse_assistant(ids)
    for parts in (ids, [ids], [np.array(ids)], [np.int64(id) for id in ids], [(), ids], [ids, []]):
        stream = assistant_stream(tokenizer=tokenizer)
        same(put_together(told(stream, parts)), expected)


def test_an_answer_without_a_push_is_empty():
    stream = assistant_stream()
    assert stream.finish() == [AnswerEnd(None, None, "length")]
    assert stream.message == AssistantMessage()


# What is held back


@pytest.mark.parametrize("salvage", [False, True])
@pytest.mark.parametrize(
    "pushes",
    [
        # Each push, and what of the text is told with it.
        [("Hello", ""), (", wor", "Hello, wor"), ("ld", "ld"), ("!", "!")],
        [(" The", ""), (" cat", " The cat")],
        [("The cat", "The cat")],
        [("漢", "漢"), ("字", "字")],
        [("**Bold", "**Bold"), ("**", "**")],
        [("42", "42"), (" is", " is")],
        [("\n\n", ""), ("- a", "\n\n- a")],
        [("os", ""), (".c", ""), ("wd(", "os.cwd(")],
        [("x" * 64, ""), ("x", "x" * 65)],
        # JSON that is not a call.
        [("{", ""), ('"', ""), ("t", ""), ("i", '{"ti'), ('tle": "A', 'tle": "A')],
        [('{"name', ""), ('"', ""), (": ", ""), ("5", '{"name": 5')],
        [('{"name": "Bob", "age', '{"name": "Bob", "age'), ('": 3}', '": 3}')],
        [("[", ""), ("1", "[1"), (", 2]", ", 2]")],
        [("[", ""), (" {", ""), ("}", "[ {}")],
        [("[see", ""), (" ", ""), ("below](http://a.b)", "[see below](http://a.b)")],
        [("[f", ""), ("(", ""), ("x", ""), (")", "[f(x)")],
        [("<", ""), ("b>", "<b>")],
        [("<func", ""), ("y>", "<funcy>")],
        [("<function=f>", ""), ("5", "<function=f>5")],
        # The ends of an answer, and the tag at its beginning.
        [("- a<", "- a"), ("|eo", ""), ("t", ""), (" b", "<|eot b")],
        [("- a<|eot_id|>", "- a"), ("<|eom_id|>", ""), ("b", "<|eot_id|><|eom_id|>b")],
        [("<|python", ""), ("_", ""), ("x", "<|python_x")],
    ],
)  # fmt: skip
def test_text_is_held_back_only_while_it_may_be_of_a_call(pushes, salvage):
    stream = assistant_stream(salvage=salvage)
    assert [(text, content(stream.push(text))) for text, _ in pushes] == pushes


BITS = [
    *("{", "}", "[", "]", "(", ")", "<", ">", " ", ";", ", ", ": ", "=", '"', "'", "\\", "1", "-"),
    *("f", "g.h", "a=", "name", '"name"', '"f"', '"type": "function"', '"parameters": ', "{}", "x"),
    *(".call(", 'b="', "<function=", "</function>", '{"name": "f", ', "[f(", "tru", "null", "\n"),
]
# Whatever a call begins with, the end of one of these completes it.
WHOLE = [
    '; {"name": "f", "parameters": {"a": [1, "", {"b": true}]}}',
    '[{"parameters": {"a": [{"b": 1}]}, "type": "function", "name": "f"}]',
    "{'type': 'function', 'name': 'f', 'arguments': {'a': [{'b': null}, 'n']}}",
    '[f(a=[{"b": 1}]), g(a="", b=True)]',
    "[f(a='n', b={'a': ''}, c=-1)]",
    'f.call(a="", b="", c="n")',
    '<function=f>{"a": [{"b": 1}], "b": "n"}</function>',
    "<function=f>{'a': [{'b': 1}], 'b': 'n'}</function>",
    ', "name": "f"}',
    ', "name": "f"}]',
    ", 'name': 'f'}",
    ': "f", "parameters": {}}',
    ": 'f', 'parameters': {}}",
    ': "function", "name": "f", "parameters": {}}',
    ": {}, 'name': 'f'}",
    ': {}, "name": "f"}',
    *('"]}}]}}]})]', "']}}]}}]})]", '"}}]}</function>', "'}}]}</function>", '": 1}]}}', "': 1}]}}"),
    *("e: 1}}", "l: 1}}", "e)]", "ull)]", "l)]", "e}}", "l}}", '"name": "f"}', "'name': 'f'}"),
    *(
        '")]',
        "')]",
        '"})]',
        "'})]",
        '": 1})]',
        "': 1})]",
        '"]})]',
        "']})]",
        '"}',
        "'}",
        '"}]',
        "'}]",
    ),
    *("f(a=1)]", "f()", 'a="")', '=""', '="")', "=1)]", "(a=1)]", "()]", ".call()", "call()"),
]
TAILS = {whole[at:] for whole in WHOLE for at in range(len(whole))}
ENDS = sorted({tail + more for tail in TAILS for more in ("", "]")} | {""}, key=len)


VALUES = ["", "1", ": 1", "=1", "e", "ue", "rue", "l", "ll", "ull", "f()", "f(a=1)", "()", "(a=1)"]
KEYS = ["", ', "name": "f"', ', "parameters": {}', '"name": "f", "parameters": {}', ' "name": "f"']


def ends(text):
    """What may complete a call: what closes the brackets and the quotation mark that are open."""
    closing, quote, escaped = "", "", False
    for character in text:
        if quote:
            quote = "" if character == quote and not escaped else quote
            escaped = character == "\\" and not escaped
        elif character in "\"'":
            quote, escaped = character, False
        elif character in "{[(":
            closing = {"{": "}", "[": "]", "(": ")"}[character] + closing
        elif closing.startswith(character):
            closing = closing[1:]
    quote = ("n" if escaped else "") + quote
    at = max(closing.rfind("}"), 0)
    for value in VALUES:
        for key in KEYS:
            yield quote + value + closing[:at] + key + closing[at:]
            yield quote + value + closing[:at] + key + closing[at:] + "</function>"
    yield from ENDS


@settings(max_examples=EXAMPLES)
@given(text=st.lists(st.sampled_from(BITS), max_size=6).map("".join))
def test_what_is_held_back_may_become_a_call(text):
    told = content(assistant_stream().push(text))
    text = text.removesuffix("<")  # which may be of a stop token
    assert told in ("", text)
    assert told == text or any(parse_assistant(text + end).tool_calls for end in ends(text)), text


PROSE = """Llamas (Lama glama) are domesticated animals, common in the Andes: e.g. in Peru's south.
They weigh 130–200 kg; "packs" carry 25% of that! See f(x) = 2 * x; a.call or b.c().

- 漢字とかな、🦙 🦙.  Việt
* 1 < 2 > 0 | & ok
"""


def test_prose_is_told_at_once_but_for_its_first_word(tokenizer):
    ids = tokenizer.encode(PROSE)
    stream, decoder = tokenizer.assistant_stream(), tokenizer.stream_decoder()
    late = ""
    for at, id in enumerate(ids):
        late += decoder.push(id)
        late = late.removeprefix(content(stream.push(id)))
        assert not late or (at < 3 and late in ("L", "Ll", "Llam", "Llama", "Llamas"))
    assert late == ""


def test_prose_is_told_at_once_when_calls_are_salvaged_from_it(tokenizer):
    ids = tokenizer.encode(PROSE)
    stream, decoder = tokenizer.assistant_stream(salvage=True), tokenizer.stream_decoder()
    late, most = "", 0
    for id in ids:
        late += decoder.push(id)
        late = late.removeprefix(content(stream.push(id)))
        # The first word of a line may be a built-in tool, and "<" may begin a tag.
        assert late.isalpha() or late in ("", "<", " <", "- ", "-", "* ")
        most = max(most, len(late))
    assert (late, most < 8) == ("", True)


names = st.from_regex(r"[a-z_]{1,5}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab "\\{}[]é漢\n', max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=5,
)
arguments = st.dictionaries(names, values, max_size=3)


def written(name, given):
    """A call in each form."""
    dumped = json.dumps(given, ensure_ascii=False)
    keywords = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return [
        f'{{"name": "{name}", "parameters": {dumped}}}',
        f'[{{"type": "function", "arguments": {dumped}, "name": "{name}"}}]',
        f"<function={name}>{dumped}</function>",
        f"[{name}({keywords})]",
    ]


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(name=names, given=arguments)
def test_nothing_of_a_call_is_told_as_text_and_its_arguments_are_told_as_they_come(name, given):
    for text in written(name, given):
        for salvage in (False, True):
            stream = assistant_stream(salvage=salvage)
            pushed = [stream.push(character) for character in text]
            assert content(delta for deltas in pushed for delta in deltas) == ""
            end = [at for at, deltas in enumerate(pushed) if deltas and deltas[-1] == CallEnd(0)]
            assert end == ([len(text) - 1] if salvage else [])
            told = [delta for deltas in pushed for delta in deltas]
            pieces = [delta.text for delta in told if isinstance(delta, CallArguments)]
            assert json.loads("".join(pieces)) == given
            # No piece waits: the longest value that is told at once is a word or an escape.
            if not text.startswith("[{"):
                assert all(len(piece) <= 12 for piece in pieces)
            assert stream.finish()[:-1] == ([] if salvage else [CallEnd(0)])


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(
    name=names,
    given=arguments,
    form=st.integers(0, 2),
    at=st.integers(0, 200),
    salvage=st.booleans(),
)
def test_a_dead_end_lets_go_of_all_text(name, given, form, at, salvage):
    text = written(name, given)[form]
    begun = text[: at % (len(text) + 1)]
    # Anything may follow inside a string, and much inside the name of a function.
    marks = begun.replace("\\\\", "").replace('\\"', "")
    assume(marks.count('"') % 2 == 0 and not re.search("<function=[^>]*$", begun))
    stream = assistant_stream(salvage=salvage)
    told = content(stream.push(begun)) + content(stream.push("\x00"))
    assert told == ("\x00" if begun == text and salvage else begun + "\x00")


def test_a_call_is_told_when_its_arguments_begin():
    stream = assistant_stream()
    assert stream.push('{"name": "f"') == []
    assert stream.push(', "parameters": ') == []
    [start, piece] = stream.push('{"a')
    assert (start.index, start.name, start.kind) == (0, "f", "json")
    assert piece == CallArguments(0, '{"a')
    assert stream.push('": [1, 2') == [CallArguments(0, '": [1, ')]
    assert stream.push('5, "x') == [CallArguments(0, '25, "x')]
    assert stream.push("\\") == []
    assert stream.push("u00e9\\") == [CallArguments(0, "é")]
    assert stream.push('n" ] }') == [CallArguments(0, '\\n"]}')]
    assert stream.push(" }") == []
    assert stream.push("; ") == []
    [start] = stream.push('{"arguments": {}, "name": "g"')[:1]
    assert (start.index, start.name) == (1, "g")
    assert stream.push("}<|eot_id|>") == []
    end = AnswerEnd("end_of_turn", None, "tool_calls")
    assert stream.finish() == [CallEnd(0), CallEnd(1), end]


def test_the_end_of_an_answer_in_ids_is_told_with_its_stop_id(tokenizer):
    stream = tokenizer.assistant_stream()
    stream.push(tokenizer.encode("[f(a=1)]"))
    assert stream.push(EOT) == [CallEnd(0)]
    assert stream.push([EOT, PAD]) == []
    assert stream.finish() == [AnswerEnd("end_of_turn", None, "tool_calls")]


def test_code_is_a_call_of_the_code_interpreter(tokenizer):
    stream = tokenizer.assistant_stream()
    assert stream.push([*tokenizer.encode("I compute. "), TAG]) == [ContentDelta("I compute. ")]
    [start, piece] = stream.push(tokenizer.encode('print("é\n'))
    assert (start.name, start.kind, start.index) == ("code_interpreter", "code", 0)
    assert piece == CallArguments(0, '{"code": "print(\\"é\\n')
    assert stream.push(tokenizer.encode('")')) == [CallArguments(0, '\\")')]
    assert stream.push(EOM) == [CallArguments(0, '"}'), CallEnd(0)]
    assert stream.finish() == [AnswerEnd("end_of_message", None, "tool_calls")]
    assert stream.message == AssistantMessage("I compute. ", (), 'print("é\n")', "end_of_message")


# What is not a call after all


def test_a_call_with_text_after_it_is_dropped_and_its_text_told():
    stream = assistant_stream()
    stream.push("[f(a=1)]")
    dropped, text = stream.push(" I think.")
    assert dropped == CallDropped(0, "there is more after the calls at character 9", False)
    assert text == ContentDelta("[f(a=1)] I think.")
    stream = assistant_stream(salvage=True)
    assert stream.push("[f(a=1)]")[-1] == CallEnd(0)
    assert stream.push(" I think.") == [ContentDelta(" I think.")]


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(name=names, given=arguments, at=st.integers(1, 300), salvage=st.booleans())
def test_a_call_that_is_cut_says_so(name, given, at, salvage):
    for text in [*written(name, given), f'{name}.call(query="x", b="y")']:
        cut = text[: at % len(text)]
        stream = assistant_stream(salvage=salvage)
        begun = [delta for delta in stream.push(cut) if isinstance(delta, CallStart)]
        *rest, end = stream.finish()
        dropped = [delta for delta in rest if isinstance(delta, CallDropped)]
        assert [delta.index for delta in dropped] == [delta.index for delta in begun]
        assert all(delta.is_cut for delta in dropped)
        assert content(rest) == cut
        assert end.finish_reason == "length"
        if begun:
            assert end.problem == f"not a call: {dropped[0].reason}; the answer ends within it"


def test_a_call_that_is_held_is_told_as_a_whole():
    stream = assistant_stream(hold_calls=True)
    assert stream.push('{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {') == []
    assert stream.push("}}") == []
    first, piece, second, empty, *ends = stream.finish()
    assert [(one.index, one.name) for one in (first, second)] == [(0, "f"), (1, "g")]
    assert (piece, empty) == (CallArguments(0, '{"a": 1}'), CallArguments(1, "{}"))
    assert ends == [CallEnd(0), CallEnd(1), AnswerEnd(None, None, "tool_calls")]
    stream = assistant_stream(hold_calls=True, salvage=True)
    assert stream.push("Well: [f(a=") == [ContentDelta("Well: ")]
    assert stream.push("x) [g()]")[0] == ContentDelta("[f(a=x) ")
    assert [call.name for call in finished(stream).tool_calls] == ["g"]


def test_a_special_token_that_is_not_part_of_an_answer_makes_a_call_text(tokenizer):
    for before in ([], [TAG]):
        name = "<|python_tag|>" if before else ""
        for text in ("[f(a=", "[f(a=1)]", "x = 1"):
            stream = tokenizer.assistant_stream()
            told = stream.push([*before, *tokenizer.encode(text)])
            odd = stream.push(128006)
            assert content(told) + content(odd) == f"{name}{text}<|start_header_id|>"
            assert not any(isinstance(delta, CallEnd) for delta in told + odd)
            assert finished(stream).code is None
            assert "<|start_header_id|> at position" in stream.message.problem
