"""From texts and conversations to what a model is trained on.

Names are imported when they are used, and packages of extras when a function needs them.
`llama3_tok.data.huggingface`, `.ray` and `.spark` are for the users of these libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.data.arrow import count_arrow, encode_arrow
    from llama3_tok.data.chats import count_chats, encode_chats
    from llama3_tok.data.corpora import Found, ManifestError, Summary, corpus, inspect, verify
    from llama3_tok.data.encoded_chats import CountedChats, EncodedChat, EncodedChats, Skipped
    from llama3_tok.data.packing import Packed, PackedRow, pack

__all__ = [
    "CountedChats",
    "EncodedChat",
    "EncodedChats",
    "Found",
    "ManifestError",
    "Packed",
    "PackedRow",
    "Skipped",
    "Summary",
    "corpus",
    "count_arrow",
    "count_chats",
    "encode_arrow",
    "encode_chats",
    "inspect",
    "pack",
    "verify",
]

# The module of each name.
_HOME = {
    "CountedChats": "encoded_chats",
    "EncodedChat": "encoded_chats",
    "EncodedChats": "encoded_chats",
    "Found": "corpora",
    "ManifestError": "corpora",
    "Packed": "packing",
    "PackedRow": "packing",
    "Skipped": "encoded_chats",
    "Summary": "corpora",
    "corpus": "corpora",
    "count_arrow": "arrow",
    "count_chats": "chats",
    "encode_arrow": "arrow",
    "encode_chats": "chats",
    "inspect": "corpora",
    "pack": "packing",
    "verify": "corpora",
}
_MODULES = ("huggingface", "ray", "spark")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
