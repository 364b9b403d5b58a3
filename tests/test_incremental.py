"""`encoder`: the ids of the whole text, however it comes."""

import copy
import random
import threading
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import folders
import llama3_tok
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import SpecialTokenError, Tokenizer

TOKENIZER = Tokenizer()


def pieces(text, cuts):
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


def pushed(encoder, parts):
    """The ids of all, looked at after each part."""
    ids, given = [], ""
    for part in parts:
        ids += encoder.push(part)
        given = part if not given else given + part
        assert encoder.ids == ids
        whole = given if isinstance(given, bytes) else given.encode("utf-16-le", "surrogatepass")
        # What is pending are the last bytes; those of a `str` may end in half a surrogate pair.
        if isinstance(given, bytes):
            assert whole.endswith(encoder.pending)
    ids += encoder.finish()
    assert encoder.ids == ids
    assert encoder.ids_array.dtype == np.uint32
    assert encoder.ids_array.tolist() == ids
    assert encoder.pending == b""
    return ids


cuts = st.lists(st.integers(0, 400), max_size=12)
allowed = st.sampled_from([(), ("<|eot_id|>", "<|image|>"), "all"])


@given(strategies.texts(), cuts, allowed, st.booleans(), st.booleans())
def test_any_division_of_a_text_has_its_ids(text, cuts, allowed, bos, eos):
    assume(not (bos and text.startswith("<|begin_of_text|>")))  # `encode` warns of a second one
    options = {"allowed_special": allowed, "bos": bos, "eos": eos}
    if allowed == ("<|eot_id|>", "<|image|>"):
        options["allowed_special"] = {"<|eot_id|>"}
    expected = TOKENIZER.encode(text, **options)
    assert pushed(TOKENIZER.encoder(**options), pieces(text, cuts)) == expected
    if not (bos or eos or allowed):
        assert expected == oracle.encoding().encode_ordinary(text)


@settings(max_examples=max(EXAMPLES // 4, 1))
@given(
    st.binary(max_size=60) | strategies.texts().map(lambda t: t.encode("utf-8", "replace")), cuts
)
def test_any_division_of_bytes_has_their_ids(data, cuts):
    assert pushed(TOKENIZER.encoder(), pieces(data, cuts)) == TOKENIZER.encode(data)


@settings(max_examples=max(EXAMPLES // 8, 1))
@given(strategies.texts())
def test_one_character_at_a_time(text):
    expected = TOKENIZER.encode(text, allowed_special="all")
    assert pushed(TOKENIZER.encoder(allowed_special="all"), list(text)) == expected


@pytest.mark.long
@pytest.mark.parametrize("shape", folders.SHAPES)
def test_folders_with_tokens_of_any_kind(tmp_path, shape):
    folders.SHAPES[shape](tmp_path)
    ours, dice = Tokenizer(tmp_path), random.Random(shape)
    names = [*ours.added_tokens, *oracle.SPECIAL]
    fill = ["a", " ", "\n", "qz", "Hello", " the", "1", "é", "漢", "<", "  ", "word "]
    for _ in range(max(EXAMPLES, 200)):
        text = "".join(dice.choice(dice.choice([names, fill])) for _ in range(dice.randint(1, 12)))
        parts = pieces(text, [dice.randint(0, len(text)) for _ in range(dice.randint(0, 6))])
        for allowed in ("all", ()):
            encoder = ours.encoder(allowed_special=allowed)
            assert pushed(encoder, parts) == ours.encode(text, allowed_special=allowed), parts


def test_ids_come_as_soon_as_they_are_certain(corpus):
    encoder, pending = TOKENIZER.encoder(), []
    text = corpus[:20_000]
    for character in text:
        encoder.push(character)
        pending.append(len(encoder.pending))
    encoder.finish()
    assert encoder.ids == TOKENIZER.encode(text)
    # A word or two: Chinese and Japanese have no spaces, but punctuation.
    assert np.median(pending) < 40


def test_a_long_text_without_a_place_to_cut_is_linear(tokenizer):
    ids = []
    encoder = tokenizer.encoder()
    for _ in range(200):
        ids += encoder.push(" " * 1000)
    assert ids == []
    assert ids + encoder.finish() == tokenizer.encode(" " * 200_000)


def test_after_the_end_a_new_text_begins(tokenizer):
    encoder = tokenizer.encoder(bos=True, eos=True)
    for text in ("Hello world", "", "something else \ud83d"):
        assert encoder.push(text) + encoder.finish() == tokenizer.encode(text, bos=True, eos=True)
        assert encoder.ids == tokenizer.encode(text, bos=True, eos=True)
    assert encoder.finish() == tokenizer.encode("", bos=True, eos=True)


def test_halves_of_a_surrogate_pair_are_one_character(tokenizer):
    encoder = tokenizer.encoder()
    ids = encoder.push("a \ud83d")
    assert encoder.pending.endswith("\ufffd".encode())
    ids += encoder.push("\ude00 b")
    assert ids + encoder.finish() == tokenizer.encode("a 😀 b")
    ids = encoder.push("\ud83d") + encoder.push(b"x") + encoder.finish()
    assert ids == tokenizer.encode("\ufffdx")
    ids = encoder.push("\ud83d") + encoder.push("\ud83d") + encoder.push("\ude00")
    assert ids + encoder.finish() == tokenizer.encode("\ufffd😀")


def test_a_special_token_that_is_not_allowed_is_an_error_which_changes_nothing(tokenizer):
    encoder = tokenizer.encoder(disallowed_special="all")
    ids = encoder.push("Hello there, and \ud83d")
    with pytest.raises(SpecialTokenError) as caught:
        encoder.push("\ude00 then <|eot_id|> more and more text")
    assert caught.value.token == "<|eot_id|>"
    before = "Hello there, and 😀 then "
    assert caught.value.offset == len(before.encode())
    ids += encoder.push("\ude00!") + encoder.finish()
    assert ids == tokenizer.encode("Hello there, and 😀!")


def test_what_is_no_text_is_an_error(tokenizer):
    encoder = tokenizer.encoder()
    for wrong in (None, 5, ["a"], bytearray(b"a")):
        with pytest.raises(TypeError, match="text must be str or bytes, not"):
            encoder.push(wrong)
    with pytest.raises(TypeError, match=r"encoder\(\) has no option 'special'"):
        tokenizer.encoder(special=True)
    assert repr(tokenizer.encoder()) == "IncrementalEncoder(0 bytes, 0 of them pending)"
    with pytest.raises(TypeError, match="can't be copied"):
        copy.copy(encoder)


def test_a_tokenizer_without_eos_has_none_to_give():
    bare = Tokenizer.from_bytes(TOKENIZER.rank_file(), all_special_tokens={})
    with pytest.raises(llama3_tok.Llama3TokError):
        bare.encoder(eos=True)


def test_each_thread_has_its_own(corpus):
    text = corpus[:200_000]
    expected, found = TOKENIZER.encode(text), {}

    def run(number):
        encoder = TOKENIZER.encoder()
        for start in range(0, len(text), 997 + number):
            encoder.push(text[start : start + 997 + number])
        encoder.finish()
        found[number] = encoder.ids

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(4))


@pytest.mark.parametrize(
    "pieces", [["<|begin_of_text|>Hi"], list("<|begin_of_text|>Hi"), ["<|beg"]]
)
def test_a_second_bos_is_warned_of(tokenizer, pieces):
    encoder = tokenizer.encoder(bos=True, allowed_special="all")
    is_second = len("".join(pieces)) > 10
    for _ in range(2):  # the next text is looked at as well
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            ids = [id for piece in pieces for id in encoder.push(piece)] + encoder.finish()
        assert ids[:2] == [128000] * 2 if is_second else ids[0] == 128000
        assert len(told) == is_second
        if is_second:
            assert "begins with <|begin_of_text|> already" in str(told[0].message)
            assert told[0].filename == __file__


@pytest.mark.parametrize("options", [{}, {"bos": True}])
def test_a_text_with_one_bos_or_its_name_is_not_warned_of(tokenizer, options):
    encoder = tokenizer.encoder(**options)
    encoder.push("<|begin_of_text|>" + "Hi " * 20)
    encoder.finish()
