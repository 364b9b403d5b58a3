"""Names and arguments of other libraries: the errors say what they are called here."""

import subprocess
import sys

import pytest

from llama3_tok import (
    Tokenizer,
)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("apply_chat_template", "encode_chat"),
        ("convert_ids_to_tokens", "token_bytes"),
        ("convert_tokens_to_ids", "token_id"),
        ("eos_token_id", "eos_id"),
        ("encode_ordinary", "encode(text)"),
        ("n_vocab", "vocab_size"),
        ("save_pretrained", "save"),
        ("from_pretrained", "nothing is downloaded"),
        ("batch_decode", "decode_batch"),
    ],
)
def test_names_of_other_libraries_are_told_what_they_are_here(tokenizer, name, ours):
    for asked in (tokenizer, Tokenizer):
        with pytest.raises(AttributeError) as caught:
            getattr(asked, name)
        assert ours in str(caught.value)
        assert "llama3_tok.compat" in str(caught.value)
        assert not hasattr(asked, name)


def test_names_of_other_libraries_can_not_be_set_and_are_not_listed(tokenizer):
    from llama3_tok import elsewhere

    with pytest.raises(AttributeError, match=r"use pad\(sequences, side=...\)"):
        tokenizer.padding_side = "left"
    for asked in (tokenizer, Tokenizer):
        assert not elsewhere._ATTRIBUTES.keys() & set(dir(asked))
        assert {"encode", "__len__", "bos_id"} <= set(dir(asked))


def test_a_subclass_may_have_a_name_of_another_library():
    class Own(Tokenizer):
        def tokenize(self, text):
            return self.encode(text)

    own = Own()
    assert own.tokenize("hello") == [15339]
    assert "tokenize" in dir(own)
    with pytest.raises(AttributeError, match="'Own' object has no attribute 'n_vocab'; use"):
        _ = own.n_vocab


def test_no_attribute_is_asked_for_in_the_slow_way():
    # A class with `__getattr__` makes each access of each attribute slower.
    assert not hasattr(Tokenizer, "__getattr__")


def test_a_hint_names_only_what_there_is(tokenizer):
    from llama3_tok import elsewhere

    for name, hint in elsewhere._ATTRIBUTES.items():
        assert not hasattr(tokenizer, name), name
        if hint:
            ours = hint.split("(")[0].split(",")[0].split(".")[0].split("[")[0].split(" ")[0]
            assert ours == "Tokenizer" or hasattr(tokenizer, ours), hint


def test_other_names_that_are_missing_are_missing(tokenizer):
    with pytest.raises(AttributeError, match="'Tokenizer' object has no attribute 'nothing'$"):
        _ = tokenizer.nothing
    assert not hasattr(tokenizer, "__array__")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: t.encode(["a", "b"]),
            "not list; several texts go to encode_batch",
        ),
        (lambda t: t.decode([[1], [2]]), "not list; several sequences go to decode_batch"),
        (
            lambda t: t.decode([1], skip_special_tokens=True),
            "it is skip_special=True",
        ),
        (
            lambda t: t.decode_batch([[1]], clean_up_tokenization_spaces=True),
            "spaces are never cleaned up",
        ),
        (lambda t: t.encode("a", return_tensors="pt"), "encode_array"),
        (lambda t: t.encode("a", max_length=5), "truncate(text, max_tokens)"),
        (lambda t: t.encode_chat([], tokenize=False), "render_chat"),
        (lambda t: t.decode([1], skip_special=1), "skip_special must be a bool, not int"),
    ],
)
def test_arguments_of_other_libraries_are_told_what_they_are_here(tokenizer, call, message):
    with pytest.raises(TypeError) as caught:
        call(tokenizer)
    assert message in str(caught.value)


def test_a_name_that_is_nearly_right_is_suggested(tokenizer):
    code = "import llama3_tok; llama3_tok.Tokenizer().encode_bach"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Did you mean: 'encode_batch'?" in run.stderr
    with pytest.raises(AttributeError, match="^type object 'Tokenizer' has no attribute 'encod'$"):
        _ = Tokenizer.encod
