"""`llama3-tok encode`, `decode` and `show`."""

import json
import os
import re
import subprocess
import sys
import unicodedata
from itertools import pairwise

import pytest

import oracle
from cli import COMMAND, fails, ids_of, keyboard_only, on_terminal, output, run

TEXT = "Hello world, 日本語 and 🦙.\n\tDon't  stop!"
BOS, EOS, EOT = (
    oracle.SPECIAL[name] for name in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")
)


def line_of(ids):
    return " ".join(map(str, ids)).encode() + b"\n"


# encode


def test_encode_prints_ids_on_one_line():
    assert output("encode", TEXT) == line_of(ids_of(TEXT))
    assert output("encode", "") == b"\n"


def test_encode_reads_a_file_exactly(tmp_path):
    text = "\ufeffone\r\ntwo\r\n\n  \n"
    (tmp_path / "text").write_bytes(text.encode())
    assert output("encode", "-f", "text", cwd=tmp_path) == line_of(ids_of(text))


def test_encode_reads_standard_input_exactly():
    text = "one\r\ntwo\n"
    for arguments in (["-"], [], ["-f", "-"]):
        assert output("encode", *arguments, stdin=text.encode()) == line_of(ids_of(text))


@pytest.mark.parametrize("verb", ["encode", "show"])
def test_a_text_has_one_source(verb):
    assert "not both" in fails(verb, "text", "-f", "file")
    assert "quotation marks" in fails(verb, "two", "words")
    done = keyboard_only(verb)
    assert done.returncode == 2
    assert b"give TEXT, --file FILE, or -" in done.stderr


@pytest.mark.parametrize("verb", ["encode", "show"])
def test_a_text_file_that_is_missing_is_named(verb, tmp_path):
    message = fails(verb, "-f", "nosuch", cwd=tmp_path)
    assert message == "llama3-tok: nosuch: No such file or directory\n"
    assert fails(verb, "-f", ".", cwd=tmp_path) == "llama3-tok: .: Is a directory\n"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has only UTF-8 arguments")
def test_encode_takes_arguments_that_are_not_utf8():
    encoding = oracle.encoding()
    expected = [*encoding.encode_ordinary("caf"), encoding.encode_single_token(b"\xe9")]
    assert output("encode", os.fsdecode(b"caf\xe9")) == line_of(expected)


def test_encode_adds_bos_and_eos():
    assert output("encode", "--bos", "--eos", "hi") == line_of([BOS, *ids_of("hi"), EOS])


def test_special_tokens_are_plain_text_unless_allowed():
    text = "<|eot_id|>hi<|end_of_text|>"
    assert output("encode", text) == line_of(ids_of(text))
    everything = line_of([EOT, *ids_of("hi"), EOS])
    one = line_of([EOT, *ids_of("hi<|end_of_text|>")])
    assert output("encode", "--allowed-special", "all", text) == everything
    assert output("encode", "--allowed-special", "<|eot_id|>", text) == one
    two = "<|eot_id|>, <|end_of_text|>"
    assert output("encode", "--allowed-special", two, text) == everything
    repeated = [word for name in two.split(", ") for word in ("--allowed-special", name)]
    assert output("encode", *repeated, text) == everything


def test_an_unknown_special_token_is_an_error():
    assert "<|nosuch|>" in fails("encode", "--allowed-special", "<|nosuch|>", "hi")


def test_the_profile_says_which_special_tokens_there_are():
    allowed = ("--allowed-special", "all", "<|eom_id|>")
    assert output("encode", *allowed) == b"128008\n"
    expected = line_of(ids_of("<|eom_id|>"))
    assert output("encode", "--profile", "llama3", *allowed) == expected


def test_the_vocabulary_may_be_given(tmp_path):
    from llama3_tok import vocabulary

    path = vocabulary.find()
    assert output("encode", "hi", "--vocabulary", path) == line_of(ids_of("hi"))
    (tmp_path / "tokenizer.model").symlink_to(path)
    assert output("encode", "hi", LLAMA3_TOK_VOCAB=str(tmp_path)) == line_of(ids_of("hi"))
    (tmp_path / "bad").write_text("bad")
    assert "bad" in fails("encode", "hi", "--vocabulary", str(tmp_path / "bad"))


def test_tokens_show_each_piece():
    text = "Hello world\n\t\x1b \\n é\u202e\u0085"
    printed = output("encode", "--tokens", text).decode()
    rows = [line.split("\t") for line in printed.splitlines()]
    assert [int(id) for id, _ in rows] == ids_of(text)
    assert printed.isascii() or all(c.isprintable() or c in "\n\t" for c in printed)
    assert rows[:3] == [["9906", "Hello"], ["1917", " world"], ["198", "\\n"]]


def unescaped(shown):
    r"""The bytes of a piece, by its documented form: `\\`, `\n`, `\xNN`, `\uNNNN`."""
    simple = {"\\": b"\\", "n": b"\n", "t": b"\t", "r": b"\r"}

    def byte_form(match):
        escape = match[1]
        if escape[0] in simple:
            return simple[escape[0]]
        if escape[0] == "x":
            return bytes.fromhex(escape[1:])
        return chr(int(escape[1:], 16)).encode()

    parts = re.split(r"(\\(?:[\\ntr]|x..|u....|U........))", shown)
    return b"".join(
        byte_form([part, part[1:]]) if index % 2 else part.encode()
        for index, part in enumerate(parts)
    )


def test_tokens_are_unambiguous_for_every_token():
    encoding = oracle.encoding()
    texts = b"".join(encoding.decode_single_token_bytes(id) + b"\n" for id in range(128000))
    ids, pieces = [], []
    for line in output("encode", "--tokens", stdin=texts).split(b"\n")[:-1]:
        id, piece = line.split(b"\t")
        ids.append(int(id))
        pieces.append(unescaped(piece.decode()))
    assert b"".join(pieces) == texts
    assert [encoding.decode_single_token_bytes(id) for id in ids] == pieces


def test_tokens_show_special_tokens_by_name():
    printed = output("encode", "--tokens", "--bos", "--allowed-special", "all", "<|eot_id|>")
    assert printed == b"128000\t<|begin_of_text|>\n128009\t<|eot_id|>\n"


def test_json_has_ids_tokens_and_spans():
    result = json.loads(output("encode", "--json", "--bos", "--eos", TEXT))
    encoding, data = oracle.encoding(), TEXT.encode()
    ids = ids_of(TEXT)
    assert result["ids"] == [BOS, *ids, EOS]
    pieces = [encoding.decode_single_token_bytes(id) for id in ids]
    names = ["<|begin_of_text|>", "<|end_of_text|>"]
    assert result["tokens"] == [
        names[0],
        *(piece.decode("utf-8", "replace") for piece in pieces),
        names[1],
    ]
    spans = result["spans"]
    assert (spans[0], spans[-1]) == ([0, 0], [len(data), len(data)])
    assert [data[start:end] for start, end in spans[1:-1]] == pieces


def test_json_and_tokens_exclude_each_other():
    assert "not allowed with" in fails("encode", "--json", "--tokens", "hi")


@pytest.mark.parametrize("form", [[], ["--tokens"], ["--json"]])
def test_large_texts_are_encoded_without_delay(form):
    text = "A line of ordinary text, number 12345.\n" * 20_000
    printed = output("encode", *form, stdin=text.encode())
    assert len(printed) > len(text)


# decode


def test_decode_prints_the_bytes_exactly():
    assert output("decode", *map(str, ids_of(TEXT))) == TEXT.encode()
    assert output("decode", "9468", "99") == b"\xf0\x9f\xa6"


def test_decode_gives_back_what_encode_was_given():
    data = bytes(range(256)) + TEXT.encode() + b"\xff\r\n\xf0\x9f"
    assert output("decode", stdin=output("encode", "-", stdin=data)) == data
    assert output("decode", "-", stdin=output("encode", "-", stdin=data)) == data


@pytest.mark.parametrize(
    "words",
    [
        ["9906", "1917"],
        ["9906 1917"],
        ["9906,1917"],
        ["9906,", "1917"],
        ["9906", ",", "1917"],
        ["[9906, 1917]"],
        ["[9906,", "1917]"],
        [" [\n9906,\n\t1917\n]\n"],
    ],
)
def test_decode_takes_ids_in_the_forms_that_people_paste(words):
    assert output("decode", *words) == b"Hello world"
    assert output("decode", stdin=" ".join(words).encode()) == b"Hello world"


def test_decode_of_nothing_is_nothing():
    assert output("decode") == b""
    assert output("decode", "[]") == b""
    assert b"give IDS, or -" in keyboard_only("decode").stderr


@pytest.mark.parametrize("word", ["x", "1.5", "1_0", "+5", "[", "0x1f", "--5", "5-3", "٣", "1]"])
def test_decode_names_the_word_that_is_no_id(word):
    message = fails("decode", stdin=f"9906 {word} 1917".encode())
    assert message.startswith(f"llama3-tok: {word!r} at position 1 is not a token id\n")


@pytest.mark.parametrize(
    ("given", "position"),
    [
        *((",", 0), ("[,]", 0), ("[ , ]", 0), (",9906", 0), ("[,9906]", 0)),
        *(("9906,,1917", 1), ("[9906, ,1917]", 1), ("9906 , \n, 1917", 1), ("9906,,x", 1)),
        *(("[9906, 1917,]", 2), ("9906,1917,", 2), ("9906 1917 ,\n", 2), ("[9906,1917 , ]", 2)),
    ],
)
def test_decode_refuses_a_comma_that_separates_nothing(given, position):
    message = f"llama3-tok: there is no id at position {position}; a comma has to be between"
    # Words of a command line are all looked at before any is printed.
    assert fails("decode", *given.split()).startswith(message)
    done = run("decode", stdin=given.encode())
    assert (done.returncode, done.stderr.decode().startswith(message)) == (2, True)


def test_decode_names_a_word_of_bytes():
    assert "'\\udcff' at position 0" in fails("decode", stdin=b"\xff")


@pytest.mark.parametrize("word", ["128256", "-5", "-128000", "99999999999999999999999"])
def test_decode_refuses_ids_that_no_token_has(word):
    for words in ([word], [f"{word},9906"], ["--skip-special", word]):
        assert f"{word} at position 0 is not a token id" in fails("decode", *words)


def test_decode_may_leave_special_tokens_out():
    ids = [str(id) for id in (BOS, *ids_of("hi"), EOT)]
    assert output("decode", *ids) == b"<|begin_of_text|>hi<|eot_id|>"
    assert output("decode", "--skip-special", *ids) == b"hi"


# show


def cells(shown):
    """Pieces and ids in the plain form, and its last line."""
    *lines, summary = shown.splitlines()
    pieces, ids = [], []
    for top, bottom in zip(lines[::3], lines[1::3], strict=True):
        pieces += [cell.rstrip() for cell in top.split("│")[:-1]]
        ids += [int(cell) for cell in bottom.split("│")[:-1]]
    return pieces, ids, summary


def test_show_has_the_pieces_with_ids_beneath():
    text = "Hello world, this is a test."
    pieces, ids, summary = cells(output("show", text).decode())
    expected = ids_of(text)
    assert ids == expected
    decoded = [oracle.encoding().decode([id]) for id in expected]
    assert pieces == [piece.replace(" ", "·") for piece in decoded]
    size = len(text)
    assert summary == f"{len(ids)} tokens, {size} bytes, {size / len(ids):.2f} bytes per token"


def test_show_sums_up_single_things_and_nothing():
    assert output("show", "a").decode().endswith("1 token, 1 byte, 1.00 bytes per token\n")
    assert output("show", "") == b"0 tokens, 0 bytes\n"


def test_show_makes_white_space_visible():
    pieces, _, _ = cells(output("show", "a  b\tc\n\nd\r\n e\r").decode())
    assert "".join(pieces) == "a··b⇥c↵↵d␍↵·e␍"


@pytest.mark.parametrize(
    "character",
    [
        *("\x1b", "\x07", "\x7f", "\u0085", "\u009b", "\u00a0", "\u00ad", "\u200b", "\u200d"),
        *("\u202e", "\u2028", "\u2066", "\ufe0f", "\ufeff", "\u3164", "\U000e0041"),
    ],
)
def test_show_writes_out_what_cannot_be_seen(character):
    for shown in (output("show", f"a{character}"), on_terminal("show", f"a{character}")[1]):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
        assert character not in plain
        bytes_shown = "".join(f"<{byte:02X}>" for byte in character.encode())
        joined = re.sub(r"[│ ]", "", plain.splitlines()[0])
        assert joined in (f"a<U+{ord(character):04X}>", f"a{bytes_shown}")


def test_show_lets_no_control_character_through():
    text = "".join(map(chr, range(0x20))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0)))
    shown = output("show", stdin=text.encode() + bytes(range(256))).decode()
    allowed = {"\n"}
    assert {c for c in shown if unicodedata.category(c)[0] in "CZ" and c not in " "} == allowed


def test_show_writes_out_incomplete_characters():
    pieces, ids, _ = cells(output("show", "🦙").decode())
    assert pieces == ["<F0><9F>", "<A6>", "<99>"]
    assert ids == ids_of("🦙")


def test_show_gives_a_lone_combining_mark_a_base():
    assert "◌\u0301" in output("show", "\u0301").decode()


def test_show_aligns_wide_characters():
    top, bottom, *_ = output("show", "日本語 text").decode().splitlines()
    width = sum(2 if unicodedata.east_asian_width(c) == "W" else 1 for c in top)
    assert width == len(bottom)


@pytest.mark.parametrize("columns", [20, 33, 80])
def test_show_wraps_at_the_width(columns):
    text = "The quick brown fox jumps over the lazy dog. " * 5
    piped = output("show", text, COLUMNS=str(columns)).decode()
    _, coloured, _ = on_terminal("show", text, columns=columns)
    for shown in (piped, re.sub(r"\x1b\[[0-9;]*m", "", coloured.decode())):
        widths = [len(line) for line in shown.splitlines()[:-1]]
        assert columns - 10 <= max(widths) <= columns
    assert cells(piped)[1] == ids_of(text)


def test_show_cuts_a_piece_that_is_wider_than_a_line():
    shown = output("show", " " * 100 + "x", COLUMNS="30").decode()
    assert max(len(line) for line in shown.splitlines()[:-1]) <= 30
    assert shown.count("·") == 100
    ids = [int(word) for word in re.findall(r"\d+", "".join(shown.splitlines(True)[:-1]))]
    assert ids == ids_of(" " * 100 + "x")


def test_the_id_of_a_wide_piece_is_beneath_its_beginning():
    # Its end shares a row with the next token, and those between have no ids.
    shown = output("show", "=" * 64 + "hello", COLUMNS="30").decode()
    first, second, third = shown.split("\n\n")[:-1]
    assert first.split("\n")[0] == "=" * 29
    assert first.split("\n")[1].strip().isdigit()
    assert second == "=" * 29
    pieces, ids = third.split("\n")
    assert pieces == "=" * 6 + "│hello│"
    assert ids.startswith(" " * 6 + "│")
    assert ids.strip(" │").isdigit()


def test_show_wraps_a_pipe_at_80_columns():
    widths = [len(line) for line in output("show", "word " * 100).decode().splitlines()]
    assert 70 <= max(widths) <= 80


def backgrounds(shown):
    line = shown.decode().splitlines()[0]
    return re.findall(r"\x1b\[38;5;\d+;48;5;(\d+)m", line)


def test_show_alternates_colours_on_a_terminal():
    status, shown, stderr = on_terminal("show", "Hello world, this is")
    assert (status, stderr) == (0, b"")
    colours = backgrounds(shown)
    assert len(colours) == len(ids_of("Hello world, this is"))
    assert all(a != b for a, b in pairwise(colours))
    assert len(set(colours)) == 2


def test_show_marks_special_tokens():
    arguments = ("--bos", "--eos", "--allowed-special", "all", "hi<|eot_id|>there you")
    _, shown, _ = on_terminal("show", *arguments)
    first, hi, eot, there, you, last = backgrounds(shown)
    assert first == eot == last
    assert first not in (hi, there, you)
    pieces, ids, _ = cells(output("show", *arguments).decode())
    assert ids == [BOS, *ids_of("hi"), EOT, *ids_of("there you"), EOS]
    assert pieces[0] == "<|begin_of_text|>"


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_show_honours_no_color(variable):
    _, shown, _ = on_terminal("show", "Hello world", **variable)
    assert b"\x1b" not in shown
    assert shown == output("show", "Hello world")


def test_an_empty_no_color_means_colours():
    assert b"\x1b[" in on_terminal("show", "Hello world", NO_COLOR="")[1]


def test_show_has_no_colours_in_a_pipe():
    assert b"\x1b" not in output("show", "Hello world")


def test_show_reads_files_and_standard_input(tmp_path):
    (tmp_path / "text").write_bytes(b"Hello\r\n")
    expected = output("show", "Hello\r\n")
    assert output("show", "-f", "text", cwd=tmp_path) == expected
    assert output("show", "-", stdin=b"Hello\r\n") == expected
    assert output("show", stdin=b"Hello\r\n") == expected


def test_output_is_utf8_whatever_the_locale_says():
    done = run("show", "日本 é", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "日本" in done.stdout.decode()


@pytest.mark.parametrize("verb", ["encode", "decode", "show", "doctor"])
def test_a_closed_pipe_is_met_with_silence(verb):
    reader, writer = os.pipe()
    os.close(reader)
    words = {"decode": ["9906"], "doctor": []}.get(verb, ["Hello"])
    done = subprocess.run(
        [*COMMAND, verb, *words], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("verb", ["encode", "decode", "show"])
def test_a_large_output_to_a_closed_pipe_is_met_with_silence(verb, tmp_path):
    text = "word " * 200_000 if verb != "decode" else "9906 " * 200_000
    (tmp_path / "input").write_text(text)
    with (
        (tmp_path / "input").open("rb") as given,
        subprocess.Popen(
            [*COMMAND, verb, "-"], stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
