"""What Hugging Face's libraries read, as the values of JSON files.

`tokenizer_json` is what `tokenizers` and `transformers` make the same ids from: byte-level BPE with
`ignore_merges`, the merges that the ranks imply in the order of Hugging Face's own conversion, the
Llama 3 pattern, the profile's special tokens, and one `<|begin_of_text|>` before a text. The names
and values are those of the files published with Llama 3.
"""

import json
import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from llama3_tok import _core

if TYPE_CHECKING:
    from llama3_tok.tokenizer import Tokenizer

Json = dict[str, Any]

# The tokens that a model's context has room for; before 3.1 it was shorter.
_CONTEXT = {"llama3": 8192}
_LATER_CONTEXT = 131072

# The chat templates that are not those of 3.1 and later, and the profiles with images.
_TEMPLATES = {"llama3": "llama3.jinja", "meta": "meta.jinja"}
_WITH_IMAGES = ("llama3.2-vision", "meta")

# GPT-2's byte-level alphabet stands for the bytes; only the Split step cuts.
_BYTE_LEVEL: Json = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
PRE_TOKENIZER: Json = {
    "type": "Sequence",
    "pretokenizers": [
        {
            "type": "Split",
            "pattern": {"Regex": _core.PATTERN},
            "behavior": "Isolated",
            "invert": False,
        },
        _BYTE_LEVEL | {"use_regex": False},
    ],
}


def tokenizer_json(tokenizer: "Tokenizer", *, bos: bool = True, eos: bool = False) -> Json:
    """The `tokenizer.json`; `bos` and `eos` are put around a text that is encoded with it."""
    tokens = _core.written_tokens(tokenizer._core)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(id, name) for name, id in tokenizer.special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": _post_processor(tokenizer, bos, eos),
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": model(
            {token: id for id, token in enumerate(tokens)}, _core.written_merges(tokenizer._core)
        ),
    }


def added_token(id: int, name: str) -> Json:
    """A special token."""
    return {
        "id": id,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def model(vocab: dict[str, int], merges: list[str]) -> Json:
    """The model: tokens in the byte-level alphabet with their ids, and merges as `left right`.

    Merges are written so, as in the published files, which every version of tokenizers reads;
    unless one would be taken for the header of a file of merges. Then they are pairs.
    """
    ambiguous = any(merge.startswith("#version") for merge in merges)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": True,
        "vocab": vocab,
        "merges": [merge.split(" ") for merge in merges] if ambiguous else merges,
    }


def _post_processor(tokenizer: "Tokenizer", bos: bool, eos: bool) -> Json:
    """Puts BOS before a text and EOS behind it, and so around each of a pair."""
    used = [id for id, is_used in ((tokenizer.bos_id, bos), (tokenizer.eos_id, eos)) if is_used]
    names = {_name(tokenizer, id): id for id in used}

    def part(sequence: str, type_id: int) -> list[Json]:
        around = [{"SpecialToken": {"id": name, "type_id": type_id}} for name in names]
        text = {"Sequence": {"id": sequence, "type_id": type_id}}
        return [*around[:bos], text, *around[bos:]]

    template = {
        "type": "TemplateProcessing",
        "single": part("A", 0),
        "pair": [*part("A", 0), *part("B", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]} for name, id in names.items()
        },
    }
    byte_level = _BYTE_LEVEL | {"add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return {"type": "Sequence", "processors": [byte_level, template]}


def bos_and_eos(data: bytes) -> tuple[bool, bool]:
    """Whether a `tokenizer.json` puts a token before a text, and one behind it.

    Only that part is read: the model behind it is most of the file.
    """
    # In a JSON string each quotation mark has a backslash: no token's text matches this.
    found = re.search(rb'(?<=[,{\s])"post_processor"\s*:\s*', data)
    if found is None:
        return False, False
    end = data.find(b'"decoder"', found.end())
    text = data[found.end() : end if end > 0 else len(data)].decode("utf-8", "replace")
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return False, False
    steps = value.get("processors", [value]) if isinstance(value, dict) else []
    for step in steps:
        if isinstance(step, dict) and step.get("type") == "TemplateProcessing":
            single = step.get("single") or [{}]
            return "SpecialToken" in single[0], "SpecialToken" in single[-1]
    return False, False


def special_tokens_map(tokenizer: "Tokenizer") -> Json:
    """The `special_tokens_map.json`."""
    ids = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
    if tokenizer.pad_id is not None:
        ids["pad_token"] = tokenizer.pad_id
    return {role: _name(tokenizer, id) for role, id in ids.items()}


def tokenizer_config(tokenizer: "Tokenizer") -> Json:
    """The `tokenizer_config.json`, with a chat template that renders what `render_chat` does."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        # For `Tokenizer` and `compat.transformers`; transformers keeps it, and makes nothing of it.
        "profile": tokenizer.profile,
        **special_tokens_map(tokenizer),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": _CONTEXT.get(tokenizer.profile, _LATER_CONTEXT),
        "chat_template": chat_template(tokenizer.profile),
    }


def generation_config(tokenizer: "Tokenizer") -> Json:
    """The ids of the `generation_config.json`: where a text begins, what ends it, what pads it."""
    pad = {} if tokenizer.pad_id is None else {"pad_token_id": tokenizer.pad_id}
    return {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.stop_ids,
        **pad,
    }


@cache
def chat_template(profile: str) -> str:
    """The chat template of a profile, for `apply_chat_template` of transformers.

    It takes the variables of the published ones: `tools` or `custom_tools`, `builtin_tools`,
    `tools_in_user_message`, `date_string`. It renders what `Tokenizer.render_chat` does, a
    conversation without a date with the published one; with profile "meta" the format of Meta's
    class, calls of custom tools as JSON.
    """
    body = _TEMPLATES.get(profile, "tools.jinja")
    flags = {
        "has_images": profile in _WITH_IMAGES,
        "has_builtin_tools": profile == "llama3.1",
    }
    parts = [f"{{%- set {name} = {str(is_set).lower()} %}}\n" for name, is_set in flags.items()]
    for name in ("content.jinja", body):
        path = os.path.join(os.path.dirname(__file__), "templates", name)
        with open(path, encoding="utf-8") as file:
            parts.append(file.read())
    return "".join(parts)


# The templates that are published with the models, by the SHA-256 of their text without a line end
# behind it: in their `tokenizer_config.json` or `chat_template.jinja`. `render_chat` renders what
# they do. That of 3.1 is 3.3's, too.
_PUBLISHED = {
    "4f46ecd43418f216df8c26936c60e5d04bcc81db47db5d86fbe889f64212dd4c": "llama3",
    "93c0e9aa3629bbd77e68dbc0f5621f6e6b23aa8d74b932595cdb8d64684526d7": "llama3.1",
    "d82792f95932f1c9cef5c4bd992f171225e3bf8c7b609b4557c9e1ec96be819f": "llama3.2",
}


def profile_of_template(template: str) -> str | None:
    """The profile whose conversations a chat template renders, None if that is not known.

    It is known of the published ones and of those that `chat_template` gives.
    """
    from hashlib import sha256

    text = template.removesuffix("\n")
    for profile in _core.PROFILES:
        if text == chat_template(profile).removesuffix("\n"):
            return profile
    return _PUBLISHED.get(sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _name(tokenizer: "Tokenizer", id: int) -> str:
    return tokenizer.token_bytes(id).decode()
