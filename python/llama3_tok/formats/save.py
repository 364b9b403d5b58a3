"""Writing a tokenizer to files, each of them whole and checked before it has its name.

A file is written beside its place under another name, read back and compared with the tokenizer
token by token, and only then renamed. So whoever looks, also after a crash, finds the old file or
the new one, and never a half one or a wrong one.

Several files are renamed only when all are written and right, one after the other: no system can
replace them at once. What can hinder a rename, as a full disk or a folder that may not be written,
has then shown up before. Where one fails nevertheless, the error says which files are the new ones.
`tokenizer_config.json` is the last: as long as it is the old one, the folder notes the old profile.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from llama3_tok import _core
from llama3_tok._core import Ranks
from llama3_tok.definition import Definition
from llama3_tok.errors import Llama3TokError
from llama3_tok.folder import TEMPLATE, TEMPLATES
from llama3_tok.formats import hugging_face
from llama3_tok.vocabulary import as_text


class Draft(NamedTuple):
    """A file to be: how it is written, and read back for comparison."""

    write: Callable[[str], None]
    """Writes it to a path, where there is nothing yet."""
    read: Callable[[str], Ranks] | None = None
    """Reads the vocabulary back from a path; None for a file that holds none."""


def save(definition: Definition, folder: str) -> None:
    """Writes `folder`: what `Tokenizer.save` says.

    Files of these names are replaced. Of a `generation_config.json` that is there the settings
    which are no ids of tokens stay, as a model's temperature.
    """
    if not folder:
        raise Llama3TokError("the name of the folder is empty")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise Llama3TokError(f"{folder} is there and is no folder, so nothing is written")
    os.makedirs(folder, exist_ok=True)
    drafts = _drafts(definition, folder)
    for name in (*_OTHERS, *_found_templates(folder)):
        if name not in drafts and os.path.exists(path := os.path.join(folder, name)):
            raise Llama3TokError(f"{path} is of another tokenizer; remove it, or save elsewhere")
    if any(os.sep in name for name in drafts):
        os.makedirs(os.path.join(folder, TEMPLATES), exist_ok=True)
    write(definition, {os.path.join(folder, name): draft for name, draft in drafts.items()})


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

    Raises Llama3TokError for a name, which a folder may have chosen, that is no name of a file.
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
        *(Draft(_writer(text.encode())) for text in definition.chat_templates.values()),
        _json(kept | hugging_face.generation_config(definition)),
        _json(config),
    ]
    return dict(zip(names(definition), drafts, strict=True))


def _settings(path: str) -> dict[str, Any]:
    """The settings of a `generation_config.json` that stay when a tokenizer is saved beside it."""
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _unreadable(path, str(error)) from None
    if not isinstance(config, dict):
        raise _unreadable(path, "it is no object")
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
    return Draft(_writer(_core.rank_file(definition.core)), read)


def tokenizer_json(definition: Definition, around: dict[str, Any] | None = None) -> Draft:
    """The `tokenizer.json` of Hugging Face's libraries.

    `around` is the post-processor, which puts tokens around texts; by default the tokenizer's own.

    Raises Llama3TokError for ids of added tokens that the format can't hold.
    """
    _check_ids(definition)
    text = json.dumps(hugging_face.tokenizer_json(definition, around), ensure_ascii=False)
    return Draft(_writer(text.encode() + b"\n"), read)


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
        return Ranks(file.read(), as_text(path), False)


def _json(value: Mapping[str, Any]) -> Draft:
    return Draft(_writer(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"))


def _writer(data: bytes) -> Callable[[str], None]:
    def write(path: str) -> None:
        with open(path, "xb") as file:
            file.write(data)

    return write


def write(definition: Definition, drafts: Mapping[str, Draft]) -> None:
    """Writes files, given by their paths: none of them if one can't be written or reads back wrong.

    Raises OSError for a place that can't be written, and Llama3TokError if what is there afterwards
    does not read back as the tokenizer.
    """
    for path in drafts:
        if os.path.exists(path) and not os.path.isfile(path):
            raise Llama3TokError(f"{path} is there and is no file, so it is not replaced")
    with _beside(drafts) as temporary:
        for path, draft in drafts.items():
            try:
                draft.write(temporary[path])
                _settle(temporary[path])
            except OSError as error:  # under the name that was asked for
                raise OSError(error.errno, error.strerror, path) from error
            if draft.read is not None:
                _compare(definition, draft.read(temporary[path]), path)
        _rename(temporary)


def _rename(temporary: Mapping[str, str]) -> None:
    """Gives files their names, in order; an error says how far that went."""
    paths = list(temporary)
    for done, path in enumerate(paths):
        try:
            os.replace(temporary[path], path)
        except OSError as error:
            reason = error.strerror or str(error)
            if done:
                new, old = (
                    ", ".join(map(os.path.basename, part)) for part in (paths[:done], paths[done:])
                )
                reason += (
                    f"; {new} are the new ones already, and {old} not: save again before the "
                    "folder is used"
                )
            raise OSError(error.errno, reason, path) from error


@contextmanager
def _beside(paths: Mapping[str, Draft]) -> Iterator[dict[str, str]]:
    """A free name for each path in the same folder; what is left there in the end is removed."""
    temporary = {}
    for path in paths:
        folder, name = os.path.split(path)
        temporary[path] = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        yield temporary
    finally:
        for name in temporary.values():
            if os.path.lexists(name):
                os.remove(name)


def _settle(path: str) -> None:
    """Waits until the file's content is on the disk, so that its name never comes before it."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _compare(definition: Definition, again: Ranks, path: str) -> None:
    """Compares all tokens, and added ones where the file has any, with what was read back."""
    ours = definition.core
    if again.differs_from(Ranks.of(ours)) is not None or again.added not in (
        None,
        ours.added_tokens or None,
    ):
        raise Llama3TokError(
            f"{path}: what was written does not read back as the same tokens, so it was dropped; "
            "is something wrong with the disk?"
        )
