"""`llama3_tok.compat.tiktoken` beside tiktoken itself: every public name, on the same inputs."""

import copy
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tiktoken
import tiktoken.load
from hypothesis import given, settings
from hypothesis import strategies as st

import llama3_tok.compat.tiktoken as ours
import llama3_tok.compat.tiktoken.load
import oracle
import strategies
from conftest import EXAMPLES
from llama3_tok import PROFILES, SpecialTokenError, Tokenizer, vocabulary
from llama3_tok._core import META_SHA256

OURS = ours.get_encoding("llama3.1")
THEIRS = oracle.encoding()


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def shape(function):
    """A signature without its annotations, of which some are strings there."""
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


def outcome(call):
    """What a call gives, or the kind of error that it raises."""
    try:
        value = call()
    # tiktoken's core raises KeyError and the like, but panics are no Exception.
    except Exception as error:
        return next(kind for kind in ERRORS if isinstance(error, kind))
    if isinstance(value, np.ndarray):
        assert value.dtype == np.uint32
        return value.tolist()
    return type(value), value


# From the most special on: our ValueErrors are of kinds of their own.
ERRORS = [
    *(UnicodeDecodeError, UnicodeEncodeError, KeyError, OverflowError, TypeError),
    *(AssertionError, ValueError, Exception),
]


# Names and signatures


def test_the_version_is_that_of_the_tiktoken_that_is_compared_here():
    assert ours.__version__ == tiktoken.__version__


def test_every_public_name_of_tiktoken_is_here():
    modules = {"core", "load", "model", "registry"}
    assert public(tiktoken) - modules - public(ours) == set()
    assert public(tiktoken.Encoding) - public(ours.Encoding) == set()
    assert public(THEIRS) - public(OURS) == set()
    for name in modules:
        assert inspect.ismodule(__import__(f"llama3_tok.compat.tiktoken.{name}"))


@pytest.mark.parametrize("name", sorted(public(tiktoken.Encoding) | {"__init__"}))
def test_methods_have_tiktokens_signature(name):
    mine, other = (inspect.getattr_static(one, name) for one in (ours.Encoding, tiktoken.Encoding))
    if not inspect.isfunction(other):
        assert type(mine) is type(other)
        return
    assert shape(mine) == shape(other)


@pytest.mark.parametrize(
    "name",
    ["encoding_for_model", "encoding_name_for_model", "get_encoding", "list_encoding_names"],
)
def test_functions_have_tiktokens_signature(name):
    assert shape(getattr(ours, name)) == shape(getattr(tiktoken, name))


def test_tiktoken_is_not_imported():
    code = """
import sys
import llama3_tok.compat.tiktoken as tiktoken
print(tiktoken.get_encoding("llama3.1").encode("Hello world"), "tiktoken" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[9906, 1917] False\n"


# Results

TEXTS = [
    *("", "hello world", " Việt", "漢字 😀", "a\n\n  b", "<|eot_id|>", "<|eot_id", "x<|eom_id|>y"),
    *("\ud83d\ude00", "\ud800", b"bytes", None, 5, ["a"]),
]
SELECTIONS = [
    {},
    {"allowed_special": "all"},
    {"allowed_special": set()},
    {"allowed_special": {"<|eot_id|>"}},
    {"allowed_special": frozenset({"<|eot_id|>", "unknown"})},
    {"allowed_special": {"<|eot_id|>"}, "disallowed_special": {"<|eot_id|>"}},
    {"allowed_special": {"<|eot_id|>"}, "disallowed_special": ()},
    {"disallowed_special": ()},
    {"disallowed_special": []},
    {"disallowed_special": {"<|eom_id|>"}},
    {"disallowed_special": ["hello"]},
    {"disallowed_special": {""}},
    {"disallowed_special": "hello"},
    {"disallowed_special": {1}},
    {"disallowed_special": 5},
    {"allowed_special": ["<|eot_id|>"]},
    {"allowed_special": ["<|eot_id|>"], "disallowed_special": ()},
    {"allowed_special": "<|eot_id|>"},
    {"allowed_special": {1}},
    {"allowed_special": None},
    {"allowed_special": {"a": 1}.keys()},
]
IDS = [
    *([], [9906, 1917], (9906, 1917), range(3), np.array([9906, 1917]), b"ab", [187], [128009]),
    *(
        [128255],
        [128256],
        [2**31],
        [2**32],
        [-1],
        [2**70],
        ["a"],
        [1.5],
        "ab",
        5,
        None,
        {1: 2},
        {1},
    ),
    *([3922, 119], [15722, 95, 98]),
]
CASES = [
    *(("encode", (text,), options) for text in TEXTS for options in SELECTIONS),
    *(
        ("encode_batch", ([text, "b"],), options)
        for text in TEXTS
        for options in SELECTIONS
        # Not one after the other as in `encode`: a str is a selection of its characters there.
    ),
    *(("encode_ordinary", (text,), {}) for text in TEXTS),
    *(("encode_ordinary_batch", ([text],), {}) for text in TEXTS),
    *(("encode_single_token", (text,), {}) for text in [*TEXTS, b"\xff", b"<|eot_id|>", "hello"]),
    *(
        (name, (text,), options)
        for name in ("encode_to_numpy", "encode_with_unstable")
        for text in TEXTS
        if text not in ("\ud83d\ude00", "\ud800")  # where tiktoken fails
        for options in SELECTIONS
    ),
    *(
        ("encode_batch", (texts,), {"num_threads": n})
        for n in (1, 3, 0, "x")
        for texts in (["a"], "ab")
    ),
    *(("encode_batch", (texts,), {}) for texts in ([], 5, None)),
    *(("encode_batch", (["a"],), {"disallowed_special": None}) for _ in range(1)),
    *(
        (name, (ids,), {})
        for name in ("decode", "decode_bytes", "decode_tokens_bytes", "decode_with_offsets")
        for ids in IDS
        # What can be iterated but has no places; tiktoken's own methods differ about it.
        if not isinstance(ids, dict | set | str)
    ),
    *(("decode", (ids,), {"errors": errors}) for ids in IDS for errors in ("strict", "ignore")),
    # One that Python lacks matters only where a character is cut.
    *(("decode", (ids,), {"errors": "nonsense"}) for ids in ([9906], [], [251])),
    *(("decode_batch", ([[9906], ids],), {"errors": "nonsense"}) for ids in ([1917], [251])),
    *(("decode_batch", ([ids, [1]],), {}) for ids in IDS),
    *(("decode_bytes_batch", ([ids, [1]],), {}) for ids in IDS),
    *(("decode_batch", ([[1]],), {"num_threads": n}) for n in (1, 0)),
    *(("decode_bytes_batch", ([[1]],), {"num_threads": n}) for n in (1, 0)),
    *(
        ("decode_single_token_bytes", (id,), {})
        for id in (0, 187, 128009, 128256, -1, 2**40, "a", 1.5, None, np.int64(5), True)
    ),
    *(
        ("is_special_token", (id,), {})
        for id in (0, 128000, 128256, -1, "a", None, np.int64(128009))
    ),
    ("token_byte_values", (), {}),
]


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES}))
def test_results_and_kinds_of_errors_are_tiktokens(name):
    compared = 0
    for case, arguments, options in CASES:
        # Which of two errors comes first is not compared.
        wrong = options.get("allowed_special") in ({1}, {"a": 1}.keys())
        two_faults = wrong and "<|e" in str(arguments)
        if case != name or two_faults:
            continue
        mine, other = (
            outcome(lambda one=one: getattr(one, name)(*arguments, **options))  # noqa: B023
            for one in (OURS, THEIRS)
        )
        if name == "encode_with_unstable" and isinstance(other, tuple):
            mine, other = ((kind, (ids, sorted(more))) for kind, (ids, more) in (mine, other))
        assert mine == other, (arguments, options)
        compared += 1
    assert compared


def test_the_table_of_cases_has_every_method():
    methods = {
        name
        for name in public(tiktoken.Encoding)
        if inspect.isfunction(inspect.getattr_static(tiktoken.Encoding, name))
    }
    assert methods == {name for name, _, _ in CASES}


@pytest.mark.parametrize("name", ["max_token_value", "n_vocab", "special_tokens_set"])
def test_properties_are_tiktokens(name):
    assert getattr(OURS, name) == getattr(THEIRS, name)
    assert type(getattr(OURS, name)) is type(getattr(THEIRS, name))


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(strategies.texts(), st.sampled_from([{}, *SELECTIONS[:8]]))
def test_any_text_is_encoded_as_by_tiktoken(text, options):
    assert outcome(lambda: OURS.encode(text, **options)) == outcome(
        lambda: THEIRS.encode(text, **options)
    )


@settings(max_examples=max(EXAMPLES // 20, 1))
@given(st.lists(st.integers(0, 128255), max_size=12))
def test_any_ids_are_decoded_as_by_tiktoken(ids):
    for name in ("decode", "decode_with_offsets"):
        assert outcome(lambda: getattr(OURS, name)(ids)) == outcome(  # noqa: B023
            lambda: getattr(THEIRS, name)(ids)  # noqa: B023
        )


ENDINGS = [
    *(
        "hello",
        " fan",
        "ta",
        " ",
        "  ",
        "\n",
        "\n ",
        "\t",
        "é",
        "ü",
        " Vi",
        " Việ",
        "日本",
        "😀",
        "x",
    ),
    *(
        "123",
        "'",
        "'s",
        "<|eot_id|>",
        "!",
        "...",
        "\u3000",
        "\xa0",
        "\x1c",
        "\r",
        "the qu",
        "=" * 9,
    ),
]


@settings(max_examples=max(EXAMPLES // 200, 1))
@given(st.lists(st.sampled_from(ENDINGS), max_size=5).map("".join), st.booleans())
def test_unstable_ends_are_tiktokens(text, special):
    options = {"allowed_special": "all"} if special else {"disallowed_special": ()}
    ids, more = OURS.encode_with_unstable(text, **options)
    expected, others = THEIRS.encode_with_unstable(text, **options)
    assert (ids, sorted(more)) == (expected, sorted(map(list, others)))
    assert text.encode().startswith(OURS.decode_bytes(ids))


# Where tiktoken gives no answer


@pytest.mark.parametrize("wrong", [128256, 2**32 - 1, 2**32, -1, 2**200])
def test_ids_of_no_token_are_named_with_their_position(wrong):
    error = KeyError if wrong in range(2**32) else OverflowError
    for name in ("decode", "decode_bytes", "decode_tokens_bytes", "decode_with_offsets"):
        with pytest.raises(error, match=f"{wrong} at position 1 is"):
            getattr(OURS, name)([1, wrong])
        with pytest.raises(error):
            getattr(THEIRS, name)([1, wrong])
    with pytest.raises(error, match=rf"batch\[1\]: {wrong} at position 0 is"):
        OURS.decode_batch([[1], [wrong]])


def test_what_tiktoken_can_not_do_is_done():
    with pytest.raises(KeyError):
        THEIRS.eot_token  # noqa: B018 - it is a property
    assert OURS.eot_token == 128001
    for name in ("encode_to_numpy", "encode_with_unstable"):
        with pytest.raises(UnicodeEncodeError):
            getattr(THEIRS, name)("\ud800")
    assert OURS.encode_to_numpy("\ud800").tolist() == OURS.encode("\ud800")
    assert OURS.encode_with_unstable("\ud800 a") == OURS.encode_with_unstable("\ufffd a")
    assert len(OURS.encode(" " * 1_000_000)) == 7813


def test_a_disallowed_special_token_is_named_with_what_to_do():
    with pytest.raises(ValueError, match=r"'<\|eot_id\|>' at byte 3") as caught:
        OURS.encode("é <|eot_id|>")
    assert isinstance(caught.value, SpecialTokenError)
    assert (caught.value.token, caught.value.offset) == ("<|eot_id|>", 3)
    for way in ("allowed_special={'<|eot_id|>'}", "disallowed_special=()"):
        assert way in str(caught.value)
    with pytest.raises(SpecialTokenError) as caught:
        OURS.encode_batch(["a", "<|eot_id|>"])
    assert caught.value.index == 1


# Encodings by name, by model, of tables


def test_encodings_are_the_profiles_by_name():
    assert ours.list_encoding_names() == PROFILES
    for name in PROFILES:
        encoding = ours.get_encoding(name)
        assert encoding is ours.get_encoding(name)
        assert (encoding.name, repr(encoding)) == (name, f"<Encoding '{name}'>")
        assert encoding.n_vocab == Tokenizer(profile=name).vocab_size
        assert encoding.special_tokens_set == set(Tokenizer(profile=name).special_tokens)


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base", "gpt2", "", 5, None])
def test_another_encoding_is_refused_and_told_what_is_here(name):
    with pytest.raises(ValueError, match=r"holds Llama 3 only, which is llama3, llama3.1"):
        ours.get_encoding(name)


def test_models_have_the_encoding_of_their_release():
    for model, name in (
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3"),
        ("Llama-3-70B", "llama3"),
        ("meta-llama/Meta-Llama-3.1-405B", "llama3.1"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1"),
        ("meta-llama/Llama-3.2-1B", "llama3.2"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama3.2-vision"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3.3"),
        ("Llama3.2-11B-Vision", "llama3.2-vision"),
        ("Llama3.2-3B-Instruct:int4-qlora-eo8", "llama3.2"),
    ):
        assert ours.encoding_name_for_model(model) == name
        assert ours.encoding_for_model(model) is ours.get_encoding(name)
    for model in (
        "gpt-4o",
        "Llama-2-7b-chat",
        "Llama-4-Scout-17B-16E",
        "meta-llama/Llama-2-7b",
        "meta-llama/Llama-4-Scout",
    ):
        with pytest.raises(KeyError, match="holds Llama 3"):
            ours.encoding_for_model(model)


def test_an_encoding_is_made_of_tables_as_by_metas_code():
    from llama_models.llama3.tokenizer import Tokenizer as Meta

    meta = Meta.get_instance().model
    load = llama3_tok.compat.tiktoken.load.load_tiktoken_bpe
    ranks = load(vocabulary.find(), META_SHA256)
    assert ranks == tiktoken.load.load_tiktoken_bpe(vocabulary.find()) == OURS._mergeable_ranks
    made = ours.Encoding(
        "mine",
        pat_str=meta._pat_str,
        mergeable_ranks=ranks,
        special_tokens=meta._special_tokens,
        explicit_n_vocab=128256,
    )
    text = "Việt <|image|> <|eot_id|>"
    assert made.encode(text, allowed_special="all") == meta.encode(text, allowed_special="all")
    again = pickle.loads(pickle.dumps(made))
    assert (again.name, again.encode("Việt")) == ("mine", made.encode("Việt"))
    with pytest.raises(ValueError, match="another|was expected"):
        load(vocabulary.find(), "0" * 64)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pat_str": r"\w+"}, "is not Llama 3's"),
        ({"special_tokens": {"<|endoftext|>": 5}}, "has the id 5, which another token has"),
        ({"special_tokens": {"Hello": 128000}}, "is an ordinary token in it with the id 9906"),
        ({"special_tokens": {"": 128000}}, "has no name"),
        ({"mergeable_ranks": {b"a": 0}}, "is not a token"),
        ({"explicit_n_vocab": 5}, "explicit_n_vocab is 5, but there are 128256"),
    ],
)
def test_tables_of_another_tokenizer_are_refused(changes, reason):
    tables = {
        "pat_str": oracle.PATTERN,
        "mergeable_ranks": oracle.ranks(),
        "special_tokens": oracle.SPECIAL,
    }
    with pytest.raises(ValueError, match=reason):
        ours.Encoding("mine", **(tables | changes))


def test_an_encoding_is_pickled_by_name_and_copied_as_tiktokens():
    assert len(pickle.dumps(OURS)) < 200
    for again in (pickle.loads(pickle.dumps(OURS)), copy.copy(OURS), copy.deepcopy(OURS)):
        assert again.encode("Hello world") == [9906, 1917]
        assert (again.name, again.n_vocab) == (OURS.name, OURS.n_vocab)


OWN = {**oracle.SPECIAL, "<|im_start|>": 128256, "<|im_end|>": 128260, "<think>": 128002}


@pytest.fixture(scope="module")
def own():
    """An encoding with special tokens of one's own, made as tiktoken documents it, ours and its."""
    tables = {"pat_str": oracle.PATTERN, "mergeable_ranks": oracle.ranks(), "special_tokens": OWN}
    return ours.Encoding("mine", **tables), tiktoken.Encoding("mine", **tables)


@settings(max_examples=max(EXAMPLES // 100, 1))
@given(data=st.data())
def test_special_tokens_of_ones_own_are_tiktokens(own, data):
    mine, theirs = own
    assert (mine.n_vocab, mine.special_tokens_set) == (theirs.n_vocab, theirs.special_tokens_set)
    names = ["<|im_start|>", "<|im_end|>", "<think>", "<|reserved_special_token_0|>", "<|eot_id|>"]
    parts = st.sampled_from([*names, "<|im", "Hello", " ", "\n", "<", "é", "think>"])
    text = "".join(data.draw(st.lists(parts, max_size=12)))
    allowed = data.draw(st.sets(st.sampled_from(names)) | st.just("all"))
    ids = mine.encode(text, allowed_special=allowed, disallowed_special=())
    assert ids == theirs.encode(text, allowed_special=allowed, disallowed_special=())
    assert mine.decode_bytes(ids) == theirs.decode_bytes(ids) or 128002 in ids
    for id in (128002, 128256, 128260, 5):
        assert mine.is_special_token(id) == theirs.is_special_token(id)


def test_special_tokens_of_ones_own_are_pickled(own):
    again = pickle.loads(pickle.dumps(own[0]))
    names = "<think><|im_end|>"
    assert again.encode(names, allowed_special="all") == own[1].encode(names, allowed_special="all")


@settings(max_examples=max(EXAMPLES // 10, 1))
@given(
    st.binary(max_size=30) | strategies.texts().map(lambda text: text.encode("utf-8", "replace"))
)
def test_what_others_call_of_tiktokens_own_methods_is_there(data):
    text = data.decode("utf-8", "replace")
    assert OURS._encode_bytes(data) == THEIRS._encode_bytes(data)
    assert OURS._encode_bytes(data[:-1]) == THEIRS._encode_bytes(data[:-1])
    # There the package regex cuts, whose Unicode is newer than that of the rest of tiktoken.
    if THEIRS._encode_only_native_bpe(text) == THEIRS.encode_ordinary(text):
        assert OURS._encode_only_native_bpe(text) == THEIRS._encode_only_native_bpe(text)
    if data:
        assert OURS._encode_single_piece(data) == THEIRS._encode_single_piece(data)
        assert OURS._encode_single_piece(text) == THEIRS._encode_single_piece(text)
