"""What works with weights: the extra `torch` (`pip install 'llama3_tok[torch]'`).

Names are imported when they are used, and torch when a function needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.torch.checkpoint import Converted, convert_checkpoint, verify_checkpoint

__all__ = ["Converted", "convert_checkpoint", "verify_checkpoint"]

# The module of each name.
_HOME = {
    "Converted": "checkpoint",
    "convert_checkpoint": "checkpoint",
    "verify_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
