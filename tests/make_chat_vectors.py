"""Writes vectors/chat.jsonl: conversations with the text and the ids that they must give.

    LLAMA3_TOK_TEMPLATES=... python tests/make_chat_vectors.py

The text is that of transformers' `apply_chat_template` with the published template of the profile's
release (those of 3.2 made of that of 3.1, see chat_oracle.py), or what the ids of Meta's class say;
the ids are tiktoken's for that text, or those of Meta's class. Nothing is taken from this project
but the names of the special tokens.
"""

import json
from importlib.metadata import version
from pathlib import Path

import chat_oracle

TARGET = Path(__file__).parent / "vectors" / "chat.jsonl"

HI = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "  You are helpful.\n"}
HELLO = {"role": "assistant", "content": "\tHello! \u3000"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather — today's, in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": []}}},
    },
}


def call(name, **arguments):
    calls = [{"type": "function", "function": {"name": name, "arguments": arguments}}]
    return {"role": "assistant", "tool_calls": calls}


def result(content, role="tool"):
    return {"role": role, "content": content}


ASKED = [HI, call("get_weather", city="Zürich", days=[1, None, 2.5], now=True)]
SEARCHED = [HI, call("brave_search", query="Gold price", freshness="day")]
PARTS = [{"type": "text", "text": " What is it?"}, {"type": "text", "text": "\n"}]
IMAGE = {"role": "user", "content": [{"type": "image"}, *PARTS]}

# Name, messages, options; for all profiles that know what is in them.
PLAIN = [
    ("one message", [HI], {}),
    ("no prompt", [HI], {"add_generation_prompt": False}),
    ("system", [SYSTEM, HI], {}),
    ("several turns", [SYSTEM, HI, HELLO, {"role": "user", "content": " "}, HELLO, HI], {}),
    ("continued", [HI, HELLO], {"continue_final_message": True}),
    (
        "many scripts",
        [{"role": "user", "content": " Việt Nam, 漢字, Привет, 👩‍👩‍👧 e\u0301\r\n"}],
        {},
    ),
]
TOOLS = [
    ("date", [HI], {"date": "1 Jan 2030"}),
    ("tools", [SYSTEM, HI], {"tools": [WEATHER]}),
    ("tools in system", [SYSTEM, HI], {"tools": [WEATHER, WEATHER], "tools_in": "system"}),
    ("no tools in the list", [HI], {"tools": []}),
    ("call", [*ASKED], {"tools": [WEATHER]}),
    ("result, text", [*ASKED, result('sunny, "25 C" é')], {}),
    ("result, object", [*ASKED, result({"t": [25, None, {"ü": 1e-7}]}, "ipython")], {}),
    ("result, number", [*ASKED, result([1, 2.5]), HELLO, HI], {}),
]
BUILTIN = [
    ("built-in", [SYSTEM, HI], {"builtin_tools": ["brave_search", "code_interpreter", "x"]}),
    ("built-in call", [*SEARCHED, result("?")], {"builtin_tools": ["brave_search"]}),
    ("custom call beside", [*ASKED, result("?")], {"builtin_tools": [], "tools": [WEATHER]}),
]
VISION = [
    ("image", [IMAGE, HELLO, {"role": "user", "content": PARTS}], {}),
    ("image and system", [SYSTEM, IMAGE], {}),
    ("kept white space", [{"role": "user", "content": "\n\n x \n"}], {}),
]
META = [
    ("meta, one message", [HI], "json"),
    ("meta, several turns", [SYSTEM, HI, HELLO, {"role": "user", "content": "\n\nx "}], "json"),
    ("meta, call", [*ASKED, result("25 C")], "json"),
    ("meta, function tag", [*ASKED, result("25 C")], "function_tag"),
    ("meta, python list", [*ASKED, result("25 C")], "python_list"),
    (
        "meta, code",
        [HI, call("code_interpreter", code="1 + 1") | {"stop_reason": "end_of_message"}],
        "json",
    ),
    ("meta, parts and context", [{"role": "user", "content": PARTS, "context": "é"}], "json"),
]


def hf_cases(profile):
    cases = [*PLAIN]
    if profile != "llama3":
        cases += TOOLS
    if profile in chat_oracle.WITH_BUILTIN:
        cases += BUILTIN
    return cases + VISION if profile == "llama3.2-vision" else cases


def main():
    lines = []

    def add(name, profile, messages, options, text, ids, source):
        case = {"name": name, "source": source, "profile": profile, "options": options}
        case |= {"messages": messages, "text": text, "ids": ids}
        lines.append(json.dumps(case) + "\n")

    source = f"transformers {version('transformers')}, tiktoken {version('tiktoken')}"
    for profile in chat_oracle.HF_PROFILES:
        for name, messages, options in hf_cases(profile):
            theirs = {"add_generation_prompt": "continue_final_message" not in options} | options
            text = chat_oracle.by_hugging_face(profile, messages, **theirs)
            ids = chat_oracle.ids_of(profile, text)
            add(f"{profile}, {name}", profile, messages, options, text, ids, source)
    tokenizer = chat_oracle.meta().tokenizer
    for name, messages, tool_format in META:
        ids = chat_oracle.by_meta(messages, tool_format)
        options = {"tool_format": tool_format}
        text, source = tokenizer.decode(ids), f"llama-models {version('llama-models')}"
        add(name, "meta", messages, options, text, ids, source)
    TARGET.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
