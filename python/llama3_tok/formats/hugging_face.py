"""What Hugging Face's libraries read, as the values of JSON files.

`tokenizer_json` is what `tokenizers` and `transformers` make the same ids from: byte-level BPE with
`ignore_merges`, the merges that the ranks imply in the order of Hugging Face's own conversion, the
Llama 3 pattern, the profile's special tokens, and one `<|begin_of_text|>` before a text. The names
and values are those of the files published with Llama 3.
"""

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from llama3_tok import _core

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llama3_tok.folder import AddedToken
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


def tokenizer_json(tokenizer: "Tokenizer", around: Json | None = None) -> Json:
    """The `tokenizer.json`; `around`, a post-processor, is put in place of the tokenizer's."""
    tokens = _core.written_tokens(tokenizer._core)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(token) for token in tokenizer.added_tokens.values()],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": tokenizer.post_processor if around is None else around,
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": model(
            {token: id for id, token in enumerate(tokens)}, _core.written_merges(tokenizer._core)
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


def post_processor(added: "Iterable[AddedToken]", bos: int | None, eos: int | None) -> Json:
    """Puts BOS before a text and EOS behind it, and so around each of a pair; None is nothing."""
    names = {token.id: token.content for token in added}

    def special(id: int | None, type_id: int) -> list[Json]:
        return [] if id is None else [{"SpecialToken": {"id": names[id], "type_id": type_id}}]

    def part(sequence: str, type_id: int) -> list[Json]:
        text = {"Sequence": {"id": sequence, "type_id": type_id}}
        return [*special(bos, type_id), text, *special(eos, type_id)]

    used = {names[id]: id for id in (bos, eos) if id is not None}
    template = {
        "type": "TemplateProcessing",
        "single": part("A", 0),
        "pair": [*part("A", 0), *part("B", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]} for name, id in used.items()
        },
    }
    byte_level = _BYTE_LEVEL | {"add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return {"type": "Sequence", "processors": [byte_level, template]}


def special_tokens_map(tokenizer: "Tokenizer") -> Json:
    """The `special_tokens_map.json`: the tokens that have a role."""
    config = tokenizer_config(tokenizer)
    names = {role: config.get(role) for role in _ROLES}
    more = {"additional_special_tokens": config.get("additional_special_tokens")}
    return {role: name for role, name in (names | more).items() if name}


_USUAL_PAD = "<|finetune_right_pad_id|>"
_ROLES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


def named_roles(release: str) -> dict[str, str]:
    """The tokens of a release that have a role, as "bos_token"."""
    names = _core.special_names(release)
    bos, eos, _, pad, _ = _core.roles(release, 0)
    roles = {"bos_token": bos, "eos_token": eos, "pad_token": pad}
    return {role: names[place] for role, place in roles.items() if place is not None}


def usual_config(release: str) -> Json:
    """The `tokenizer_config.json` of a release, chat templates aside."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        # For `Tokenizer` and `compat.transformers`; transformers keeps it, and makes nothing of it.
        "profile": release,
        **named_roles(release),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": _CONTEXT.get(release, _LATER_CONTEXT),
    }


def tokenizer_config(tokenizer: "Tokenizer") -> Json:
    """The `tokenizer_config.json`: a folder's own, with its tokens and chat templates."""
    folder = tokenizer._folder
    if folder is None:
        template = chat_template(tokenizer.profile)
        return usual_config(tokenizer.profile) | {"chat_template": template}
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
        elif name is None and role == "pad" and _name(tokenizer, id) == _USUAL_PAD:
            continue  # which no file of the folder names, either
        elif name != _name(tokenizer, id):
            config[f"{role}_token"] = _name(tokenizer, id)
    if "added_tokens_decoder" in config:
        written = map(added_token, folder.added)
        config["added_tokens_decoder"] = {str(token.pop("id")): token for token in written}
    if len(folder.templates) == 1 and folder.templates[0][0] == "default":
        config["chat_template"] = folder.templates[0][1]
    elif folder.templates:
        pairs = [{"name": name, "template": text} for name, text in folder.templates]
        config["chat_template"] = pairs
    return config


def generation_config(tokenizer: "Tokenizer") -> Json:
    """The ids of the `generation_config.json`: where a text begins, what ends it, what pads it."""
    ids = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.stop_ids or None,
        "pad_token_id": tokenizer.pad_id,
    }
    return {name: id for name, id in ids.items() if id is not None}


def named_in_chats(release: str) -> set[str]:
    """The special tokens that conversations of a release are written with."""
    unused = ("<|reserved_special_token_", "<|finetune_right_pad_id|>", "<|step_id|>")
    return {name for name in _core.special_names(release) if not name.startswith(unused)}


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
        path = os.path.join(os.path.dirname(__file__), "..", "chat", "jinja", name)
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
    added = (token.content for token in tokenizer.added_tokens.values() if token.id == id)
    return next(added, None) or tokenizer.token_bytes(id).decode("utf-8", "replace")
