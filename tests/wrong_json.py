"""JSON with each of its values replaced by each kind of JSON."""

import copy
import re

# The kinds that JSON has, also those that are equal to another kind in Python, and a number that
# is too large for any other type.
VALUES = (None, True, False, 5, 0, 1.5, "x", "5", [], {}, 10**400)

# What a message must not have: it says what is wrong in Python, not in the file.
RAW = re.compile(
    r"NoneType|has no attribute|not subscriptable|not iterable|unhashable|indices must be|"
    r"unsupported operand|invalid literal|KeyError|TypeError"
)


def places(value, at=()):
    """The places of the values in a value: of long lists and tables the first and the last."""
    yield at
    if isinstance(value, dict):
        keys = list(value)
        for key in keys if len(keys) < 20 else (keys[0], keys[-1]):
            yield from places(value[key], (*at, key))
    elif isinstance(value, list) and value:
        for index in sorted({0, len(value) - 1}):
            yield from places(value[index], (*at, index))


def at_place(value, at):
    """The value at a place."""
    for step in at:
        value = value[step]
    return value


def replaced(value, at, new):
    """The same with another value at a place."""
    if not at:
        return new
    changed = copy.copy(value)
    changed[at[0]] = replaced(value[at[0]], at[1:], new)
    return changed


def mutants(value):
    """Each place with each other value in it: the place as text, what was there, and the whole."""
    for at in places(value):
        old = at_place(value, at)
        for new in VALUES:
            if type(new) is not type(old) or new != old:
                yield ".".join(map(str, at)), old, new, replaced(value, at, new)


def has_kind(new, old):
    """Whether a value may stand where another did by its kind: null stands for a missing one."""
    numbers = (int, float)
    return new is None or type(new) is type(old) or (type(new) in numbers and type(old) in numbers)
