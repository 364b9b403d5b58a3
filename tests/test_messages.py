"""What people meet most when something is wrong: each message says what, where and what to do."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

import llama3_tok
from llama3_tok import Llama3TokError, Tokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello, these are notes\n")
    (tmp_path / "plain.gz").write_bytes(b"hello, not packed\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"hello " * 1000)[:-12])
    (tmp_path / "plain.zst").write_bytes(b"hello, not packed\n")
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text": \n')
    (tmp_path / "nan.jsonl").write_bytes(b'{"text": NaN}\n')
    return tmp_path


def _message(call, *arguments, **options):
    with pytest.raises(Llama3TokError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_a_text_file_given_as_a_vocabulary_is_no_tokenizer_file(folder):
    message = _message(Tokenizer, "notes.txt")
    assert (
        f"{folder / 'notes.txt'}, line 1: this is neither a rank file nor a tokenizer.json"
        in message
    )


def test_a_profile_given_as_a_path_names_the_parameter(folder):
    message = _message(Tokenizer, "llama3.1")
    assert "'llama3.1' is a profile: pass it as profile='llama3.1'" in message


def test_the_name_of_a_model_of_a_hub_is_told_that_nothing_is_downloaded(folder):
    message = _message(Tokenizer, "meta-llama/Llama-3.1-8B")
    assert "nothing is downloaded; pass the path of its folder" in message
    # A path that merely does not exist is not taken for one.
    (folder / "models").mkdir()
    for path in ("models/llama", "./models/llama", "a/b/c", "llama"):
        assert "downloaded" not in _message(Tokenizer, path)


def test_a_source_that_does_not_exist_is_not_called_a_vocabulary(folder):
    from llama3_tok.formats.convert import convert

    assert _message(convert, "nothere", "x.json") == "the source nothere does not exist"
    (folder / "x.json").write_text("{}")
    model = Tokenizer().vocabulary
    assert _message(convert, model, "x.json") == (
        "x.json already exists; pass force=True to replace it"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plain.gz", "this is not a gzip file, though its name ends with .gz"),
        ("cut.gz", "the end of the packed file is missing"),
        ("plain.zst", "this is not a Zstandard file, though its name ends with .zst"),
    ],
)
def test_a_packed_file_that_is_none_says_so(folder, tokenizer, name, reason):
    assert _message(tokenizer.count_file, name).endswith(f"{name}: {reason}")


def test_a_line_that_is_not_json_says_json(folder, tokenizer):
    message = _message(tokenizer.encode_file, "bad.jsonl", field="text")
    assert message.endswith("bad.jsonl, line 2: this is not valid JSON: EOF while parsing a value")
    message = _message(tokenizer.encode_file, "nan.jsonl", field="text")
    assert message.endswith("JSON has no NaN")
    message = _message(tokenizer.encode_file, "bad.jsonl", field="body")
    assert message.endswith('bad.jsonl, line 1: no field "body"')


def test_a_role_that_does_not_exist_is_told_which_do():
    message = _message(llama3_tok.Tokenizer().encode_chat, [{"role": "developer", "content": ""}])
    assert '"developer" is not a role of profile llama3.1; its roles are system, user' in message
    assert "there are no messages" in _message(llama3_tok.Tokenizer().encode_chat, [])


def test_the_page_of_all_messages_is_what_the_code_says():
    """Run scripts/messages.py to write it again."""
    script = Path(__file__).resolve().parent.parent / "scripts" / "messages.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
