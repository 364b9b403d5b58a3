"""Writing a tokenizer to files, each of them read back and compared before it has its name.

What is written is compared with the tokenizer token by token. `tokenizer_config.json` is the last
to be renamed: as long as it is the old one, the folder notes the old profile.
"""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from llama3_tok import _core
from llama3_tok._core import Content, Ranks
from llama3_tok.definition import Definition
from llama3_tok.errors import Llama3TokError
from llama3_tok.folder import TEMPLATE, TEMPLATES
from llama3_tok.formats import hugging_face, whole_files
from llama3_tok.formats.whole_files import Draft
from llama3_tok.regular_files import IrregularFile, parse_json, read_regular
from llama3_tok.vocabulary import as_text


def save(definition: Definition, folder: str) -> None:
    """Writes `folder`: what `Tokenizer.save` says.

    Files of these names are replaced. Of a `generation_config.json` that is there the settings
    which are not ids of tokens stay, as a model's temperature.
    """
    if not folder:
        raise Llama3TokError("the name of the folder is empty")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise Llama3TokError(f"{folder} exists and is not a folder, so nothing is written")
    whole_files.make_folder(folder)
    drafts = _drafts(definition, folder)
    for name in (*_OTHERS, *_found_templates(folder)):
        if name not in drafts and os.path.exists(path := os.path.join(folder, name)):
            raise Llama3TokError(f"{path} is of another tokenizer; remove it, or save elsewhere")
    if any(os.sep in name for name in drafts):
        whole_files.make_folder(os.path.join(folder, TEMPLATES))
    whole_files.write({os.path.join(folder, name): draft for name, draft in drafts.items()})


_ODD = {"\0", "/", "\\", os.sep}

# What transformers would take for a part of the tokenizer, too.
_OTHERS = ("added_tokens.json", TEMPLATE)


def _found_templates(folder: str) -> list[str]:
    more = os.path.join(folder, TEMPLATES)
    names = sorted(os.listdir(more)) if os.path.isdir(more) else []
    return [os.path.join(TEMPLATES, name) for name in names if name.endswith(".jinja")]


def names(definition: Definition) -> list[str]:
    """What `save` writes to a folder, in this order."""
    vocabulary = ["tokenizer.model", "tokenizer.json", "special_tokens_map.json"]
    templates = map(_place, definition.chat_templates)
    return [*vocabulary, *templates, "generation_config.json", "tokenizer_config.json"]


def _place(template: str) -> str:
    """Where transformers 5 looks for a chat template first, where one of another model might be.

    Raises Llama3TokError for a name, which a folder may have chosen, that is not a name of a file.
    """
    if (
        os.path.basename(template) != template
        or template in ("", ".", "..")
        or _ODD & set(template)
    ):
        raise Llama3TokError(
            f"the chat template {template[:100]!r} can't be saved, since that is not a name for a "
            "file"
        )
    return TEMPLATE if template == "default" else os.path.join(TEMPLATES, f"{template}.jinja")


def _drafts(definition: Definition, folder: str) -> dict[str, Draft]:
    """The files of a folder by their names, in the order in which they are written."""
    kept = _settings(os.path.join(folder, "generation_config.json"))
    config = hugging_face.tokenizer_config(definition)
    drafts = [
        rank_file(definition),
        tokenizer_json(definition),
        _json(hugging_face.special_tokens_map(definition)),
        *(whole_files.of_data(text.encode()) for text in definition.chat_templates.values()),
        _json(kept | hugging_face.generation_config(definition)),
        _json(config),
    ]
    return dict(zip(names(definition), drafts, strict=True))


def _settings(path: str) -> dict[str, Any]:
    """The settings of a `generation_config.json` that stay when a tokenizer is saved beside it."""
    try:
        config = parse_json(read_regular(path).decode())
    except FileNotFoundError:
        return {}
    except (ValueError, IrregularFile) as error:
        raise _unreadable(path, str(error)) from None
    if not isinstance(config, dict):
        raise _unreadable(path, "it is not an object")
    return {
        name: value
        for name, value in config.items()
        if name not in ("bos_token_id", "eos_token_id", "pad_token_id")
    }


def _unreadable(path: str, reason: str) -> Llama3TokError:
    return Llama3TokError(
        f"{path}: its settings are to be kept, but it can't be read ({reason}); mend or remove it"
    )


def rank_file(definition: Definition) -> Draft:
    """The rank file: for Meta's vocabulary, Meta's own file byte for byte."""
    draft = whole_files.of_data(_core.rank_file(definition.core))
    return draft._replace(check=compared(definition, read))


def tokenizer_json(definition: Definition, around: dict[str, Any] | None = None) -> Draft:
    """The `tokenizer.json` of Hugging Face's libraries.

    `around` is the post-processor, which puts tokens around texts; by default the tokenizer's own.

    Raises Llama3TokError for ids of added tokens that the format can't hold.
    """
    _check_ids(definition)
    text = json.dumps(hugging_face.tokenizer_json(definition, around), ensure_ascii=False)
    draft = whole_files.of_data(text.encode() + b"\n")
    return draft._replace(check=compared(definition, read))


def _check_ids(definition: Definition) -> None:
    """Refuses gaps between ids: Hugging Face's library numbers added tokens without any."""
    first = expected = Ranks.of(definition.core).size
    for token in definition.added_tokens.values():
        if token.id >= first and token.id != expected:
            raise Llama3TokError(
                f"the added token {token.content!r} has the id {token.id}, and {expected} has no "
                "token: a tokenizer.json can't have gaps, so give tokens for the ids between"
            )
        expected += token.id >= first


def read(path: str) -> Ranks:
    """What a vocabulary file says, read anew."""
    with open(path, "rb") as file:
        return Ranks(Content(file.read()), as_text(path))


def _json(value: Mapping[str, Any]) -> Draft:
    return whole_files.of_data(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def compared(definition: Definition, read: Callable[[str], Ranks]) -> Callable[[str, str], None]:
    """A check of a draft: all tokens, and added ones where the file has any, are the tokenizer's.

    `read` reads the vocabulary back from a path.
    """

    def check(written: str, path: str) -> None:
        ours, again = definition.core, read(written)
        if again.differs_from(Ranks.of(ours)) is not None or again.added not in (
            None,
            ours.added_tokens,
        ):
            raise Llama3TokError(
                f"{path}: what was written does not read back as the same tokens, so it was "
                "dropped; is something wrong with the disk?"
            )

    return check
