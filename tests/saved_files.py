"""What `Tokenizer.save` writes."""

import json

# In the order in which they get their names.
ORDER = [
    "tokenizer.model",
    "tokenizer.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "tokenizer_config.json",
]
NAMES = set(ORDER)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))
