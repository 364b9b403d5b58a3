"""What a command line that is wrong may have meant, the message says."""

import json

import pytest

from cli import fails, output, run
from llama3_tok import Tokenizer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "-hello"], "unexpected: -hello; a text that begins with - goes after --\n"),
        (["encode", "--hello"], "unexpected: --hello; a text that begins with - goes after --\n"),
        (["count", "-f", "x"], "unexpected: -f; files are given without it, as PATH\n"),
        (["count", "--file=x"], "--file=x; files are given without it, as PATH\n"),
        (["truncate", "-n", "3", "-f", "x"], "-f; files are given without it, as FILE\n"),
        (["encode", "-t", "x"], "unexpected: -t; a text is given without it, as TEXT\n"),
        (["encode", "--text", "x"], "--text; a text is given without it, as TEXT\n"),
        (["truncate", "-n", "3", "-t", "x"], "-t; a text is given on standard input\n"),
        (["encode", "a", "b"], "unexpected: b; a text with spaces needs quotation marks\n"),
        (["cuont", "x"], "there is no verb 'cuont'; did you mean count?\n"),
        (["xyzzy"], "there is no verb 'xyzzy'\n"),
        (["help", "decoed"], "there is no verb 'decoed'; did you mean decode?\n"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(words, message):
    assert message in fails(*words)


def test_a_text_may_begin_with_a_hyphen():
    assert output("encode", "--", "-hello") == output("encode", stdin=b"-hello")


def test_help_is_a_verb_too():
    assert output("help") == output("--help")
    assert output("help", "decode") == output("decode", "--help")


@pytest.mark.parametrize("text", ["Hello big world", '[{"role": "user"}]', "long " * 1000])
def test_a_text_in_the_place_of_a_file_is_told_where_it_goes(text):
    given = "; FILE is a file; a text is given on standard input\n"
    assert given in fails("truncate", "-n", "3", text)
    assert "; FILE is a file; JSON itself is given on standard input, as -\n" in fails("chat", text)


def test_a_file_that_exists_has_no_such_hint(tmp_path):
    for words in (["truncate", "-n", "3"], ["chat"], ["chat", "--tools", "none.json"]):
        assert "FILE is a file" not in fails(*words, str(tmp_path))


def test_decode_tells_how_to_take_the_ids():
    message = fails("decode", stdin=output("encode", "--json", "Hello world"))
    assert "position 0 is not a token id; of encode --json, jq -c .ids takes the ids" in message
    message = fails("decode", stdin=output("encode", "--tokens", "Hello world"))
    assert "'Hello' at position 1 is not a token id; encode without --tokens" in message
    assert "encode" not in fails("decode", "1", "x").split("Try")[0]


def test_names_that_end_with_nul_need_the_option():
    message = fails("count", "--files-from", "-", stdin=b"a.txt\0b.txt\0")
    assert "--files-from: a NUL ends each name; give -0\n" in message
    assert "a.txt" not in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("eot_id", "; did you mean <|eot_id|>? 'llama3-tok doctor --json' has all names\n"),
        ("<|eot_it|>", "; did you mean <|eot_id|>? 'llama3-tok doctor --json' has all names\n"),
        ("qqq", "\"llama3.1\"; 'llama3-tok doctor --json' has all names\n"),
    ],
)
def test_a_name_that_is_no_special_token_may_mean_another(name, meant):
    assert meant in run("encode", "--allowed-special", name, "x").stderr.decode()


def test_doctor_has_the_names_of_special_tokens():
    found = json.loads(output("doctor", "--json"))
    assert found["special_token_ids"] == Tokenizer().special_tokens
    assert found["special_tokens"] == 256


def test_a_vocabulary_that_does_not_exist_is_one_sentence(tmp_path):
    message = fails("count", "-t", "x", "--vocabulary", "none", cwd=tmp_path)
    assert message == (
        f"llama3-tok: the argument names the vocabulary {tmp_path}/none, which does not exist\n"
    )
    message = fails("count", "-t", "x", cwd=tmp_path, LLAMA3_TOK_VOCAB="none")
    assert message.endswith(f"names the vocabulary {tmp_path}/none, which does not exist\n")
    assert "is a profile: pass it as --profile llama3.1\n" in fails(
        "count", "-t", "x", "--vocabulary", "llama3.1", cwd=tmp_path
    )


@pytest.mark.parametrize("words", [["generate", "nothere", "Hi"], ["chat-with", "nothere"]])
def test_a_model_folder_that_does_not_exist_is_no_matter_of_what_is_installed(words, tmp_path):
    assert fails(*words, cwd=tmp_path) == "llama3-tok: nothere: there is no such folder\n"


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("count", "The columns are tokens, rows, the mean, the longest, its line"),
        ("count", "the columns are tokens, with --long bytes, characters and bytes per token"),
        ("count", "without it names are written as they are in a pipe"),
        ("chat", "write a page with one conversation (--row says which)"),
        ("decode", "what stands before a word that is not an id may be printed"),
    ],
)
def test_the_help_says_what_is_printed(verb, words):
    assert words in " ".join(output(verb, "--help", COLUMNS="100").decode().split())
