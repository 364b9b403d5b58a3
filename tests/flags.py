"""The flags of a call: its parameters and options that are `True` or `False`."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest

# What is not a flag, and what an error calls it.
WRONG = [
    (1, "int"),
    ("yes", "str"),
    (np.True_, f"numpy.{type(np.True_).__name__}"),
    (None, "NoneType"),
]


def of(call: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The name and the annotation of each flag."""
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            (options,) = get_args(parameter.annotation)
            yield from ((name, kind) for name, kind in options.__annotations__.items() if _is(kind))
        elif _is(parameter.annotation):
            yield parameter.name, parameter.annotation


def refuse_all_else(call: Callable[..., Any], *arguments: Any) -> None:
    """Asserts that each flag of a call that `arguments` suit refuses what is not one."""
    for name, annotation in of(call):
        for wrong, kind in WRONG:
            if wrong is None and annotation is not bool:
                continue
            with pytest.raises(TypeError) as caught:
                call(*arguments, **{name: wrong})
            assert str(caught.value) == f"{name} must be a bool, not {kind}"


def _is(annotation: Any) -> bool:
    return annotation is bool or annotation == bool | None
