"""The texts that the benchmark measures on."""

import struct
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import corpora  # noqa: E402
import languages  # noqa: E402


@pytest.mark.parametrize("size", [1, 100, 5_000])
def test_documents_cover_the_text(size: int):
    data = ("line\n" * 50 + "你好" * 500).encode()
    parts = corpora.documents(data, size)
    assert "".join(parts).encode() == data
    assert all(len(part.encode()) <= 2 * size + 3 for part in parts)


def test_names_of_special_tokens_are_taken_out():
    text, found = corpora.without_special("a<|eot_id|>b<|<|eot_id|>|>c<|x|>", ["<|eot_id|>"])
    assert "<|eot_id|>" not in text
    assert (text, found) == ("aeot_idbeot_idc<|x|>", 3)


@pytest.mark.parametrize("name", corpora.WORST)
def test_worst_inputs_have_their_size_and_differ_by_seed(name: str):
    first, same, other = (corpora.worst(name, seed, 100_000) for seed in (1, 1, 2))
    assert first == same != other
    assert 80_000 <= len(first.encode()) <= 110_000


def test_every_machine_has_texts():
    names = [name for name, data, _ in corpora.standard(100_000) if 50_000 < len(data) <= 100_000]
    assert names == ["english", "code", "multilingual", "cjk"]


def test_every_machine_has_twenty_languages(tmp_path: Path):
    """A machine that has no catalogue gets made-up texts, and says so."""
    for system in (languages.SYSTEM, tmp_path):
        found = {name: data for name, data, _ in languages.languages(60_000, system)}
        assert len(found) >= languages.ENOUGH
        assert all(languages.LEAST <= len(data) <= 60_000 for data in found.values())
        assert len(set(found.values())) == len(found)
        for data in found.values():
            data.decode()
    assert all(name.startswith("made up, ") for name in found)


def test_what_a_program_left_in_english_is_in_no_language(tmp_path: Path):
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    pairs = [(f"message {n}", f"Nachricht {n}, übersetzt") for n in range(1_000)]
    catalogue(folder / "one.mo", [*pairs, ("left in English", "left in English")])
    catalogue(folder / "two.mo", pairs)
    found = {name: data for name, data, _ in languages.languages(100_000, tmp_path)}
    lines = found["German"].decode().splitlines()
    assert lines == [text for _, text in sorted(pairs)]


def catalogue(path: Path, pairs: list[tuple[str, str]]) -> None:
    """Writes a message catalogue as GNU gettext does."""
    pairs = sorted([("", "Content-Type: text/plain; charset=UTF-8\n"), *pairs])
    words = [[pair[side].encode() + b"\0" for pair in pairs] for side in (0, 1)]
    head, at = 28, 28 + 16 * len(pairs)
    tables, texts = b"", b""
    for side in words:
        for word in side:
            tables += struct.pack("<II", len(word) - 1, at + len(texts))
            texts += word
    start = struct.pack("<7I", 0x950412DE, 0, len(pairs), head, head + 8 * len(pairs), 0, 0)
    path.write_bytes(start + tables + texts)


def test_a_cut_text_is_whole_characters():
    assert corpora.cut("你好".encode(), 4) == "你".encode()
    assert corpora.cut(b"one\ntwo\nthree", 10) == b"one\ntwo\n"
