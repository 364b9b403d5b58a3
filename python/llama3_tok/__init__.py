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
from llama3_tok.lazy import LazyModule as _LazyModule
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
    from llama3_tok.chat import assistant as _assistant
    from llama3_tok.chat.assistant import AssistantMessage, AssistantStream
    from llama3_tok.chat.call_reader import ToolCall
    from llama3_tok.chat.deltas import (
        AnswerEnd,
        CallArguments,
        CallDropped,
        CallEnd,
        CallStart,
        ContentDelta,
        Delta,
    )
    from llama3_tok.chat.renderer import Renderer
    from llama3_tok.chat.rollout import Rollout
    from llama3_tok.text.explaining import AddedPiece, Explanation, Pretoken
    from llama3_tok.text.padding import Padded
else:
    _assistant = _LazyModule("llama3_tok.chat.assistant")

__all__ = [
    "PROFILES",
    "UNICODE_VERSION",
    "AddedPiece",
    "AnswerEnd",
    "AssistantMessage",
    "AssistantStream",
    "CacheInfo",
    "CallArguments",
    "CallDropped",
    "CallEnd",
    "CallStart",
    "ChatFormatError",
    "CheckpointError",
    "Chunk",
    "ContentDelta",
    "Delta",
    "Encoding",
    "Explanation",
    "FittedChat",
    "IncrementalEncoder",
    "InputError",
    "InternalError",
    "InvalidTokenId",
    "Llama3TokError",
    "MissingExtra",
    "Padded",
    "Pretoken",
    "Ragged",
    "Renderer",
    "Rollout",
    "SpecialTokenError",
    "StreamDecoder",
    "TokenIndex",
    "Tokenizer",
    "ToolCall",
    "UnknownToken",
    "VocabularyError",
    "VocabularyNotFound",
    "__version__",
    "assistant_stream",
    "count",
    "decode",
    "encode",
    "parse_assistant",
]

# What most programs don't use is imported when it is asked for.
_LAZY = {
    "AddedPiece": "text.explaining",
    "AnswerEnd": "chat.deltas",
    "AssistantMessage": "chat.assistant",
    "AssistantStream": "chat.assistant",
    "CallArguments": "chat.deltas",
    "CallDropped": "chat.deltas",
    "CallEnd": "chat.deltas",
    "CallStart": "chat.deltas",
    "ContentDelta": "chat.deltas",
    "Delta": "chat.deltas",
    "Explanation": "text.explaining",
    "Padded": "text.padding",
    "Pretoken": "text.explaining",
    "Renderer": "chat.renderer",
    "Rollout": "chat.rollout",
    "ToolCall": "chat.call_reader",
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
    answer: str | Ids, *, salvage: bool = False, tokenizer: Tokenizer | None = None
) -> "_assistant.AssistantMessage":
    r"""Reads what a model generated after the header `assistant`, as ids or as text.

    Ids are the safe way: only special ids are structure, wherever they stand. The answer ends with
    the first stop id; with `<|python_tag|>` the text before is the content, and what follows it is
    a call, or else code. `tokenizer` is the one that the ids belong to (default: the shared one).

    In text, `<|python_tag|>` at its very beginning and stop tokens at its very end are structure,
    and the same names elsewhere are content. Text that was decoded with `skip_special` has none of
    them; code can't be told from other text then.

    A call is read if it is all there is, white space and semicolons aside: `name.call(key="text")`,
    `{"name": ..., "parameters": {...}}` (or "arguments", and perhaps `"type": "function"`), such
    objects with `;` or white space between them or in a list,
    `<function=name>{...}</function>` and `[name(key=value), ...]`. Values are literals of JSON or
    Python. In the first form, which templates write without escapes, only `\"` is an escape. What
    looks like a call but is not all there is, is text, and `problem` says so.

    With `salvage` each call that can be read is one, and the content is the text around it: a
    preface, a later remark, or a Markdown fence, whose marks are left out. Calls of built-in tools
    are looked for at the beginning of lines, and a list counts as a whole. What can't be read
    is text, up to the place where that is seen.

    Raises InvalidTokenId with id and position, TypeError for what is neither text nor ids. No
    `str`, however malformed, is an error.

    >>> answer = '<|python_tag|>brave_search.call(query="llamas")<|eom_id|>'
    >>> message = llama3_tok.parse_assistant(answer)
    >>> message.tool_calls[0].name, message.tool_calls[0].arguments, message.stop_reason
    ('brave_search', {'query': 'llamas'}, 'end_of_message')
    >>> answer = 'Let me see. {"name": "f", "parameters": {}}'
    >>> llama3_tok.parse_assistant(answer).problem
    'not a call: text comes before what looks like one, at character 12'
    >>> message = llama3_tok.parse_assistant(answer, salvage=True)
    >>> message.content, message.tool_calls
    ('Let me see. ', (ToolCall(name='f', arguments={}, kind='json'),))
    """
    if isinstance(answer, str) and tokenizer is None:
        return _assistant.of_text(answer, salvage)
    return _given(tokenizer).parse_assistant(answer, salvage=salvage)


def assistant_stream(
    *, salvage: bool = False, hold_calls: bool = False, tokenizer: Tokenizer | None = None
) -> "_assistant.AssistantStream":
    """A stream that reads an answer while a model generates it, as `parse_assistant` reads a whole.

    `AssistantStream` says what it gives. `salvage` and `tokenizer` are as in `parse_assistant`.
    With `hold_calls` a call is told as a whole, when it is certain that it is one.

    >>> stream = llama3_tok.assistant_stream()
    >>> stream.push("It is"), stream.push(" 4.")
    ([ContentDelta(text='It is')], [ContentDelta(text=' 4.')])
    >>> stream.finish(is_cut=False)
    [AnswerEnd(stop_reason=None, problem=None, finish_reason='stop')]
    """
    if tokenizer is not None:
        return _given(tokenizer).assistant_stream(salvage=salvage, hold_calls=hold_calls)
    return _assistant.AssistantStream(
        lambda: _shared().definition, salvage=salvage, hold_calls=hold_calls
    )


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
