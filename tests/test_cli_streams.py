"""`encode`, `show` and `decode` of texts of any size: exact ids, bounded memory, output at once."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from cli import COMMAND, Terminal, environment, output
from llama3_tok import Tokenizer
from llama3_tok.cli.decode import parsed
from llama3_tok.cli.terminal import UsageError

MEGABYTE = 1 << 20
LINE = "A line of text, number 12345, naïve 日本語 🦙; don't   stop!\r\n\n"
NAMES = ["<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id", "<|", "|>"]


def written(path, megabytes):
    block = (LINE * (MEGABYTE // len(LINE.encode()))).encode()
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(block)
    return path


def mixed(size, seed):
    """Words, white space, names of special tokens and bytes that are not UTF-8."""
    dice = random.Random(seed)
    kinds = [b"word ", b"  \n", "日本".encode(), b"\xff\xfe", b"\xf0\x9f", "🦙".encode(), b"'s 123"]
    kinds += [name.encode() for name in NAMES]
    parts = []
    length = 0
    while length < size:
        part = dice.choice(kinds) * dice.choice([1, 1, 1, 2, 300])
        parts.append(part)
        length += len(part)
    return b"".join(parts)


def most_memory(words, stdin):
    """What the command prints is thrown away: exit code, and the most memory it had, in bytes."""
    script = (
        "import os, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *COMMAND, *words],
        stdin=stdin,
        capture_output=True,
        env=environment(),
        check=True,
    )
    code, kilobytes = map(int, done.stdout.split())
    return code, kilobytes * 1024


# Exactness


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("allowed", ["none", "all", "<|eot_id|>"])
def test_the_ids_of_parts_are_those_of_the_whole(tmp_path, seed, is_file, allowed):
    data = mixed(900_000, seed)
    (tmp_path / "text").write_bytes(data)
    options = ["--bos", "--eos", "--allowed-special", allowed]
    names = () if allowed == "none" else allowed if allowed == "all" else [allowed]
    if allowed == "none":
        options = options[:2]
    given = ["-f", "text"] if is_file else ["-"]
    printed = output("encode", *options, *given, cwd=tmp_path, stdin=b"" if is_file else data)
    expected = Tokenizer().encode(data, bos=True, eos=True, allowed_special=names)
    assert list(map(int, printed.split())) == expected
    assert printed.endswith(b"\n")
    assert printed.count(b"\n") == 1


def test_all_forms_of_a_text_in_parts_agree(tmp_path):
    data = mixed(600_000, 7)
    (tmp_path / "text").write_bytes(data)
    given = ["--bos", "--eos", "--allowed-special", "all", "-f", "text"]
    tokenizer = Tokenizer()
    whole = tokenizer.encode_with_offsets(data, bos=True, eos=True, allowed_special="all")
    result = json.loads(output("encode", "--json", *given, cwd=tmp_path))
    assert result["ids"] == whole.ids.tolist()
    assert result["spans"] == whole.byte_spans.tolist()
    assert result["tokens"] == [tokenizer.decode([id]) for id in result["ids"]]
    lines = output("encode", "--tokens", *given, cwd=tmp_path).splitlines()
    assert [int(line.split(b"\t")[0]) for line in lines] == result["ids"]
    summary = output("show", *given, cwd=tmp_path).splitlines()[-1].decode()
    assert summary.startswith(f"{len(whole.ids)} tokens, {len(data)} bytes, ")


def test_the_pieces_of_a_long_text_are_shown_as_those_of_short_ones(tmp_path):
    """A row goes on over the end of a part, and colours take turns there, too."""
    data = b"some words without an end of the line " * 20_000
    (tmp_path / "text").write_bytes(data)
    shown = output("show", "-f", "text", cwd=tmp_path).decode()
    rows = shown.split("\n\n")[:-1]
    pieces = "".join(row.split("\n")[0] for row in rows)
    assert pieces.replace("│", "").replace(" ", "").replace("·", " ").encode() == data
    assert all(66 <= len(row.split("\n")[0]) <= 80 for row in rows[:-1])


def test_a_text_without_a_place_to_cut_is_encoded_as_a_whole(tmp_path):
    data = b" " * 300_000 + b"a" * 300_000
    (tmp_path / "text").write_bytes(data)
    expected = Tokenizer().encode(data)
    assert list(map(int, output("encode", "-f", "text", cwd=tmp_path).split())) == expected
    assert list(map(int, output("encode", stdin=data).split())) == expected


def test_a_packed_file_is_encoded_unpacked(tmp_path):
    import gzip

    (tmp_path / "text.gz").write_bytes(gzip.compress(LINE.encode() * 9000))
    expected = Tokenizer().encode(LINE.encode() * 9000)
    assert list(map(int, output("encode", "-f", "text.gz", cwd=tmp_path).split())) == expected


def test_ids_are_decoded_in_pieces_as_in_one():
    data = mixed(700_000, 3)
    ids = Tokenizer().encode(data)
    for form in (" ".join(map(str, ids)), json.dumps(ids), f" [ {', '.join(map(str, ids))}\n]\n "):
        assert output("decode", stdin=form.encode()) == data


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b" [1 ,22,\n3 4]\n", [1, 22, 3, 4]),
        (b"1, 22 ,,3", "no id at position 2;"),
        (b"[1 , 22 , ]", "no id at position 2;"),
        (b" , 1", "no id at position 0;"),
    ],
)
def test_commas_are_the_same_wherever_a_text_is_cut(given, expected):
    cuts = [[given[:at], given[at:]] for at in range(len(given))]
    for parts in ([given], [given[at : at + 1] for at in range(len(given))], *cuts):
        if isinstance(expected, list):
            assert [id for ids in parsed(iter(parts)) for id in ids] == expected
        else:
            with pytest.raises(UsageError, match=expected):
                list(parsed(iter(parts)))


@pytest.mark.parametrize("word", ["x", "-5", "128256", "1]", "9" * 5000])
def test_the_position_of_a_word_that_is_no_id_is_one_in_all(word):
    from cli import run

    done = run("decode", stdin=b"9906 " * 100_000 + word.encode() + b" 1")
    assert done.returncode == 2
    assert b" at position 100000 is not a token id" in done.stderr
    assert b"Hello" * 10_000 in done.stdout


def test_a_list_of_ids_without_its_end_is_an_error():
    from cli import run

    done = run("decode", stdin=b"[9906, 1917")
    assert done.returncode == 2
    assert b"begins with [ and has no ] at its end" in done.stderr


# Output while input comes


@pytest.mark.parametrize(
    ("verb", "given", "expected"),
    [
        ("encode", b"Hello world, how are you? ", b"9906 1917"),
        ("decode", b"9906 1917 ", b"Hello world"),
        ("show", b"Hello\nworld\n\nand ", b"Hello"),
    ],
)
def test_output_comes_while_the_pipe_is_open(verb, given, expected):
    with subprocess.Popen(
        [*COMMAND, verb, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        process.stdin.write(given)
        process.stdin.flush()
        first = b""
        while not first.startswith(expected):
            # Nothing more is written, so this waits for ever if the verb does.
            more = os.read(process.stdout.fileno(), 1000)
            assert more, first
            first += more
        process.stdin.close()
        process.stdout.read()


@pytest.mark.parametrize(
    ("verb", "given"), [("encode", b"Hello world "), ("decode", b"9906 "), ("show", b"Hello ")]
)
def test_a_progress_bar_appears_while_input_is_waited_for_and_goes_away(verb, given):
    terminal = Terminal()
    with subprocess.Popen(
        [*COMMAND, verb, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=terminal.theirs,
        env=environment(),
    ) as process:
        process.stdin.write(given)
        process.stdin.flush()
        assert terminal.wait()
        process.stdin.close()
        assert b"\x1b[2K" in terminal.read()
        assert process.wait(60) == 0


def test_no_bar_runs_through_output_on_a_terminal():
    out, errors = Terminal(), Terminal()
    with subprocess.Popen(
        [*COMMAND, "encode", "-"],
        stdin=subprocess.PIPE,
        stdout=out.theirs,
        stderr=errors.theirs,
        env=environment(),
    ) as process:
        process.stdin.write(b"Hello world ")
        process.stdin.flush()
        assert out.wait()
        time.sleep(1.5)  # a bar is shown after one second
        process.stdin.close()
        assert out.read().split() == [b"9906", b"1917", b"220"]
        assert errors.read() == b""


def test_ctrl_c_ends_a_verb_that_waits():
    with subprocess.Popen(
        [*COMMAND, "encode", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        process.stdin.write(b"Hello world, how are you? ")
        process.stdin.flush()
        assert process.stdout.read(4) == b"9906"
        time.sleep(0.5)  # and it waits for more: CPython loses a signal just before a read
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""


# Memory


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
@pytest.mark.parametrize(
    ("words", "megabytes"),
    [(["encode"], 48), (["encode", "--tokens"], 48), (["encode", "--json"], 24), (["show"], 48)],
)
def test_memory_does_not_grow_with_the_text(tmp_path, words, megabytes):
    """128 MB at most: the text and its ids as a list, 2.6 bytes of text each, take more."""
    path = written(tmp_path / "text", megabytes)
    code, memory = most_memory([*words, "-f", str(path)], subprocess.DEVNULL)
    assert (code, memory < 128 * MEGABYTE) == (0, True), memory


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
def test_memory_does_not_grow_with_what_a_pipe_gives(tmp_path):
    path = written(tmp_path / "text", 48)
    with path.open("rb") as pipe:
        code, memory = most_memory(["encode", "-"], pipe)
    assert (code, memory < 128 * MEGABYTE) == (0, True), memory


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
@pytest.mark.parametrize("words", [["show"], ["encode", "--tokens"]])
def test_memory_does_not_grow_with_the_kinds_of_tokens(tmp_path, words):
    """All tokens of the vocabulary, each in both colours."""
    tokens = [token for token in Tokenizer().tokens() if b"\n" not in token]
    (tmp_path / "text").write_bytes(b"\n".join(tokens) + b"\n\n" + b" \n".join(tokens))
    code, memory = most_memory([*words, "-f", str(tmp_path / "text")], subprocess.DEVNULL)
    assert (code, memory < 128 * MEGABYTE) == (0, True), memory


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
def test_memory_of_decode_does_not_grow_with_the_ids(tmp_path):
    path = tmp_path / "ids"
    with path.open("wb") as file:
        for _ in range(60):
            file.write(b"9906 1917 " * (MEGABYTE // 10))
    with path.open("rb") as given:
        code, memory = most_memory(["decode"], given)
    assert (code, memory < 128 * MEGABYTE) == (0, True), memory
