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

from functools import cache
from typing import TYPE_CHECKING, Any

from llama3_tok._core import UNICODE_VERSION, __version__
from llama3_tok.chat.messages import FittedChat
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
from llama3_tok.thread_cache import CacheInfo
from llama3_tok.tokenizer import (
    Encoding,
    Ids,
    Ragged,
    SpecialTokens,
    StreamDecoder,
    Text,
    Tokenizer,
)

if TYPE_CHECKING:
    from llama3_tok.chat.assistant import AssistantMessage, ToolCall, parse_assistant
    from llama3_tok.text.padding import Padded

__all__ = [
    "PROFILES",
    "UNICODE_VERSION",
    "AssistantMessage",
    "CacheInfo",
    "ChatFormatError",
    "CheckpointError",
    "Encoding",
    "FittedChat",
    "InputError",
    "InternalError",
    "InvalidTokenId",
    "Llama3TokError",
    "MissingExtra",
    "Padded",
    "Ragged",
    "SpecialTokenError",
    "StreamDecoder",
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
    "parse_assistant": "chat.assistant",
}


@cache
def _shared() -> Tokenizer:
    return Tokenizer()


def encode(
    text: Text,
    *,
    bos: bool = False,
    eos: bool = False,
    allowed_special: SpecialTokens = frozenset(),
    disallowed_special: SpecialTokens = frozenset(),
) -> list[int]:
    """The ids of a text: `Tokenizer.encode` of the shared tokenizer."""
    return _shared().encode(
        text,
        bos=bos,
        eos=eos,
        allowed_special=allowed_special,
        disallowed_special=disallowed_special,
    )


def decode(ids: Ids, *, errors: str = "replace", skip_special: bool = False) -> str:
    """The text of ids: `Tokenizer.decode` of the shared tokenizer."""
    return _shared().decode(ids, errors=errors, skip_special=skip_special)


def count(text: Text) -> int:
    """How many ids a text has: `Tokenizer.count` of the shared tokenizer."""
    return _shared().count(text)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    from importlib import import_module

    if name == "report":
        return import_module("llama3_tok.report")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"llama3_tok.{_LAZY[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
