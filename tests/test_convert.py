"""`llama3-tok convert`: each kind of file into each other, and what is refused."""

import base64
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import pytest

import oracle
from cli import fails, output, run
from llama3_tok import PROFILES, Tokenizer, VocabularyError, vocabulary
from llama3_tok._core import META_SHA256
from llama3_tok.formats import convert
from llama3_tok.formats.gguf_fields import fields
from llama3_tok.profiles import chat_template

KINDS = ["model", "tiktoken", "json", "gguf"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory, saved_folder):
    """Meta's vocabulary as each kind of file, and as a folder."""
    folder = tmp_path_factory.mktemp("sources")
    for kind in KINDS:
        path = folder / f"meta.{kind}"
        convert.convert(vocabulary.find(), str(path), profile="llama3.1")
    return {kind: folder / f"meta.{kind}" for kind in KINDS} | {"folder": saved_folder}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Kinds of files


@pytest.mark.long
@pytest.mark.parametrize("source", [*KINDS, "folder"])
def test_every_kind_becomes_metas_rank_file_byte_for_byte(sources, tmp_path, source):
    shown = output("convert", str(sources[source]), str(tmp_path / "out.model"))
    assert sha256(tmp_path / "out.model") == META_SHA256
    assert shown.decode().splitlines() == [
        f"  2,183,982 bytes  {tmp_path / 'out.model'}",
        "read back and compared with the source: the same tokens",
    ]


@pytest.mark.long
@pytest.mark.parametrize("kind", [*KINDS, "folder"])
def test_a_file_is_the_same_whatever_it_was_made_of(sources, tmp_path, kind):
    out = tmp_path / ("folder" if kind == "folder" else f"out.{kind}")
    source = "json" if kind == "gguf" else "gguf"
    convert.convert(str(sources[source]), str(out), profile="llama3.1")
    if kind != "folder":
        assert sha256(out) == sha256(sources[kind])
        return
    for path in sources["folder"].iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_folder_is_what_save_writes(tmp_path, releases):
    shown = output("convert", vocabulary.find(), f"{tmp_path}/Llama-3.1-8B", "--profile", "llama3")
    for path in releases.folder("llama3").iterdir():
        assert (tmp_path / "Llama-3.1-8B" / path.name).read_bytes() == path.read_bytes()
        assert path.name.encode() in shown


# GGUF


@pytest.mark.long
def test_llama_cpps_own_reader_finds_what_ours_does(sources):
    reader = gguf.GGUFReader(sources["gguf"])
    assert len(reader.tensors) == 0
    assert contents(reader) == dict(fields(sources["gguf"]))


def contents(reader):
    """What a file says, without what the reader counted."""
    found = {name: field.contents() for name, field in reader.fields.items()}
    return {name: value for name, value in found.items() if not name.startswith("GGUF.")}


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_a_gguf_file_has_what_llama_cpp_needs_for_the_vocabulary(tmp_path, profile):
    path, tokenizer = tmp_path / "v.gguf", Tokenizer(profile=profile)
    convert.convert(vocabulary.find(), str(path), profile=profile)
    whole = oracle.tokenizer_json(oracle.ranks(), {})
    special = list(tokenizer.special_tokens)
    expected = {
        "general.architecture": "llama",
        "general.name": f"Llama 3 vocabulary, profile {profile}",
        "llama.vocab_size": tokenizer.vocab_size,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": [*whole["model"]["vocab"], *special],
        "tokenizer.ggml.token_type": [gguf.TokenType.NORMAL] * 128_000
        + [gguf.TokenType.CONTROL] * len(special),
        "tokenizer.ggml.merges": whole["model"]["merges"],
        "tokenizer.ggml.bos_token_id": 128000,
        "tokenizer.ggml.eos_token_id": 128001,
        "tokenizer.ggml.eot_token_id": 128009,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": chat_template(profile),
    }
    if profile != "llama3":
        expected["tokenizer.ggml.eom_token_id"] = 128008
        expected["tokenizer.ggml.padding_token_id"] = 128004
    assert dict(fields(str(path))) == expected


def test_our_reader_of_gguf_finds_what_llama_cpps_does(tmp_path):
    path = tmp_path / "all.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_uint8, 255),
        (writer.add_int8, -128),
        (writer.add_uint16, 65535),
        (writer.add_int16, -2),
        (writer.add_uint32, 2**32 - 1),
        (writer.add_int32, -3),
        (writer.add_uint64, 2**64 - 1),
        (writer.add_int64, -(2**63)),
        (writer.add_float32, 0.5),
        (writer.add_float64, 1e300),
        (writer.add_bool, True),
        (writer.add_string, "größe"),
        (writer.add_array, ["a", "漢"]),
        (writer.add_array, [1, -2]),
        (writer.add_array, [0.5]),
    ):
        add(f"{add.__name__}.{value}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    theirs = contents(gguf.GGUFReader(path))
    assert len(theirs) == 16
    assert dict(fields(path)) == theirs


def small_gguf(path, **changes):
    """A GGUF file of single bytes, some of its fields changed or, with None, left out."""
    letters = list(oracle.alphabet().values())
    special = [f"<|{name}|>" for name in ("begin_of_text", "end_of_text")]
    values = {
        "model": "gpt2",
        "pre": "llama-bpe",
        "tokens": [*letters, "ab", *special],
        "token_type": [1] * 257 + [3, 3],
        "merges": ["a b"],
    } | changes
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in values.items():
        if value is not None:
            add = writer.add_array if isinstance(value, list) else writer.add_string
            add(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "llama"}, "tokenizer.ggml.model is 'llama'; Llama 3's is 'gpt2'"),
        ({"pre": "gpt-2"}, "tokenizer.ggml.pre is 'gpt-2'; Llama 3's is 'llama-bpe'"),
        ({"pre": None}, "tokenizer.ggml.pre is None"),
        ({"tokens": [1, 2]}, "tokenizer.ggml.tokens is not a list of str"),
        ({"merges": "a b"}, "tokenizer.ggml.merges is not a list of str"),
        ({"token_type": None}, "it has 259 tokens, but the types of 0"),
        ({"merges": None}, "there are 0 merges; the ranks of this vocabulary have 1"),
        ({"merges": ["a c"]}, "merge 0"),
        ({"bos_token_id": "257"}, "bos_token_id is '257', and there are 259 ids"),
        ({"add_bos_token": "false"}, "add_bos_token is 'false', and must be true or false"),
        ({}, r"its added tokens are not those of profile .*: the file has 2, and the profile 256"),
    ],
)
def test_a_gguf_file_of_another_tokenizer_is_refused(tmp_path, changes, reason):
    path = small_gguf(tmp_path / "small.gguf", **changes)
    with pytest.raises(VocabularyError, match=reason) as caught:
        convert.convert(path, str(tmp_path / "out.model"), profile="llama3.1")
    assert caught.value.file == path
    assert not (tmp_path / "out.model").exists()


def test_a_damaged_gguf_file_is_refused_wherever_it_is_damaged(tmp_path):
    data = Path(small_gguf(tmp_path / "small.gguf")).read_bytes()
    path, out = tmp_path / "damaged.gguf", str(tmp_path / "out.model")
    for length in [*range(4, 200), *range(200, len(data), 97)]:
        path.write_bytes(data[:length])
        with pytest.raises(VocabularyError):
            convert.convert(str(path), out, profile="llama3.1")
    # A list that claims to be longer than the file, a list in a list, an unknown type, versions.
    key = struct.pack("<Q", 1) + b"k"
    for number, body in (
        (3, key + struct.pack("<IIQ", 9, 4, 2**62)),
        (3, key + struct.pack("<IIQ", 9, 9, 1)),
        (3, key + struct.pack("<I", 13)),
        (3, struct.pack("<Q", 2**63)),
        (1, b""),
        (3 << 24, b""),
    ):
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", number, 0, 1) + body)
        with pytest.raises(VocabularyError, match="this GGUF file can't be read"):
            convert.convert(str(path), out, profile="llama3.1")


def test_without_the_package_gguf_only_writing_gguf_needs_it(sources, tmp_path):
    code = """
import sys
sys.modules["gguf"] = None
from llama3_tok.cli import main
sys.exit(main(sys.argv[1:]))
"""

    def without(source, name):
        command = [
            sys.executable,
            "-c",
            code,
            "convert",
            str(sources[source]),
            str(tmp_path / name),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = without("model", "out.gguf")
    assert done.returncode == 2
    assert done.stderr == (
        "llama3-tok: this needs the package gguf: pip install 'llama3_tok[gguf]' installs it\n"
    )
    assert not (tmp_path / "out.gguf").exists()
    assert without("gguf", "out.model").returncode == 0


@pytest.mark.long
def test_the_profile_of_a_saved_folder_is_converted_with_it(tmp_path, releases):
    for profile in ("llama3.2", "llama3.3"):
        output("convert", "--force", str(releases.folder(profile)), str(tmp_path / "again"))
        assert Tokenizer(tmp_path / "again").profile == profile
    saved = releases.folder("llama3.3")
    chosen = ("--profile", "llama3.1", str(saved), str(tmp_path / "chosen"))
    output("convert", *chosen)
    assert Tokenizer(tmp_path / "chosen").profile == "llama3.1"


# What is refused


@pytest.mark.long
def test_what_is_there_is_replaced_only_with_force(sources, tmp_path):
    for name in ("out.model", "out.json"):
        (tmp_path / name).write_text("mine")
        message = fails("convert", str(sources["model"]), str(tmp_path / name))
        there = tmp_path / name
        assert message == f"llama3-tok: {there} already exists; pass --force to replace it\n"
        assert (tmp_path / name).read_text() == "mine"
        output("convert", "--force", str(sources["model"]), str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 2_000_000


def test_a_folder_with_one_of_the_files_is_kept(sources, tmp_path):
    (tmp_path / "generation_config.json").write_text('{"temperature": 1}')
    message = fails("convert", str(sources["model"]), str(tmp_path))
    assert "generation_config.json already exists" in message
    assert len(list(tmp_path.iterdir())) == 1
    output("convert", "--force", str(sources["model"]), str(tmp_path))
    assert json.loads((tmp_path / "generation_config.json").read_text())["temperature"] == 1


def test_an_ending_that_says_nothing_is_refused(sources, tmp_path):
    message = fails("convert", str(sources["model"]), str(tmp_path / "out.bin"))
    assert ".bin is not one of .model, .tiktoken, .json, .gguf" in message
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_no_vocabulary_is_refused(tmp_path):
    (tmp_path / "page.model").write_text("<html>")
    message = fails("convert", str(tmp_path / "page.model"), str(tmp_path / "out.json"))
    assert "page.model: this is an HTML page" in message
    message = fails("convert", str(tmp_path / "nosuch"), str(tmp_path / "out.json"))
    assert f"the source {tmp_path / 'nosuch'} does not exist" in message
    (tmp_path / "empty").mkdir()
    message = fails("convert", str(tmp_path / "empty"), str(tmp_path / "out.json"))
    assert "the folder has no tokenizer" in message


@pytest.mark.parametrize("kind", ["json", "gguf"])
def test_a_source_of_another_profile_names_the_right_one(sources, tmp_path, kind):
    out = str(tmp_path / "out.model")
    message = fails("convert", "--profile", "llama3", str(sources[kind]), out)
    of_file = 'are those of profile "llama3.1" or "llama3.2" or "llama3.3", not of "llama3"'
    assert of_file in message


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("no/out.json", "no/out.json: there is no folder no; make it first"),
        ("", "the destination must be the name of a file or folder"),
        ("-", "the destination must be the name of a file or folder"),
    ],
)
def test_a_destination_that_can_not_be_is_refused(sources, tmp_path, destination, reason):
    message = fails("convert", str(sources["model"].resolve()), destination, cwd=tmp_path)
    assert message == f"llama3-tok: {reason}\n"
    assert not list(tmp_path.iterdir())


def test_the_help_has_examples_and_no_vocabulary_option():
    shown = output("convert", "--help").decode()
    assert "llama3-tok convert tokenizer.model tokenizer.json" in shown
    assert "--vocabulary" not in shown
    assert run("convert", "a.model").returncode == 2


def test_a_vocabulary_of_another_size_is_converted(tmp_path):
    tokens = [*(bytes([byte]) for byte in range(256)), b"ab", b"abab"]
    lines = [f"{base64.b64encode(t).decode()} {rank}\n" for rank, t in enumerate(tokens)]
    (tmp_path / "small.model").write_text("".join(lines))
    for kind in ("json", "gguf"):
        output("convert", str(tmp_path / "small.model"), str(tmp_path / f"small.{kind}"))
        output("convert", str(tmp_path / f"small.{kind}"), str(tmp_path / f"{kind}.model"))
        assert (tmp_path / f"{kind}.model").read_text() == "".join(lines)
