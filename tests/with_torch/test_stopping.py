"""Stop strings in text that comes in pieces: needs no torch."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import EXAMPLES
from llama3_tok.torch.stopping import StopStrings, checked

TEXTS = st.text("ab\n漢", max_size=12)
STOPS = st.lists(st.text("ab\n漢", min_size=1, max_size=4), max_size=3)


def up_to_the_first(text, stops):
    """Character by character: the text before the stop string that is complete first."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, None


@settings(max_examples=6 * EXAMPLES)
@given(TEXTS, STOPS, st.lists(st.integers(0, 12), max_size=6))
def test_how_the_text_is_divided_changes_nothing(text, stops, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    found = StopStrings(stops)
    given_out = ""
    wanted, name = up_to_the_first(text, stops)
    for start, end in itertools.pairwise(edges):
        given_out += found.push(text[start:end])
        assert wanted.startswith(given_out)  # nothing is given out that has to be taken back
        # What is held may begin a stop string; nothing else is held.
        if found.found is None:
            held = text[len(given_out) : end]
            assert not held or any(stop.startswith(held) for stop in stops)
    given_out += found.flush()
    assert (given_out, found.found) == (wanted, name)


def test_nothing_comes_behind_a_stop():
    stops = StopStrings(["."])
    assert [stops.push("a.b"), stops.push("c"), stops.flush()] == ["a", "", ""]


def test_one_or_several_texts_are_taken_and_others_refused():
    assert checked("ab") == ("ab",)
    assert checked(["a", "b"]) == ("a", "b")
    for wrong, error in ((["a", ""], ValueError), ([1], TypeError)):
        try:
            checked(wrong)
        except error:
            continue
        raise AssertionError(wrong)
