"""Files that are written for somebody: the old one or the new one, and never half of it."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import llama2_model
from llama3_tok import Llama3TokError, Tokenizer
from llama3_tok.cli import main
from llama3_tok.formats import whole_files
from llama3_tok.formats.convert import convert

PACKAGE = Path(whole_files.__file__).parents[1]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def events(monkeypatch):
    """What is synced and renamed, in order: ("sync" or "name", the name of the file or folder)."""
    seen = []
    sync, replace = os.fsync, os.replace

    def recorded_sync(handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append(("sync", path))
        sync(handle)

    def recorded_replace(source, target):
        seen.append(("name", Path(source), Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    return seen


linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")


# The order of things


@linux
def test_all_files_are_synced_and_right_before_one_has_its_name(tmp_path, events):
    def check(written, path):
        assert Path(written).read_bytes() == Path(path).name.encode()
        events.append(("check", Path(path).name))

    paths = [tmp_path / "one", tmp_path / "two"]
    whole_files.write(
        {str(path): whole_files.of_data(path.name.encode())._replace(check=check) for path in paths}
    )
    one, two = (event[1] for event in events if event[0] == "name")
    assert events == [
        ("sync", one),
        ("check", "one"),
        ("sync", two),
        ("check", "two"),
        ("name", one, tmp_path / "one"),
        ("sync", tmp_path),
        ("name", two, tmp_path / "two"),
        ("sync", tmp_path),
    ]
    assert contents(tmp_path) == {"one": b"one", "two": b"two"}


@linux
def test_folders_that_are_made_are_synced_into_those_above(tmp_path, events):
    whole_files.make_folder(str(tmp_path / "a" / "b" / "c"))
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert events == [("sync", tmp_path), ("sync", tmp_path / "a"), ("sync", tmp_path / "a" / "b")]
    events.clear()
    whole_files.make_folder(str(tmp_path / "a" / "b"))
    assert events == []


def save(folder):
    Tokenizer().save(folder / "deep" / "folder")


def to_kind(name):
    return lambda folder: convert(Tokenizer().vocabulary, str(folder / name))


def page(*command):
    def write(folder):
        (folder / "text.txt").write_text("some text, and some more")
        place = str(folder / "page.html")
        assert main([*command, "--html", place, "--", str(folder / "text.txt")]) == 0

    return write


# All ways of the package to write files for somebody, and some that they write; checkpoints have
# their own tests, in with_torch.
WAYS = {
    "save": (save, {"tokenizer.model", "tokenizer.json", "tokenizer_config.json"}),
    "rank file": (to_kind("ranks.tiktoken"), {"ranks.tiktoken"}),
    "json": (to_kind("tokenizer.json"), {"tokenizer.json"}),
    "gguf": (to_kind("new.gguf"), {"new.gguf"}),
    "parity": (page("parity", "--reference", "tiktoken"), {"page.html"}),
    "compare": (page("compare"), {"page.html"}),
}


@pytest.mark.long
@linux
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_syncs_each_file_and_then_its_folder(
    tmp_path, events, way, request, monkeypatch
):
    if way == "compare":
        monkeypatch.setenv(llama2_model.REAL, request.getfixturevalue("llama2_path"))
    work, expected = WAYS[way]
    work(tmp_path)
    named = set()
    for at, event in enumerate(events):
        if event[0] == "name":
            _, source, target = event
            named.add(target.name)
            assert target.is_file()
            assert source.parent == target.parent
            assert ("sync", source) in events[:at]
            assert events[at + 1] == ("sync", target.parent)
    assert expected <= named
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]


@linux
def test_what_is_ours_of_a_saved_class_for_transformers_is_synced(tmp_path, events):
    """transformers writes files of its own; what is written besides, or anew, is whole."""
    pytest.importorskip("transformers")
    from llama3_tok.compat.transformers import Llama3Tokenizer

    Llama3Tokenizer.from_pretrained(Tokenizer().vocabulary).save_pretrained(tmp_path)
    named = {event[2].name for event in events if event[0] == "name"}
    assert named == {"tokenizer.model", "tokenizer.json", "tokenizer_config.json"}


def test_nothing_else_in_the_package_writes_files():
    """A new way to write a file uses `whole_files`, or stands here with its reason."""
    others = {
        "report/worker.py": 'os.fdopen(answers, "wb")',  # a pipe
        "torch/checkpoint/writing.py": 'archive.open(entry, "w", ',  # into a stream that is given
        "data/corpora/run.py": 'open(draft, "wb")',  # which `move` gives its name
        "cli/count_rows.py": 'open(path, "wb") as copy',  # of a pipe, to be read
        "data/places.py": 'open(copy, "wb")',  # of a store's file, to be read
    }
    opens = r"open\(.*[\"'][rb]*[wxa+]+b?[\"']"
    writing = rf"{opens}|write_(?:text|bytes)|os\.(?:replace|rename)\b"
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name == "formats/whole_files.py":
            continue
        found = [line for line in path.read_text().splitlines() if re.search(writing, line)]
        assert all(others.get(name) and others[name] in line for line in found), (name, found)


# Errors, and kills


def broken(path):
    Path(path).write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(path):
    Path(path).write_bytes(b"half")
    raise KeyboardInterrupt


def wrong(written, path):
    raise Llama3TokError(f"{path}: wrong")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (whole_files.Draft(broken), OSError),
        (whole_files.Draft(interrupted), KeyboardInterrupt),
        (whole_files.of_data(b"new")._replace(check=wrong), Llama3TokError),
    ],
    ids=["write", "interrupt", "check"],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_error_in_the_middle_leaves_the_old_files(tmp_path, bad, error, at):
    before = {"one": b"old one", "two": b"old two"}
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)
    names = ["one", "two", "three"]
    drafts = {str(tmp_path / name): whole_files.of_data(b"new") for name in names}
    drafts[str(tmp_path / names[at])] = bad
    with pytest.raises(error) as caught:
        whole_files.write(drafts)
    if error is OSError:
        assert caught.value.filename == str(tmp_path / names[at])
        assert str(caught.value) == f"[Errno 28] No space left on device: '{tmp_path / names[at]}'"
    assert contents(tmp_path) == before


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    """As when the input of a conversion can't be read."""
    path = str(tmp_path / "new")
    draft = whole_files.streamed(lambda file: Path("/not/there").read_bytes())
    with pytest.raises(FileNotFoundError) as caught:
        whole_files.write({path: draft})
    assert caught.value.filename == "/not/there"
    assert contents(tmp_path) == {}


KILLED = """
import os, signal, sys
from llama3_tok.cli import main
function, last, *arguments = sys.argv[1:]
calls = 0
real = getattr(os, function)
def counted(*given, **options):
    global calls
    calls += 1
    if calls == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **options)
setattr(os, function, counted)
sys.exit(main(arguments))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["parity", "--reference", "tiktoken", "text.txt", "--html"], "page.html"),
        (["convert", "--force", Tokenizer().vocabulary], "new.gguf"),
        (["convert", "--force", Tokenizer().vocabulary], "new.json"),
    ],
    ids=["page", "gguf", "json"],
)
def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path, command, name):
    (tmp_path / "text.txt").write_text("some text")
    run = [sys.executable, "-c", KILLED]
    kills, left = {}, set()
    for function in ("replace", "fsync"):
        for last in range(1, 10):
            (tmp_path / name).write_bytes(b"old")
            done = subprocess.run(
                [*run, function, str(last), *command, name],
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                timeout=120,
                check=False,
            )
            found = (tmp_path / name).read_bytes()
            if done.returncode == 0:
                assert found != b"old"
                break
            assert done.returncode == -signal.SIGKILL
            kills[function, last] = found
            # A later run removes it.
            left |= {path.name for path in tmp_path.iterdir()} - {name, "text.txt"}
    whole = (tmp_path / name).read_bytes()
    # Before the only rename, before the file is synced, and after the rename before the folder is.
    assert list(kills) == [("replace", 1), ("fsync", 1), ("fsync", 2)]
    assert kills["replace", 1] == kills["fsync", 1] == b"old"
    if name != "page.html":  # a page has the time in it
        assert kills["fsync", 2] == whole
    assert kills["fsync", 2][-20:] == whole[-20:]
    assert left
    assert all(whole_files.is_partial(one, [name]) for one in left)


def test_a_reader_never_sees_half_a_page(tmp_path):
    path = tmp_path / "page"
    sizes = {1 << 20, 3 << 20}
    path.write_bytes(bytes(1 << 20))
    done, seen = threading.Event(), set()

    def look():
        while not done.is_set():
            seen.add(len(path.read_bytes()))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        for size in sizes:
            whole_files.write_output(str(path), bytes(size))
    done.set()
    reader.join()
    assert seen == sizes


# What is there already


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "secret"
    for permissions in (0o600, 0o444, 0o640):
        path.touch()
        path.chmod(permissions)
        whole_files.write({str(path): whole_files.of_data(b"new")})
        assert stat.S_IMODE(path.stat().st_mode) == permissions
        assert path.read_bytes() == b"new"
        path.chmod(0o600)


def test_a_secret_file_is_never_readable_for_others(tmp_path):
    path = tmp_path / "secret"
    path.touch(0o600)
    modes = []

    def write(temporary):
        modes.append(stat.S_IMODE(Path(temporary).stat().st_mode))
        Path(temporary).write_bytes(b"new")

    whole_files.write({str(path): whole_files.Draft(write)})
    assert modes == [0o600]


def test_a_named_output_may_be_a_link_or_no_file(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    whole_files.write_output(str(link), b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    target.unlink()
    whole_files.write_output(str(link), b"newer")  # a link to what is not there yet
    assert target.read_bytes() == b"newer"

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    whole_files.write_output(str(pipe), b"through")
    reader.join()
    assert read == [b"through"]
    assert pipe.is_fifo()
    whole_files.write_output(os.devnull, b"gone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "target"]


@pytest.mark.parametrize("kind", ["missing", "folder", "link"])
def test_errors_name_the_place_that_was_asked_for(tmp_path, kind):
    path = tmp_path / "folder" / "page"
    if kind == "folder":
        path.mkdir(parents=True)
    if kind == "link":
        (tmp_path / "folder").mkdir()
        path.symlink_to(tmp_path / "not" / "there")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its type is looked at below
        whole_files.write_output(str(path), b"x")
    expected = IsADirectoryError if kind == "folder" else FileNotFoundError
    assert type(caught.value) is expected
    assert caught.value.filename == str(path)


def test_names_may_be_as_long_as_names_can_be(tmp_path):
    for name in ("x" * 255, "漢" * 85):
        whole_files.write_output(str(tmp_path / name), b"x")
    assert len(contents(tmp_path)) == 2


def test_what_a_name_has_left_is_told(tmp_path):
    def look(path):
        names.extend(one.name for one in tmp_path.iterdir())
        Path(path).write_bytes(b"")

    names = []
    whole_files.write({str(tmp_path / "model.json"): whole_files.Draft(look)})
    (name,) = names
    assert whole_files.is_partial(name, ["other", "model.json"])
    assert not whole_files.is_partial(name, ["model", "other"])
    assert not whole_files.is_partial("model.json", ["model.json"])
    assert not whole_files.is_partial(".model.json.swp", ["model.json"])


# Folders that can't be synced


def failing_sync(monkeypatch, number):
    sync = os.fsync

    def fail(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fail)


def test_a_file_system_without_syncing_of_folders_is_good_enough(tmp_path, monkeypatch):
    for number in (errno.EINVAL, errno.ENOTSUP):
        failing_sync(monkeypatch, number)
        whole_files.write_output(str(tmp_path / "page"), b"new")
        assert contents(tmp_path) == {"page": b"new"}


def test_a_folder_that_fails_to_be_synced_is_an_error(tmp_path, monkeypatch):
    failing_sync(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error") as caught:
        whole_files.write_output(str(tmp_path / "page"), b"new")
    assert caught.value.filename == str(tmp_path)
