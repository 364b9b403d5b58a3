"""Conversations with any text wherever a text may be, and chat templates to run them through.

The structure of a conversation does not depend on its texts, so it is known which special tokens
it has.
"""

import chat_oracle

# Those that the core writes


def conversation(texts, random, profile, dialect, tool_format):
    """Structure by chance, every text by `texts()`; the chance is that of the seed alone."""
    has_tools, options = profile != "llama3", {"dialect": dialect}
    identifier = "f" if tool_format == "python_list" else None
    if dialect == "meta":
        options["tool_format"] = tool_format
    elif has_tools:
        options["date"] = texts()
        options["tools_in"] = random.choice(["user", "system"])
        if random.random() < 0.5:
            options["tools"] = [{texts(): [texts(), {"name": texts()}]}]
        if profile in chat_oracle.WITH_BUILTIN and random.random() < 0.5:
            options["builtin_tools"] = ["code_interpreter", texts()]
    messages = [{"role": "system", "content": texts()}] if random.random() < 0.5 else []
    for _ in range(random.randrange(1, 4)):
        parts = [{"type": "text", "text": texts()}, {"type": "text", "text": texts()}]
        messages.append({"role": "user", "content": parts if random.random() < 0.3 else texts()})
        if dialect == "meta":
            messages[-1]["context"] = texts()
        if has_tools and random.random() < 0.5:
            name = identifier or f"{texts()}#"  # which by chance is no built-in tool's
            if "builtin_tools" in options and random.random() < 0.5:
                name = options["builtin_tools"][1]
            query = random.choice(["brave_search", "code_interpreter"])
            arguments = {identifier or texts(): texts()}
            if dialect == "meta" and random.random() < 0.3:
                name, arguments = query, {"query": texts(), "code": texts()}
            call = {"function": {"name": name, "arguments": arguments}}
            messages.append({"role": "assistant", "content": texts(), "tool_calls": [call]})
            messages.append({"role": "tool", "content": texts()})
            if dialect == "hf":
                messages[-1]["content"] = {texts(): [texts()]}
        messages.append({"role": "assistant", "content": texts()})
    return messages, options


SETTINGS = [
    *((profile, "hf", "json") for profile in chat_oracle.HF_PROFILES),
    *(("meta", "meta", tool_format) for tool_format in ("json", "function_tag", "python_list")),
]

# Those of chat templates that are run

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What each does with a message beside writing it: none of it makes a name of pieces.
HARMLESS = {
    "plain": CHATML,
    "generation": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}"
        "<|im_end|>{% endif %}\n{% endfor %}"
    ),
    "trimmed": (
        "{{ bos_token ~ '<|im_start|>' }}{% for m in messages %}{{ m['role'] ~ '\n' ~ "
        "(m['content'] | trim) ~ '<|im_end|>' }}{% endfor %}{{ eos_token }}"
    ),
    "json": (
        "{{ [bos_token, messages | tojson(indent=2), documents | tojson, eos_token] | join('') }}"
    ),
    "characters": (
        "{% for m in messages %}<|im_start|>{% for c in m.content %}{{ c }}{% endfor %}"
        "<|im_end|>{% endfor %}"
    ),
    "namespace": (
        "{% set ns = namespace(all='', seen=0) %}{% for m in messages %}{% set ns.all = ns.all ~ "
        "'<|eot_id|>' ~ m.content %}{% set ns.seen = ns.seen + 1 %}{% endfor %}{{ ns.all }}"
        "{{ '<|im_end|>' * 3 }}{{ ns.seen }}"
    ),
    "macro": (
        "{% macro say(role, text) %}<|start_header_id|>{{ role }}<|end_header_id|>\n\n{{ caller() "
        "if caller else text }}<|eot_id|>{% endmacro %}{% for m in messages %}"
        "{{ say(m.role, m.content) }}{% endfor %}{% call say('user', '') %}{{ extra }}{% endcall %}"
    ),
    "block": (
        "{% set all %}{% for m in messages %}<|im_start|>{{ m.content | string }}<|im_end|>"
        "{% endfor %}{% endset %}{{ all }}{{ all | length > 10 }}"
    ),
    "documents": (
        "{% for d in documents %}<|start_header_id|>{{ d.title }}<|end_header_id|>{{ d.text }}"
        "{% endfor %}<|eot_id|>{{ extra }}{% for m in messages %}<|eot_id|>{{ m.content }}"
        "{% endfor %}"
    ),
    "split": (
        "{% for m in messages %}{% set t = m.content %}{% if '</think>' in t %}"
        "{% set t = t.split('</think>')[-1].lstrip('\n') %}{% endif %}<|im_start|>{{ t }}"
        "<|im_end|>{% endfor %}"
    ),
}
# What makes other text of a message, perhaps a name: that is refused.
CHANGING = {
    "lower": "{% for m in messages %}{{ m.content | lower }}<|eot_id|>{% endfor %}",
    "backwards": "{% for m in messages %}{{ m.content[::-1] }}<|eot_id|>{% endfor %}",
    "replaced": "{% for m in messages %}{{ m.content | replace('#', '') }}<|eot_id|>{% endfor %}",
    "compared": (
        "{% for m in messages %}{% if '<|eot_id|>' in m.content %}no{% else %}{{ m.content }}"
        "{% endif %}<|eot_id|>{% endfor %}"
    ),
}
ROLES = ["system", "user", "assistant", "user", "tool", "assistant", "user"]


def for_template(name, text):
    """A conversation, with `text()` wherever a text may be, and what else the template is given."""
    roles = [role for role in ROLES if role != "tool" or name != "llama3"]
    rows = [{"role": role, "content": text()} for role in roles]
    rows[2]["reasoning_content"] = text()
    rows[-1]["name"] = text()
    schema = {"type": "object", "properties": {text(): {"type": "string", "description": text()}}}
    function = {"name": text(), "description": text(), "parameters": schema}
    tools = [{"type": "function", "function": function}]
    call = {"name": text(), "arguments": {text(): [text(), {text(): text()}]}}
    if name in ("llama3.1", "llama3.2", "own llama3.1", "own llama3.2", "other-chatml-tools"):
        calls = [{"type": "function", "function": call}]
        rows[5] = {"role": "assistant", "content": "", "tool_calls": calls}
        if name == "other-chatml-tools":
            del rows[5]["content"]
    more = {
        "documents": [{"title": text(), "text": text()}],
        "extra": text(),
        "date_string": text(),
    }
    return rows, {"tools": None if name == "llama3" else tools, **more}
