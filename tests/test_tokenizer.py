"""The `Tokenizer` object: properties, arguments and their errors, threads and processes."""

import array
import contextlib
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import llama3_tok
import oracle
from llama3_tok import InvalidTokenId, Llama3TokError, SpecialTokenError, Tokenizer, UnknownToken

HELLO = [9906, 1917]


def run_python(code: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, **options
    )


# Properties and profiles


@pytest.mark.parametrize(
    ("profile", "pad", "stops", "size", "names"),
    [
        ("llama3", None, [128001, 128009], 128256, {"<|reserved_special_token_2|>": 128004}),
        ("llama3.1", 128004, [128001, 128008, 128009], 128256, {"<|python_tag|>": 128010}),
        ("llama3.2", 128004, [128001, 128008, 128009], 128256, {"<|python_tag|>": 128010}),
        ("llama3.2-vision", 128004, [128001, 128008, 128009], 128257, {"<|image|>": 128256}),
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
        Llama3TokError, match="llama9.*llama3, llama3.1, llama3.2, llama3.2-vision, meta"
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


def test_flags_are_checked(tokenizer):
    for flag in ("bos", "eos"):
        for method in (tokenizer.encode, tokenizer.encode_array, tokenizer.encode_batch):
            with pytest.raises(TypeError) as caught:
                method("a", **{flag: 1})
            assert str(caught.value) in (
                f"{flag} must be a bool, not int",
                "texts must be a sequence, not one str",
            )


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


@pytest.mark.parametrize("wrong", [128256, -1, 2**31, 2**32 + 5, 2**63, -(2**70), 10**30])
def test_ids_out_of_range_are_named_with_their_position(tokenizer, wrong):
    kinds = [list, tuple]
    if -(2**63) <= wrong < 2**63:
        kinds.append(lambda ids: np.array(ids, "i8"))
    if 0 <= wrong < 2**64:
        kinds.append(lambda ids: np.array(ids, "u8"))
    for kind in kinds:
        for method in (tokenizer.decode, tokenizer.decode_bytes):
            with pytest.raises(InvalidTokenId, match=f"{wrong} at position 2") as caught:
                method(kind([1, 2, wrong]))
            assert (caught.value.id, caught.value.position) == (wrong, 2)
    with pytest.raises(InvalidTokenId, match=str(wrong)):
        tokenizer.token_bytes(wrong)
    with pytest.raises(InvalidTokenId):
        tokenizer.decode_batch([[1], [wrong]])


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
    with pytest.raises(LookupError):
        tokenizer.decode(cut, errors="nonsense")


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


# As an object


def test_tokenizers_are_values(tokenizer):
    same, other = Tokenizer(), Tokenizer(profile="llama3")
    assert tokenizer == same
    assert hash(tokenizer) == hash(same)
    assert tokenizer != other
    assert tokenizer != "llama3"
    assert copy.copy(tokenizer) is copy.deepcopy(tokenizer) is tokenizer
    assert repr(other).startswith("Tokenizer(")
    for part in (other.vocabulary, "profile='llama3'", "128,256"):
        assert part in repr(other)
    with pytest.raises(AttributeError):
        tokenizer.profile = "llama3"


def test_errors_survive_pickling():
    errors = [
        InvalidTokenId("message", id=5, position=7),
        SpecialTokenError("message", token="<|a|>", offset=3),
        llama3_tok.VocabularyError("message", file="f", line=2, reason="r"),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))
        assert isinstance(again, Llama3TokError)
        assert isinstance(again, ValueError)


def test_a_pickle_is_small_and_works_in_another_process(tokenizer, tmp_path):
    data = pickle.dumps(Tokenizer(profile="llama3"))
    assert len(data) < 1024
    file = tmp_path / "tokenizer.pickle"
    file.write_bytes(data)
    code = f"""
        import pickle
        tokenizer = pickle.loads(open({str(file)!r}, "rb").read())
        assert tokenizer.encode("Hello world") == {HELLO}
        assert tokenizer.profile == "llama3"
    """
    assert run_python(code).stderr == ""


def test_threads_share_a_tokenizer(tokenizer):
    texts = [f"thread {number} é漢 {'x' * number}" for number in range(200)]
    expected = [oracle.encoding().encode_ordinary(text) for text in texts]
    wrong = []

    def work() -> None:
        for text, ids in zip(texts, expected, strict=True):
            if tokenizer.encode(text) != ids or tokenizer.decode(ids) != text:
                wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


LOADING = """
    import os, signal, sys, threading, time
    from llama3_tok import Tokenizer
    PATH = Tokenizer().vocabulary
    stop = False
    def load():
        # Each time another content, so that nothing is shared.
        count = 0
        while not stop:
            count += 1
            open("v.model", "wb").write(open(PATH, "rb").read() + b"eHh4eHhxcXE= %d\\n" % 128000)
            Tokenizer("v.model")
"""


def test_a_fork_while_a_vocabulary_loads_leaves_nothing_locked(tmp_path):
    forks = (
        LOADING
        + """
    thread = threading.Thread(target=load)
    thread.start()
    for _ in range(10):
        time.sleep(0.01)
        child = os.fork()
        if child == 0:
            os._exit(Tokenizer(profile="llama3").count("Hello world") != 2)
        assert os.waitpid(child, 0)[1] == 0
    stop = True
    thread.join()
    """
    )
    assert run_python(forks, cwd=tmp_path, timeout=60).stderr == ""


def test_a_signal_handler_may_load_while_the_same_thread_loads(tmp_path):
    code = (
        LOADING
        + """
    counts = []
    def handle(*_):
        global stop
        counts.append(Tokenizer(profile="meta").count("Hello world"))
        stop = len(counts) == 10
        signal.setitimer(signal.ITIMER_REAL, 0 if stop else 0.013)
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.013)
    load()
    print(set(counts))
    """
    )
    assert run_python(code, cwd=tmp_path, timeout=60).stdout == "{2}\n"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_can_go_on(tokenizer):
    texts = ["Hello world " * 20_000] * 8
    counts = tokenizer.count_batch(texts, threads=4).tolist()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(tokenizer.count, texts[:2]) == counts[:2]
        assert pool.map(llama3_tok.count, ["Hello world"]) == [2]
        assert pool.apply(tokenizer.count_batch, (texts,)).tolist() == counts


@pytest.mark.parametrize(
    "work", ["count", "encode_array", "decode", "encode_ragged", "count_batch", "decode_batch"]
)
def test_other_threads_run_while_the_core_works(tokenizer, work):
    argument = "Hello world, " * 2_000_000
    if work.startswith("decode"):
        argument = tokenizer.encode_array(argument * 4)
    if work not in ("count", "encode_array", "decode"):
        argument = [argument] * 4
    thread = threading.Thread(target=getattr(tokenizer, work), args=(argument,))
    turns = 0
    thread.start()
    while thread.is_alive():
        turns += 1
    # With the interpreter held, the loop would turn once or twice in all.
    assert turns > 1000


@pytest.mark.parametrize(
    "work",
    [
        "tokenizer.count('=' * 400_000_000)",
        "tokenizer.count('some words ' * 60_000_000)",
        "tokenizer.count_batch(['some words ' * 6_000_000] * 20)",
        "tokenizer.encode_array('<|' * 200_000_000, allowed_special='all')",
        "tokenizer.encode_array('<|' * 200_000_000, disallowed_special='all')",
        "tokenizer.encode('some words ' * 30_000_000)",
        "for _ in range(20): tokenizer.decode_bytes(np.full(50_000_000, 9906, 'u4'))",
    ],
)
def test_control_c_ends_long_work_at_once(work):
    code = f"""
        import os, signal, threading, time, llama3_tok
        import numpy as np
        tokenizer = llama3_tok.Tokenizer()
        def interrupt():
            global sent
            time.sleep(0.5)
            sent = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            {work}
        except KeyboardInterrupt:
            print(time.monotonic() - sent)
    """
    result = run_python(code, timeout=60)
    # The promise is 0.2 s, on a machine that has nothing else to do; without looking for signals it
    # would be the many seconds that the work takes.
    assert float(result.stdout) < 2, result.stderr


REFUSED = {
    "encode": "tokenizer.encode(text)",
    "encode_array": "tokenizer.encode_array(text)",
    "encode_batch": "tokenizer.encode_batch([text] * 4)",
    "encode_ragged": "tokenizer.encode_ragged([text] * 4)",
    "count_batch": "tokenizer.count_batch(many)",
    "count of surrogates": "tokenizer.count(surrogates)",
    "decode of a list": "tokenizer.decode(ids)",
    "decode_bytes of an array": "tokenizer.decode_bytes(array)",
    "decode_batch": "tokenizer.decode_batch([array] * 2)",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory in use")
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_memory_that_is_refused_is_a_memory_error(call):
    code = f"""
        import resource, llama3_tok
        import numpy as np
        tokenizer = llama3_tok.Tokenizer()
        text, surrogates = "a b c d " * 10_000_000, "a\\ud800" * 20_000_000
        many, ids, array = ["a"] * 5_000_000, [9906] * 10_000_000, np.full(20_000_000, 9906, "u4")
        tokenizer.encode_batch(["warm up " * 20_000] * 4)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
        try:
            {call}
        except MemoryError:
            print("MemoryError")
    """
    result = run_python(code)
    assert result.stdout.split() == ["MemoryError"], result.stderr


def test_no_argument_makes_the_core_panic(tokenizer):
    odd = [
        None,
        0,
        -1,
        1.5,
        "",
        b"",
        [],
        {},
        set(),
        object(),
        float("nan"),
        2**70,
        "\ud800",
        [None],
    ]
    methods = [
        *("encode", "encode_array", "count", "encode_batch", "encode_ragged", "count_batch"),
        *("decode", "decode_bytes", "decode_batch", "token_bytes", "token_id"),
    ]
    for name in methods:
        for value in odd:
            with contextlib.suppress(TypeError, ValueError):
                getattr(tokenizer, name)(value)
