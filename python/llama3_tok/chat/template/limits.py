"""How long a rendering may take, and how long its texts may become.

What a sum, a product, a filter or a method is about to make is measured before it is made.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any

from llama3_tok.errors import ChatFormatError

__all__ = [
    "Limits",
    "allow",
    "allow_arguments",
    "allow_filled",
    "allow_replacing",
    "checked",
    "current",
    "joinable",
    "limited",
    "longest_text",
    "size_of",
]

ROUNDS = 1_000_000
"""Rounds of all loops of a template together, at most."""
SECONDS = 20.0
"""How long one rendering may take."""
LENGTH = 1 << 20
"""Characters that a string may have besides 64 times as many as the template was given."""


class Limits:
    """What one rendering may still use."""

    def __init__(self, size: int) -> None:
        self.rounds = ROUNDS
        self.length = LENGTH + 64 * size
        self.until = time.monotonic() + SECONDS

    def tick(self) -> str:
        self.rounds -= 1
        if self.rounds < 0:
            raise ChatFormatError(f"the template's loops make more than {ROUNDS:,} rounds")
        if time.monotonic() > self.until:
            raise ChatFormatError(f"the template takes more than {SECONDS:g} seconds")
        return ""

    def allow(self, length: int) -> None:
        if length > self.length:
            raise ChatFormatError(
                f"the template makes a text of more than {self.length:,} characters"
            )


current: ContextVar[Limits | None] = ContextVar("limits", default=None)


def allow(length: int) -> None:
    limits = current.get()
    # Without limits where the compiler computes with constants.
    if limits is not None:
        limits.allow(length)
    elif length > LENGTH:
        raise ChatFormatError(f"the template makes a text of more than {LENGTH:,} characters")


def size_of(value: Any) -> int:  # noqa: ANN401
    return len(value) if isinstance(value, str | list | tuple | dict) else 1


def text_size(value: Any) -> int:  # noqa: ANN401
    """About how many characters a value has as text: of a list all that is in it, each time."""
    limits = current.get()
    most = limits.length if limits is not None else LENGTH
    total, rest = 0, [value]
    while rest:
        one = rest.pop()
        total += len(one) + 2 if isinstance(one, str) else 8
        if isinstance(one, dict):
            rest += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            rest += one
        if total > most:
            allow(total)
    return total


def checked(value: Any) -> Any:  # noqa: ANN401 - what the template writes
    """A value, which as text is not too long."""
    if not isinstance(value, str):
        text_size(value)
    return value


def _depth(value: Any) -> int:  # noqa: ANN401 - a value with a text size
    level, depth = [value], 0
    while level:
        depth += 1
        lists = [list(one.values()) if isinstance(one, dict) else one for one in level]
        level = [one for found in lists if isinstance(found, list | tuple) for one in found]
    return depth


def allow_filled(text: str, sign: str, values: Iterable[Any]) -> None:
    """A text in which each `sign` may be replaced by all of the values."""
    _allow_format(text)
    allow(len(text) + text.count(sign) * sum(map(text_size, values)))


def longest_text(values: Iterable[Any]) -> int:
    return max((len(one) for one in values if isinstance(one, str)), default=0)


def allow_arguments(arguments: Iterable[Any]) -> None:
    """Widths, counts and formats of a call, each of which may be what a text grows by."""
    for argument in arguments:
        if isinstance(argument, int):
            allow(abs(argument))


def _allow_format(text: str) -> None:
    for digits in re.findall(r"\d{5,}", text):
        allow(int(digits[:30]))


def joinable(items: Any, between: str) -> list[Any]:  # noqa: ANN401
    """The items, which together are not too long."""
    made, total = [], 0
    for item in items:
        total += text_size(item) + len(between)
        allow(total)
        made.append(item)
    return made


def allow_replacing(text: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    words = [one for one in (*args, *kwargs.values()) if isinstance(one, str)]
    if len(words) >= 2:
        found = text.count(words[0]) if words[0] else len(text) + 1
        allow(len(text) + found * len(words[1]))


# Filters that a number makes long.
_WITH_WIDTHS = frozenset(
    ("batch", "center", "format", "indent", "pprint", "round", "slice", "tojson", "truncate")
) | {"wordwrap"}


def limited(name: str, filter: Any) -> Any:  # noqa: ANN401 - a filter of Jinja
    """A filter that is called only for what is not too long."""

    @wraps(filter)
    def checked_first(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        own = list(args)
        # Some are given an environment or context before the value.
        at = 1 if hasattr(filter, "jinja_pass_arg") else 0
        if name in _WITH_WIDTHS:
            allow_arguments((*own[at + 1 :], *kwargs.values()))
        value = own[at] if len(own) > at else None
        more = [*own[at + 1 :], *kwargs.values()]
        if name in ("join", "sum"):
            place = 2 if name == "join" else 1
            attribute = kwargs.pop("attribute", None)
            if attribute is None and len(own) > at + place:
                attribute, own[at + place] = own[at + place], None
            if attribute is not None:
                from jinja2.filters import make_attrgetter

                environment = getattr(own[0], "environment", own[0])
                value = map(make_attrgetter(environment, attribute), value or ())
            between = longest_text(more) if name == "join" else 0
            own[at] = joinable(value, " " * between)
            # A sum of lists copies what it has at each step.
            if name == "sum" and any(isinstance(one, list | tuple) for one in own[at]):
                allow(len(own[at]) * sum(map(size_of, own[at])))
        elif name == "replace":
            allow_replacing(str(value), own[at + 1 :], kwargs)
        elif name == "format":
            allow_filled(str(value), "%", more)
        elif name in ("pprint", "string", "urlize", "wordwrap", "xmlattr"):
            allow(text_size(value) * (1 + longest_text(more)))
        elif name == "tojson":
            spaces = [len(one) if isinstance(one, str) else one for one in more]
            widest = max((one for one in spaces if isinstance(one, int)), default=0)
            signs = max((sum(map(len, one)) for one in more if isinstance(one, tuple)), default=1)
            size = text_size(value)
            allow(size * (signs + (widest * _depth(value) if widest > 1 else 0)))
        elif name == "indent" and isinstance(value, str):
            most = max((one if isinstance(one, int) else size_of(one) for one in more), default=4)
            allow(len(value) + (value.count("\n") + 1) * most)
        result = filter(*own, **kwargs)
        allow(size_of(result))
        return result

    return checked_first
