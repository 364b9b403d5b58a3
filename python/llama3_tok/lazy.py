"""Modules that are imported when something in them is first asked for.

NumPy alone takes longer to import than this package. A module that is lazy can be named in an
annotation all the same, as in "npt.NDArray[np.uint32]": whoever asks for the type, as
`typing.get_type_hints` does, imports it then. Type checkers get the module itself.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["LazyModule", "datetime", "np", "npt", "pa", "torch", "transformers"]


class LazyModule:
    """Stands for the module with a name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
        # Tools ask everything in a module whether it has, say, `__wrapped__`. Nothing is imported
        # for that, least of all what is not installed.
        if name.startswith("__"):
            raise AttributeError(f"{self._name} was not imported for {name}")
        if self._module is None:
            self._module = import_module(self._name)
        return getattr(self._module, name)


if TYPE_CHECKING:
    import datetime

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import torch
    import transformers
else:
    datetime = LazyModule("datetime")
    np, npt = LazyModule("numpy"), LazyModule("numpy.typing")
    pa = LazyModule("pyarrow")
    torch = LazyModule("torch")
    transformers = LazyModule("transformers")
