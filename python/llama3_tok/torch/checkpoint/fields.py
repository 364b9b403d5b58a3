"""The fields of a JSON object that says what a model is."""

from typing import Any, NoReturn, TypeVar

from llama3_tok.torch.checkpoint.stored import refuse

Json = dict[str, Any]
Value = TypeVar("Value", int, float, bool)


class Fields:
    """The fields of a JSON object, taken one by one, each checked."""

    def __init__(self, values: Json, file: str) -> None:
        self.file = file
        self._values = dict(values)

    def take(self, name: str, kind: type[Value], default: Value | None = None) -> Value:
        """A field's value; `default` if it is missing or null, and an error if that is None."""
        value: Any = self._values.pop(name, None)
        if value is None:
            value = default
        if value is None:
            self.refuse(f"has no field {name!r}, which says what the model is")
        if kind is float and type(value) is int and abs(value) < _LARGEST:
            value = float(value)
        if type(value) is not kind:
            self.refuse(f"{name!r} is {repr(value)[:100]}, and must be {_KINDS[kind]}")
        if kind is not bool and value >= _LARGEST:
            self.refuse(f"{name!r} is {repr(value)[:100]}, and no model has as much")
        if kind is not bool and not value > 0:  # NaN is not, either
            self.refuse(f"{name!r} is {repr(value)[:100]}, and must be positive")
        return value

    def optional(self, name: str, kind: type[Value]) -> Value | None:
        """A field's value, or None if it is missing or null."""
        return None if self._values.get(name) is None else self.take(name, kind)

    def without(self, name: str, none: object) -> bool:
        """Whether a field is missing, null, or the value that stands for that."""
        return self._values.get(name) in (None, none)

    def drop(self, *names: str) -> None:
        """Takes fields out that say nothing about the weights."""
        for name in names:
            self._values.pop(name, None)

    def left(self) -> Json:
        """The fields that nothing has taken, less those that are off."""
        return {name: value for name, value in self._values.items() if value not in _OFF}

    def refuse(self, reason: str) -> NoReturn:
        """Raises CheckpointError about the file."""
        refuse(self.file, reason)


# Larger numbers are none of a model, and may be too large to be computed with.
_LARGEST = 1 << 53
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_OFF: tuple[Any, ...] = (None, False, -1, {}, [])
