"""The vocabulary as a GGUF file, llama.cpp's format: written without tensors, read from any model.

The keys and their values are those of llama.cpp's own conversion of Llama 3: the tokenizer model
"gpt2" with the pre-tokenizer "llama-bpe", tokens in the byte-level alphabet, and every merge. What
is read goes through the same checks as a `tokenizer.json`. Writing is done by llama.cpp's own
package gguf (the extra `gguf`). Reading is done here: that takes a tenth of the time, needs no
package, and what was written is so checked by another reader than its writer's.
"""

import json
import logging
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar, cast

from llama3_tok import _core
from llama3_tok._core import Content, Ranks
from llama3_tok.definition import Definition
from llama3_tok.errors import Llama3TokError, VocabularyError
from llama3_tok.extras import require
from llama3_tok.folder import AddedToken, Folder, Roles, described
from llama3_tok.formats import hugging_face
from llama3_tok.formats.gguf_fields import Value, fields
from llama3_tok.formats.save import compared
from llama3_tok.formats.whole_files import Draft

_T = TypeVar("_T")

_PREFIX = "tokenizer.ggml."
# llama.cpp's names of the tokenizer and of the cutting pattern.
_MODEL = "gpt2"
_PRE = "llama-bpe"
# The types that tokens have there: of text, special, added but not special, and rows without a
# token.
_NORMAL = 1
_CONTROL = 3
_USER_DEFINED = 4
_UNUSED = 5
_TEMPLATE = "tokenizer.chat_template"


def draft(definition: Definition) -> Draft:
    """The GGUF file of a tokenizer; MissingExtra without the package gguf.

    Raises Llama3TokError for added tokens that the format can't hold as they are.
    """
    for token in definition.added_tokens.values():
        if token.lstrip or token.rstrip or token.single_word:
            raise Llama3TokError(
                f"the added token {token.content!r} takes white space or whole words only, and "
                "GGUF has no place for that; a tokenizer.json has"
            )
    gguf = require("gguf", "gguf")
    return Draft(_writer(gguf, definition), compared(definition, lambda path: read(path)[0]))


def _writer(gguf: ModuleType, definition: Definition) -> Callable[[str], None]:
    def write(path: str) -> None:
        core, its = definition.core, definition.roles
        names = _core.written_tokens(core)
        types = [_NORMAL] * len(names)
        for token in definition.added_tokens.values():
            while len(names) <= token.id:
                names.append(f"[PAD{len(names)}]")
                types.append(_UNUSED)
            types[token.id] = _CONTROL if token.special else _USER_DEFINED
            if token.id >= Ranks.of(core).size:
                names[token.id] = token.content
        writer = gguf.GGUFWriter(None, "llama")
        writer.add_name(f"Llama 3 vocabulary, profile {definition.profile}")
        writer.add_vocab_size(core.vocab_size)
        writer.add_tokenizer_model(_MODEL)
        writer.add_tokenizer_pre(_PRE)
        writer.add_token_list(names)
        writer.add_token_types(types)
        if merges := _core.written_merges(core):  # an empty list is refused
            writer.add_token_merges(merges)
        roles = {
            "bos": its.bos,
            "eos": its.eos,
            "eot": its.eot,
            "eom": core.special_tokens.get("<|eom_id|>"),
            "pad": its.pad,
        }
        for role, id in roles.items():
            if id is not None:
                getattr(writer, f"add_{role}_token_id")(id)
        before, after, _ = definition.around
        writer.add_add_bos_token(bool(before))
        if after:
            writer.add_add_eos_token(True)
        templates = definition.chat_templates
        if list(templates) == ["default"]:
            writer.add_chat_template(templates["default"])
        elif templates:
            pairs = [{"name": name, "template": text} for name, text in templates.items()]
            writer.add_chat_template(pairs)
        _quietly(writer.write_header_to_file, path)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    return write


def _quietly(work: Callable[[str], None], path: str) -> None:
    """Without the writer's remarks, which name the file by its temporary name."""
    logger = logging.getLogger("gguf.gguf_writer")
    disabled, logger.disabled = logger.disabled, True
    try:
        work(path)
    finally:
        logger.disabled = disabled


def read(path: str) -> tuple[Ranks, Folder]:
    """What a GGUF file says of its tokenizer; the file may be a whole model.

    Raises VocabularyError for a file that is damaged, or whose tokenizer is not Llama 3's.
    """
    try:
        found = {
            name.removeprefix(_PREFIX): value
            for name, value in fields(path)
            if name.startswith((_PREFIX, _TEMPLATE))
        }
    except ValueError as error:
        raise _refused(path, f"this GGUF file can't be read: {error}") from None
    for name, expected in (("model", _MODEL), ("pre", _PRE)):
        if found.get(name) != expected:
            reason = f"{_PREFIX}{name} is {found.get(name)!r}; Llama 3's is {expected!r}"
            raise _refused(path, reason)
    tokens, merges = (_list(path, found, name, str) for name in ("tokens", "merges"))
    types = _list(path, found, "token_type", int)
    if len(tokens) != len(types):
        reason = f"it has {len(tokens)} tokens, but the types of {len(types)}"
        raise _refused(path, reason)
    count = next((at for at, type in enumerate(types) if type != _NORMAL), len(types))
    added = [
        AddedToken(id, name, special=type == _CONTROL)
        for id, (name, type) in enumerate(zip(tokens, types, strict=True))
        if id >= count and type != _UNUSED
    ]
    whole = {
        "added_tokens": [hugging_face.added_token(token) for token in added],
        "pre_tokenizer": hugging_face.PRE_TOKENIZER,
        "model": hugging_face.model({token: id for id, token in enumerate(tokens[:count])}, merges),
    }
    ranks = Ranks(Content(json.dumps(whole).encode()), path)
    ids = {
        role: _id(path, found, role, len(tokens))
        for role in ("bos", "eos", "eot", "eom", "padding")
    }
    stops = sorted({id for role in ("eos", "eot", "eom") if (id := ids[role]) is not None})
    roles = Roles(ids["bos"], ids["eos"], ids["eot"], ids["padding"], tuple(stops))
    # llama.cpp has these defaults where a file does not say it.
    around = {
        role: ids[role] if _switch(path, found, f"add_{role}_token", default=default) else None
        for role, default in (("bos", True), ("eos", False))
    }
    specials = {token.id for token in added}
    for role, id in around.items():
        if id is not None and id not in specials:
            reason = f"{_PREFIX}{role}_token_id is {id}, which is not a special token"
            raise _refused(path, reason)
    templates = {
        name.removeprefix(f"{_TEMPLATE}.") if name != _TEMPLATE else "default": _text(
            path, name, value
        )
        for name, value in found.items()
        if name == _TEMPLATE or name.startswith(f"{_TEMPLATE}.")
    }
    return ranks, described(ranks, added, roles, around, templates)


def _switch(path: str, found: dict[str, Value], name: str, *, default: bool) -> bool:
    value = found.get(name, default)
    if not isinstance(value, bool):
        raise _refused(path, f"{_PREFIX}{name} is {repr(value)[:100]}, and must be true or false")
    return value


def _text(path: str, name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise _refused(path, f"{name} is {repr(value)[:100]}, and must be a text")
    return value


def _id(path: str, found: dict[str, Value], role: str, size: int) -> int | None:
    id = found.get(f"{role}_token_id")
    if id is not None and (type(id) is not int or not 0 <= id < size):
        raise _refused(path, f"{_PREFIX}{role}_token_id is {id!r}, and there are {size:,} ids")
    return id


def _list(path: str, found: dict[str, Value], name: str, kind: type[_T]) -> list[_T]:
    value = found.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise _refused(path, f"{_PREFIX}{name} is not a list of {kind.__name__}")
    return cast(list[_T], value)


def _refused(path: str, reason: str) -> VocabularyError:
    return VocabularyError(f"{path}: {reason}", file=path, reason=reason)
