"""What fast tokenizers have: places of tokens, words, and rows that overflow.

All is compared with what `AutoTokenizer` makes of a folder that was saved here.
"""

import copy
import dataclasses
import logging
import pickle

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AddedToken, AutoTokenizer

import strategies
from batch_encodings import RANDOM_TEXTS
from conftest import EXAMPLES
from llama3_tok.compat.transformers import Llama3Tokenizer

pytestmark = RANDOM_TEXTS

KINDS = ["bos", "eos", "neither", "added", "left", "short"]


def both_of(kind, saved_folder, path):
    """A tokenizer of this package and transformers' own, which do the same."""
    options = {
        "eos": {"add_eos_token": True},
        "neither": {"add_bos_token": False},
        "left": {"padding_side": "left", "truncation_side": "left"},
        "short": {"model_max_length": 7},
    }.get(kind, {})
    ours = Llama3Tokenizer.from_pretrained(saved_folder, **options)
    if options:
        ours.save_pretrained(path)
        return ours, AutoTokenizer.from_pretrained(path)
    both = ours, AutoTokenizer.from_pretrained(saved_folder)
    if kind == "added":
        for tokenizer in both:
            tokenizer.add_tokens(
                [
                    "<tool>",
                    "Zürich",
                    AddedToken("<right>", rstrip=True),
                    AddedToken("qzx", single_word=True),
                ]
            )
            special = AddedToken("<left>", lstrip=True, normalized=False, special=True)
            tokenizer.add_special_tokens({"extra_special_tokens": ["<|mine|>", special]})
    return both


@pytest.fixture(scope="module", params=KINDS)
def both(request, saved_folder, tmp_path_factory):
    made = both_of(request.param, saved_folder, tmp_path_factory.mktemp(request.param))
    return lambda: made  # what fails is shown with its arguments, and a tokenizer is long


@pytest.fixture(scope="module")
def plain(saved_folder, tmp_path_factory):
    made = both_of("bos", saved_folder, tmp_path_factory.mktemp("bos"))
    return lambda: made


ATTRIBUTES = (
    *("ids", "type_ids", "tokens", "offsets", "attention_mask", "special_tokens_mask"),
    *("word_ids", "sequence_ids", "n_sequences"),
)


def same_encoding(ours, theirs):
    """Compares all that can be asked of an encoding, and of those that overflow from it."""
    assert len(ours) == len(theirs)
    for name in ATTRIBUTES:
        assert getattr(ours, name) == getattr(theirs, name), name
    for token in range(len(theirs) + 2):
        for name in ("token_to_sequence", "token_to_chars", "token_to_word"):
            assert getattr(ours, name)(token) == getattr(theirs, name)(token), (name, token)
    for index in range(max((end for _, end in theirs.offsets), default=0) + 2):
        for text in (0, 1, 2):
            for name in ("char_to_token", "char_to_word", "word_to_tokens", "word_to_chars"):
                expected = getattr(theirs, name)(index, text)
                assert getattr(ours, name)(index, text) == expected, (name, index, text)
    for mine, other in zip(ours.overflowing, theirs.overflowing, strict=True):
        same_encoding(mine, other)


def listed(values):
    """An array as lists; rows of different lengths are arrays in an array."""
    return [listed(one) for one in values] if isinstance(values, np.ndarray) else values


def same(ours, theirs):
    """Compares two BatchEncodings and their encodings."""
    assert list(ours) == list(theirs)
    for name in theirs:
        if isinstance(theirs[name], np.ndarray):
            assert ours[name].dtype == theirs[name].dtype
            assert listed(ours[name]) == listed(theirs[name])
        else:
            assert ours[name] == theirs[name], name
    assert ours.is_fast is theirs.is_fast is True
    assert ours.n_sequences == theirs.n_sequences
    for mine, other in zip(ours.encodings, theirs.encodings, strict=True):
        same_encoding(mine, other)


def outcome(tokenizer, text, options):
    """What a call gives and logs; None if it is refused."""
    logger, logged = logging.getLogger("transformers"), []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())
    logger.addHandler(handler)
    tokenizer.deprecation_warnings.clear()  # a text that is too long is told of once
    try:
        return tokenizer(text, **options), logged
    except BaseException as error:  # a panic of the library tokenizers is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None, type(error)
    finally:
        logger.removeHandler(handler)


# What a call gives

PIECES = st.sampled_from(
    [
        *("<tool>", "Zürich", " <right>  ", "qzx", "qzxs", "<|mine|>", "  <left> ", "<|eot_id|>"),
        *(
            "<|begin_of_text|>",
            " ",
            "a",
            "Hello world",
            "👩‍👩‍👧‍👦",
            "漢字",
            "\n\n",
            "é",
            "e\u0301",
            "12345",
        ),
    ]
)


def text_of(pieces):
    """A text without lone surrogates, which the library tokenizers refuse."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


TEXTS = st.lists(PIECES | strategies.fragments(), max_size=6).map(text_of)
SHORT = st.lists(PIECES, max_size=4).map(text_of)
INPUTS = st.one_of(
    TEXTS.map(lambda text: (text, {})),
    st.tuples(SHORT, SHORT).map(lambda pair: (pair[0], {"text_pair": pair[1]})),
    st.lists(SHORT, min_size=1, max_size=3).map(lambda texts: (texts, {})),
    st.lists(st.tuples(SHORT, SHORT), min_size=1, max_size=3).map(lambda pairs: (pairs, {})),
    st.lists(SHORT, min_size=1, max_size=4).map(
        lambda words: (words, {"is_split_into_words": True})
    ),
    st.lists(st.lists(SHORT, min_size=1, max_size=3), min_size=1, max_size=3).map(
        lambda batch: (batch, {"is_split_into_words": True})
    ),
    st.tuples(st.lists(SHORT, min_size=1, max_size=3), st.lists(SHORT, min_size=1, max_size=3)).map(
        lambda pair: (pair[0], {"text_pair": pair[1], "is_split_into_words": True})
    ),
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "add_special_tokens": st.booleans(),
        "max_length": st.sampled_from([None, 4, 5, 8, 12]),
        "pad_to_multiple_of": st.sampled_from([None, 4]),
        "padding": st.sampled_from([False, True, "max_length"]),
        "padding_side": st.sampled_from([None, "left", "right"]),
        "return_attention_mask": st.sampled_from([None, True, False]),
        "return_length": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_overflowing_tokens": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_tensors": st.sampled_from([None, None, "np"]),
        "return_token_type_ids": st.sampled_from([None, True, False]),
        "split_special_tokens": st.booleans(),
        "stride": st.sampled_from([0, 1, 2]),
        "truncation": st.sampled_from([False, True, "only_first", "only_second"]),
        "verbose": st.booleans(),
    },
)


@pytest.mark.long
@settings(max_examples=max(EXAMPLES // 100, 1))
@given(INPUTS, OPTIONS)
def test_a_call_gives_what_auto_tokenizer_gives(both, inputs, options):
    ours, theirs = both()
    text, more = inputs
    expected, logged = outcome(theirs, text, options | more)
    got, mine = outcome(ours, text, options | more)
    if expected is None:
        assert got is None
        return
    assert got is not None, mine
    same(got, expected)
    assert mine == logged


@settings(max_examples=max(EXAMPLES // 40, 1))
@given(strategies.texts().map(lambda text: text_of([text])))
def test_any_text_has_the_places_and_words_of_auto_tokenizer(plain, text):
    ours, theirs = plain()
    same(ours(text, return_offsets_mapping=True), theirs(text, return_offsets_mapping=True))


def test_a_long_text_is_cut_into_rows_that_overlap(plain):
    ours, theirs = plain()
    text = "The quick brown fox, 漢字 and 😀 jump. " * 200
    options = {
        "truncation": True,
        "max_length": 50,
        "stride": 10,
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
    }
    for inputs in (text, [text, "short", text[:500]]):
        got, expected = ours(inputs, **options), theirs(inputs, **options)
        assert dict(got) == dict(expected)
        for mine, other in zip(got.encodings, expected.encodings, strict=True):
            assert mine.word_ids == other.word_ids
            assert mine.tokens == other.tokens


@pytest.mark.long
@settings(max_examples=max(EXAMPLES // 40, 1))
@given(st.lists(PIECES, max_size=8).map(text_of), st.booleans())
def test_a_text_is_tokenized_as_auto_tokenizer_does(both, text, split):
    ours, theirs = both()
    for options in ({}, {"pair": "a b"}, {"add_special_tokens": True}):
        options = options | {"split_special_tokens": split}
        assert ours.tokenize(text, **options) == theirs.tokenize(text, **options)


def test_special_tokens_that_are_split_hide_no_others(saved_folder):
    """A token that is not special is found all the same, but not inside a longer special one."""
    both = [kind.from_pretrained(saved_folder) for kind in (Llama3Tokenizer, AutoTokenizer)]
    for one in both:
        one.add_tokens(["<tool>", "eot"])
        one.add_tokens([AddedToken("<tool>x", special=True, normalized=True)], special_tokens=True)
    ours, theirs = both
    for text in ("<tool>x <tool>y <|eot_id|> eot", "a<|eot_id|><tool>"):
        for split in (True, False):
            expected = theirs(text, split_special_tokens=split, return_offsets_mapping=True)
            got = ours(text, split_special_tokens=split, return_offsets_mapping=True)
            same(got, expected)
            assert 128256 in got["input_ids"]


def test_an_index_below_zero_is_refused(plain):
    for tokenizer in plain():
        encoding = tokenizer("Hello world")[0]
        for ask in (encoding.token_to_chars, encoding.char_to_token, encoding.word_to_tokens):
            with pytest.raises(OverflowError):
                ask(-1)
            with pytest.raises(TypeError):
                ask("0")


# What a call can't give


def test_ids_have_no_places(plain):
    ours, _ = plain()
    out = ours([9906, 1917])
    assert out.encodings is None
    assert not out.is_fast
    with pytest.raises(ValueError, match="given as ids"):
        ours([9906, 1917], return_offsets_mapping=True)


def test_ids_are_cut_and_padded_as_texts_are(plain):
    ours, theirs = plain()
    texts = ["a b c d e f g", "a"]
    ids = [ours.encode(text, add_special_tokens=False) for text in texts]
    for options in (
        {"truncation": True, "max_length": 4, "padding": True},
        {"truncation": True, "max_length": 4, "stride": 1, "return_overflowing_tokens": True},
        {"padding": "max_length", "max_length": 8, "pad_to_multiple_of": 8, "truncation": True},
        {"return_special_tokens_mask": True, "padding": True, "padding_side": "left"},
    ):
        assert dict(ours(ids, **options)) == dict(theirs(texts, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "leaves no room for 1 tokens"),
        ({"max_length": 1, "text_pair": "b"}, "leaves no room for 2 tokens"),
        ({"max_length": 4, "stride": 4}, "stride=4 must be less"),
        ({"max_length": 3, "stride": 2}, "stride=2 must be less than a window"),
        ({"max_length": 3, "truncation": "only_second"}, "needs a second text"),
        (
            {"max_length": 4, "text_pair": "b", "truncation": "only_second"},
            "can't remove 5 tokens from a text of 1",
        ),
    ],
)
def test_a_text_that_can_not_be_cut_as_asked_is_refused(plain, options, message):
    """`AutoTokenizer` refuses all of these but the first two, where it does not cut at all."""
    ours, theirs = plain()
    options = {"truncation": True} | options
    with pytest.raises(ValueError, match=message):
        ours("a b c d e f", **options)
    if "no room" not in message:
        assert outcome(theirs, "a b c d e f", options)[0] is None


def test_padding_has_two_sides(plain):
    ours, _ = plain()
    with pytest.raises(ValueError, match="not 'middle'"):
        ours(["a", "b c"], padding=True, padding_side="middle")


# Encodings are what they were when the call was made


def test_encodings_do_not_change_with_what_they_came_with(saved_folder):
    ours = Llama3Tokenizer.from_pretrained(saved_folder)
    out = ours(["Hello <tool> world", "a"], padding=True)
    out["input_ids"][0].append(5)
    before = ours("Hello <tool> world")[0].tokens
    ours.add_tokens(["<tool>"])
    ours.add_bos_token = False
    assert out[0].tokens == before
    assert out[0].ids == out["input_ids"][0][:-1]
    assert out[1].tokens[:2] == ["<|begin_of_text|>", "a"]
    assert ours("Hello <tool> world")[0].tokens == ["Hello", "Ġ", "<tool>", "Ġworld"]


def test_encodings_can_be_pickled_and_copied_without_the_tokenizer(plain):
    ours, theirs = plain()
    texts = [("Hello 👩‍👩‍👧 world", "a b"), ("a", "c d e f g")]
    options = {"padding": True, "truncation": True, "max_length": 8, "stride": 1}
    for inputs, more in ((texts, options), (["Hello", "a b"], {"padding": True}), ("Hello", {})):
        out = ours(inputs, **more)
        data = pickle.dumps(out)
        assert len(data) < 20_000
        for again in (pickle.loads(data), copy.deepcopy(out)):
            assert dict(again) == dict(out)
            for mine, other in zip(again.encodings, theirs(inputs, **more).encodings, strict=True):
                same_encoding(mine, other)
    assert repr(ours("Hello")[0]) == "FastEncoding(2 tokens of 1 texts)"


def test_a_batch_has_its_encodings_by_index_and_slice(plain):
    ours, theirs = plain()
    mine, other = ours(["a b", "c"]), theirs(["a b", "c"])
    assert mine[1].ids == other[1].ids == [128000, 66]
    assert [one.ids for one in mine.encodings[:1]] == [[128000, 64, 293]]
    assert len(mine.encodings) == 2
    assert mine.tokens(1) == other.tokens(1)
    assert mine.word_ids(0) == other.word_ids(0)
    assert mine.char_to_token(0, 2) == other.char_to_token(0, 2) == 2
    assert mine.token_to_chars(0, 2) == other.token_to_chars(0, 2) == (1, 3)
    with pytest.raises(IndexError):
        mine[2]


# The backend


@pytest.mark.long
def test_the_backend_is_a_tokenizer_with_the_same_ids(saved_folder):
    ours, _ = both_of("added", saved_folder, None)
    text = "a  <left> <tool>Zürich <|mine|> <|eot_id|> 漢字"
    backend = ours.backend_tokenizer
    assert backend is ours.backend_tokenizer is ours._tokenizer
    assert backend.encode(text).ids == ours(text)["input_ids"]
    assert ours.decoder.decode(ours.tokenize("漢字 a")) == "漢字 a"
    ours.add_tokens(["<later>"])
    assert ours.backend_tokenizer.encode("<later>").ids == [128000, len(ours) - 1]
    ours.add_bos_token = False
    assert ours.backend_tokenizer.encode("<later>").ids == [len(ours) - 1]
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert "_made_backend" not in again.__dict__
        assert again.encode("<later>") == ours.encode("<later>")
    assert ours.vocab == ours.get_vocab()


@pytest.fixture(scope="module")
def trained(saved_folder):
    """What both make a new vocabulary of, the tokenizer's own options being others than usual."""
    texts = ["Hello world, hello words", "the word 漢字"] * 3
    made = [
        kind.from_pretrained(
            saved_folder, padding_side="left", model_max_length=50
        ).train_new_from_iterator(iter(texts), 600)
        for kind in (Llama3Tokenizer, AutoTokenizer)
    ]
    return lambda: made


@pytest.mark.long
def test_a_new_vocabulary_is_trained_as_auto_tokenizer_trains_it(trained):
    made = trained()
    assert made[0].get_vocab() == made[1].get_vocab()
    assert made[0]("Hello 漢字 words")["input_ids"] == made[1]("Hello 漢字 words")["input_ids"]
    assert isinstance(made[0], transformers.PreTrainedTokenizerFast)


def test_what_calls_are_asked_for_is_not_kept(plain):
    ours, _ = plain()
    with pytest.raises(NotImplementedError, match="to each call"):
        ours.set_truncation_and_padding(None, None, 4, 0, None, None)


# What transformers asks of every tokenizer


@pytest.mark.parametrize("value", [None, True, False])
def test_a_space_before_a_text_changes_nothing(saved_folder, value):
    options = {} if value is None else {"add_prefix_space": value}
    ours, theirs = (
        kind.from_pretrained(saved_folder, **options)
        for kind in (Llama3Tokenizer, transformers.PreTrainedTokenizerFast)
    )
    assert ours.add_prefix_space is theirs.add_prefix_space is bool(value)
    words = ["Hello", "world"]
    same(ours(words, is_split_into_words=True), theirs(words, is_split_into_words=True))


def test_a_token_that_was_taken_away_is_put_nowhere(saved_folder):
    ours = Llama3Tokenizer.from_pretrained(saved_folder, add_eos_token=True)
    assert ours("a")["input_ids"] == [128000, 64, 128001]
    ours.bos_token = ours.eos_token = None
    assert ours("a")["input_ids"] == ours.encode("a") == ours("a")[0].ids == [64]
    assert ours("a", "b", truncation=True, max_length=2)["input_ids"] == [64, 65]


def test_a_new_vocabulary_has_the_options_of_this_one(trained):
    made = trained()
    for name in (
        *("model_max_length", "max_len_single_sentence", "padding_side", "truncation_side"),
        *("all_special_tokens", "special_tokens_map", "chat_template", "model_input_names"),
    ):
        assert getattr(made[0], name) == getattr(made[1], name), name


@dataclasses.dataclass
class Block:
    type: str
    text: str


@dataclasses.dataclass
class Message:
    role: str
    content: list
    tool_calls: list | None = None


class Dumped:
    """A message as pydantic's models are."""

    def model_dump(self):
        return {"role": "assistant", "content": "Hello", "tool_calls": None}


def test_messages_may_be_objects(plain):
    ours, theirs = plain()
    objects = [Message("user", [Block("text", "Hi")]), Dumped()]
    given = [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
    ]
    for template in (
        None,
        "{% for m in messages %}{{ m.role }}{{ m.tool_calls is defined }}{% endfor %}",
    ):
        options = {"tokenize": False, "chat_template": template}
        text = ours.apply_chat_template(given, **options)
        assert ours.apply_chat_template(objects, **options) == text
        # transformers 5.16 leaves roles and contents of objects out.
        if "Hello" in theirs.apply_chat_template(objects, tokenize=False):
            assert theirs.apply_chat_template(objects, **options) == text
    assert ours.apply_chat_template([objects, objects]) == ours.apply_chat_template([given, given])


def test_a_conversation_without_messages_is_refused(plain):
    for tokenizer in plain():
        with pytest.raises(ValueError, match="conversation"):
            tokenizer.apply_chat_template([], tokenize=False)
