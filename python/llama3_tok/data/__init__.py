"""From texts and conversations to what a model is trained on.

Names are imported when they are used, and packages of extras when a function needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.data.chats import EncodedChat, EncodedChats, Skipped, encode_chats
    from llama3_tok.data.packing import Packed, PackedRow, pack

__all__ = [
    "EncodedChat",
    "EncodedChats",
    "Packed",
    "PackedRow",
    "Skipped",
    "encode_chats",
    "pack",
]

# The module of each name.
_HOME = {
    "EncodedChat": "chats",
    "EncodedChats": "chats",
    "Packed": "packing",
    "PackedRow": "packing",
    "Skipped": "chats",
    "encode_chats": "chats",
    "pack": "packing",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
