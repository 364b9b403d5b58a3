"""`llama3-tok doctor`."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import folders
import llama3_tok
import oracle
from cli import output, run
from llama3_tok import vocabulary

META = "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55"


@pytest.fixture
def another(tmp_path):
    """A rank file with Meta's ranks and another hash."""
    path = tmp_path / "tokenizer.json"
    path.write_text(oracle.llama3_tokenizer_json(), encoding="utf-8")
    return path


def test_doctor_says_which_vocabulary_was_found_where():
    shown = output("doctor", LLAMA3_TOK_VOCAB=None).decode()
    path = vocabulary.find()
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == META
    assert f"vocabulary    {path}\n" in shown
    assert f"{META} (Meta's own file)" in shown
    assert "1. the argument: nothing\n" in shown
    assert "2. the environment variable LLAMA3_TOK_VOCAB: nothing\n" in shown
    assert f"3. the package llama-models: {path}  <- used\n" in shown


def test_doctor_shows_versions_profile_and_processor():
    shown = output("doctor", "--profile", "llama3").decode()
    assert f"{llama3_tok.__version__}, Unicode {llama3_tok.UNICODE_VERSION}" in shown
    assert platform.python_version() in shown
    assert "profile       llama3\n" in shown
    assert platform.machine() in shown
    assert "CPU features" in shown


def test_doctor_names_the_features_that_the_processor_has():
    report = json.loads(output("doctor", "--json"))
    if platform.machine() == "x86_64" and Path("/proc/cpuinfo").exists():
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
        # All that some code path needs, and nothing else.
        names = ["avx2", "bmi1", "bmi2", "lzcnt", "popcnt"]
        names += ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi", "avx512vbmi2"]
        known = {"lzcnt": "abm", "avx512vbmi2": "avx512_vbmi2"}
        expected = [name for name in names if known.get(name, name) in flags]
    else:
        expected = ["neon"] if platform.machine() in ("aarch64", "arm64") else []
    assert report["cpu_features"] == expected


def test_the_environment_chooses_the_code_path():
    report = json.loads(output("doctor", "--json"))
    assert report["code_paths"][:2] == ["scalar", "portable"]
    assert report["code_path"] == report["code_paths"][-1]
    for name in report["code_paths"]:
        chosen = json.loads(output("doctor", "--json", LLAMA3_TOK_PATH=name))
        assert (chosen["code_path"], chosen["code_paths"]) == (name, report["code_paths"])
    assert (
        f"code path     portable of {', '.join(report['code_paths'])}\n"
        in output("doctor", LLAMA3_TOK_PATH="portable").decode()
    )
    empty = json.loads(output("doctor", "--json", LLAMA3_TOK_PATH=""))
    assert empty["code_path"] == report["code_path"]


def test_a_code_path_that_the_processor_does_not_have_is_an_error():
    expected = "LLAMA3_TOK_PATH is 'fast'; the code paths of this processor are scalar, portable"
    code = "import llama3_tok; llama3_tok.Tokenizer()"
    environment = {**os.environ, "LLAMA3_TOK_PATH": "fast"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert f"llama3_tok.errors.Llama3TokError: {expected}" in done.stderr
    done = run("doctor", "--json", LLAMA3_TOK_PATH="fast")
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert report["code_path"] is None
    assert report["error"].startswith(expected)


def test_doctor_json_has_all_of_it(another):
    report = json.loads(output("doctor", "--json", "--vocabulary", str(another)))
    assert report["vocabulary"] == str(another)
    assert report["found_by"] == "the argument"
    assert report["sha256"] == hashlib.sha256(another.read_bytes()).hexdigest()
    assert report["is_meta"] is False
    assert report["profile"] == "llama3.1"
    assert report["python"] == platform.python_version()
    assert (report["version"], report["error"]) == (llama3_tok.__version__, None)
    assert report["places"][0]["path"] == str(another)


def test_doctor_tells_another_file_from_metas(another):
    shown = output("doctor", LLAMA3_TOK_VOCAB=str(another)).decode()
    assert f"2. the environment variable LLAMA3_TOK_VOCAB: {another}  <- used" in shown
    assert "(not Meta's own rank file)" in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_doctor_exits_with_2_if_no_vocabulary_can_be_used(tmp_path, form):
    missing = tmp_path / "nosuch"
    done = run("doctor", *form, "--vocabulary", str(missing))
    assert done.returncode == 2
    message = done.stderr.decode()
    assert message.startswith("llama3-tok: the argument names the vocabulary ")
    assert message.endswith(f"{missing}, which does not exist\n")
    assert str(missing).encode() in done.stdout
    if form:
        report = json.loads(done.stdout)
        assert (report["vocabulary"], report["sha256"]) == (None, None)
        assert f"llama3-tok: {report['error']}\n" == message


def test_doctor_says_what_is_wrong_with_a_damaged_file(tmp_path):
    damaged = tmp_path / "tokenizer.model"
    damaged.write_text("not a rank file\n", encoding="utf-8")
    done = run("doctor", "--vocabulary", str(damaged))
    assert done.returncode == 2
    assert str(damaged) in done.stderr.decode()
    assert "none that can be used" in done.stdout.decode()


@pytest.mark.parametrize(
    ("shape", "profile", "counts", "rows"),
    [
        (
            "chatml",
            "folder",
            (256, 256),
            ("bos 128000, eos 128012, pad 128012", "128001, 128012", "default"),
        ),
        (
            "added",
            "folder",
            (262, 258),
            ("bos 128000, eos 128001, pad 128256", "128001, 128009", "none"),
        ),
        (
            "reasoning",
            "folder",
            (256, 252),
            ("bos 128000, eos 128001, pad 128001", "128001", "default"),
        ),
        ("nothing", "folder", (258, 258), ("eos 128001, pad 128256", "128001, 128009", "none")),
        (
            "template_files",
            "llama3.1",
            (256, 256),
            ("bos 128000, eos 128001, pad 128004", "128001, 128008, 128009", "default, tool_use"),
        ),
    ],
)
def test_doctor_shows_what_a_folder_says(tmp_path, shape, profile, counts, rows):
    folders.SHAPES[shape](tmp_path)
    shown = output("doctor", "--vocabulary", str(tmp_path)).decode()
    assert f"profile       {profile}\n" in shown
    assert f", {counts[0]} of them added tokens ({counts[1]} special)\n" in shown
    for name, row in zip(("roles", "stop ids", "templates"), rows, strict=True):
        assert f"\n{name:<13} {row}\n" in shown
    report = json.loads(output("doctor", "--json", "--vocabulary", str(tmp_path)))
    assert (report["added_tokens"], report["special_tokens"]) == counts
    assert report["chat_templates"] == [word for word in rows[2].split(", ") if word != "none"]
    assert report["stop_ids"] == list(map(int, rows[1].split(", ")))
