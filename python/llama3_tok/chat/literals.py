"""Literals as JSON and Python write them, read without evaluating anything.

One grammar serves both: objects, lists, strings in double or single quotation marks, numbers, and
true, false, null, True, False, None. Nothing else is read, nesting is limited, and what is wrong
is a `LiteralProblem` that says where.
"""

import re
from typing import Any

__all__ = ["LiteralProblem", "Reader"]

# Deeper nesting is refused: no call has it, and it would exhaust the stack.
DEEPEST = 64
# More digits are refused, as Python itself refuses to read them.
_DIGITS = 4000

_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![\w.])")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_CODE = {"x": 2, "u": 4, "U": 8}
_HEX = re.compile(r"[0-9a-fA-F]*")
_ESCAPES = {
    **{mark: mark for mark in "\"'\\/"},
    **{"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"},
}
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


class LiteralProblem(Exception):
    """What is no literal; the message says why and at which character."""


class Reader:
    """Reads a text from left to right; `at` is the character that comes next."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at

    def problem(self, what: str) -> LiteralProblem:
        """The exception for the place that was reached."""
        return LiteralProblem(f"{what} at character {self.at}")

    def skip_space(self) -> None:
        """Goes behind the white space that comes next."""
        if match := _SPACE.match(self.text, self.at):
            self.at = match.end()

    def take(self, mark: str) -> bool:
        """Whether `mark` comes next, behind white space; goes behind it if so."""
        self.skip_space()
        found = self.text.startswith(mark, self.at)
        self.at += len(mark) if found else 0
        return found

    def expect(self, mark: str) -> None:
        """Goes behind `mark`, which has to come next."""
        if not self.take(mark):
            raise self.problem(f"{mark!r} is missing")

    def name(self) -> str:
        """The identifier that has to come next."""
        self.skip_space()
        match = _NAME.match(self.text, self.at)
        if not match:
            raise self.problem("a name is missing")
        self.at = match.end()
        return match[0]

    def value(self, depth: int = 0) -> Any:  # noqa: ANN401 - what JSON may hold
        """The literal that has to come next."""
        if depth > DEEPEST:
            raise self.problem(f"values are nested more than {DEEPEST} deep")
        self.skip_space()
        first = self.text[self.at : self.at + 1]
        if first == "{":
            return self.object(depth)
        if first == "[":
            self.at += 1
            return [self.value(depth + 1) for _ in self.items("]")]
        if first in _PLAIN:
            return self.string()
        if match := _NUMBER.match(self.text, self.at):
            return self._number(match)
        if (match := _NAME.match(self.text, self.at)) and match[0] in _WORDS:
            self.at = match.end()
            return _WORDS[match[0]]
        raise self.problem("a value is missing" if not first else "this is not a literal value")

    def items(self, closing: str) -> "Items":
        """One step for each item up to `closing`: commas are between them, and may be behind."""
        return Items(self, closing)

    def object(self, depth: int = 0) -> dict[str, Any]:
        """The object that has to come next; no key may occur twice."""
        self.expect("{")
        found: dict[str, Any] = {}
        for _ in self.items("}"):
            self.skip_space()
            if self.text[self.at : self.at + 1] not in _PLAIN:
                raise self.problem("a key in quotation marks is missing")
            key = self.string()
            if key in found:
                raise self.problem(f"the key {key!r} occurs twice, before this place")
            self.expect(":")
            found[key] = self.value(depth + 1)
        return found

    def string(self) -> str:
        """The string that comes next; line breaks in it are text."""
        mark = self.text[self.at]
        plain, parts = _PLAIN[mark], []
        self.at += 1
        while match := plain.match(self.text, self.at):
            parts.append(match[0])
            self.at = match.end()
            found = self.text[self.at : self.at + 1]
            if found == mark:
                self.at += 1
                # Escaped surrogate pairs, as JSON has them, are one character.
                text = "".join(parts)
                return text.encode("utf-16-le", "surrogatepass").decode(
                    "utf-16-le", "surrogatepass"
                )
            if not found:
                break
            parts.append(self._escape())
        raise self.problem("the string has no end")

    def _escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        if length := _CODE.get(letter):
            digits = _HEX.match(self.text[self.at + 2 : self.at + 2 + length])
            if digits and len(digits[0]) == length and (code := int(digits[0], 16)) < 0x110000:
                self.at += 2 + length
                return chr(code)
        elif letter in _ESCAPES:
            self.at += 2
            return _ESCAPES[letter]
        raise self.problem("this is not an escape sequence")

    def _number(self, match: re.Match[str]) -> int | float:
        if len(match[0]) > _DIGITS:
            raise self.problem("the number is too long")
        number = int(match[0]) if match[1] is match[2] is None else float(match[0])
        if number in (float("inf"), float("-inf")):
            raise self.problem("the number is too large")
        self.at = match.end()
        return number


class Items:
    """An iterator that ends where the closing mark stands."""

    def __init__(self, reader: Reader, closing: str) -> None:
        self._reader, self._closing, self._is_first = reader, closing, True

    def __iter__(self) -> "Items":
        """Itself."""
        return self

    def __next__(self) -> None:
        """Goes to the next item."""
        if self._reader.take(self._closing):
            raise StopIteration
        if not self._is_first:
            self._reader.expect(",")
            if self._reader.take(self._closing):
                raise StopIteration
        self._is_first = False
