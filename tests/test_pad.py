"""`pad`, and calling a tokenizer: batches for a model."""

import subprocess
import sys

import numpy as np
import pytest

import oracle
from llama3_tok import InvalidTokenId, Llama3TokError, Padded, Tokenizer

SEQUENCES = [[9906], [], [9906, 1917, 0]]


@pytest.fixture(scope="module")
def original():
    return Tokenizer(profile="llama3")


def test_padding_goes_right_or_left_up_to_the_longest(tokenizer):
    padded = tokenizer.pad(SEQUENCES)
    assert padded.input_ids.tolist() == [[9906, 128004, 128004], [128004] * 3, [9906, 1917, 0]]
    assert padded.attention_mask.tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
    for array in (padded["input_ids"], padded["attention_mask"]):
        assert array.dtype == np.int64
        assert array.shape == (3, 3)
    left = tokenizer.pad(SEQUENCES, side="left")
    assert left.input_ids.tolist() == [[128004, 128004, 9906], [128004] * 3, [9906, 1917, 0]]
    assert left.attention_mask.tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 1]]


def test_the_length_is_the_maximum_or_a_multiple(tokenizer):
    def length(**options):
        return tokenizer.pad(SEQUENCES, **options).input_ids.shape[1]

    assert length(max_tokens=5) == 5
    assert length(max_tokens=3) == 3
    assert length(pad_to_multiple_of=8) == 8
    assert length(pad_to_multiple_of=3) == 3
    assert length(max_tokens=5, pad_to_multiple_of=4) == 8
    assert tokenizer.pad([], pad_to_multiple_of=4).input_ids.shape == (0, 0)
    assert tokenizer.pad([[], []], max_tokens=2).attention_mask.tolist() == [[0, 0], [0, 0]]


def test_sequences_are_ids_of_any_kind(tokenizer):
    expected = [[5, 6], [7, 128004]]
    ragged = tokenizer.encode_ragged(["Hello world", "Hello"])
    assert tokenizer.pad(ragged).input_ids.tolist() == [[9906, 1917], [9906, 128004]]
    for kind in (list, tuple, np.array, lambda ids: np.array(ids, np.uint32), iter):
        sequences = (kind(ids) for ids in ([5, 6], [7]))
        assert tokenizer.pad(sequences).input_ids.tolist() == expected


def test_a_batch_that_does_not_fit_in_memory_is_refused_before_any_is_filled():
    code = """
import resource
from llama3_tok import Tokenizer
pad = Tokenizer().pad
pad([[1]], max_tokens=1_000_000)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
# Room for one of two arrays.
resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 29), resource.RLIM_INFINITY))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    pad([[1]], max_tokens=1 << 27)
except MemoryError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 100


def test_too_long_is_an_error_that_names_the_sequence(tokenizer):
    with pytest.raises(Llama3TokError, match=r"sequences\[2\] has 3 ids, more than max_tokens=2"):
        tokenizer.pad(SEQUENCES, max_tokens=2)


def test_the_original_profile_says_what_to_do_without_a_padding_token(original):
    with pytest.raises(Llama3TokError) as caught:
        original.pad(SEQUENCES)
    message = str(caught.value)
    for part in ("'llama3' has no padding token", "pad_id=128002", "pad_id=128256", "resize"):
        assert part in message
    assert "learns not to stop" in message
    padded = original.pad(SEQUENCES, pad_id=128002)
    assert padded.input_ids[0].tolist() == [9906, 128002, 128002]
    # A token that was added after the vocabulary.
    assert original.pad(SEQUENCES, pad_id=np.int64(128256)).input_ids[1, 0] == 128256


@pytest.mark.parametrize(
    ("pad_id", "reason"),
    [
        (-1, "no id is negative"),
        (0, "it is a token of text, '!'"),
        (127_999, "it is a token of text"),
        (128_000, "it begins a text"),
        (128_001, "learns not to stop"),
        (128_008, "learns not to stop"),
        (128_009, "learns not to stop"),
    ],
)
def test_what_means_something_is_refused_as_padding(tokenizer, pad_id, reason):
    with pytest.raises(Llama3TokError, match=f"pad_id={pad_id} can't be padding, since .*{reason}"):
        tokenizer.pad(SEQUENCES, pad_id=pad_id)


def test_wrong_arguments_are_named(tokenizer):
    for wrong in ("5", 5.0, True):
        for argument in ("pad_id", "max_tokens", "pad_to_multiple_of"):
            with pytest.raises(TypeError, match=f"{argument} must be an int"):
                tokenizer.pad(SEQUENCES, **{argument: wrong})
    with pytest.raises(ValueError, match="max_tokens must be at least 0, not -1"):
        tokenizer.pad([[]], max_tokens=-1)
    with pytest.raises(ValueError, match="pad_to_multiple_of must be at least 1, not 0"):
        tokenizer.pad([[]], pad_to_multiple_of=0)
    with pytest.raises(ValueError, match="side must be one of 'left', 'right', not 'top'"):
        tokenizer.pad(SEQUENCES, side="top")
    with pytest.raises(ValueError, match="return_tensors must be one of 'np', 'pt', not 'tf'"):
        tokenizer.pad(SEQUENCES, return_tensors="tf")
    for text in ("text", b"text"):
        with pytest.raises(TypeError, match="sequences must be a sequence, not one"):
            tokenizer.pad(text)
        with pytest.raises(TypeError, match=r"sequences\[1\] must be integers, not"):
            tokenizer.pad([[1], text])
    with pytest.raises(TypeError, match=r"sequences\[1\]\[0\] must be an integer, not float"):
        tokenizer.pad([[1], [1.5]])
    with pytest.raises(TypeError, match=r"sequences\[0\] must be a sequence, not int"):
        tokenizer.pad([1, 2])
    with pytest.raises(InvalidTokenId, match=r"sequences\[1\]: 128256 at position 1"):
        tokenizer.pad([[1], [1, 128256]])


def test_it_is_a_mapping_for_a_model(tokenizer):
    def model(input_ids, attention_mask):
        return input_ids.sum(), attention_mask.sum()

    padded = tokenizer.pad([[5, 6], [7]], pad_id=128_003)
    assert model(**padded) == (5 + 6 + 7 + 128_003, 3)
    assert dict(padded).keys() == {"input_ids", "attention_mask"}
    assert list(padded) == ["input_ids", "attention_mask"]
    assert len(padded) == 2
    with pytest.raises(KeyError, match="labels"):
        padded["labels"]
    assert repr(Padded([1], [1])) == "Padded(input_ids=[1], attention_mask=[1])"


# Calling


def test_a_call_adds_bos_and_gives_lists(tokenizer):
    ids = [128000, *oracle.encoding().encode_ordinary("Hello world")]
    assert dict(tokenizer("Hello world")) == {"input_ids": ids, "attention_mask": [1, 1, 1]}
    assert dict(tokenizer(["Hello world", "Hello"])) == {
        "input_ids": [ids, ids[:2]],
        "attention_mask": [[1, 1, 1], [1, 1]],
    }
    assert tokenizer("Hello", add_special_tokens=False).input_ids == [9906]
    assert tokenizer(b"Hello")["input_ids"] == [128000, 9906]
    assert tokenizer("<|eot_id|>").input_ids == [128000, *tokenizer.encode("<|eot_id|>")]
    assert dict(tokenizer([])) == {"input_ids": [], "attention_mask": []}


def test_a_call_pads_and_truncates(tokenizer):
    texts = ["Hello world", "Hello"]
    padded = tokenizer(texts, padding=True)
    assert padded.input_ids == [[128000, 9906, 1917], [128000, 9906, 128004]]
    assert padded.attention_mask == [[1, 1, 1], [1, 1, 0]]
    assert tokenizer(texts, padding="longest", padding_side="left").attention_mask[1] == [0, 1, 1]
    assert tokenizer("Hello", padding="max_length", max_length=4).attention_mask == [1, 1, 0, 0]
    cut = tokenizer(texts, truncation=True, max_length=2)
    assert cut.input_ids == [[128000, 9906]] * 2
    both = tokenizer(texts, padding=True, truncation=True, max_length=8, pad_to_multiple_of=4)
    assert [len(row) for row in both.input_ids] == [4, 4]


def test_a_call_gives_arrays(tokenizer):
    one = tokenizer("Hello", return_tensors="np")
    assert one.input_ids.tolist() == [[128000, 9906]]
    assert one.attention_mask.dtype == one.input_ids.dtype == np.int64
    assert tokenizer(["a", "b"], return_tensors="np").input_ids.shape == (2, 2)
    assert tokenizer(["a b", "b"], padding=True, return_tensors="np").input_ids.shape == (2, 3)
    assert tokenizer([], return_tensors="np").input_ids.shape == (0, 0)
    with pytest.raises(Llama3TokError, match="texts of 2 to 3 ids can't be one tensor; give"):
        tokenizer(["a b", "b"], return_tensors="np")


def test_arguments_of_a_call_that_do_not_go_together_are_errors(tokenizer, original):
    with pytest.raises(ValueError, match="truncation=True needs max_length="):
        tokenizer("a", truncation=True)
    with pytest.raises(ValueError, match='padding="max_length" needs max_length='):
        tokenizer("a", padding="max_length")
    for alone in ({}, {"padding": True}):
        with pytest.raises(ValueError, match="max_length= needs truncation=True"):
            tokenizer("x", max_length=3, **alone)
    with pytest.raises(ValueError, match="pad_to_multiple_of= needs padding=True"):
        tokenizer("x", pad_to_multiple_of=3)
    with pytest.raises(ValueError, match="padding must be one of"):
        tokenizer("a", padding="left")
    with pytest.raises(TypeError, match="truncation must be a bool, not str"):
        tokenizer("a", truncation="longest_first", max_length=2)
    with pytest.raises(Llama3TokError, match="more than max_length=1; "):
        tokenizer("a", padding="max_length", max_length=1)
    with pytest.raises(TypeError, match=r"texts\[1\] must be str or bytes, not int"):
        tokenizer(["a", 5])
    with pytest.raises(Llama3TokError, match="no padding token"):
        original(["a", "b c"], padding=True)
    assert original("a").input_ids == [128000, 64]


# Torch


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import llama3_tok
try:
    llama3_tok.Tokenizer().pad([[1]], return_tensors="pt")
except llama3_tok.Llama3TokError as error:
    print(error)
"""


def test_without_torch_the_error_says_how_to_get_it():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True
    )
    assert "pip install torch" in done.stdout


class FakeTensor:
    """What `to` of a tensor is called with."""

    def to(self, *where, **options):
        return where, options


def test_to_moves_both_tensors():
    moved = Padded(FakeTensor(), FakeTensor()).to("cuda", non_blocking=True)
    assert moved.input_ids == moved.attention_mask == (("cuda",), {"non_blocking": True})


def test_torch_gets_tensors_of_the_same_numbers(tokenizer):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    padded = tokenizer.pad(SEQUENCES, return_tensors="pt")
    assert padded.input_ids.dtype == padded.attention_mask.dtype == torch.int64
    assert padded.input_ids.tolist() == tokenizer.pad(SEQUENCES).input_ids.tolist()
    assert padded.to("cpu").attention_mask.tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert tokenizer("Hello", return_tensors="pt").input_ids.tolist() == [[128000, 9906]]
