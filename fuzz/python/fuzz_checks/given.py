"""Choices that the bytes of an input make."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Given:
    """Reads an input from its beginning on. At its end there are zeros, so every input is whole.

    It has the methods of `random.Random` that the tests use, so that what chooses at random there
    is chosen by the input here.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_empty(self) -> bool:
        """Whether all was read."""
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        """So many bytes, or what there is."""
        start, self._at = self._at, self._at + count
        return self._data[start : self._at]

    def rest(self) -> bytes:
        """All that was not read."""
        return self.take(len(self._data))

    def number(self, below: int) -> int:
        """A number from 0 on, below another."""
        size = max(1, ((below - 1).bit_length() + 7) // 8)
        return int.from_bytes(self.take(size), "little") % max(below, 1)

    def flag(self) -> bool:
        """True or false."""
        return self.number(2) == 1

    def choice(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self.number(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """So many of them, each once."""
        left = list(items)
        return [left.pop(self.number(len(left))) for _ in range(min(count, len(left)))]

    def several(self, make: Callable[[], T], most: int = 6) -> list[T]:
        """What `make` gives, some times."""
        return [make() for _ in range(self.number(most + 1)) if not self.is_empty]

    def bytes(self) -> bytes:
        """Some bytes; most often a few."""
        length = self.number(256)
        return self.take(self.number(1 << 16) if length == 255 else length % 64)

    def text(self) -> str:
        """A text. Bytes that are not UTF-8 are lone surrogates."""
        return text_of(self.bytes())

    def value(self, words: Sequence[str], depth: int = 4) -> Any:  # noqa: ANN401 - any of JSON's
        """A value as JSON has it, in which some texts are `words`."""
        kind = self.number(12 if depth else 9)
        if kind <= 3:
            return self.choice(words)
        if kind <= 5:
            return self.text()
        if kind == 6:
            return self.choice((None, True, False))
        if kind == 7:
            return self.number(1 << 32) - (1 << 16)
        if kind == 8:
            return self.choice((0.5, -0.0, float("inf"), float("nan"), 1e300, 1 << 70))
        if kind == 9:
            return self.several(lambda: self.value(words, depth - 1))
        pairs = self.several(lambda: (self.key(words), self.value(words, depth - 1)))
        return dict(pairs)

    def key(self, words: Sequence[str]) -> str:
        """A key: nearly always one of `words`."""
        return self.text() if self.number(8) == 7 else self.choice(words)


def text_of(data: bytes) -> str:
    """Bytes as text: what is not UTF-8 becomes lone surrogates, of both kinds."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")
