"""Training data: columns of text become columns of ids.

Names are imported when they are used, and pyarrow, which the extra `data` installs, when a function
needs it. `llama3_tok.data.huggingface`, `.ray` and `.spark` are the same for these libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.data.arrow import count_arrow, encode_arrow

__all__ = ["count_arrow", "encode_arrow"]

# The module of each name.
_HOME = {
    "count_arrow": "arrow",
    "encode_arrow": "arrow",
}
_MODULES = {"huggingface": "huggingface", "ray": "ray", "spark": "spark"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
