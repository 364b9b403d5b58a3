"""What docs/reliability.md promises: refused memory, Ctrl-C, hostile files, messages, drafts."""

import gzip
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mutants
import wrong_calls
from cli import fails, on_terminal, output, run
from conftest import EXAMPLES
from interpreter import run_python, seconds_after_control_c
from llama3_tok import CheckpointError, InputError, Llama3TokError, Tokenizer, VocabularyError
from llama3_tok.formats import gguf
from llama3_tok.formats.whole_files import of_data
from llama3_tok.formats.whole_files import write as write_whole
from llama3_tok.torch.checkpoint import pickled
from pth_files import SOUND, STORAGES, archive, pth, read, tensor

HERE = Path(__file__).parent


# Memory


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize(
    ("arguments", "least"),
    [([] if EXAMPLES >= 5000 else ["--short"], 50), (["--threads", str(EXAMPLES // 25)], 10)],
    ids=["calls", "threads"],
)
def test_no_call_ends_the_process_where_memory_is_refused(arguments, least):
    done = subprocess.run(
        [sys.executable, HERE / "refused_memory.py", *arguments],
        capture_output=True,
        text=True,
        timeout=3000,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    refused = int(done.stdout.rpartition(" wrong, ")[2].split()[0])
    assert refused > least


# Ctrl-C

RUNS = {
    "spaces": '" " * 200_000_000',
    "letters": '"a" * 200_000_000',
    "Han": '"\\u6f22" * 60_000_000',
    "symbols": '"!" * 200_000_000',
    "newlines": '"\\n" * 200_000_000',
    "no UTF-8": 'b"\\xff" * 200_000_000',
}


@pytest.mark.long
@pytest.mark.parametrize("text", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("work", ["count", "encode_array", "pretokens"])
def test_endless_runs_hear_control_c(work, text):
    before = f"""
        import llama3_tok
        tokenizer = llama3_tok.Tokenizer()
        text = {text}
        # Python makes UTF-8 of a text once, and keeps it.
        tokenizer.added_spans(text)
    """
    assert seconds_after_control_c(f"tokenizer.{work}(text)", before=before) < 0.5


# Packed files


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    path = tmp_path_factory.mktemp("bomb") / "bomb.txt.gz"
    with gzip.open(path, "wb", 9) as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
    return path


@pytest.mark.long
def test_a_packed_file_unpacks_to_so_many_bytes_at_most(tmp_path, tokenizer, bomb):
    small = tmp_path / "small.txt.gz"
    small.write_bytes(gzip.compress(b"Hello world" * 1000))
    assert tokenizer.count_file(small) == tokenizer.count_file(small, max_bytes=11_000)
    for call in (tokenizer.count_file, tokenizer.encode_file):
        with pytest.raises(InputError, match="more than 10999 bytes when it is unpacked") as caught:
            call(small, max_bytes=10_999)
        assert caught.value.path == str(small)
    with pytest.raises(InputError, match="more than 1000 times as many bytes"):
        tokenizer.count_file(bomb)
    with pytest.raises(InputError, match="more than 50 times as many bytes"):
        list(tokenizer.stream_file(bomb, max_ratio=50))
    with pytest.raises(InputError, match="more than 70 times"):
        next(tokenizer.encode_files([bomb], max_ratio=70))
    assert list(tokenizer.count_files([bomb], max_ratio=None)) == [
        tokenizer.count(bytes(100 << 20))
    ]
    for name in ("max_bytes", "max_ratio"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            tokenizer.count_file(small, **{name: 0})
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            tokenizer.count_file(small, **{name: "x"})


@pytest.mark.long
def test_the_command_has_the_limits_of_packed_files(bomb):
    assert "more than 1000 times as many bytes" in fails("count", bomb)
    assert "max_bytes allows more" in fails("count", "--max-bytes", "1000", bomb)
    assert output("count", "--max-ratio", "0", bomb).strip().isdigit()


@pytest.mark.long
@pytest.mark.parametrize(
    "words", [["encode", "-f"], ["show", "-f"], ["explain", "-f"], ["truncate", "-n", "1"]]
)
def test_verbs_that_unpack_a_text_have_the_limit(bomb, words):
    assert "more than 1000 times as many bytes" in fails(*words, bomb)
    assert "more than 70 times as many bytes" in fails(*words, bomb, "--max-ratio", "70")
    if words[0] == "truncate":
        assert run(*words, bomb, "--max-ratio", "0").stdout == bytes(1)


# Files that are none


@pytest.fixture
def saved(tmp_path, releases):
    return releases.copy(tmp_path / "saved")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path, saved, tokenizer):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(VocabularyError, match="not a regular file"):
        Tokenizer(pipe)
    with pytest.raises(VocabularyError, match="not a regular file"):
        gguf.read(str(pipe))
    settings = saved / "generation_config.json"
    settings.unlink()
    os.mkfifo(settings)
    with pytest.raises(Llama3TokError, match=r"can't be read \(this is not a regular file\)"):
        tokenizer.save(saved)


@pytest.mark.parametrize("depth", [101, 900, 100_000])
def test_values_that_are_nested_too_deep_are_refused(saved, tokenizer, depth):
    nested = "[" * (depth - 1) + "]" * (depth - 1)
    config = (saved / "tokenizer_config.json").read_text()
    (saved / "tokenizer_config.json").write_text(config.rstrip()[:-1] + f', "deep": {nested}}}')
    with pytest.raises(VocabularyError, match="nested deeper than 100 levels"):
        Tokenizer(saved)
    (saved / "tokenizer_config.json").write_text(config)
    (saved / "generation_config.json").write_text(f'{{"deep": {nested}}}')
    with pytest.raises(Llama3TokError, match="nested deeper than 100 levels"):
        tokenizer.save(saved)


def test_values_that_are_nested_a_hundred_levels_deep_are_kept(tmp_path, saved):
    config = json.loads((saved / "tokenizer_config.json").read_text())
    deep = []
    for _ in range(98):
        deep = [deep]
    (saved / "tokenizer_config.json").write_text(json.dumps(config | {"deep": deep}))
    Tokenizer(saved).save(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert again["deep"] == deep


def test_a_huge_file_with_a_hole_is_not_read(saved, tokenizer):
    for name in ("tokenizer_config.json", "generation_config.json"):
        os.truncate(saved / name, 2 << 30)
        with pytest.raises(VocabularyError, match="more than 67,108,864 bytes"):
            Tokenizer(saved)
        (saved / name).write_text("{}")
    os.truncate(saved / "generation_config.json", 2 << 30)
    with pytest.raises(Llama3TokError, match="more than 67,108,864 bytes"):
        tokenizer.save(saved)


GGUF = {
    "values": (struct.pack("<QQ1sIIQ", 1, 1, b"x", 9, 0, 900_000_000), "a list of 900,000,000"),
    "fields": (struct.pack("<Q", 1 << 60), "fields; at most 65,536"),
    "a text": (struct.pack("<QQ", 1, 900_000_000), "a text of 900,000,000 bytes"),
}


@pytest.mark.parametrize(("head", "reason"), GGUF.values(), ids=GGUF)
def test_a_gguf_file_that_says_too_much_is_refused_at_once(tmp_path, head, reason):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQ", 3, 0) + head)
    os.truncate(path, 1 << 30)
    began = time.monotonic()
    with pytest.raises(VocabularyError, match=reason):
        gguf.read(str(path))
    assert time.monotonic() - began < 2


# Messages


def test_no_message_has_more_than_a_thousand_characters(tmp_path, tokenizer):
    long = "x" * 1_100_000
    rank_file, whole = tmp_path / "long.model", tmp_path / "long.json"
    rank_file.write_text(f"{long} 0\n")
    whole.write_text(json.dumps({"model": {"type": long}}))
    calls = [
        lambda: Tokenizer(rank_file),
        lambda: Tokenizer(whole),
        lambda: Tokenizer(profile=long),
        lambda: Tokenizer("x/" * 1_000_000),
        lambda: tokenizer.encode("a", allowed_special={long}),
        lambda: tokenizer.encode("a", allowed_special=long),
        lambda: tokenizer.encode("a", **{long: 1}),
        lambda: tokenizer.encode_chat([{"role": long, "content": "x"}]),
        lambda: tokenizer.encode_chat([{"role": "user", "content": {long: long}}]),
        lambda: tokenizer.token_id(long),
        lambda: tokenizer.with_special_tokens({long: -1}),
        lambda: tokenizer.with_special_tokens({long: 5}),
        lambda: tokenizer.with_special_tokens({(long,): 5}),
        lambda: tokenizer.decode([10**100_000]),
        lambda: tokenizer.save(long),
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError, OSError)) as caught:
            call()
        message = str(caught.value)
        if isinstance(caught.value, OSError):  # has the name that was given, as Python's own
            continue
        assert 0 < len(message) <= 1000, message[:200]
        for name in ("reason", "file", "token"):
            assert name == "token" or len(str(getattr(caught.value, name, ""))) <= 1000
    for answer in (f'{{"name": "{long}", "parameters": 5}}', f"<|python_tag|>{long}("):
        assert len(tokenizer.parse_assistant(answer).problem or "") <= 1000


def test_a_long_message_has_its_beginning_and_its_end():
    message = str(Llama3TokError("begin " + "x" * 2000 + " end"))
    assert len(message) == 1000
    assert message.startswith("begin xx")
    assert message.endswith("xx end")
    assert " [...] " in message


# Damaged vocabularies and folders


def test_a_damaged_vocabulary_is_refused_at_once_or_right():
    count = EXAMPLES
    refused, accepted, longest = mutants.run(count)
    assert refused + accepted == count
    assert refused > count // 3
    assert longest < 2


# Wrong calls


def test_wrong_calls_raise_what_is_documented():
    given, raised = wrong_calls.run(20 * EXAMPLES)
    assert given > EXAMPLES // 4
    assert raised > 10 * EXAMPLES


# Damaged .pth files


def test_a_pth_file_that_was_written_without_torch_is_read(tmp_path):
    file = read(tmp_path / "a.pth", SOUND)
    assert {name: info.shape for name, info in file.tensors.items()} == {
        "a.weight": (3, 4),
        "b.weight": (3,),
    }
    assert file.array("a.weight").tobytes() == bytes(range(48))


def test_a_damaged_pth_file_is_a_checkpoint_error_with_its_path(tmp_path):
    """Of each mutant, or its bytes are those of a sound file."""
    rng, path, refused, sound = random.Random(0), tmp_path / "a.pth", 0, 0
    count = 20 * EXAMPLES
    for _ in range(count):
        data = bytearray(SOUND)
        kind = rng.randrange(4)
        if kind == 0:
            del data[rng.randrange(len(data)) :]
        else:
            for _ in range(kind):
                at = rng.randrange(len(data))
                data[at] = rng.choice((0, 0xFF, 0x80, data[at] ^ 1 << rng.randrange(8)))
        try:
            read(path, bytes(data))
        except CheckpointError as error:
            refused += str(error).startswith(str(path)) and error.file == str(path)
        else:
            sound += 1
    assert refused + sound == count
    assert refused > count // 2


def test_a_place_before_the_beginning_is_a_checkpoint_error(tmp_path):
    end = SOUND.rindex(b"PK\x05\x06")
    data = bytearray(SOUND)
    # The directory is said to be farther away than the file is long: all places become negative.
    data[end + 16 : end + 20] = struct.pack("<I", 1 << 20)
    with pytest.raises(CheckpointError, match="a.pth"):
        read(tmp_path / "a.pth", bytes(data))


@pytest.mark.parametrize("strides", [(0,), (1,)])
def test_a_tensor_of_more_elements_than_its_storage_is_refused(tmp_path, strides):
    data = pth({"a": tensor("0", 4, 0, (10**18,), strides)}, {"0": bytes(16)})
    with pytest.raises(CheckpointError, match=r"a.pth: a: it has 1,000,000,000,000,000,000"):
        read(tmp_path / "a.pth", data)


# Each of two is the one before twice: as many parts as 2 to the power of 40.
SHARED = b"K\x01q\x000" + b"h\x00h\x00\x86q\x000" * 40 + b"h\x00"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"}r\xff\xff\xff\x7f.", "it holds a dict"),  # a number of the memo, and its array
        (b"}" + SHARED + b"K\x01s.", "is the key of a table"),
        (b"}" + SHARED + b"Q.", "is not a storage"),
        (SHARED + b"K\x01\x85R.", "it calls"),
        (b"\x96\xff\xff\xff\xff\xff\x00\x00\x00.", "does not write the operation"),
        (b"X\xff\xff\xff\x7fa.", "it ends in the middle"),
        (b"}(K\x01.", "no table of tensors"),
        (b"0.", "it is damaged"),
        (b"cbuiltins\nprint\n.", "builtins.print is not part of a table of tensors"),
        (b"ccollections\nOrderedDict", "it ends in the middle"),
        (b"}" + b"\x8a\xff" + b"\x7f" * 255 + b"Ns.", "is the key of a table"),
    ],
)
def test_a_small_table_takes_little_time_and_memory(tmp_path, table, reason):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=reason):
        read(tmp_path / "a.pth", archive(b"\x80\x02" + table, STORAGES))
    assert time.monotonic() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tables_of_all_protocols_are_read(protocol):
    made = {"a": [1, -2, 1 << 40, 1.5, None, True], "é" * 300: ("x", (2, 3), {3: ()})}
    if protocol > 2:
        made["bytes"] = b"\xff" * 300
    made["again"] = made["a"]
    found = pickled.table(pickle.dumps(made, protocol))
    assert found == made
    assert found["again"] is found["a"]


# Drafts of a killed process


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path, tokenizer):
    folder = tmp_path / "folder"
    killed = run_python(f"""
        import os, signal
        import llama3_tok
        from llama3_tok.formats import whole_files
        whole_files._settle = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        llama3_tok.Tokenizer().save({str(folder)!r})
    """)
    assert killed.returncode == -9
    (left,) = folder.iterdir()
    assert left.suffix == ".partial"
    # One that was made this very moment may be another process's.
    long_ago = time.time() - 60
    os.utime(left, (long_ago, long_ago))
    other = folder / ".other.txt.0123456789abcdef.partial"
    other.write_text("of other files")
    os.utime(other, (long_ago, long_ago))
    tokenizer.save(folder)
    assert not left.exists()
    assert other.exists()


def test_the_draft_of_a_process_that_runs_stays(tmp_path):
    path = tmp_path / "a.txt"

    def meanwhile(draft):
        long_ago = time.time() - 60
        os.utime(draft, (long_ago, long_ago))
        write_whole({str(path): of_data(b"second")})
        Path(draft).write_bytes(b"first")

    write_whole({str(path): of_data(b"")._replace(write=meanwhile)})
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


# Terminals


def test_decode_shows_what_a_terminal_would_obey_as_escapes(tokenizer):
    ids = list(map(str, tokenizer.encode("a\x1b[2J\x07\tb\nc\u202e")))
    assert output("decode", *ids).decode() == "a\x1b[2J\x07\tb\nc\u202e"
    _, shown, _ = on_terminal("decode", *ids)
    assert shown.decode().replace("\r", "") == "a\\x1b[2J\\x07\tb\nc\\u202e"
