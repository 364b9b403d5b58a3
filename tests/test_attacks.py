"""No text becomes a special token that nobody asked for: every public way in is attacked."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

import attack_inventory
import attack_pages
import attacks
from attack_entries import ENTRIES, Entry
from attack_texts import Attacker, harmless, pieces
from attack_worlds import worlds
from conftest import EXAMPLES, LARGE, LONG
from llama3_tok import Tokenizer

SCRIPT = Path(attacks.__file__)


def test_every_public_way_in_is_attacked_or_left_out_for_a_reason():
    ways = set(attack_inventory.ways_in())
    covered = attack_inventory.covered()
    undecided = {way for way in ways - covered if attack_inventory.reason(way) is None}
    assert undecided == set(), "give them entries in attack_entries, or reasons in attack_inventory"


def test_the_inventory_names_nothing_that_does_not_exist():
    ways = set(attack_inventory.ways_in())
    assert set(attack_inventory.LEFT_OUT) <= ways
    # What a class inherits from transformers is no method of the package.
    inherited = {f"{attack_inventory.TRANSFORMERS}.{name}" for name in ("encode", "__call__")}
    # A class that adds messages as it is made.
    made = {"llama3_tok.Rollout", "llama3_tok.data.huggingface.Encode"}
    assert attack_inventory.covered() - ways == inherited | made
    assert not attack_inventory.covered() & set(attack_inventory.LEFT_OUT)


def test_a_new_method_is_seen(monkeypatch):
    monkeypatch.setattr(Tokenizer, "encode_dream", lambda self, text: [], raising=False)
    monkeypatch.setattr(Tokenizer.encode_dream, "__module__", "llama3_tok.tokenizer")
    assert "llama3_tok.Tokenizer.encode_dream" in set(attack_inventory.ways_in())


def test_the_same_seed_makes_the_same_attacks():
    first, again, other = (Attacker(["<|eot_id|>", "<|x|>"], seed) for seed in (1, 1, 2))
    texts = [first.text() for _ in range(500)]
    assert texts == [again.text() for _ in range(500)]
    assert texts != [other.text() for _ in range(500)]
    assert first.given == 500
    for kind in ("<|eot_id|>", "<script>", "\ud800", "\0", "&lt;|eot_id|&gt;", "\\u003c|"):
        assert any(kind in text for text in texts), kind
    dice = random.Random(3)
    assert all("".join(pieces(text, dice)) == text for text in texts)


def test_no_attack_succeeds():
    """`make large` has more, with all tokenizers; the whole record is in bench/results."""
    pytest.importorskip("py3langid", reason="py3langid, of the extra `report`, is not installed")
    few = ("llama3.1", "meta", "overlapping")
    if EXAMPLES >= LONG:
        few = () if EXAMPLES >= LARGE else (*few, "llama3", "added")
    found = attacks.run(EXAMPLES * 20, seed=EXAMPLES, names=few)
    assert found["failed"] == []
    assert set(found["calls"]) == set(ENTRIES)
    # What refuses does not refuse everything.
    often = {name: count for name, count in found["calls"].items() if count > 50}
    assert all(found["refused"][name] < count for name, count in often.items())
    assert sum(found["refused"].values()) > 0


def test_an_attack_that_succeeds_is_told(tmp_path, monkeypatch):
    world = worlds(str(tmp_path), ("llama3.1",))[0]

    def leaks(world, text, dice):
        return world.tokenizer.encode(text(), allowed_special="all")

    def loses(world, text, dice):
        raise ValueError("lost")

    for attack, says in ((leaks, "special ids"), (loses, "ValueError: lost")):
        entry = Entry(attack.__name__, attack, (), 1, False, ())
        raised = [_raised(entry, world, number) for number in range(100)]
        assert any(says in one for one in raised)
    refuses = Entry("loses", loses, (), 1, False, (ValueError,))
    assert attacks.attack(refuses, world, 1) == "refused"


def _raised(entry, world, number):
    try:
        return str(attacks.attack(entry, world, number))
    except AssertionError as error:
        return str(error)


MARKUP = ["<img src=x>", "<b onclick=a()>", "<!-- a -->", "<script></script>" * 2, "<a href=//x>"]


@pytest.mark.parametrize("html", MARKUP)
def test_markup_that_a_text_made_is_seen(html):
    with pytest.raises(AssertionError):
        attack_pages.clean(f"<html><body>{html}</body></html>")
    assert attack_pages.clean("<p class=a>&lt;b&gt;</p>") == "<b>"


@pytest.mark.long
def test_the_program_writes_a_record(tmp_path):
    record = tmp_path / "record.json"
    command = [sys.executable, SCRIPT, "300", "--processes", "1", "--json", record]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(record.read_text())
    assert written["attack_texts"] >= 300
    assert written["succeeded"] == []
    assert set(written["entries"]) == set(ENTRIES)
    assert written["calls"] > 0


def test_harmless_texts_are_no_structure(tokenizer):
    supply = harmless()
    texts = [next(supply) for _ in range(100)]
    assert len(set(texts)) == 100
    assert all(max(tokenizer.encode(text)) < 128_000 for text in texts)
