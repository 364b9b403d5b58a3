"""What Hugging Face's libraries read, as the values of JSON files.

`tokenizer_json` is what `tokenizers` and `transformers` make the same ids from: byte-level BPE with
`ignore_merges`, the merges that the ranks imply in the order of Hugging Face's own conversion, the
Llama 3 pattern, the profile's special tokens, and one `<|begin_of_text|>` before a text. The names
and values are those of the files published with Llama 3.
"""

import json
from typing import Any

from llama3_tok import _core
from llama3_tok.definition import Definition
from llama3_tok.folder import AddedToken
from llama3_tok.folder.says import ROLES, USUAL
from llama3_tok.profiles import chat_template, usual_config

Json = dict[str, Any]

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


def tokenizer_json(definition: "Definition", around: Json | None = None) -> Json:
    """The `tokenizer.json`; `around`, a post-processor, is put in place of the tokenizer's."""
    tokens = _core.written_tokens(definition.core)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(token) for token in definition.added_tokens.values()],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": definition.post_processor if around is None else around,
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": model(
            {token: id for id, token in enumerate(tokens)}, _core.written_merges(definition.core)
        ),
    }


def added_token(token: "AddedToken") -> Json:
    """An added token, as `tokenizer.json` has it."""
    return {
        "id": token.id,
        "content": token.content,
        "single_word": token.single_word,
        "lstrip": token.lstrip,
        "rstrip": token.rstrip,
        "normalized": token.normalized,
        "special": token.special,
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


def special_tokens_map(definition: "Definition") -> Json:
    """The `special_tokens_map.json`: the tokens that have a role."""
    config = tokenizer_config(definition)
    names = {role: config.get(role) for role in _ROLES}
    more = {"additional_special_tokens": config.get("additional_special_tokens")}
    return {role: name for role, name in (names | more).items() if name}


_ROLES = tuple(f"{role}_token" for role in ROLES)


def tokenizer_config(definition: "Definition") -> Json:
    """The `tokenizer_config.json`: a folder's own, with its tokens and chat templates."""
    folder = definition.folder
    if folder is None:
        template = chat_template(definition.profile)
        return usual_config(definition.profile) | {"chat_template": template}
    config: Json = json.loads(folder.config) if folder.config else {}
    config.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
    for role, id in (
        ("bos", folder.roles.bos),
        ("eos", folder.roles.eos),
        ("pad", folder.roles.pad),
    ):
        given = config.get(f"{role}_token")
        name = given.get("content") if isinstance(given, dict) else given
        if id is None:
            config.pop(f"{role}_token", None)
        elif name is None and role == "pad" and _name(definition, id) == USUAL["pad"]:
            continue  # which no file of the folder names, either
        elif name != _name(definition, id):
            config[f"{role}_token"] = _name(definition, id)
    if "added_tokens_decoder" in config:
        written = map(added_token, folder.added)
        config["added_tokens_decoder"] = {str(token.pop("id")): token for token in written}
    if len(folder.templates) == 1 and folder.templates[0][0] == "default":
        config["chat_template"] = folder.templates[0][1]
    elif folder.templates:
        pairs = [{"name": name, "template": text} for name, text in folder.templates]
        config["chat_template"] = pairs
    return config


def generation_config(definition: "Definition") -> Json:
    """The ids of the `generation_config.json`: where a text begins, what ends it, what pads it."""
    roles = definition.core.roles
    ids = {
        "bos_token_id": roles["bos"],
        "eos_token_id": roles["stops"] or None,
        "pad_token_id": roles["pad"],
    }
    return {name: id for name, id in ids.items() if id is not None}


def _name(definition: "Definition", id: int) -> str:
    added = (token.content for token in definition.added_tokens.values() if token.id == id)
    return next(added, None) or definition.name(id)
