"""A result is whole or absent, whatever happens meanwhile, and made in little memory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")

import checkpoints  # noqa: E402
from llama3_tok import CheckpointError  # noqa: E402
from llama3_tok.torch import (  # noqa: E402
    convert_checkpoint,
    plan_checkpoint,
    verify_checkpoint,
)
from llama3_tok.torch.checkpoint.job import Job  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import checkpoint as bench  # noqa: E402

pytestmark = pytest.mark.usefixtures("tokenizer_saved_once")

SMALL = {"dim": 16, "layers": 2, "heads": 4, "kv_heads": 2, "wide": 64, "dtype": "bfloat16"}
FIELDS = {"multiple_of": 64, "ffn_dim_multiplier": 1.3}

# Both directions, each with several files to write.
WAYS = {"to-hf": {"shard_size": "1MB"}, "to-meta": {"to_meta": True, "ranks": 4}}

# Kills itself with SIGKILL instead of the call number LAST of a function of `os`.
KILLED = """
import json, os, signal, sys
from llama3_tok.torch import convert_checkpoint
source, output, options, function, last = sys.argv[1:]
calls = 0
real = getattr(os, function)
def counted(*arguments, **options):
    global calls
    calls += 1
    if calls == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(os, function, counted)
convert_checkpoint(source, output, **json.loads(options))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """What each way starts from."""
    folder = tmp_path_factory.mktemp("sources")
    checkpoints.make(folder / "to-hf", ranks=2, fields=FIELDS, **SMALL)
    convert_checkpoint(folder / "to-hf", folder / "to-meta")
    return folder


@pytest.fixture(params=WAYS)
def way(request, sources):
    """A source, and options."""
    return sources / request.param, WAYS[request.param]


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run_killed(source, output, options, function, last):
    """Whether the child was killed before it was done."""
    command = [sys.executable, "-c", KILLED, source, output, json.dumps(options), function]
    done = subprocess.run([*command, str(last)], timeout=120, check=False)
    assert done.returncode in (0, -9)
    return done.returncode == -9


def is_loadable(folder):
    """Whether the library that the folder is for would take it for a model."""
    return any((folder / name).exists() for name in ("model.safetensors.index.json", "params.json"))


# Killed and resumed


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_run_killed_anywhere_goes_on_to_the_same_bytes(way, tmp_path, function):
    """Before each rename, and before each sync, when a file is written and has not its name yet."""
    source, options = way
    convert_checkpoint(source, tmp_path / "whole", **options)
    expected = files_of(tmp_path / "whole")
    kills = 0
    # Files and folders are synced around each rename: every fourth is enough for those.
    for last in range(1, 1000, 1 if function == "replace" else 4):
        output = tmp_path / "cut"
        if not run_killed(source, output, options, function, last):
            break
        kills += 1
        weights = {n for n in expected if n.endswith((".safetensors", ".pth"))}
        for name, data in files_of(output).items():
            if name in weights:  # what has its name is whole
                assert data == expected[name]
        assert not is_loadable(output) or weights <= files_of(output).keys()
        convert_checkpoint(source, output, **options)
        assert files_of(output) == expected
        shutil.rmtree(output)
    assert kills >= 4


def test_a_run_killed_again_and_again_gets_there(way, tmp_path):
    source, options = way
    convert_checkpoint(source, tmp_path / "whole", **options)
    # What stands around the weights is nine files, written in one go.
    runs = 0
    while run_killed(source, tmp_path / "cut", options, "replace", 10 if runs else 4):
        runs += 1
        assert runs < 5
    assert runs >= 1
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_every_file_is_on_the_disk_before_it_has_its_name_and_its_folder_after(
    way, tmp_path, monkeypatch
):
    source, options = way
    events = []
    sync, replace = os.fsync, os.replace

    def recorded_sync(handle):
        events.append(Path(f"/proc/self/fd/{handle}").readlink())
        sync(handle)

    def recorded_replace(before, after):
        events.append((Path(before), Path(after)))
        replace(before, after)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    output = tmp_path / "new" / "out"
    done = convert_checkpoint(source, output, **options)
    assert events[:2] == [tmp_path, tmp_path / "new"]  # folders that were made
    names = []
    for at, event in enumerate(events):
        if isinstance(event, tuple):
            before, after = event
            assert before in events[:at]
            assert events[at + 1] == after.parent
            if after.parent == output:  # the tokenizer's are saved once for all tests
                names.append(after.name)
    loadable = ["model.safetensors.index.json", "params.json"]
    assert [name for name in names if name in done.files] == done.files
    assert names[-1] == "conversion.json"
    assert set(names) & set(loadable)


def test_finished_files_are_not_written_again(way, tmp_path):
    source, options = way
    output = tmp_path / "out"
    assert run_killed(source, output, options, "replace", 6)
    there = {p.name: p.stat().st_mtime_ns for p in output.iterdir() if p.suffix != ".json"}
    there = {n: t for n, t in there.items() if n.endswith((".safetensors", ".pth"))}
    done = convert_checkpoint(source, output, **options)
    assert done.kept == len(there) == 2
    assert all((output / name).stat().st_mtime_ns == time for name, time in there.items())
    again = convert_checkpoint(source, output, **options)
    assert again.kept == len(again.files)


def test_a_finished_file_that_has_gone_is_written_again(way, tmp_path):
    source, options = way
    first = convert_checkpoint(source, tmp_path / "out", **options)
    expected = files_of(tmp_path / "out")
    (tmp_path / "out" / first.files[1]).unlink()
    assert convert_checkpoint(source, tmp_path / "out", **options).kept == len(first.files) - 1
    assert files_of(tmp_path / "out") == expected


def copied_anew(source, folder):
    """A copy with the same bytes and other times, as from a download or another disk."""
    copy = shutil.copytree(source, folder)
    for path in copy.iterdir():
        os.utime(path, ns=(0, 1))
    return copy


def test_a_copy_of_the_input_is_the_same_input(way, tmp_path):
    """Nothing that is finished is lost by moving the input, and the result is the same."""
    source, options = way
    convert_checkpoint(source, tmp_path / "whole", **options)
    output = tmp_path / "out"
    assert run_killed(source, output, options, "replace", 6)
    copy = copied_anew(source, tmp_path / "copy")
    there = {p.name: p.stat().st_mtime_ns for p in output.iterdir()}
    done = convert_checkpoint(copy, output, **options)
    assert done.kept == 2
    assert all(
        (output / name).stat().st_mtime_ns == there[name] for name in done.files if name in there
    )
    assert files_of(output) == files_of(tmp_path / "whole")
    other = copied_anew(source, tmp_path / "other")
    again = convert_checkpoint(other, output, verify=True, **options)
    assert again.kept == len(again.files)


def test_the_record_of_an_earlier_version_which_noted_times_is_continued(way, tmp_path):
    source, options = way
    output = tmp_path / "out"
    assert run_killed(source, output, options, "replace", 6)
    path = output / "conversion.json"
    record = json.loads(path.read_text())
    for entry in record["input"].values():
        if "bytes" in entry:
            entry["modified_ns"] = 12345
    path.write_text(json.dumps(record))
    assert convert_checkpoint(source, output, verify=True, **options).kept == 2
    assert "modified_ns" not in path.read_text()


@pytest.mark.parametrize("changed", ["weights", "config", "wishes"])
def test_a_changed_input_is_refused(way, tmp_path, changed):
    """Also with the old times: a file is told by its content."""
    source, options = way
    source = shutil.copytree(source, tmp_path / "source")
    assert run_killed(source, tmp_path / "out", options, "replace", 6)
    before = files_of(tmp_path / "out")
    path = next(p for p in sorted(source.iterdir()) if p.suffix in (".pth", ".safetensors"))
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    if changed == "weights":
        if path.suffix == ".pth":
            state = torch.load(path, weights_only=True)
            state["norm.weight"] = state["norm.weight"] + 1
            torch.save(state, path)
            name = path.name
        else:  # a bit of the embedding's first row, which is in the first rank
            data = bytearray(path.read_bytes())
            header = int.from_bytes(data[:8], "little")
            offsets = json.loads(data[8 : 8 + header])["model.embed_tokens.weight"]["data_offsets"]
            data[8 + header + offsets[0]] ^= 1
            path.write_bytes(data)
            name = "tok_embeddings.weight"
        os.utime(path, ns=times)
    elif changed == "config":
        path = next(p for p in source.iterdir() if p.name in ("params.json", "config.json"))
        path.write_text(path.read_text() + "\n")
        name = path.name
    else:
        options = options | {"dtype": "float32"}
        name = "dtype"
    with pytest.raises(CheckpointError, match="an earlier run began here with another") as caught:
        convert_checkpoint(source, tmp_path / "out", **options)
    assert name in str(caught.value)
    assert files_of(tmp_path / "out") == before


def test_a_change_to_what_is_not_converted_yet_is_in_the_result(sources, tmp_path):
    """Files of safetensors have no checksums; the result is that of the bytes that are there."""
    options = WAYS["to-meta"]
    source = shutil.copytree(sources / "to-meta", tmp_path / "source")
    assert run_killed(source, tmp_path / "out", options, "replace", 6)
    (path,) = source.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the output layer's last row, which is in the last rank
    path.write_bytes(data)
    assert convert_checkpoint(source, tmp_path / "out", verify=True, **options).kept == 2
    convert_checkpoint(source, tmp_path / "whole", **options)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_second_run_beside_the_first_is_refused(way, tmp_path):
    source, options = way
    messages = []

    def meanwhile(done, total):
        if not messages:
            with pytest.raises(CheckpointError) as caught:
                convert_checkpoint(source, tmp_path / "out", **options)
            messages.append(str(caught.value))

    convert_checkpoint(source, tmp_path / "out", progress=meanwhile, **options)
    assert "another conversion is writing here" in messages[0]


def test_a_record_of_something_else_is_refused(way, tmp_path):
    source, options = way
    (tmp_path / "out").mkdir()
    (tmp_path / "out/conversion.json").write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match="not the record of a conversion"):
        convert_checkpoint(source, tmp_path / "out", **options)


# Disks


def test_a_disk_that_is_too_small_is_refused_with_numbers(way, tmp_path, monkeypatch):
    source, options = way
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 0, 5000000))
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(source, tmp_path / "out", **options)
    message = str(caught.value)
    needed = sum(p.stat().st_size for p in source.iterdir() if p.suffix in (".pth", ".safetensors"))
    assert "the disk has 5,000,000 bytes free" in message
    named = int(message.split(", and ")[1].split(" are needed")[0].replace(",", ""))
    assert needed - 100_000 < named < needed + (80 << 20)
    assert not [p for p in (tmp_path / "out").iterdir() if p.name != "conversion.json"]


LIMITED = """
import json, resource, sys
from llama3_tok.torch import convert_checkpoint
source, output, options = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    convert_checkpoint(source, output, **json.loads(options))
except OSError as error:
    print(error.filename)
"""


def test_a_write_that_fails_leaves_no_part_behind(way, tmp_path):
    source, options = way
    command = [sys.executable, "-c", LIMITED, source, tmp_path / "out", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert Path(done.stdout.strip()).parent == tmp_path / "out"
    assert not [p for p in (tmp_path / "out").iterdir() if ".partial" in p.name]
    assert not is_loadable(tmp_path / "out")
    convert_checkpoint(source, tmp_path / "out", **options)
    convert_checkpoint(source, tmp_path / "whole", **options)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


# Verifying


def test_hashes_are_those_of_the_tensors(sources, tmp_path):
    import hashlib

    import safetensors.torch

    convert_checkpoint(sources / "to-hf", tmp_path / "out", shard_size="1MB")
    record = json.loads((tmp_path / "out/conversion.json").read_text())
    assert record["complete"]
    for name, entry in record["files"].items():
        assert entry["bytes"] == (tmp_path / "out" / name).stat().st_size
        tensors = safetensors.torch.load_file(tmp_path / "out" / name)
        assert entry["sha256"] == {
            tensor: hashlib.sha256(value.view(torch.int16).numpy().tobytes()).hexdigest()
            for tensor, value in tensors.items()
        }


def damage(path):
    """Flips a bit of the first large tensor."""
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)


def test_damage_to_the_result_is_found(way, tmp_path):
    source, options = way
    done = convert_checkpoint(source, tmp_path / "out", verify=True, **options)
    largest = max(done.files, key=lambda name: (tmp_path / "out" / name).stat().st_size)
    damage(tmp_path / "out" / largest)
    for check in (
        lambda: verify_checkpoint(tmp_path / "out"),
        lambda: convert_checkpoint(source, tmp_path / "out", verify=True, **options),
    ):
        with pytest.raises(CheckpointError, match="do not have the SHA-256") as caught:
            check()
        assert caught.value.file.endswith(largest)
        assert caught.value.tensor


def test_a_wrong_conversion_with_the_right_hashes_is_found(way, tmp_path, monkeypatch):
    """As if bits had been damaged before they were hashed."""
    source, options = way
    done = convert_checkpoint(source, tmp_path / "out", **options)
    path = tmp_path / "out/conversion.json"
    largest = max(done.files, key=lambda name: (tmp_path / "out" / name).stat().st_size)
    damage(tmp_path / "out" / largest)
    record = json.loads(path.read_text())
    from llama3_tok.torch.checkpoint.job import _digest, open_stored

    stored = open_stored(str(tmp_path / "out" / largest))
    hashes = record["files"][largest]["sha256"]
    record["files"][largest]["sha256"] = {name: _digest(stored, name) for name in hashes}
    path.write_text(json.dumps(record))
    verify_checkpoint(tmp_path / "out")
    reasons = "1 of the elements .* are not those of the input|had other bytes for"
    with pytest.raises(CheckpointError, match=reasons):
        convert_checkpoint(source, tmp_path / "out", verify=True, **options)
    # Where the input has no checksums, what was finished is compared before all else.
    monkeypatch.setattr(Job, "_confirm", lambda *_: None)
    with pytest.raises(CheckpointError, match="1 of the elements .* are not those of the input"):
        convert_checkpoint(source, tmp_path / "out", verify=True, **options)


def test_what_is_not_finished_can_not_be_verified(way, tmp_path):
    source, options = way
    assert run_killed(source, tmp_path / "out", options, "replace", 4)
    with pytest.raises(CheckpointError, match="the conversion is not finished"):
        verify_checkpoint(tmp_path / "out")


# Memory

MEGABYTES_ALLOWED = 512


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_memory_does_not_grow_with_the_model(tmp_path):
    """Both ways and to another type, for a model and one more than twice as large.

    And a plan says no less.
    """
    peaks = []
    for number, layers in enumerate((1, 10)):
        folder = tmp_path / str(number)
        fields = {"dim": 512, "n_layers": layers, "n_heads": 8, "multiple_of": 1024}
        fields |= bench.SHARED | {"ffn_dim_multiplier": 12.0}
        size = bench.make(folder / "meta", fields, 8, hollow=False)
        there = bench.measured(folder / "meta", folder / "hf", 0, 1, 1 << 60)
        back = bench.measured(folder / "hf", folder / "back", 1, 8, 1 << 60)
        other = bench.measured(folder / "meta", folder / "wide", 0, 1, 1 << 60, "float32")
        plan = plan_checkpoint(folder / "meta", folder / "new", dtype="float32")
        assert max(there["RssAnon"], back["RssAnon"], other["RssAnon"]) < plan.memory / 1e6
        peaks.append((size, there["RssAnon"], back["RssAnon"], other["RssAnon"]))
        shutil.rmtree(folder)
    (small, *small_peaks), (large, *large_peaks) = peaks
    assert large > 2 * small > 600e6
    for before, after in zip(small_peaks, large_peaks, strict=True):
        assert after < MEGABYTES_ALLOWED
        assert abs(after - before) < 40


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_memory_for_405b_in_sixteen_files(tmp_path):
    """All tables of its 820 GB, and the first gigabytes; the files are hollow."""
    fields, multiplier, ranks = bench.PUBLISHED["405B"]
    fields = fields | bench.SHARED | {"ffn_dim_multiplier": multiplier}
    size = bench.make(tmp_path / "meta", fields, ranks, hollow=True)
    assert size > 800e9
    result = bench.measured(tmp_path / "meta", tmp_path / "hf", 0, ranks, int(1e9))
    assert result["RssAnon"] < MEGABYTES_ALLOWED / 2
    assert result["RssAnon"] < plan_checkpoint(tmp_path / "meta", tmp_path / "new").memory / 1e6
