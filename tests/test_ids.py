"""Ids as an argument, whatever holds them, and what they are decoded to."""

import array

import numpy as np
import pytest

import llama3_tok
from interpreter import run_python
from llama3_tok import InvalidTokenId, UnknownToken

HELLO = [9906, 1917]


# Ids


@pytest.mark.parametrize(
    "ids",
    [
        HELLO,
        tuple(HELLO),
        iter(HELLO),
        [np.int64(id) for id in HELLO],
        *(np.array(HELLO, dtype) for dtype in ("u2", "i4", "u4", "i8", "u8", ">i4", ">u4", "O")),
        np.array([[9906, 0], [1917, 0]])[:, 0],
        np.array([1917, 9906], "u4")[::-1],
        array.array("i", HELLO),
        array.array("Q", HELLO),
        memoryview(array.array("L", HELLO)),
    ],
    ids=lambda ids: f"{type(ids).__name__}-{getattr(ids, 'dtype', '')}",
)
def test_ids_may_be_of_many_types(tokenizer, ids):
    assert tokenizer.decode(ids) == "Hello world"


def test_small_integer_types_and_ranges_are_ids(tokenizer):
    assert tokenizer.decode(np.arange(5, dtype="i1")) == tokenizer.decode(range(5)) == '!"#$%'
    for empty in ([], (), np.array([]), np.array([], "u4"), range(0)):
        assert tokenizer.decode(empty) == ""


def test_tensors_are_ids_without_importing_torch(tokenizer):
    class Tensor:
        """What torch's tensors offer here."""

        def __init__(self, steps):
            self.steps = steps

        def detach(self):
            return Tensor([*self.steps, "detach"])

        def cpu(self):
            return Tensor([*self.steps, "cpu"])

        def __array__(self, dtype=None, copy=None):
            assert self.steps == ["detach", "cpu"]
            return np.array(HELLO)

    assert tokenizer.decode(Tensor([])) == "Hello world"


@pytest.mark.parametrize(
    "wrong", [128256, -1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63, -(2**70), 10**30]
)
def test_ids_out_of_range_are_named_with_their_position(tokenizer, wrong):
    kinds = [list, tuple]
    if -(2**63) <= wrong < 2**63:
        kinds.append(lambda ids: np.array(ids, "i8"))
    if 0 <= wrong < 2**64:
        kinds.append(lambda ids: np.array(ids, "u8"))
    for kind in kinds:
        for method in (
            *(tokenizer.decode, tokenizer.decode_bytes, tokenizer.checked_ids),
            *(tokenizer.is_canonical, tokenizer.heal, tokenizer.parse_assistant),
            *(tokenizer.stream_decoder().push, tokenizer.assistant_stream().push),
        ):
            with pytest.raises(InvalidTokenId, match=f"^{wrong} at position 2 is not") as caught:
                method(kind([1, 2, wrong]))
            assert (caught.value.id, caught.value.position) == (wrong, 2)
        for method in (tokenizer.decode_batch, tokenizer.pad):
            place = rf"^sequences\[1\]: {wrong} at position 2 is not"
            with pytest.raises(InvalidTokenId, match=place) as caught:
                method([[1], kind([1, 2, wrong])])
            assert (caught.value.id, caught.value.position, caught.value.index) == (wrong, 2, 1)
    with pytest.raises(InvalidTokenId, match=f"^{wrong} at position 0 is not"):
        tokenizer.token_bytes(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([1, None], r"ids\[1\] must be an integer, not NoneType"),
        ([1, "2"], r"ids\[1\] must be an integer, not str"),
        ([1.0], r"ids\[0\] must be an integer, not float"),
        ([True], r"ids\[0\] must be an integer, not bool"),
        (np.array([1.0, float("nan")]), r"not float64; ids\[1\] is not a number"),
        (np.array([1.0]), "ids must be integers, not float64"),
        (np.array([True]), "ids must be integers, not bool"),
        (np.array(["1"]), "ids must be integers, not <U1"),
        (np.array([1, None], "O"), r"ids\[1\] must be an integer"),
        ("12", "ids must be integers, not str"),
        (b"12", "ids must be integers, not bytes"),
        (None, "ids must be a sequence, not NoneType"),
        (5, "ids must be a sequence, not int"),
    ],
)
def test_what_are_no_ids_is_a_type_error_that_says_where(tokenizer, wrong, message):
    for method in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises(TypeError, match=message):
            method(wrong)


def test_ids_have_one_dimension(tokenizer):
    for wrong in (np.array([[1]]), np.array(5)):
        with pytest.raises(ValueError, match="ids must have one dimension"):
            tokenizer.decode(wrong)
    assert tokenizer.decode_batch(np.array([HELLO, HELLO])) == ["Hello world"] * 2
    with pytest.raises(TypeError, match="sequences must be a sequence"):
        tokenizer.decode_batch("ab")


def test_decoding_cut_characters_follows_errors(tokenizer):
    ids = tokenizer.encode("a𝟘")
    cut = ids[:-1]
    data = tokenizer.decode_bytes(cut)
    for errors in ("replace", "ignore", "backslashreplace"):
        assert tokenizer.decode(cut, errors=errors) == data.decode("utf-8", errors)
    with pytest.raises(UnicodeDecodeError):
        tokenizer.decode(cut, errors="strict")
    # Also where all bytes are UTF-8, and nothing has to be handled.
    for wrong in ("nonsense", "", "strict\0", "\ud800"):
        for sequence in (cut, ids, []):
            with pytest.raises(ValueError, match="errors must be a handler that bytes.decode has"):
                tokenizer.decode(sequence, errors=wrong)
            with pytest.raises(ValueError, match="errors must be a handler that bytes.decode has"):
                tokenizer.decode_batch([sequence], errors=wrong)
    with pytest.raises(TypeError, match="errors must be a str, not int"):
        tokenizer.decode(ids, errors=5)


@pytest.mark.parametrize("kind", ["ascii", "few wide", "wide", "marks", "mixed"])
def test_long_texts_are_decoded_as_python_does(tokenizer, kind):
    # Long enough for the table of slots, for several rounds, and for parts that cut characters.
    text = {
        "ascii": "Some plain words.\n" * 20_000,
        "few wide": "it\u2019s said \u2014 a few \U0001f600 words that are mostly plain, " * 8_000,
        "wide": "Това е текст на български. これは日本語の文章です。👍 " * 6_000,
        "marks": "\ufeff" * 60_000,
        "mixed": "".join(map(chr, range(0x20, 0xD800))) * 2,
    }[kind]
    ids = tokenizer.encode_array(text)
    assert len(ids) > 1 << 14
    for dtype in ("u4", "i4", "i8"):
        assert tokenizer.decode(ids.astype(dtype)) == text
    assert tokenizer.decode(ids.tolist()) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    bos = np.insert(ids, [0, 20_000 % len(ids), len(ids)], 128000)
    assert tokenizer.decode(bos, skip_special=True) == text
    assert tokenizer.decode(bos).count("<|begin_of_text|>") == 3


def test_long_ids_of_other_bytes_follow_errors(tokenizer):
    text = "Това е текст на български. これは日本語の文章です。👍 ".encode() * 3_000
    for place in (0, 1 << 14, len(text) // 2, len(text) - 1):
        data = text[:place] + b"\xff" + text[place + 1 :]
        ids = tokenizer.encode_array(data)
        assert len(ids) > 1 << 14
        assert tokenizer.decode_bytes(ids) == data
        for errors in ("replace", "ignore", "backslashreplace"):
            assert tokenizer.decode(ids, errors=errors) == data.decode("utf-8", errors)
        with pytest.raises(UnicodeDecodeError) as raised:
            tokenizer.decode(ids, errors="strict")
        assert raised.value.object == data


def test_a_wrong_id_behind_many_is_named_with_its_position(tokenizer):
    for dtype in ("u4", "i4", "i8"):
        for position in (0, 20_000, 1 << 20, (1 << 20) + 5):
            ids = np.full((1 << 20) + 6, 9906, dtype)
            ids[position] = 128_256
            for method in (tokenizer.decode, tokenizer.decode_bytes):
                with pytest.raises(llama3_tok.InvalidTokenId) as raised:
                    method(ids)
                assert (raised.value.id, raised.value.position) == (128_256, position)


def test_short_lists_are_the_same_before_and_after_integers_are_shared():
    code = """
        import llama3_tok
        tokenizer = llama3_tok.Tokenizer(profile="llama3.2-vision")
        text = "Hello world<|image|> and more" * 20
        first = tokenizer.encode(text, allowed_special="all")
        for _ in range(1000):  # more than 65,536 ids, by which the integers are made
            assert tokenizer.encode(text, allowed_special="all") == first
        assert first == tokenizer.encode_array(text, allowed_special="all").tolist()
        assert max(first) == 128256 and len(first) == 100
        tokenizer.encode("a b " * 20_000)
    """
    assert run_python(code).returncode == 0


def test_results_are_not_touched_by_later_calls(tokenizer):
    texts = ["Hello world", "x y z " * 50, "one two three " * 1_000, "", "word " * 20_000]
    arrays = [tokenizer.encode_array(text) for text in texts]
    assert [tokenizer.encode(text) for text in texts] == [array.tolist() for array in arrays]
    assert [tokenizer.encode_array(text).tolist() for text in texts] == [a.tolist() for a in arrays]
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays)


def test_decoding_can_skip_special_tokens(tokenizer):
    ids = [128000, *HELLO, 128009]
    assert tokenizer.decode(ids) == "<|begin_of_text|>Hello world<|eot_id|>"
    assert tokenizer.decode(ids, skip_special=True) == "Hello world"
    assert tokenizer.decode_bytes(np.array(ids), skip_special=True) == b"Hello world"
    assert tokenizer.decode_batch([ids], skip_special=True) == ["Hello world"]


def test_spaces_are_never_cleaned_up(tokenizer):
    text = " Hello , world ! do n't  "
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_bytes_that_are_no_token_are_named(tokenizer):
    for wrong in (b"not one token", b"", "<|image|>"):
        with pytest.raises(UnknownToken, match="is not a token of the vocabulary") as caught:
            tokenizer.token_id(wrong)
        assert caught.value.token == (wrong.encode() if isinstance(wrong, str) else wrong)
    with pytest.raises(TypeError, match="id must be an integer, not str"):
        tokenizer.token_bytes("5")
