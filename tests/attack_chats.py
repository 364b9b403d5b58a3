"""Every way to make ids of a conversation: how each is attacked; `attack_entries` says how."""

import json
from functools import partial

import hostile_chats
from attack_entries import T, entry, joined
from llama3_tok import ChatFormatError
from llama3_tok.chat.renderer import Renderer
from llama3_tok.chat.rollout import Rollout
from llama3_tok.profiles import chat_template

REFUSED = [ChatFormatError]
chats = partial(entry, has_structure=True)
PREFIX = "llama3_tok.serving.PrefixCache"


def chat(world, text, dice, dialect=None):
    """A conversation that the world's tokenizer can write, and its options."""
    profile = world.tokenizer.chat_profile
    if profile is None:
        roles = ["user", "assistant"] * dice.randrange(1, 3)
        return [{"role": role, "content": text()} for role in roles], {}
    if profile == "meta" or (dialect or dice.choice(("hf", "hf", "meta"))) == "meta":
        tool_format = dice.choice(("json", "function_tag", "python_list"))
        profile = "meta" if profile == "meta" else profile
        return hostile_chats.conversation(text, dice, "meta", "meta", tool_format)
    return hostile_chats.conversation(text, dice, profile, "hf", "json")


@chats(
    f"{T}.encode_chat",
    f"{T}.encode_chat_array",
    f"{T}.count_chat",
    f"{T}.render_chat",
    weight=5,
    refuses=REFUSED,
)
def encode_chat(world, text, dice):
    messages, options = chat(world, text, dice)
    options["add_generation_prompt"] = dice.random() < 0.5
    ids = world.tokenizer.encode_chat(messages, **options)
    assert world.tokenizer.encode_chat_array(messages, **options).tolist() == ids
    assert world.tokenizer.count_chat(messages, **options) == len(ids)
    if world.tokenizer.chat_profile is not None:
        assert world.tokenizer.render_chat(messages, **options) == world.tokenizer.decode(ids)
    return ids


@chats(f"{T}.fit_chat", weight=1, refuses=REFUSED)
def fit_chat(world, text, dice):
    messages, options = chat(world, text, dice)
    fitted = world.tokenizer.fit_chat(messages, 100_000, **options)
    return world.tokenizer.encode_chat(fitted.messages, **options)


@chats(f"{T}.encode_chat", weight=1, releases=True, refuses=REFUSED)
def continue_final_message(world, text, dice):
    messages = [{"role": "user", "content": text()}, {"role": "assistant", "content": f"{text()}."}]
    return world.tokenizer.encode_chat(messages, continue_final_message=True)


@chats(f"{T}.encode_chat", weight=1, releases=True, refuses=REFUSED)
def roles_and_keys(world, text, dice):
    """Text where a name is expected: as a role, a type of content, a field, a tool's name."""
    messages = dice.choice(
        (
            lambda: [{"role": f"{text()}#", "content": "Hi"}],
            lambda: [{"role": "user", "content": [{"type": text(), "text": text()}]}],
            lambda: [{"role": "user", "content": text(), text(): text()}],
            lambda: [{"role": "tool", "content": text(), "name": text(), "tool_call_id": text()}],
            lambda: [{"role": "assistant", "content": "a", "stop_reason": text()}],
            lambda: [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "tool_calls": [{"type": "function", "id": text(), "function": text()}],
                },
            ],
        )
    )()
    return world.tokenizer.encode_chat(messages)


@chats(f"{PREFIX}.encode_chat", f"{PREFIX}.encode_chat_array", weight=2, refuses=REFUSED)
def prefix_cache_of_chats(world, text, dice):
    messages, options = chat(world, text, dice)
    ids = world.prefixes.encode_chat(messages, **options)
    assert world.prefixes.encode_chat_array(messages, **options).tolist() == ids
    return ids


@chats(
    "llama3_tok.Renderer.render",
    "llama3_tok.Renderer.render_ids",
    "llama3_tok.Renderer.bridge_to_next_turn",
    "llama3_tok.Renderer.parse_response",
    weight=1,
    releases=True,
    refuses=REFUSED,
)
def renderer(world, text, dice):
    made = Renderer(world.tokenizer)
    messages = [{"role": "system", "content": text()}, {"role": "user", "content": text()}]
    ids = made.render_ids(messages, add_generation_prompt=True)
    assert made.render(messages, add_generation_prompt=True).token_ids == ids
    answer = world.tokenizer.encode(text())
    assert made.parse_response(answer).content is not None
    following = [{"role": "user", "content": text()}]
    bridged = made.bridge_to_next_turn(ids, answer, following)
    return [*ids, *(bridged.token_ids if bridged else [])]


@chats(
    "llama3_tok.Rollout",
    "llama3_tok.Rollout.add",
    "llama3_tok.Rollout.add_sampled",
    weight=1,
    releases=True,
    refuses=REFUSED,
)
def rollout(world, text, dice):
    made = Rollout(world.tokenizer, [{"role": "user", "content": text()}])
    made.add_sampled([*world.tokenizer.encode(f"a{text()}"), world.tokenizer.eot_id])
    made.add([{"role": "user", "content": text()}])
    return made.ids


@chats(
    "llama3_tok.data.encode_chats",
    "llama3_tok.data.count_chats",
    weight=0.5,
    refuses=REFUSED,
)
def chats_in_bulk(world, text, dice):
    from llama3_tok.data import count_chats, encode_chats

    if world.tokenizer.chat_profile is None:
        return []
    rows = [{"messages": [{"role": "user", "content": text()}]} for _ in range(10)]
    for row in rows:
        answer = {"role": "assistant", "content": text()}
        row["messages"] += [answer, {"role": "user", "content": text()}]
        row["system"] = f"s{text()}"  # without text there is no such message
    masks = {"return_mask": world.tokenizer.chat_profile is not None}
    found = encode_chats(rows, tokenizer=world.tokenizer, **masks)
    assert count_chats(rows, tokenizer=world.tokenizer).tokens.sum() == len(found.ids.ids)
    path = world.path(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = encode_chats(path, tokenizer=world.tokenizer, **masks)
    assert again.ids.ids.tolist() == found.ids.ids.tolist()
    path.unlink()
    return found.ids.ids.tolist()


# Chat templates that are run

TEMPLATES = hostile_chats.HARMLESS | {
    # With a comment the core does not know it, so that it is run.
    f"own {name}": chat_template(name) + "{# run #}"
    for name in ("llama3", "llama3.1", "llama3.2")
}


@chats(f"{T}.encode_chat", weight=0.7, releases=True, refuses=REFUSED)
def run_template(world, text, dice):
    """In messages, tools, documents, a date and variables of the template."""
    name = dice.choice(sorted(TEMPLATES))
    rows, more = hostile_chats.for_template(name, text)
    options = {"tools": more["tools"], "documents": more["documents"]}
    options["template_variables"] = {"extra": more["extra"], "date_string": more["date_string"]}
    return world.tokenizer.encode_chat(rows, chat_template=TEMPLATES[name], **options)


@chats(f"{T}.encode_chat", weight=0.3, releases=True, refuses=REFUSED)
def run_changing_template(world, text, dice):
    """Templates that change texts, join pieces of names, and cut their own."""
    template = dice.choice(
        (
            *hostile_chats.CHANGING.values(),
            "{% for m in messages %}<|{{ m.content }}|>{% endfor %}",
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            "{{ '<|eot' }}{{ messages[0].content }}{{ '_id|>' }}<|eot_id|>",
            "{{ messages | map(attribute='content') | join('') }}<|eot_id|>",
            "{% for m in messages %}{{ m.content | title | upper | trim('<') }}{% endfor %}",
            "{{ '%s' % messages[0].content }}{{ '{}'.format(messages[1].content) }}<|eot_id|>",
            "{{ messages[0].content | e }}{{ messages[1].content | urlencode }}<|eot_id|>",
        )
    )
    rows = [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
    return world.tokenizer.encode_chat(rows, chat_template=template)


@chats(
    "llama3_tok.compat.transformers.Llama3Tokenizer.apply_chat_template",
    weight=0.3,
    releases=True,
    refuses=REFUSED,
)
def apply_chat_template(world, text, dice):
    rows = [{"role": "user", "content": joined(text())}, {"role": "assistant", "content": text()}]
    return world.theirs.apply_chat_template(rows, return_dict=False)
