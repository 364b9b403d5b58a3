"""`llama3-tok convert-checkpoint`."""

import json
import os
import signal
import subprocess
import time

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")

import checkpoints  # noqa: E402
from cli import COMMAND, Terminal, environment, fails, output, run  # noqa: E402
from llama3_tok import Tokenizer  # noqa: E402
from llama3_tok.torch import Planned  # noqa: E402

VERB = "convert-checkpoint"


@pytest.fixture(scope="module")
def meta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "meta"
    fields = {"multiple_of": 64, "ffn_dim_multiplier": 1.3}
    return checkpoints.make(
        folder, ranks=2, dim=16, heads=4, wide=64, dtype="bfloat16", fields=fields
    )


def test_there_and_back(meta, tmp_path):
    there = ("--input-dir", meta, "--output-dir", tmp_path / "hf")
    said = output(VERB, *there, "--shard-size", "2MB", "--verify").decode()
    size = sum(tensor.nbytes for tensor in checkpoints.weights(dim=16, heads=4, wide=64).values())
    assert said.startswith(f"21 tensors, {size // 2:,} bytes of bfloat16, 3 files in ")
    assert "the same bytes as the input gives" in said
    back = ("--input-dir", tmp_path / "hf", "--output-dir", tmp_path / "back")
    said = json.loads(output(VERB, *back, "--to-meta", "--ranks", "2", "--json"))
    assert said["files"] == ["consolidated.00.pth", "consolidated.01.pth"]
    assert said["ranks"] == 2
    assert said["verified"] is False
    for name in said["files"]:
        mine = torch.load(tmp_path / "back" / name, mmap=True, weights_only=True)
        theirs = torch.load(meta / name, mmap=True, weights_only=True)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_verify_alone_needs_no_input(meta, tmp_path):
    folder = tmp_path / "hf"
    output(VERB, "--input-dir", meta, "--output-dir", folder)
    assert b"bytes are as they were written" in output(VERB, "--verify", "--output-dir", folder)
    said = json.loads(output(VERB, "--verify", "--output-dir", folder, "--json"))
    assert said["verified"] is True
    path = folder / "model-00001-of-00001.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "do not have the SHA-256" in fails(VERB, "--verify", "--output-dir", folder)


def test_float16_is_warned_of_and_done(meta, tmp_path):
    done = run(VERB, "--input-dir", meta, "--output-dir", tmp_path / "hf", "--dtype", "float16")
    assert done.returncode == 0
    assert done.stderr.startswith(b"llama3-tok: warning: float16 has less range than bfloat16")
    assert json.loads((tmp_path / "hf/config.json").read_text())["dtype"] == "float16"


def test_a_finished_conversion_is_told(meta, tmp_path):
    words = (VERB, "--input-dir", meta, "--output-dir", tmp_path / "hf")
    output(*words)
    assert b"1 of the files were there from an earlier run" in output(*words)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(meta, tmp_path):
    words = ("--input-dir", meta, "--output-dir", tmp_path / "hf", "--shard-size", "2MB")
    said = output(VERB, *words, "--dry-run").decode()
    assert not (tmp_path / "hf").exists()
    plan = json.loads(output(VERB, *words, "--dry-run", "--json"))
    assert not (tmp_path / "hf").exists()
    assert set(plan) == set(Planned._fields)
    for file in plan["files"]:
        assert f"{file['name']}  " in said
        assert f"{file['bytes']:,} bytes, {file['tensors']} tensor" in said
    assert f"3 files would be in {tmp_path / 'hf'}: 21 tensors, {plan['bytes']:,} bytes" in said
    assert "2 layers, 128,256 rows, output layer by itself, tokenizer of profile llama3" in said
    assert f"at most {plan['memory'] / 1e6:.0f} MB of memory; nothing was written" in said
    done = json.loads(output(VERB, *words, "--json"))
    assert [file["name"] for file in plan["files"]] == done["files"]
    assert (
        "3 of the files are there from an earlier run" in output(VERB, *words, "--dry-run").decode()
    )


def test_a_disk_that_is_too_small_is_said_by_a_dry_run(meta, tmp_path):
    words = ("--input-dir", meta, "--output-dir", tmp_path / "hf", "--vocab-rows", str(10**12))
    said = output(VERB, *words, "--dry-run").decode()
    assert " too few" in said


def test_rows_and_a_profile_are_options(meta, tmp_path):
    there = ("--input-dir", meta, "--output-dir", tmp_path / "hf")
    output(VERB, *there, "--vocab-rows", "128320", "--profile", "llama3.3")
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert config["vocab_size"] == 128320
    assert Tokenizer(tmp_path / "hf").profile == "llama3.3"
    message = fails(VERB, *there[:3], tmp_path / "other", "--vocab-rows", "5")
    assert "--vocab-rows must be at least 128,256" in message
    back = ("--input-dir", tmp_path / "hf", "--output-dir", tmp_path / "back", "--to-meta")
    message = fails(VERB, *back, "--profile", "llama3")
    assert "pass --profile llama3.1 or llama3.2 or llama3.3" in message


def test_advice_is_in_options(meta, tmp_path):
    """What the library says of its parameters."""
    hf, out = tmp_path / "hf", tmp_path / "out"
    output(VERB, "--input-dir", meta, "--output-dir", hf)
    (hf / "conversion.json").unlink()
    words = ("--output-dir", out, "--input-dir")
    assert "and --to-meta converts it to Meta's" in fails(VERB, *words, hf)
    assert "is converted without --to-meta" in fails(VERB, "--to-meta", *words, meta)
    (hf / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    message = fails(VERB, "--to-meta", *words, hf)
    assert "a LoRA adapter is here" in message
    assert "pass --merge-adapter to merge it" in message
    alone = tmp_path / "lora"
    alone.mkdir()
    (hf / "adapter_config.json").rename(alone / "adapter_config.json")
    message = fails(VERB, "--to-meta", *words, alone)
    assert f"with --to-meta and --merge-adapter {alone}" in message
    state = torch.load(meta / "consolidated.00.pth", weights_only=True)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in meta.iterdir():
        (mixed / path.name).hardlink_to(path)
    for rank in range(2):
        path = mixed / f"consolidated.{rank:02d}.pth"
        state = torch.load(path, weights_only=True)
        path.unlink()
        torch.save(state | {"norm.weight": state["norm.weight"].float()}, path)
    message = fails(VERB, *words, mixed)
    assert "pass --dtype bfloat16 to convert the others to it" in message
    assert output(VERB, *words, mixed, "--dtype", "bfloat16")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "--output-dir"),
        (("--output-dir", "out"), "give --input-dir, or --verify"),
        (("--input-dir", "in", "--output-dir", "out", "--ranks", "2"), "--ranks goes with"),
        (
            ("--input-dir", "in", "--output-dir", "out", "--shard-size", "5XB"),
            "not a size such as 5GB",
        ),
        (("--input-dir", "in", "--output-dir", "out", "--dtype", "int8"), "invalid choice"),
        (
            ("--input-dir", "in", "--output-dir", "out", "--to-meta", "--shard-size", "1GB"),
            "--shard-size is for safetensors",
        ),
        (
            ("--input-dir", "in", "--output-dir", "out", "--merge-adapter"),
            "--merge-adapter goes with --to-meta",
        ),
        (
            ("--input-dir", "in", "--output-dir", "out", "--vocab-rows", "0"),
            "--vocab-rows must be at least 1, not 0",
        ),
        (
            ("--input-dir", "in", "--output-dir", "out", "--dry-run", "--verify"),
            "--dry-run writes nothing",
        ),
        (("--output-dir", "out", "--dry-run"), "give --input-dir"),
        (
            ("--input-dir", "in", "--output-dir", "out", "--profile", "llama4"),
            "invalid choice: 'llama4'",
        ),
        (("--input-dir", "nowhere", "--output-dir", "out"), "nowhere: No such file"),
        (("--verify", "--output-dir", "nowhere"), "there is no such file"),
    ],
)
def test_wrong_usage(words, reason, tmp_path):
    assert reason in fails(VERB, *words, cwd=tmp_path)


def test_a_fault_of_the_input_is_one_line(meta, tmp_path):
    (tmp_path / "meta").mkdir()
    message = fails(VERB, "--input-dir", tmp_path / "meta", "--output-dir", tmp_path / "out")
    assert message.count("\n") == 1
    assert "there is no consolidated.00.pth here" in message


def test_help_has_an_example():
    said = output(VERB, "--help").decode()
    assert "llama3-tok convert-checkpoint --input-dir" in said
    assert "exit codes" in said


def test_progress_is_shown_on_a_terminal_and_nowhere_else(meta, tmp_path):
    terminal = Terminal()
    words = ("--input-dir", meta, "--output-dir", tmp_path / "hf", "--json")
    with subprocess.Popen(
        [*COMMAND, VERB, *words],
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
        env=environment(),
    ) as process:
        shown = terminal.read()  # first: a terminal that nobody reads is full after some seconds
        said = process.stdout.read()
    assert json.loads(said)["tensors"] == 21
    assert b"MB" in shown
    assert b"100" in shown or "━".encode() in shown
    assert run(VERB, *words[:3], tmp_path / "other").stderr == b""


def test_ctrl_c_stops_at_once_and_the_next_run_goes_on(tmp_path):
    fields = {"multiple_of": 256, "ffn_dim_multiplier": 1.3}
    meta = checkpoints.make(
        tmp_path / "meta", dim=768, heads=4, layers=1, wide=2816, dtype="bfloat16", fields=fields
    )
    words = [*COMMAND, VERB, "--input-dir", meta, "--output-dir", tmp_path / "hf"]
    words += ["--shard-size", "100MB"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment()) as process:
        for _ in range(10_000):
            if list(tmp_path.glob("hf/.model-00001-of-00003.safetensors.*")):
                break
            time.sleep(0.001)
        begin = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said == b""
    assert time.monotonic() - begin < 5
    assert not list((tmp_path / "hf").glob(".*"))
    assert b"3 files" in output(*words[len(COMMAND) :], "--verify")
