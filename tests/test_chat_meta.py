"""Where Meta's class writes what can't be read again: what it does, and what is done here."""

import ast

import pytest

from chat_oracle import by_meta
from llama3_tok import Tokenizer

META = Tokenizer(profile="meta")
HEADER = "<|start_header_id|>assistant<|end_header_id|>\n\n"


def conversation(*calls):
    given = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    answer = {"role": "assistant", "content": "", "tool_calls": given}
    return [{"role": "user", "content": "?"}, answer]


def answer(ids):
    return META.decode(ids).split(HEADER)[1].removesuffix("<|eot_id|>")


def both(*calls, tool_format="json"):
    """The assistant's message with these calls: Meta's, and ours."""
    return answer(by_meta(conversation(*calls), tool_format)), ours(*calls, tool_format=tool_format)


def ours(*calls, tool_format):
    return answer(META.encode_chat(conversation(*calls), tool_format=tool_format))


@pytest.mark.parametrize("tool", ["brave_search", "wolfram_alpha", "photogen"])
def test_the_python_tag_of_a_replayed_search_is_kept(tool):
    theirs, right = both((tool, {"query": "x"}))
    assert theirs == f'{tool}.call(query="x")'
    assert right == f'<|python_tag|>{tool}.call(query="x")'


def test_the_python_tag_of_code_is_in_both():
    theirs, right = both(("code_interpreter", {"code": 'print("x")\n'}))
    assert theirs == right == '<|python_tag|>print("x")\n'


def test_quotes_in_a_query_are_escaped():
    theirs, right = both(("brave_search", {"query": 'the "best" \\ \n'}))
    assert theirs == 'brave_search.call(query="the "best" \\ \n")'
    assert right == '<|python_tag|>brave_search.call(query="the \\"best\\" \\\\ \\n")'
    call = ast.parse(right.removeprefix("<|python_tag|>"), mode="eval").body
    assert ast.literal_eval(call.keywords[0].value) == 'the "best" \\ \n'


VALUES = [
    *('say "hi"', "back\\slash", "two\nlines", "tab\t\x00", "it's", "漢字 é", "true null", '\\"'),
    *([1, 'a"b', None], {"b": True, "c": {"d": [False, '"']}}, 1e300, -0.5, 2**70, "", [], {}),
]


@pytest.mark.parametrize("value", VALUES)
def test_a_python_list_reads_back_as_what_was_called(value):
    written = ours(("f", {"a": value, "ü": [value]}), tool_format="python_list")
    [call] = ast.parse(written, mode="eval").body.elts
    assert call.func.id == "f"
    read = {argument.arg: ast.literal_eval(argument.value) for argument in call.keywords}
    assert read == {"a": value, "ü": [value]}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('say "hi"', '[f(a="say "hi"")]'),
        ("two\nlines", '[f(a="two\nlines")]'),
        ({"b": 1}, "[f(a={b=1})]"),
    ],
)
def test_metas_python_list_does_not_read_back(value, written):
    theirs, right = both(("f", {"a": value}), tool_format="python_list")
    assert theirs == written
    with pytest.raises(SyntaxError):
        ast.parse(theirs)
    ast.parse(right)


def test_a_backslash_in_metas_python_list_reads_back_as_something_else():
    theirs, right = both(("f", {"a": "new\\notes"}), tool_format="python_list")
    read = [
        ast.literal_eval(ast.parse(text).body[0].value.elts[0].keywords[0].value)
        for text in (theirs, right)
    ]
    assert read == ["new\notes", "new\\notes"]


def test_several_calls_are_one_python_list():
    calls = [("f", {"a": 1}), ("g", {})]
    theirs, right = both(*calls, tool_format="python_list")
    assert theirs == "[f(a=1)][g()]"
    assert right == "[f(a=1), g()]"
    assert [call.func.id for call in ast.parse(right, mode="eval").body.elts] == ["f", "g"]


def test_a_role_is_one_of_a_list_and_not_free_text():
    """The class encodes whatever name it gets as text; the roles here are fixed."""
    from chat_oracle import meta

    assert META.decode(meta()._encode_header("moderator")).startswith(
        "<|start_header_id|>moderator"
    )
    with pytest.raises(ValueError, match='"moderator" is not a role'):
        META.encode_chat([{"role": "moderator", "content": "Hi"}])
