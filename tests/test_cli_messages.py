"""What the library says in Python's terms, the command says in its own: options for parameters."""

import json

import pytest

from cli import fails, output, run
from llama3_tok import Tokenizer
from llama3_tok.cli import VERBS, _parsers

ANSWER = [{"role": "assistant", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.fixture
def folder(tmp_path):
    for name, content in (("answer.json", ANSWER), ("tools.json", TOOLS)):
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tool-format", "python_list"], "--tool-format is for --dialect meta; the published"),
        (["--tools", "tools.json"], "a user's; --tools-in system has them there\n"),
        (["--date", "today", "--profile", "llama3"], "llama3-tok: --date: the template of profile"),
        (
            ["--builtin-tools", "a", "--profile", "llama3"],
            "llama3-tok: --builtin-tools: the template of profile llama3 has no place for it",
        ),
    ],
)
def test_a_conversation_that_can_not_be_names_the_option(folder, options, message):
    assert message in fails("chat", *options, "answer.json", cwd=folder)


def test_another_profile_is_named_as_an_option(releases):
    for name in ("tokenizer.model", "tokenizer.json"):
        given = ("--vocabulary", releases.folder("llama3") / name, "--profile", "llama3.1")
        assert "; pass --profile llama3\n" in fails("count", *given)
        done = run("doctor", *given)
        assert (done.returncode, done.stderr.count(b"; pass --profile llama3\n")) == (2, 1)
        error = json.loads(run("doctor", "--json", *given).stdout)["error"]
        assert error.endswith("; pass --profile llama3")


def test_several_profiles_are_named_as_one_option_has_them(releases):
    file = releases.folder("llama3.2") / "tokenizer.json"
    given = ("--vocabulary", file, "--profile", "meta")
    assert "; pass --profile llama3.1 or llama3.2 or llama3.3\n" in fails("encode", "a", *given)


def test_a_warning_names_the_option():
    done = run("encode", "--bos", "<|begin_of_text|><|start_header_id|>")
    assert done.returncode == 0
    assert b"here as plain text, and --bos adds the special token; " in done.stderr


@pytest.mark.parametrize("verb", ["generate", "chat-with"])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("max_new_tokens must be at least 1, not 0", "--max-new-tokens must be at least 1, not 0"),
        ("top_k must be at least 1, not 0", "--top-k must be at least 1, not 0"),
        ("stop must not be empty", "--stop must not be empty"),
        (
            "the weights are float32: pass dtype='bfloat16', or attention='sdpa' to compute",
            "the weights are float32: pass --dtype bfloat16, or --attention sdpa to compute",
        ),
    ],
)
def test_a_model_that_can_not_be_asked_so_names_the_option(verb, message, expected):
    assert _parsers([verb])[verb].in_options(message) == expected


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_option_stays(verb):
    """Text with an equals sign, words that are options elsewhere, places in a conversation."""
    for message in (
        "a.txt: no such field: nothing=True",
        "messages[0].role: must be a str",
        "the profile must be known, and the stop must be a text",
        "tools: there is none",
    ):
        assert _parsers([verb])[verb].in_options(message) == message


def test_what_was_typed_is_shown_as_it_was_typed():
    assert "unexpected: bos=True" in fails("encode", "a", "bos=True")
    assert output("encode", "--tokens", "=True") == b"3702\t=True\n"


def test_standard_input_is_one_file(folder):
    message = fails("chat", "-", "--tools", "-", stdin=json.dumps(ANSWER).encode())
    assert "only one of FILE, --tools and --documents can be standard input\n" in message
    assert "Try 'llama3-tok chat --help'." in message
    text = output(
        "chat",
        "--tools",
        "-",
        "--tools-in",
        "system",
        "answer.json",
        cwd=folder,
        stdin=json.dumps(TOOLS).encode(),
    )
    expected = Tokenizer().render_chat(ANSWER, tools=TOOLS, tools_in="system")
    assert text.decode() == expected + "\n"
