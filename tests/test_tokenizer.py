"""The `Tokenizer` object: properties, arguments and their errors, batches."""

import os

import numpy as np
import pytest

import llama3_tok
import oracle
from interpreter import run_python
from llama3_tok import InvalidTokenId, Llama3TokError, SpecialTokenError, Tokenizer

HELLO = [9906, 1917]


# Properties and profiles


@pytest.mark.parametrize(
    ("profile", "pad", "stops", "size", "names"),
    [
        ("llama3", None, [128001, 128009], 128256, {"<|reserved_special_token_2|>": 128004}),
        ("llama3.1", 128004, [128001, 128008, 128009], 128256, {"<|python_tag|>": 128010}),
        ("llama3.2", 128004, [128001, 128008, 128009], 128256, {"<|python_tag|>": 128010}),
        ("llama3.2-vision", 128004, [128001, 128008, 128009], 128257, {"<|image|>": 128256}),
        ("llama3.3", 128004, [128001, 128008, 128009], 128256, {"<|python_tag|>": 128010}),
        ("meta", 128004, [128001, 128008, 128009], 128256, {"<|image|>": 128011}),
    ],
)
def test_profiles_have_the_ids_of_their_release(profile, pad, stops, size, names):
    tokenizer = Tokenizer(profile=profile)
    assert tokenizer.profile == profile
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.eot_id) == (128000, 128001, 128009)
    assert (tokenizer.pad_id, tokenizer.stop_ids, tokenizer.vocab_size) == (pad, stops, size)
    assert list(tokenizer.special_tokens.values()) == list(range(128000, size))
    for name, id in names.items():
        assert tokenizer.special_tokens[name] == id
        assert tokenizer.encode(name, allowed_special="all") == [id]


def test_an_unknown_profile_is_answered_with_the_profiles():
    with pytest.raises(
        Llama3TokError,
        match="llama9.*llama3, llama3.1, llama3.2, llama3.2-vision, llama3.3, meta",
    ):
        Tokenizer(profile="llama9")
    with pytest.raises(TypeError, match="profile must be a str or None, not int"):
        Tokenizer(profile=3)


def test_the_module_functions_use_a_shared_tokenizer():
    assert llama3_tok.encode("Hello world", bos=True) == [128000, *HELLO]
    assert llama3_tok.decode(HELLO) == "Hello world"
    assert llama3_tok.count("Hello world") == 2
    assert llama3_tok.encode("<|eot_id|>", allowed_special={"<|eot_id|>"}) == [128009]


def test_importing_loads_nothing_heavy():
    code = """
        import sys, llama3_tok
        heavy = {"numpy", "rich", "tiktoken", "tokenizers", "torch", "transformers", "llama_models"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        assert llama3_tok.decode(llama3_tok.encode("Hello world")) == "Hello world"
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    assert run_python(code).stderr == ""


# Special tokens


def test_special_tokens_are_text_unless_allowed(tokenizer):
    text = "a<|eot_id|>b"
    plain = oracle.encoding().encode_ordinary(text)
    assert tokenizer.encode(text) == plain
    assert tokenizer.encode(text, allowed_special=[]) == plain
    assert tokenizer.encode(text, allowed_special={"<|eom_id|>"}) == plain
    assert tokenizer.encode(text, allowed_special=("<|eot_id|>",)) == [64, 128009, 65]


def test_disallowed_special_tokens_raise_with_name_and_byte_offset(tokenizer):
    with pytest.raises(SpecialTokenError, match=r"<\|eot_id\|> at byte 3") as caught:
        tokenizer.encode("é <|eot_id|>", disallowed_special="all")
    assert (caught.value.token, caught.value.offset) == ("<|eot_id|>", 3)
    for method in (tokenizer.encode_array, lambda t, **o: tokenizer.encode_batch([t], **o)):
        with pytest.raises(SpecialTokenError):
            method("<|eot_id|>", disallowed_special=["<|eot_id|>"])


def test_disallowed_all_leaves_out_what_is_allowed_as_tiktoken_does(tokenizer):
    text = "<|eot_id|><|eom_id|>"
    with pytest.raises(SpecialTokenError, match=r"<\|eom_id\|> at byte 10"):
        tokenizer.encode(text, allowed_special={"<|eot_id|>"}, disallowed_special="all")
    both = tokenizer.encode(text, allowed_special="all", disallowed_special="all")
    assert both == [128009, 128008]
    # Named explicitly, disallowed wins.
    with pytest.raises(SpecialTokenError):
        tokenizer.encode(text, allowed_special="all", disallowed_special={"<|eot_id|>"})


def test_names_that_the_profile_does_not_have_are_refused(tokenizer):
    for argument in ("allowed_special", "disallowed_special"):
        with pytest.raises(SpecialTokenError, match=r"<\|image\|>.*llama3\.1") as caught:
            tokenizer.encode("", **{argument: {"<|image|>"}})
        assert (caught.value.token, caught.value.offset) == ("<|image|>", None)


@pytest.mark.parametrize("wrong", ["<|eot_id|>", b"all", None, 3, [3]])
def test_special_arguments_of_the_wrong_type_are_named(tokenizer, wrong):
    for argument in ("allowed_special", "disallowed_special"):
        with pytest.raises(TypeError, match=argument):
            tokenizer.encode("", **{argument: wrong})


# Text


def test_surrogates_are_encoded_as_tiktoken_does(tokenizer):
    for text in ["\ud83d\ude00", "\ud800", "a\udc00b", "\ud800\ud800\udc00", "\udc00\ud800"]:
        expected = oracle.encoding().encode_ordinary(text)
        assert tokenizer.encode(text) == expected
        assert tokenizer.encode_array(text).tolist() == expected
        assert tokenizer.encode_batch([text]) == [expected]
        assert tokenizer.count(text) == len(expected)
    assert tokenizer.decode(tokenizer.encode("\ud800")) == "\ufffd"


def test_str_and_bytes_subclasses_are_text(tokenizer):
    class Name(str):
        __slots__ = ()

    assert tokenizer.encode(Name("Hello world")) == HELLO
    assert tokenizer.encode_batch(np.array(["Hello world"])) == [HELLO]


@pytest.mark.parametrize("wrong", [None, 3, 1.5, ["a"], bytearray(b"a")])
def test_what_is_no_text_is_a_type_error_that_names_the_argument(tokenizer, wrong):
    name = type(wrong).__name__
    for method in (tokenizer.encode, tokenizer.encode_array, tokenizer.count):
        with pytest.raises(TypeError, match=f"text must be str or bytes, not {name}"):
            method(wrong)
    with pytest.raises(TypeError, match="token must be str or bytes"):
        tokenizer.token_id(wrong)
    for method in (tokenizer.encode_batch, tokenizer.encode_ragged, tokenizer.count_batch):
        with pytest.raises(TypeError, match=rf"texts\[2\] must be str or bytes, not {name}"):
            method(["a", b"b", wrong])


@pytest.mark.parametrize("wrong", ["abc", b"abc", None, 3])
def test_one_text_is_no_batch(tokenizer, wrong):
    for method in (tokenizer.encode_batch, tokenizer.encode_ragged, tokenizer.count_batch):
        with pytest.raises(TypeError, match="texts must be a sequence"):
            method(wrong)


def test_sets_and_mappings_have_no_order_and_are_no_sequences(tokenizer):
    for wrong in ({9906, 1917}, {9906: 1}):
        with pytest.raises(TypeError, match="ids must be a sequence"):
            tokenizer.decode(wrong)
    for wrong in ({"a"}, {"text": "a"}):
        with pytest.raises(TypeError, match="texts must be a sequence"):
            tokenizer.encode_batch(wrong)


def test_masked_arrays_and_odd_objects_are_refused_clearly(tokenizer):
    masked = np.ma.masked_array([9906, 1917], mask=[False, True])
    with pytest.raises(TypeError, match="some are masked"):
        tokenizer.decode(masked)
    assert tokenizer.decode(np.ma.masked_array(HELLO)) == "Hello world"

    class Failing:
        def __index__(self):
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        tokenizer.decode([Failing()])
    with pytest.raises(TypeError, match="id must be an integer, not bool"):
        tokenizer.token_bytes(True)
    with pytest.raises(TypeError):
        tokenizer.encode_ragged(["a"])[0:1]


# Batches


def test_empty_batches_give_empty_results(tokenizer):
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.count_batch(iter([])).shape == (0,)
    ragged = tokenizer.encode_ragged([])
    assert len(ragged) == 0
    assert ragged.ids.shape == (0,)
    assert ragged.offsets.tolist() == [0]


def test_batches_take_any_iterable_and_the_options_of_encode(tokenizer):
    texts = ["Hello", "<|eot_id|>", b""]
    options = {"bos": True, "eos": True, "allowed_special": "all"}
    expected = [tokenizer.encode(text, **options) for text in texts]
    assert tokenizer.encode_batch((text for text in texts), **options) == expected
    assert [ids.tolist() for ids in tokenizer.encode_ragged(tuple(texts), **options)] == expected


def test_results_have_the_promised_types(tokenizer):
    assert tokenizer.encode_array("a").dtype == np.uint32
    ragged = tokenizer.encode_ragged(["a", "b c"])
    assert (ragged.ids.dtype, ragged.offsets.dtype) == (np.uint32, np.int64)
    assert tokenizer.count_batch(["a"]).dtype == np.int64
    assert ragged[-1].tolist() == tokenizer.encode("b c")
    assert np.shares_memory(ragged[1], ragged.ids)
    for index in (2, -3):
        with pytest.raises(IndexError, match="out of range for 2 texts"):
            ragged[index]


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_threads_are_checked(tokenizer, threads, error):
    for method in (tokenizer.encode_batch, tokenizer.encode_ragged, tokenizer.count_batch):
        with pytest.raises(error, match="threads"):
            method(["a"], threads=threads)
    with pytest.raises(error, match="threads"):
        tokenizer.decode_batch([[1]], threads=threads)


def test_any_whole_number_of_threads_will_do(tokenizer):
    for threads in (1, 3, np.int64(2), 2**70):
        assert tokenizer.count_batch(["a b"], threads=threads).tolist() == [2]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_batches_run_on_as_many_threads_as_asked_for_by_default_on_all_processors(tokenizer):
    processors = len(os.sched_getaffinity(0))
    code = """
        import os, llama3_tok, numpy  # NumPy may start threads of its own
        tokenizer = llama3_tok.Tokenizer()
        before = len(os.listdir("/proc/self/task"))
        tokenizer.count_batch(["some words " * 20_000] * 32, threads={threads})
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert int(run_python(code.format(threads=1)).stdout) == 0
    assert int(run_python(code.format(threads=None)).stdout) == (
        processors if processors > 1 else 0
    )


def test_errors_in_a_batch_name_the_item(tokenizer):
    with pytest.raises(SpecialTokenError, match=r"texts\[2\]: .*<\|eot_id\|> at byte 1") as caught:
        tokenizer.encode_batch(["a", "b", "c<|eot_id|>"], disallowed_special="all")
    assert (caught.value.index, caught.value.offset) == (2, 1)
    with pytest.raises(InvalidTokenId, match=r"sequences\[1\]: 999999 at position 1") as caught:
        tokenizer.decode_batch([[1], [2, 999_999]])
    assert (caught.value.index, caught.value.position) == (1, 1)
    for wrong in (None, 5, "ab"):
        with pytest.raises(TypeError, match=r"sequences\[1\]"):
            tokenizer.decode_batch([[1], wrong])
    with pytest.raises(TypeError, match=r"sequences\[1\]\[0\] must be an integer"):
        tokenizer.decode_batch([[1], [None]])
    with pytest.raises(InvalidTokenId) as caught:
        tokenizer.decode([999_999])
    assert caught.value.index is None


def test_decode_batch_gives_what_decode_gives_on_any_number_of_threads(tokenizer):
    sequences = [tokenizer.encode("Hello wörld " * length) for length in range(300)]
    mixed = [*sequences, np.array(sequences[9]), tuple(sequences[8]), []]
    expected = [tokenizer.decode(ids) for ids in mixed]
    for threads in (None, 1, 2, 8):
        assert tokenizer.decode_batch(mixed, threads=threads) == expected
