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
from typing import TYPE_CHECKING, TypeVar, cast

from llama3_tok import _core, hugging_face
from llama3_tok._core import Core
from llama3_tok.errors import VocabularyError
from llama3_tok.extras import need
from llama3_tok.gguf_fields import Value, fields
from llama3_tok.save import Draft

if TYPE_CHECKING:
    from llama3_tok.tokenizer import Tokenizer

_T = TypeVar("_T")

_PREFIX = "tokenizer.ggml."
# llama.cpp's names of the tokenizer and of the cutting pattern.
_MODEL = "gpt2"
_PRE = "llama-bpe"
# The types that tokens have there.
_NORMAL = 1
_CONTROL = 3


def draft(tokenizer: "Tokenizer") -> Draft:
    """The GGUF file of a tokenizer; MissingExtra without the package gguf."""
    gguf = need("gguf", "gguf")
    return Draft(_writer(gguf, tokenizer), read)


def _writer(gguf: ModuleType, tokenizer: "Tokenizer") -> Callable[[str], None]:
    def write(path: str) -> None:
        core, special = tokenizer._core, list(tokenizer.special_tokens)
        ordinary = _core.written_tokens(core)
        writer = gguf.GGUFWriter(None, "llama")
        writer.add_name(f"Llama 3 vocabulary, profile {tokenizer.profile}")
        writer.add_vocab_size(tokenizer.vocab_size)
        writer.add_tokenizer_model(_MODEL)
        writer.add_tokenizer_pre(_PRE)
        writer.add_token_list(ordinary + special)
        writer.add_token_types([_NORMAL] * len(ordinary) + [_CONTROL] * len(special))
        if merges := _core.written_merges(core):  # an empty list is refused
            writer.add_token_merges(merges)
        writer.add_bos_token_id(tokenizer.bos_id)
        writer.add_eos_token_id(tokenizer.eos_id)
        writer.add_eot_token_id(tokenizer.eot_id)
        if (eom := tokenizer.special_tokens.get("<|eom_id|>")) is not None:
            writer.add_eom_token_id(eom)
        if tokenizer.pad_id is not None:
            writer.add_pad_token_id(tokenizer.pad_id)
        writer.add_add_bos_token(True)
        writer.add_chat_template(hugging_face.chat_template(tokenizer.profile))
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


def read(path: str, profile: str) -> Core:
    """The core of a GGUF file's vocabulary and a profile; the file may be a whole model.

    Raises VocabularyError for a file that is damaged, or whose tokenizer is not Llama 3's.
    """
    try:
        found = {
            name.removeprefix(_PREFIX): value
            for name, value in fields(path)
            if name.startswith(_PREFIX)
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
    count = types.index(_CONTROL) if _CONTROL in types else len(types)
    whole = {
        "added_tokens": [
            hugging_face.added_token(id, name) for id, name in enumerate(tokens[count:], count)
        ],
        "pre_tokenizer": hugging_face.PRE_TOKENIZER,
        "model": hugging_face.model({token: id for id, token in enumerate(tokens[:count])}, merges),
    }
    return Core(json.dumps(whole).encode(), path, profile, False)


def _list(path: str, found: dict[str, Value], name: str, kind: type[_T]) -> list[_T]:
    value = found.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise _refused(path, f"{_PREFIX}{name} is no list of {kind.__name__}")
    return cast(list[_T], value)


def _refused(path: str, reason: str) -> VocabularyError:
    return VocabularyError(f"{path}: {reason}", file=path, reason=reason)
