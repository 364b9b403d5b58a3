"""`Llama3Tokenizer` beside what `AutoTokenizer` makes of a folder: conversations, collators."""

import copy
import inspect

import pytest
import transformers
from transformers import AddedToken, PreTrainedTokenizerBase

import chat_oracle
from batch_encodings import RANDOM_TEXTS, same
from llama3_tok import PROFILES, ChatFormatError, Tokenizer
from llama3_tok.compat.transformers import Llama3Tokenizer

pytestmark = RANDOM_TEXTS

CONVERSATIONS = 300


# Conversations


@pytest.mark.parametrize("profile", PROFILES)
def test_conversations_are_those_of_encode_chat(profile):
    tokenizer, ours = Tokenizer(profile=profile), Llama3Tokenizer(profile=profile)
    for seed in range(CONVERSATIONS):
        if profile == "meta":
            messages, options = chat_oracle.meta_conversation(seed, "json"), {}
        else:
            messages, options = chat_oracle.hf_conversation(seed, profile)
        given = dict(options)
        if "date" in given:
            given["date_string"] = given.pop("date")
        if "tools_in" in given:
            given["tools_in_user_message"] = given.pop("tools_in") == "user"
        prompt = seed % 2 == 0
        options["add_generation_prompt"] = given["add_generation_prompt"] = prompt
        ids, mask = tokenizer.encode_chat(messages, return_mask=True, **options)
        out = ours.apply_chat_template(messages, return_assistant_tokens_mask=True, **given)
        assert (out["input_ids"], out["attention_mask"]) == (ids, [1] * len(ids))
        assert out["assistant_masks"] == mask.tolist()
        assert ours.apply_chat_template(messages, return_dict=False, **given) == ids
        text = ours.apply_chat_template(messages, tokenize=False, **given)
        assert text == tokenizer.render_chat(messages, **options)


CHAT = [
    {"role": "user", "content": "Hi <|eot_id|>"},
    {"role": "assistant", "content": "Hello there"},
]
BATCH = [CHAT, [*CHAT, {"role": "user", "content": "More"}]]


def test_text_of_a_message_makes_no_special_token(ours, theirs):
    ids = ours.apply_chat_template(CHAT, return_dict=False)
    assert ids.count(128009) == 3  # system, user, assistant
    assert theirs.apply_chat_template(CHAT, return_dict=False).count(128009) == 4
    assert ours.apply_chat_template(CHAT, return_dict=False, sanitize_control_tokens=True) == ids


@pytest.mark.skipif(
    "sanitize_control_tokens"
    not in inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters,
    reason="this transformers is too old to have sanitize_control_tokens",
)
def test_a_message_is_what_sanitize_control_tokens_makes_of_it(ours, theirs):
    ids = ours.apply_chat_template(CHAT, return_dict=False)
    # Theirs cuts the text before and after the name, so some ordinary ids are others.
    safe = theirs.apply_chat_template(CHAT, return_dict=False, sanitize_control_tokens=True)
    assert safe.count(128009) == 3
    assert theirs.decode(safe) == ours.decode(ids)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": True},
        {"padding": True, "return_tensors": "np"},
        {"truncation": True, "max_length": 30},
        {"truncation": True, "max_length": 50, "padding": "max_length"},
        {"return_dict": False},
        {"tokenize": False},
        {"add_generation_prompt": True},
        {"continue_final_message": True},
        {"continue_final_message": "content"},
        {"continue_final_message": True, "tokenize": False},
    ],
)
def test_options_are_those_of_apply_chat_template(ours, theirs, options):
    plain = [
        [{**one, "content": one["content"].replace("<|eot_id|>", "")} for one in chat]
        for chat in BATCH
    ]
    for conversation in (plain[0], plain[1], plain):
        got, expected = (one.apply_chat_template(conversation, **options) for one in (ours, theirs))
        if isinstance(expected, transformers.BatchEncoding):
            same(got, expected)
        else:
            assert got == expected


@pytest.mark.parametrize("side", ["left", "right"])
def test_masks_are_cut_and_padded_with_the_ids(saved_folder, side):
    ours = Llama3Tokenizer.from_pretrained(saved_folder, padding_side=side, truncation_side=side)
    options = {"return_assistant_tokens_mask": True, "padding": "max_length"}
    ids, mask = ours.llama3.encode_chat(CHAT, add_generation_prompt=False, return_mask=True)
    for length in (len(ids) - 4, len(ids) + 4):
        out = ours.apply_chat_template(
            [CHAT], truncation=True, max_length=length, return_tensors="np", **options
        )
        assert out["input_ids"].shape == out["assistant_masks"].shape == (1, length)
        pairs = list(
            zip(out["input_ids"][0].tolist(), out["assistant_masks"][0].tolist(), strict=True)
        )
        whole = list(zip(ids, mask.tolist(), strict=True))
        pad = [(128004, 0)] * (length - len(ids))
        if side == "left":
            assert pairs == pad + whole[-length:]
        else:
            assert pairs == whole[:length] + pad


def test_functions_are_tools_by_their_signature(ours, theirs):
    def weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: Where.
        """

    for tools in ([weather], [transformers.utils.get_json_schema(weather)]):
        text = ours.apply_chat_template([CHAT[0]], tools=tools, tokenize=False)
        assert text == theirs.apply_chat_template([CHAT[0]], tools=tools, tokenize=False)
        assert '"name": "weather"' in text


def test_another_template_may_be_given_or_set(ours):
    template = "{% for message in messages %}{{ message.content }}<|eot_id|>{% endfor %}"
    text = ours.apply_chat_template(CHAT[1:], chat_template=template, tokenize=False)
    assert text == "Hello there<|eot_id|>"
    mine = copy.deepcopy(ours)
    mine.chat_template = template
    assert mine.apply_chat_template(CHAT[1:], return_dict=False) == [9906, 1070, 128009]


def test_what_the_format_can_not_hold_is_refused(ours):
    with pytest.raises(ChatFormatError):
        ours.apply_chat_template([{"role": "nobody", "content": "a"}])
    with pytest.raises(ValueError, match="return_dict=True"):
        ours.apply_chat_template(CHAT, return_assistant_tokens_mask=True, return_dict=False)


# Collators


def test_padding_a_list_of_features_is_that_of_the_base_class(ours, theirs):
    features = [ours("a b c"), ours("a")]
    same(ours.pad(features, return_tensors="np"), theirs.pad(features, return_tensors="np"))


def test_collators_that_make_arrays_accept_it(ours, theirs):
    features = [ours("a b c"), ours("a")]
    for made in (
        lambda one: transformers.DataCollatorWithPadding(one, return_tensors="np"),
        lambda one: transformers.DataCollatorForLanguageModeling(
            one, mlm=False, return_tensors="np"
        ),
    ):
        mine, other = (made(one)([dict(f) for f in features]) for one in (ours, theirs))
        assert {k: v.tolist() for k, v in mine.items()} == {k: v.tolist() for k, v in other.items()}
    labelled = [dict(one) | {"labels": list(one["input_ids"])} for one in features]
    collator = transformers.DataCollatorForSeq2Seq(ours, return_tensors="np")
    out = collator(labelled)
    assert out["labels"].tolist()[1] == [128000, 64, -100, -100]
    assert out["input_ids"].tolist()[1] == [128000, 64, 128004, 128004]


def test_added_tokens_are_found_in_a_conversation_unless_they_are_special(ours, theirs):
    messages = [{"role": "user", "content": "x <sku> <secret>"}]
    found = []
    for one in (copy.deepcopy(ours), copy.deepcopy(theirs)):
        one.add_tokens(["<sku>"])
        one.add_tokens([AddedToken("<secret>", special=True)], special_tokens=True)
        found.append(one.apply_chat_template(messages, return_dict=False))
    mine, unsafe = found
    assert {128256, 128257} & set(mine) == {128256}
    assert {128256, 128257} <= set(unsafe)
    with pytest.raises(ValueError, match="can't both be"):
        ours.apply_chat_template(messages, add_generation_prompt=True, continue_final_message=True)


def test_a_rendered_conversation_that_is_encoded_again_is_warned_of(ours):
    text = ours.apply_chat_template(CHAT, tokenize=False)
    for inputs in (text, ["a", text], ours(text, add_special_tokens=False)["input_ids"]):
        with pytest.warns(UserWarning, match="begins with <|begin_of_text|> already"):
            ours(inputs)
    for options in ({"add_special_tokens": False}, {"split_special_tokens": True}):
        ours(text, **options)
