"""Conversations for tests of many: single messages, and made ones for each profile."""

import chat_oracle

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello."}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": [1, 2], "b": "x"}}}
PROFILES = [*chat_oracle.HF_PROFILES, "meta"]


def made(seed, profile):
    """A conversation, and the options that it needs."""
    if profile == "meta":
        return chat_oracle.meta_conversation(seed, "json"), {}
    messages, options = chat_oracle.hf_conversation(seed, profile)
    if not options.get("tools", True):  # in a row an empty list is none
        del options["tools"]
    return messages, options


def many(profile="llama3.1", count=300):
    """Conversations without options."""
    found = (made(seed, profile) for seed in range(10 * count))
    return [messages for messages, options in found if not options][:count]
