"""The exact Llama 3 tokenizer: text to ids and back.

>>> import llama3_tok
>>> llama3_tok.encode("Hello world")
[9906, 1917]
>>> llama3_tok.decode([9906, 1917])
'Hello world'
>>> llama3_tok.count("Hello world")
2

The functions of this module use one shared `Tokenizer` with the default vocabulary and profile.
"""

from typing import TYPE_CHECKING, Any, Unpack

from llama3_tok.about import UNICODE_VERSION, __version__
from llama3_tok.arguments import DecodeOptions, TextOptions
from llama3_tok.chat.fit import FittedChat
from llama3_tok.errors import (
    ChatFormatError,
    CheckpointError,
    InputError,
    InternalError,
    InvalidTokenId,
    Llama3TokError,
    MissingExtra,
    SpecialTokenError,
    UnknownToken,
    VocabularyError,
    VocabularyNotFound,
)
from llama3_tok.profiles import PROFILES
from llama3_tok.shared import given as _given
from llama3_tok.shared import shared as _shared
from llama3_tok.thread_cache import CacheInfo
from llama3_tok.tokenizer import (
    Chunk,
    Encoding,
    Ids,
    IncrementalEncoder,
    Ragged,
    StreamDecoder,
    Text,
    TokenIndex,
    Tokenizer,
)

if TYPE_CHECKING:
    from llama3_tok.chat.assistant import AssistantMessage, ToolCall
    from llama3_tok.text.padding import Padded

__all__ = [
    "PROFILES",
    "UNICODE_VERSION",
    "AssistantMessage",
    "CacheInfo",
    "ChatFormatError",
    "CheckpointError",
    "Chunk",
    "Encoding",
    "FittedChat",
    "IncrementalEncoder",
    "InputError",
    "InternalError",
    "InvalidTokenId",
    "Llama3TokError",
    "MissingExtra",
    "Padded",
    "Ragged",
    "SpecialTokenError",
    "StreamDecoder",
    "TokenIndex",
    "Tokenizer",
    "ToolCall",
    "UnknownToken",
    "VocabularyError",
    "VocabularyNotFound",
    "__version__",
    "count",
    "decode",
    "encode",
    "parse_assistant",
]

# What most programs don't use is imported when it is asked for.
_LAZY = {
    "AssistantMessage": "chat.assistant",
    "Padded": "text.padding",
    "ToolCall": "chat.assistant",
}
_PACKAGES = {"data": "data", "report": "report", "serving": "serving"}


def encode(text: Text, **options: Unpack[TextOptions]) -> list[int]:
    """The ids of a text: `Tokenizer.encode` of the shared tokenizer."""
    return _shared().encode(text, **options)


def decode(ids: Ids, **options: Unpack[DecodeOptions]) -> str:
    """The text of ids: `Tokenizer.decode` of the shared tokenizer."""
    return _shared().decode(ids, **options)


def count(text: Text, **options: Unpack[TextOptions]) -> int:
    """How many ids a text has: `Tokenizer.count` of the shared tokenizer."""
    return _shared().count(text, **options)


def parse_assistant(
    answer: "str | Ids", *, tokenizer: Tokenizer | None = None
) -> "AssistantMessage":
    r"""Reads what a model generated after the header `assistant`, as ids or as text.

    Ids are the safe way: only special ids are structure, wherever they stand. The answer ends with
    the first stop id; with `<|python_tag|>` the text before is the content, and what follows it is
    a call, or else code. `tokenizer` is the one that the ids belong to (default: the shared one).

    In text, `<|python_tag|>` at its very beginning and stop tokens at its very end are structure,
    and the same names elsewhere are content. Text that was decoded with `skip_special` has none of
    them; code can't be told from other text then.

    A call is read if it is all there is, white space aside: `name.call(key="text")`,
    `{"name": ..., "parameters": {...}}` (or "arguments", and perhaps `"type": "function"`), such
    objects with `;` or white space between them or in a list,
    `<function=name>{...}</function>` and `[name(key=value), ...]`. Values are literals of JSON or
    Python. In the first form, which templates write without escapes, only `\"` is an escape.

    Raises InvalidTokenId with id and position, TypeError for what is neither text nor ids. No
    `str`, however malformed, is an error.

    >>> answer = '<|python_tag|>brave_search.call(query="llamas")<|eom_id|>'
    >>> message = llama3_tok.parse_assistant(answer)
    >>> message.tool_calls[0].name, message.tool_calls[0].arguments, message.stop_reason
    ('brave_search', {'query': 'llamas'}, 'end_of_message')
    """
    if isinstance(answer, str) and tokenizer is None:
        from llama3_tok.chat.assistant import of_text

        return of_text(answer)
    return _given(tokenizer).parse_assistant(answer)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"{__name__}.{_PACKAGES[name]}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"llama3_tok.{_LAZY[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
