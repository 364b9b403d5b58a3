"""Ctrl-C in every long call; `tests/interrupts.py` measures them on a machine that is at rest."""

import pytest

import attack_inventory
import interrupts
from conftest import EXAMPLES
from long_calls import LONG, SHORT

# Torch is in an environment of its own, Ray and Spark stop their workers themselves.
ELSEWHERE = ("llama3_tok.torch.", "llama3_tok.data.ray.", "llama3_tok.data.spark.")
ELSEWHERE += ("llama3_tok.serving.guides.", "llama3_tok.serving.vllm.", "llama3-tok ", "serve /")
FEW = ("encode", "encode_batch", "decode_batch", "encode_chat, many", "corpus", "save", "pack")


def test_every_public_call_is_measured_or_short():
    ways = {way for way in attack_inventory.ways_in() if not way.startswith(ELSEWHERE)}
    long = {name for call in LONG.values() for name in call.covers}
    assert ways - long - SHORT == set(), "give them a line in tests/long_calls.py"
    assert long - ways == set()
    assert ways >= SHORT
    assert not long & SHORT


# The promise is 0.2 s on a machine that has nothing else to do. Here tests run on all processors.
@pytest.mark.long
@pytest.mark.parametrize("name", FEW)
def test_control_c_ends_what_people_call_most(name):
    assert interrupts.measure(name) < 2


@pytest.mark.large
@pytest.mark.skipif(EXAMPLES < 20_000, reason="takes ten minutes: make large has it")
@pytest.mark.parametrize("name", [name for name in LONG if name not in FEW])
def test_control_c_ends_every_long_call(name):
    assert interrupts.measure(name) < 2
