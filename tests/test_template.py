"""The chat templates that `save` writes, rendered by transformers, against `render_chat`."""

import pytest

import chat_oracle
from chat_oracle import HF_PROFILES, by_hugging_face
from llama3_tok import PROFILES, ChatFormatError, Tokenizer
from llama3_tok.profiles import chat_template

CONVERSATIONS = 2000


@pytest.fixture(scope="module", params=PROFILES)
def saved(request, releases):
    """A tokenizer, and what AutoTokenizer makes of the folder that it saved."""
    from transformers import AutoTokenizer

    tokenizer = Tokenizer(profile=request.param)
    return tokenizer, AutoTokenizer.from_pretrained(releases.folder(request.param))


def conversation(seed, profile):
    if profile == "meta":
        return chat_oracle.meta_conversation(seed, "json"), {}
    return chat_oracle.hf_conversation(seed, profile)


def variables(options):
    """Our options by the names that templates have for them."""
    names = {"date": "date_string"}
    renamed = {names.get(name, name): value for name, value in options.items()}
    if "tools_in" in renamed:
        renamed["tools_in_user_message"] = renamed.pop("tools_in") == "user"
    return renamed


@pytest.mark.long
def test_the_template_renders_what_render_chat_does_and_gives_its_ids(saved):
    tokenizer, hugging_face = saved
    differing = 0
    for seed in range(CONVERSATIONS):
        messages, options = conversation(seed, tokenizer.profile)
        if seed % 2:  # as rows of a table have them
            empty = {"tool_calls": None, "context": None}
            messages = [
                (empty if message["role"] in ("user", "assistant") else {}) | message
                for message in messages
            ]
        prompt = seed % 3 > 0
        given = variables(options) | {"add_generation_prompt": prompt}
        text = hugging_face.apply_chat_template(messages, tokenize=False, **given)
        options["add_generation_prompt"] = prompt
        assert text == tokenizer.render_chat(messages, **options)
        ids = hugging_face.apply_chat_template(messages, return_dict=False, **given)
        if tokenizer.profile != "meta":
            assert ids == tokenizer.encode_chat(messages, **options)
        elif ids != tokenizer.encode_chat(messages, **options):
            differing += 1
    # Meta's class encodes the parts of a message one by one, which no template can say.
    if tokenizer.profile == "meta":
        assert 0 < differing < CONVERSATIONS


@pytest.mark.long
@pytest.mark.parametrize("profile", HF_PROFILES)
def test_the_template_renders_what_the_published_one_does(profile):
    published = chat_oracle.template(profile)
    for seed in range(CONVERSATIONS, 2 * CONVERSATIONS):
        messages, options = conversation(seed, profile)
        given = variables(options) | {"add_generation_prompt": seed % 2 == 0, "tokenize": False}
        hugging_face = chat_oracle.hugging_face()
        ours = hugging_face.apply_chat_template(
            messages, chat_template=chat_template(profile), **given
        )
        theirs = hugging_face.apply_chat_template(messages, chat_template=published, **given)
        assert ours == theirs


def test_what_render_chat_refuses_the_templates_of_3_1_and_later_refuse_too(saved):
    tokenizer, hugging_face = saved
    if tokenizer.profile in ("llama3", "meta"):
        pytest.skip("profile has no tools in its template")
    tool = {"type": "function", "function": {"name": "f"}}
    call = {"function": {"name": "f", "arguments": {}}}
    two_calls = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [call, call]},
    ]
    for messages, tools in (
        ([{"role": "system", "content": "s"}], [tool]),
        ([{"role": "assistant", "content": "a"}], [tool]),
        (two_calls, None),
    ):
        with pytest.raises(ChatFormatError):
            tokenizer.render_chat(messages, tools=tools)
        with pytest.raises(Exception, match=r"tools are told|one tool call"):
            hugging_face.apply_chat_template(messages, tools=tools, tokenize=False)


@pytest.mark.long
def test_parts_of_content_are_joined_and_an_image_is_a_token_only_where_there_are_images(saved):
    tokenizer, hugging_face = saved
    text = [{"type": "text", "text": " a "}, {"type": "text", "text": "b "}]
    image = [*text, {"type": "image"}]
    for role in ("user", "assistant", "system"):
        messages = [{"role": role, "content": text}]
        theirs = hugging_face.apply_chat_template(messages, tokenize=False)
        assert theirs == tokenizer.render_chat(messages, add_generation_prompt=False)
    messages = [{"role": "user", "content": image}]
    if "<|image|>" in tokenizer.special_tokens:
        theirs = hugging_face.apply_chat_template(messages, tokenize=False)
        assert theirs == tokenizer.render_chat(messages, add_generation_prompt=False)
    else:
        with pytest.raises(Exception, match="no images"):
            hugging_face.apply_chat_template(messages, tokenize=False)


def test_the_published_oracle_is_what_is_rendered_here():
    """The two ways to the published template agree: a check on this file's own `variables`."""
    messages, options = chat_oracle.hf_conversation(5, "llama3.1")
    given = variables(options) | {"tokenize": False}
    theirs = chat_oracle.hugging_face().apply_chat_template(
        messages, chat_template=chat_oracle.template("llama3.1"), **given
    )
    assert by_hugging_face("llama3.1", messages, **options) == theirs
