"""The core looks for signals while it works: one that is pending when a call begins ends the call.

How soon Ctrl-C is heard is measured by `tests/interrupts.py`. Here nothing is timed.
"""

import ctypes
import operator
import signal
from collections import defaultdict
from functools import partial

import numpy as np
import pytest

from llama3_tok import Tokenizer, _core
from llama3_tok._core import Content, Ranks
from llama3_tok.chat.messages import Format

TOKENIZER = Tokenizer()
CORE = TOKENIZER.definition.core
# Python's own functions that raise a signal look for it themselves, at once.
RAISE = ctypes.PyDLL(None)["raise"]
PLAIN = [{"role": "user", "content": "Hi"}] * 1000


class Stopped(Exception):
    """What the handler raises."""


@pytest.fixture
def stopped():
    """Calls a function with a signal pending, and sees that the handler ends it."""

    def handler(*_):
        raise Stopped

    def stopped(work, *arguments):
        done = []
        with pytest.raises(Stopped):
            # No line of Python is between the two: there it would look for signals, too.
            done.extend(
                map(operator.call, [partial(RAISE, signal.SIGUSR1), partial(work, *arguments)])
            )
        assert done == [0], "the call has ended without a look for signals"

    before = signal.signal(signal.SIGUSR1, handler)
    yield stopped
    signal.signal(signal.SIGUSR1, before)


def test_a_call_that_does_not_look_is_noticed(stopped):
    with pytest.raises(AssertionError, match="without a look"):
        stopped(len, PLAIN)


class Counted:
    """Messages that are more than a role and a text, and how many of them were taken over."""

    COUNT = 10_000

    def __init__(self):
        self._left = iter([None] * self.COUNT)
        one = {"role": "user", "content": ["Hi"], "context": None, "turn_goes_on": False}
        # What is missing is taken from the iterator, without a line of Python.
        self.messages = [defaultdict(self._left.__next__, one) for _ in range(self.COUNT)]

    @property
    def taken(self):
        return self.COUNT - operator.length_hint(self._left)


FORMAT = Format("llama3.1").written


@pytest.mark.parametrize(
    "call", ["encode_chat", "encode_chat_array", "encode_chat_masked", "chat_ends", "render_chat"]
)
def test_messages_are_taken_over_with_a_look_for_signals(stopped, call):
    given = Counted()
    chat = {**FORMAT, "messages": given.messages}
    stopped(getattr(_core, call), CORE, chat)
    assert 0 < given.taken <= 100
    getattr(_core, call)(CORE, {**FORMAT, "messages": Counted().messages})


def test_those_of_one_of_several_conversations_are(stopped):
    given = Counted()
    stopped(_core.encode_chats, CORE, FORMAT, [(given.messages, None, False)], False, 1)
    assert 0 < given.taken <= 100


def test_those_of_a_prefix_cache_are(stopped):
    given = Counted()
    cache = _core.PrefixCache(CORE, None, 1 << 20)
    stopped(cache.encode_chat_array, CORE, {**FORMAT, "messages": given.messages})
    assert 0 < given.taken <= 100


def test_other_calls_look_for_signals(stopped):
    stopped(_core.are_plain, PLAIN)
    stopped(_core.listed, np.zeros(1 << 19, np.uint32))
    stopped(_core.written_merges, CORE)
    stopped(CORE.encode_spans, "a " * 10_000, None)


def test_a_vocabulary_is_read_with_a_look_for_signals(stopped, saved_folder):
    other = Content(TOKENIZER.rank_file() + b"eHh4eHhxcXE= 128000\n")
    stopped(Ranks, other, "other")
    assert Ranks(other, "other").size == 128_001
    stopped(Ranks, Content((saved_folder / "tokenizer.json").read_bytes()), "tokenizer.json")
