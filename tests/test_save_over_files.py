"""`Tokenizer.save` over files that are there: each is whole or not there, and others stay."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llama3_tok import Llama3TokError, Tokenizer
from llama3_tok.formats import save, whole_files
from saved_files import NAMES, ORDER, load
from small_vocabulary import SINGLE_BYTES, small


def test_files_are_replaced_and_others_stay(tmp_path, tiny):
    (tmp_path / "tokenizer.json").write_text("old")
    (tmp_path / "model.safetensors").write_text("weights")
    tiny.save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == NAMES | {"model.safetensors"}
    assert (tmp_path / "model.safetensors").read_text() == "weights"
    assert load(tmp_path / "tokenizer.json")["version"] == "1.0"


def test_a_models_settings_for_generation_stay(tmp_path):
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"temperature": 0.6, "eos_token_id": 7, "pad_token_id": 7}))
    small(tmp_path / "small.model", SINGLE_BYTES, profile="llama3").save(tmp_path)
    expected = {"temperature": 0.6, "bos_token_id": 256, "eos_token_id": [257, 265]}
    assert load(path) == expected


@pytest.mark.parametrize("content", ['{"temperature": 0.6,', "[]"])
def test_settings_that_can_not_be_read_are_not_thrown_away(tmp_path, content):
    path = tmp_path / "generation_config.json"
    path.write_text(content)
    with pytest.raises(Llama3TokError, match="generation_config.json: its settings are to be"):
        Tokenizer().save(tmp_path)
    assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_with_the_added_tokens_of_another_tokenizer_is_refused(tmp_path):
    (tmp_path / "added_tokens.json").write_text('{"<x>": 128256}')
    with pytest.raises(Llama3TokError, match=r"added_tokens.json is of another tokenizer"):
        Tokenizer().save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_tilde_is_the_home_for_saving_as_for_loading(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tiny.save("~/saved")
    assert (tmp_path / "saved" / "tokenizer.json").is_file()
    assert Tokenizer("~/saved").encode("ab") == [97, 98]


@pytest.mark.parametrize(("name", "reason"), [("", "is empty"), ("file", "exists and is not")])
def test_what_is_no_folder_is_refused(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(Llama3TokError, match=reason):
        Tokenizer().save(name)
    with pytest.raises(TypeError, match="folder must be a path"):
        Tokenizer().save(3)


def test_a_tokenizer_can_be_saved_where_it_came_from(tmp_path, tiny):
    tiny.save(tmp_path)
    tokenizer = Tokenizer(tmp_path)
    tokenizer.save(tmp_path)
    assert Tokenizer(tmp_path) == tokenizer


def test_a_link_is_replaced_not_followed(tmp_path, tiny):
    shared = tmp_path / "shared.json"
    shared.write_text("{}")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "tokenizer_config.json").symlink_to(shared)
    tiny.save(folder)
    assert shared.read_text() == "{}"
    assert not (folder / "tokenizer_config.json").is_symlink()


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "tokenizer_config.json").mkdir()
    with pytest.raises(Llama3TokError, match=r"tokenizer_config.json exists and is not a file"):
        Tokenizer().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer_config.json"]


def test_if_one_file_can_not_be_written_none_is(tmp_path, tmp_path_factory, tiny, monkeypatch):
    older = tmp_path_factory.mktemp("older") / "older.model"
    small(older, SINGLE_BYTES, profile="llama3").save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(config):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(save, "_json", lambda value: whole_files.Draft(fail))
    with pytest.raises(OSError, match="No space left"):
        tiny.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("failing", ORDER)
def test_where_a_file_can_not_be_replaced_the_error_says_which_are_new(
    tmp_path, tiny, monkeypatch, failing
):
    """As for a file that the system protects (`chattr +i`), which only its replacement shows."""
    folder, whole = tmp_path / "folder", tmp_path / "whole"
    older = small(tmp_path / "older.model", SINGLE_BYTES, profile="llama3")
    older.save(folder)
    tiny.save(whole)
    before, expected = (
        {path.name: path.read_bytes() for path in one.iterdir()} for one in (folder, whole)
    )
    replace = os.replace

    def protected(source, path):
        if Path(path).name == failing:
            raise PermissionError(1, "Operation not permitted", source, None, path)
        replace(source, path)

    monkeypatch.setattr(os, "replace", protected)
    with pytest.raises(PermissionError, match="Operation not permitted") as caught:
        tiny.save(folder)
    assert caught.value.filename == str(folder / failing)
    done = ORDER.index(failing)
    new, old = ORDER[:done], ORDER[done:]
    if new:
        told = f"; {', '.join(new)} are the new ones already, and {', '.join(old)} not: save again"
        assert told in caught.value.strerror
    else:
        assert caught.value.strerror == "Operation not permitted"
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after == before | {name: expected[name] for name in new}
    # Of the tokens there is never a mix: they are those of one file.
    assert Tokenizer(folder).special_tokens == (tiny if done > 1 else older).special_tokens


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_what_does_not_read_back_as_the_same_is_dropped(tmp_path, tiny, monkeypatch, name):
    """As if the disk had changed a token behind our back."""
    settle = whole_files._settle

    def spoil(path):
        settle(path)
        if name in Path(path).name:
            data = Path(path).read_bytes()
            # Two tokens change places.
            a, b = (
                (b'"!": 33, "\\""', b'"\\"": 33, "!"')
                if "json" in name
                else (b"IQ== 33\nIg==", b"Ig== 33\nIQ==")
            )
            assert data.count(a) == 1
            Path(path).write_bytes(data.replace(a, b))

    monkeypatch.setattr(whole_files, "_settle", spoil)
    with pytest.raises(Llama3TokError, match="does not read back as the same tokens"):
        tiny.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_file(tmp_path, tokenizer, releases):
    releases.copy(tmp_path)
    done = threading.Event()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    seen = []

    def look():
        while not done.is_set():
            seen.append({name: (tmp_path / name).stat().st_size for name in sizes})

    reader = threading.Thread(target=look)
    reader.start()
    tokenizer.save(tmp_path)
    done.set()
    reader.join()
    assert len(seen) > 10
    assert all(one == sizes for one in seen)


def test_a_killed_process_leaves_no_half_file_under_a_name(tmp_path):
    code = """
import os, sys
from llama3_tok import Tokenizer
from llama3_tok.formats import save, whole_files
def die(path):
    os._exit(9)
whole_files._settle = die
Tokenizer().save(sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 9
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written_is_the_systems_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        Tokenizer().save(tmp_path)


def test_new_files_have_the_permissions_that_new_files_have(tmp_path, tiny):
    (tmp_path / "plain").write_text("")
    tiny.save(tmp_path)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}
