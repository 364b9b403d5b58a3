"""Literals as JSON and Python write them, read without evaluating anything.

One grammar serves both: objects, lists, strings in double or single quotation marks, numbers, and
true, false, null, True, False, None. Nothing else is read, nesting is limited, and what is wrong
is a `LiteralProblem` that says where.

The text may come in parts, as an answer does that is being generated. So each method that reads is
a generator: it stops at a `yield` where it needs more text to go on, and never decides before.
What it reads and where it fails don't depend on how the text is divided.
"""

import json
import re
from collections.abc import Collection, Generator
from typing import Any, TypeAlias, TypeVar

from llama3_tok.arguments import quoted

__all__ = ["LiteralProblem", "Reader", "Reading", "joined", "json_string"]

_T = TypeVar("_T")
Reading: TypeAlias = Generator[None, None, _T]

# Deeper nesting is refused: no call has it, and it would exhaust the stack.
DEEPEST = 64
# More digits are refused, as Python itself refuses to read them.
_DIGITS = 4000
# Longer names are refused, so that a name which does not end is not read again and again.
LONGEST_NAME = 256

_SPACE = re.compile(r"[ \t\r\n]*")
_EXPONENT = r"[eE][+-]?[0-9]*"
# What a number begins with, and what a word does: read up to the character that decides.
_NUMERAL = re.compile(rf"-?(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+(?:{_EXPONENT})?)?|{_EXPONENT})?)?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![\w.])")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
# The same with the escape sequences of one letter, which are most.
_SIMPLE = {mark: re.compile(rf"(?:[^{mark}\\]++|\\[\"'\\/abfnrtv0])*+") for mark in ('"', "'")}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CODE = {"x": 2, "u": 4, "U": 8}
_HEX = re.compile(r"[0-9a-fA-F]*")
_ESCAPES = {
    **{mark: mark for mark in "\"'\\/"},
    **{"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"},
}
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_WORD_BEGINNINGS = {word[:end] for word in _WORDS for end in range(len(word) + 1)}
_WORD = re.compile("|".join(sorted(_WORD_BEGINNINGS, reverse=True)))
_LONGEST_WORD = max(map(len, _WORDS))
_LETTER = re.compile(r"\w")
_SURROGATE = re.compile("[\ud800-\udfff]")


class LiteralProblem(Exception):
    """What is not a literal; the message says why and at which character.

    `is_cut` is whether the text ends where more of it had to come.
    """

    def __init__(self, message: str, is_cut: bool = False) -> None:
        super().__init__(message)
        self.is_cut = is_cut


def json_string(text: str) -> str:
    """The inside of a JSON string. A lone surrogate is escaped, so that the text can be sent."""
    inside = json.dumps(text, ensure_ascii=False)[1:-1]
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", inside)


def joined(parts: list[str]) -> str:
    """The parts of a string; escaped surrogate pairs, as JSON has them, are one character."""
    text = "".join(parts)
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _meant(escape: re.Match[str]) -> str:
    return _ESCAPES[escape[1]]


class Reader:
    """Reads a text from left to right; `at` is the character that comes next.

    `add` brings more text, and `is_whole` is set when no more will come. What was read is let go
    of, except from a `mark` on.
    """

    def __init__(self) -> None:
        self.text, self.at, self.is_whole = "", 0, False
        self._before = 0
        self._kept: list[str] | None = None
        self._kept_from = 0

    def add(self, text: str) -> None:
        """More of the text."""
        if self._kept is not None:
            self._kept.append(self.text[self._kept_from : self.at])
            self._kept_from = 0
        self._before += self.at
        self.text, self.at = self.text[self.at :] + text, 0

    @property
    def position(self) -> int:
        """How many characters come before the next one."""
        return self._before + self.at

    def mark(self) -> None:
        """Keeps what is read from here on."""
        self._kept, self._kept_from = [], self.at

    def since_mark(self) -> str:
        """What was read since the mark, which is then no more."""
        text = "".join([*(self._kept or ()), self.text[self._kept_from : self.at]])
        self._kept = None
        return text

    def problem(self, what: str, *, ahead: int = 0, position: int | None = None) -> LiteralProblem:
        """The exception for the place that was reached, or for `position`.

        It is a cut if the text ends after the next `ahead` characters, which were looked at.
        """
        is_cut = self.is_whole and self.at + ahead >= len(self.text)
        position = self.position if position is None else position
        return LiteralProblem(f"{what} at character {position}", is_cut)

    def write(self, text: str) -> None:
        """Is told what is read, as JSON; a reader that has a use for it overrides this."""

    # What comes next

    def ready(self, count: int = 1) -> Reading[bool]:
        """Whether `count` more characters come."""
        while len(self.text) - self.at < count:
            if self.is_whole:
                return False
            yield
        return True

    def peek(self) -> Reading[str]:
        """The next character; "" at the end."""
        yield from self.ready()
        return self.text[self.at : self.at + 1]

    def starts(self, mark: str, ahead: int = 0) -> Reading[bool]:
        """Whether `mark` comes after the next `ahead` characters, which are there."""
        while True:
            found = self.text[self.at + ahead : self.at + ahead + len(mark)]
            if found == mark or self.is_whole or not mark.startswith(found):
                return found == mark
            yield

    def run(self, pattern: re.Pattern[str], most: int, ahead: int = 0) -> Reading[str]:
        """The characters of one kind that come after the next `ahead`, which are there.

        Of more than `most` of them only so many are given that it can be seen. `pattern` matches
        any number of them.
        """
        while True:
            start = self.at + ahead
            found = pattern.match(self.text, start)
            end = found.end() if found else start
            if end < len(self.text) or self.is_whole or end - start > most:
                return self.text[start : min(end, start + most + 1)]
            yield

    def skip_space(self) -> Reading[None]:
        """Goes to what comes after white space."""
        while True:
            if match := _SPACE.match(self.text, self.at):
                self.at = match.end()
            if self.at < len(self.text) or self.is_whole:
                return
            yield

    def take(self, mark: str) -> Reading[bool]:
        """Whether `mark` comes next, after white space; goes past it if so."""
        yield from self.skip_space()
        found = yield from self.starts(mark)
        self.at += len(mark) if found else 0
        return found

    def expect(self, mark: str) -> Reading[None]:
        """Goes past `mark`, which has to come next."""
        if not (yield from self.take(mark)):
            rest = self.text[self.at : self.at + len(mark)]
            ahead = len(rest) if mark.startswith(rest) else 0
            raise self.problem(f"{mark!r} is missing", ahead=ahead)

    # Values

    def value(self, depth: int = 0) -> Reading[Any]:
        """The literal that has to come next."""
        if depth > DEEPEST:
            raise self.problem(f"values are nested more than {DEEPEST} deep")
        yield from self.skip_space()
        first = yield from self.peek()
        if first == "{":
            return (yield from self.object(depth))
        if first == "[":
            return (yield from self._list(depth))
        if first in _PLAIN:
            return (yield from self.string())
        if not first:
            raise self.problem("a value is missing")
        if first == "-" or "0" <= first <= "9":
            numeral = yield from self.run(_NUMERAL, _DIGITS)
            if len(numeral) > _DIGITS:
                raise self.problem("the number is too long")
            if match := _NUMBER.match(self.text, self.at):
                return self._number(match)
            raise self.problem("this is not a literal value", ahead=len(numeral))
        word = yield from self.run(_WORD, _LONGEST_WORD)
        if word not in _WORDS or _LETTER.match(self.text, self.at + len(word)):
            raise self.problem("this is not a literal value", ahead=len(word))
        self.at += len(word)
        self.write(json.dumps(_WORDS[word]))
        return _WORDS[word]

    def _list(self, depth: int) -> Reading[list[Any]]:
        yield from self.expect("[")
        self.write("[")
        found: list[Any] = []
        while (yield from self.next_item("]", not found)):
            found.append((yield from self.value(depth + 1)))
        self.write("]")
        return found

    def next_item(self, closing: str, is_first: bool) -> Reading[bool]:
        """Whether one more item comes before `closing`; goes to it, or past `closing`.

        Commas are between items, and one may come after the last.
        """
        if (yield from self.take(closing)):
            return False
        if not is_first:
            yield from self.expect(",")
            if (yield from self.take(closing)):
                return False
            self.write(", ")
        return True

    def object(self, depth: int = 0) -> Reading[dict[str, Any]]:
        """The object that has to come next; no key may occur twice."""
        yield from self.expect("{")
        self.write("{")
        found: dict[str, Any] = {}
        while (yield from self.next_item("}", not found)):
            key = yield from self.key()
            if key in found:
                raise self.problem(f"the key {quoted(key)} occurs twice, before this place")
            yield from self.expect(":")
            self.write(": ")
            found[key] = yield from self.value(depth + 1)
        self.write("}")
        return found

    def key(self, among: Collection[str] = (), otherwise: str = "") -> Reading[str]:
        """The string that has to come next; see `string`."""
        yield from self.skip_space()
        if (yield from self.peek()) not in _PLAIN:
            raise self.problem("a key in quotation marks is missing")
        return (yield from self.string(among, otherwise))

    def string(self, among: Collection[str] = (), otherwise: str = "") -> Reading[str]:
        """The string that comes next; line breaks in it are text.

        It is one of `among`, if they are given, or else the problem is `otherwise`, as soon as that
        can be seen.
        """
        start, mark = self.position, self.text[self.at]
        plain, parts = (_PLAIN if among else _SIMPLE)[mark], [""]
        self.at += 1
        self.write('"')
        while True:
            match = plain.match(self.text, self.at)
            part = match[0] if match else ""
            width = len(part)
            if not part:
                if self.at == len(self.text):
                    if self.is_whole:
                        raise self.problem("the string has no end")
                    yield
                    continue
                if self.text[self.at] == mark:
                    break
                part, width = yield from self._escape()
            elif "\\" in part:
                part = _ESCAPED.sub(_meant, part)
            if among:
                parts[0] = self._checked(parts[0], part, width, among, otherwise, start)
            else:
                parts.append(part)
            self.write(json_string(part))
            self.at += width
        if among and parts[0] not in among:
            raise self.problem(otherwise, position=start)
        self.at += 1
        self.write('"')
        return joined(parts)

    def _checked(
        self, before: str, part: str, width: int, among: Collection[str], otherwise: str, start: int
    ) -> str:
        """The beginning of a string that is one of `among`; else stops where that is seen."""
        for length in range(1, len(part) + 1):
            if not any(one.startswith(before + part[:length]) for one in among):
                self.at += length - 1 if width == len(part) else 0
                raise self.problem(otherwise, ahead=-1, position=start)
        return before + part

    def _escape(self) -> Reading[tuple[str, int]]:
        """What an escape sequence stands for, and how many characters it has."""
        yield from self.ready(2)
        letter = self.text[self.at + 1 : self.at + 2]
        if length := _CODE.get(letter):
            while True:
                digits = self.text[self.at + 2 : self.at + 2 + length]
                is_right = _HEX.fullmatch(digits) is not None
                if not is_right or len(digits) == length or self.is_whole:
                    break
                yield
            if is_right and len(digits) == length and (code := int(digits, 16)) < 0x110000:
                return chr(code), 2 + length
            ahead = 2 + len(digits) if is_right and len(digits) < length else 0
            raise self.problem("this is not an escape sequence", ahead=ahead)
        if letter in _ESCAPES:
            return _ESCAPES[letter], 2
        raise self.problem("this is not an escape sequence", ahead=0 if letter else 1)

    def _number(self, match: re.Match[str]) -> int | float:
        number = int(match[0]) if match[1] is match[2] is None else float(match[0])
        if number in (float("inf"), float("-inf")):
            raise self.problem("the number is too large")
        self.at = match.end()
        self.write(json.dumps(number))
        return number
