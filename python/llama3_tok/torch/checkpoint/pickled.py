"""Reading the pickled table of a `.pth` file, without Python's unpickler.

A pickle is a program for a small machine with a stack. Python's makes whatever the program says:
that only tensors come of it can be had with `find_class`. But nine bytes make it take
gigabytes (a number for its memo), and some hundred hash or print a tuple of tuples that would have
more parts than there are atoms. Here the machine has the operations that torch.save writes. What it
makes grows with the file, keys are texts and numbers, and nothing is called but what makes a view
of a storage.

The operations are those of the module pickletools of Python's library, protocols 2 to 5.
"""

import re
import reprlib
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

from llama3_tok.torch.checkpoint.stored import STORAGES

__all__ = ["NotATable", "View", "table"]

_MAX_DIMENSIONS = 64
"""As many as torch allows."""
_MAX_NUMBER = 1 << 63


class View(NamedTuple):
    """A tensor as the table has it: elements of a storage, which is a record of the archive."""

    dtype: str
    key: str
    elements: int
    """Of the storage."""
    offset: int
    """Of the first element."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class NotATable(ValueError):
    """A pickle that torch.save does not write of a table of tensors."""


def table(pickled: bytes) -> object:
    """What a pickle holds: texts, numbers, views of storages; tuples, lists and tables of these.

    Raises NotATable.
    """
    try:
        return _Machine(pickled).run()
    # What a program leads to that is cut, or does not fit its stack.
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise NotATable(f"it is damaged ({type(error).__name__}: {error})") from None


class _Kind(str):
    """A storage's class, by the name of its elements' type."""


class _Called(NamedTuple):
    """What may be called, and how many arguments it takes at least."""

    make: Callable[..., object]
    least: int


# Those that are not read are named, too, in an error.
_KINDS = {storage: dtype for dtype, storage in STORAGES.items()} | {
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "DoubleStorage": "float64",
}


class _Machine:
    """The program, the place in it, the stack, and what it keeps for later."""

    def __init__(self, program: bytes) -> None:
        self._program, self._at = program, 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> object:
        """What is on the stack at the end."""
        while (operation := self._take(1)) != b".":
            work = _OPERATIONS.get(operation)
            if work is None:
                raise NotATable(f"torch.save does not write the operation {operation!r}")
            work(self)
        return self._stack.pop()

    def _take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._program):
            raise NotATable("it ends in the middle")
        return self._program[start : self._at]

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(number)

    def _line(self) -> str:
        end = self._program.find(b"\n", self._at)
        if end < 0:
            raise NotATable("it ends in the middle")
        return self._take(end + 1 - self._at)[:-1].decode()

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    # Values

    def _text(self, form: str) -> None:
        self._push(self._take(self._number(form)).decode("utf-8", "surrogatepass"))

    def _bytes(self, form: str) -> None:
        self._push(self._take(self._number(form)))

    def _long(self, form: str) -> None:
        self._push(int.from_bytes(self._take(self._number(form)), "little", signed=True))

    def _float(self) -> None:
        self._push(struct.unpack(">d", self._take(8))[0])

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise NotATable("its stack is too short")
        self._stack[len(self._stack) - count :] = [tuple(self._stack[-count:])]

    # Lists and tables

    def _extend(self, items: list[Any]) -> None:
        into = self._stack[-1]
        if not isinstance(into, list):
            raise NotATable("it appends to something that is not a list")
        into += items

    def _put(self, items: list[Any]) -> None:
        into = self._stack[-1]
        if not isinstance(into, dict) or len(items) % 2:
            raise NotATable("it puts something into what is not a table")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str) and not _are_numbers((key,)):
                raise NotATable(f"{reprlib.repr(key)} is the key of a table")
            into[key] = value

    def _build(self) -> None:
        """Attributes of a table, such as `_metadata`, which nobody reads."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise NotATable("it sets attributes of what is not a table")

    # The memo

    def _keep(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def _kept(self, number: int) -> None:
        self._push(self._memo[number])

    # Names and calls

    def _name(self, module: object, name: object) -> None:
        self._push(_named(module, name))

    def _stack_name(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _call(self) -> None:
        given, called = self._stack.pop(), self._stack.pop()
        if not isinstance(called, _Called) or not isinstance(given, tuple):
            raise NotATable(f"it calls {reprlib.repr(called)}")
        if len(given) < called.least:
            raise NotATable("a call has too few arguments")
        self._push(called.make(*given))

    def _storage(self) -> None:
        """A storage, as a view of all of it."""
        match identity := self._stack.pop():
            case ("storage", _Kind() as kind, str(key), str(), int(elements)):
                self._push(View(str(kind), key, elements, 0, (elements,), (1,)))
            case _:
                raise NotATable(f"{reprlib.repr(identity)} is not a storage")


_OPERATIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda m: _discard(m._take(1)),  # the protocol
    b"\x95": lambda m: _discard(m._take(8)),  # the size of a frame
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"J": lambda m: m._push(m._number("<i")),
    b"K": lambda m: m._push(m._number("<B")),
    b"M": lambda m: m._push(m._number("<H")),
    b"\x8a": lambda m: m._long("<B"),
    b"G": _Machine._float,
    b"X": lambda m: m._text("<I"),
    b"\x8c": lambda m: m._text("<B"),
    b"\x8d": lambda m: m._text("<Q"),
    b"B": lambda m: m._bytes("<I"),
    b"C": lambda m: m._bytes("<B"),
    b"\x8e": lambda m: m._bytes("<Q"),
    b")": lambda m: m._push(()),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"t": lambda m: m._push(tuple(m._since_mark())),
    b"]": lambda m: m._push([]),
    b"a": lambda m: m._extend([m._stack.pop()]),
    b"e": lambda m: m._extend(m._since_mark()),
    b"l": lambda m: m._push(m._since_mark()),
    b"}": lambda m: m._push({}),
    b"s": lambda m: m._put([m._stack.pop(-2), m._stack.pop()]),
    b"u": lambda m: m._put(m._since_mark()),
    b"b": _Machine._build,
    b"(": lambda m: m._marks.append(len(m._stack)),
    b"0": lambda m: _discard(m._stack.pop()),
    b"q": lambda m: m._keep(m._number("<B")),
    b"r": lambda m: m._keep(m._number("<I")),
    b"\x94": lambda m: m._keep(len(m._memo)),
    b"h": lambda m: m._kept(m._number("<B")),
    b"j": lambda m: m._kept(m._number("<I")),
    b"c": lambda m: m._name(m._line(), m._line()),
    b"\x93": _Machine._stack_name,
    b"R": _Machine._call,
    b"Q": _Machine._storage,
}


def _discard(_: object) -> None:
    """Takes what is not needed."""


def _named(module: object, name: object) -> object:
    """What a name stands for: what may be called, or a storage's class."""
    if (module, name) == ("collections", "OrderedDict"):
        return _Called(lambda: OrderedDict(), 0)
    if module == "torch._utils" and isinstance(name, str) and name in _REBUILT:
        return _REBUILT[name]
    if module == "torch" and isinstance(name, str):
        if name.endswith("Storage"):
            return _Kind(_KINDS.get(name, name))
        # Types without a class of storage: no weights are read of them, but they are named.
        if re.fullmatch(r"(float|uint|int|bits)\w+", name):
            return _Kind(name)
    if (module, name) == ("torch.storage", "UntypedStorage"):
        return _Kind("bytes")
    if isinstance(module, str) and isinstance(name, str):
        raise NotATable(f"{module}.{name} is not part of a table of tensors")
    raise NotATable("a name in it is not a text")


def _view(storage: object, offset: object, shape: object, strides: object, *_: object) -> View:
    if not (isinstance(storage, View) and _are_numbers(shape) and _are_numbers(strides)):
        raise NotATable("a tensor is not made of a storage, a shape and steps")
    if type(offset) is not int or not _are_numbers((offset,)) or len(shape) != len(strides):
        raise NotATable("a tensor is not made of a storage, a shape and steps")
    return storage._replace(offset=offset, shape=shape, strides=strides)


def _are_numbers(given: object) -> TypeGuard[tuple[int, ...]]:
    """Whether it is a tuple of numbers as torch has them, and not too long."""
    if not isinstance(given, tuple) or len(given) > _MAX_DIMENSIONS:
        return False
    return all(type(one) is int and -_MAX_NUMBER <= one < _MAX_NUMBER for one in given)


def _view_of_type(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    gradient: object,
    hooks: object,
    dtype: object,
    *_: object,
) -> View:
    if not isinstance(dtype, _Kind):
        raise NotATable("a tensor is not made of a type")
    return _view(storage, offset, shape, strides)._replace(dtype=str(dtype))


def _parameter(view: object, *_: object) -> object:
    return view


_REBUILT = {
    "_rebuild_tensor_v2": _Called(_view, 4),
    "_rebuild_tensor_v3": _Called(_view_of_type, 7),
    "_rebuild_parameter": _Called(_parameter, 1),
}
