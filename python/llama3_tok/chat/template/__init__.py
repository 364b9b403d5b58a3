"""Chat templates that this package does not know, rendered so that text stays text.

A chat template is a program of somebody else. It writes one string, in which the names of special
tokens stand beside the text of messages, and whoever tokenizes that string can't tell the two
apart: a message with `<|eot_id|>` in it ends itself. Here the string is made twice.

```text
marks    in the template's own words each name of a special token is replaced by one character
         that neither the template nor anything it is given has
render   with marks, and once as it is
compare  names put for marks, both are the same text; if not, it is an error
split    at the marks: these are the special tokens, and all between them is text
```

**Why no text can become a special token.** A special token comes from a mark, and a mark from a
constant of the template or from what it is given as `bos_token` and the like: what people write
does not have the character. Were it made by computing (`"%c" % number`), the rendering without
marks would have that character and not a name, and the two would differ.

**Why the ids are those of the string.** Both renderings are the same text, so each name that the
template wrote stands where the string has it. What is left is a name that came together out of
pieces, as `"<|" + role + "|>"`: whether that is meant can't be known, so it is an error. So that a
message with that name does not hide it, such a conversation is rendered once more, with another
character at the beginning of each name in it: a name that is then still there is the template's.
Where a template asks whether a message has the name of a special token, the renderings differ if
it has, and that is an error, too; likewise where what follows a token makes a longer name of it.

The template runs in the sandbox of Jinja that transformers uses, with the same filters, and within
limits: how many rounds its loops make, how long its strings get, how long it takes.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from llama3_tok.chat.template.names import longest
from llama3_tok.chat.template.sandbox import run, tells_generated
from llama3_tok.errors import ChatFormatError

__all__ = ["Marked", "Span", "render"]


class Span(NamedTuple):
    """A part of a text, in characters."""

    start: int
    end: int


class Marked(NamedTuple):
    """A conversation as a template renders it."""

    text: str
    """As the template writes it; with names of special tokens, which text may have as well."""
    marked: str
    """The same with a mark for each special token that the template wrote."""
    marks: Mapping[str, str]
    """Each mark with the name of the special token that it stands for."""
    generated: Sequence[Span]
    """Where in `marked` is what the assistant writes, as far as the template says it."""
    tells_generated: bool
    """Whether the template says it: it has a `{% generation %}` block."""


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    names: Iterable[str],
    *,
    tokens: Mapping[str, Any],
    continue_in: str | None = None,
    **variables: Any,  # noqa: ANN401 - what a template may be given
) -> Marked:
    """Renders a conversation.

    `names` are those of the special tokens; `tokens` says which of them are `bos_token`,
    `eos_token` and so on. With `continue_in`, a field of the last message as "content", the text
    ends where that field's does. The other arguments reach the template as they are.

    Raises ChatFormatError for what the template refuses, for a template that can't be run or
    exceeds its limits, and where a special token's name can't be told from text.
    """
    names = sorted(set(names) - {""})
    given = _plain({**variables, "messages": list(messages)})
    named: dict[str, Any] = _plain(dict(tokens))
    rows = given["messages"]
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ChatFormatError(f"must be a dictionary, not {type(row).__name__}", index)
    rows = [_with_reasoning(row) for row in rows]
    words = list(_strings(given))
    free = _free_characters([template, *names, *words, *_strings(named)], len(names) + 4)
    begin, end, stop, other = free[:4]
    marks = dict(zip(free[4:], names, strict=True))
    if continue_in is not None:
        _mark_the_end(rows, continue_in, stop)
    size = sum(map(len, words))
    now = datetime.now()
    for joined in (False, True):
        chat = _with_parts(rows, joined)
        variables = {**given, "messages": chat}
        of_template = {name: _with_marks(value, marks) for name, value in named.items()}
        try:
            text = run(template, (), "", named | variables, size, now)
            marked = run(
                template, tuple(marks.items()), begin + end, of_template | variables, size, now
            )
            break
        except _WrittenAsAList as error:
            if joined or not _all_text(rows):
                raise ChatFormatError(
                    "this template writes a message's content as text, and the content is a list "
                    "with parts that are not text; give the content as a string",
                    error.index,
                    "content",
                ) from None
    if continue_in is not None:
        text, marked = _cut(text, stop), _cut(marked, stop)
    marked, generated = _without_blocks(marked, begin, end)
    if _with_names(marked, marks) != text:
        raise ChatFormatError(
            "the template looks at the names of special tokens or takes them apart, and a message "
            "has such a name: which of them are meant as tokens can't be told. Take the name out "
            "of the message, or use another template"
        )
    _refuse_longer_names(text, marked, marks)
    if _has_name(marked, marks):
        # Either a text has it, or the template puts it together out of pieces. Without names in
        # texts, which stay as long as they are, only the template can.
        others = _without_names({**given, "messages": rows}, tuple(names), other)
        others["messages"] = _with_parts(others["messages"], joined)
        again = run(template, tuple(marks.items()), begin + end, of_template | others, size, now)
        if name := _has_name(again, marks):
            raise ChatFormatError(
                f"the template puts {name!r}, the name of a special token, together out of pieces: "
                "whether the token is meant can't be told. Write the name as one piece in the "
                "template"
            )
    return Marked(text, marked, marks, generated, tells_generated(template))


# What the template is given


def _plain(value: Any) -> Any:  # noqa: ANN401 - any object, and what is left of it
    """A value made of nothing but JSON's types; of any other object its type's name is left.

    A template may call methods of what it is given, and these have none that do harm.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if callable(getattr(value, "model_dump", None)):
        return _plain(value.model_dump())
    if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return _plain(value.item())
    return f"<{type(value).__name__}>"


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401
    """All strings in plain data, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


_REASONING = ("reasoning_content", "thinking", "reasoning")


def _with_reasoning(row: dict[str, Any]) -> dict[str, Any]:
    """A message with what a model thought under each name that templates know.

    As transformers gives it to them.
    """
    thought = next((row[name] for name in _REASONING if row.get(name) is not None), None)
    if thought is None:
        return row
    return {"thinking": thought, **row, "reasoning_content": thought}


class _WrittenAsAList(Exception):
    """A template wrote the content of a message as text, and it is a list of parts."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


class _Parts(list[Any]):
    """A message's content in parts: a list, but not to be written as Python prints one."""

    message = 0

    def __str__(self) -> str:
        raise _WrittenAsAList(self.message)

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        raise _WrittenAsAList(self.message)


def _with_parts(rows: list[dict[str, Any]], joined: bool) -> list[dict[str, Any]]:
    """The messages with contents that are lists as parts, or as one text."""
    made = []
    for index, row in enumerate(rows):
        content = row.get("content")
        if isinstance(content, list):
            parts = _Parts(content)
            parts.message = index
            text = "".join(part["text"] for part in content) if joined else parts
            row = {**row, "content": text}
        made.append(row)
    return made


def _all_text(rows: list[dict[str, Any]]) -> bool:
    """Whether all contents that are lists have nothing but texts."""
    parts = (part for row in rows for part in _listed(row.get("content")))
    return all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts)


def _listed(content: Any) -> list[Any]:  # noqa: ANN401
    return content if isinstance(content, list) else []


def _mark_the_end(rows: list[dict[str, Any]], field: str, stop: str) -> None:
    """Puts `stop` and a space, which tells whether the template trims, after the last field."""
    last = rows[-1] if rows else {}
    content = last.get(field)
    names = [field]
    if field in _REASONING:
        names = [name for name in _REASONING if last.get(name) == content]
    if isinstance(content, str):
        for name in names:
            last[name] = content + stop + " "
        return
    for part in reversed(_listed(content)):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            part["text"] += stop + " "
            return
    raise ChatFormatError(
        f"continue_final_message wants the last message's {field!r} to go on, and it has no text",
        len(rows) - 1 if rows else None,
        field,
    )


def _cut(text: str, stop: str) -> str:
    at = text.rfind(stop)
    if at < 0:
        raise ChatFormatError(
            "the template does not write the field of the last message that is to go on"
        )
    return text[:at] if text[at + 1 : at + 2] == " " else text[:at].rstrip()


# Marks


def _free_characters(texts: list[str], count: int) -> list[str]:
    """So many characters of private use, one after the other, that no text has."""
    used: set[str] = set().union(*(text for text in texts if not text.isascii()))
    run = 0
    for code in chain(range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE)):
        run = 0 if chr(code) in used else run + 1
        if run == count:
            return [chr(code - at) for at in range(count)]
    raise ChatFormatError("the conversation has nearly all characters of private use")


def _with_marks(value: Any, marks: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Text of the template with a mark for each name of a special token."""
    if isinstance(value, list):
        return [_with_marks(item, marks) for item in value]
    if not isinstance(value, str):
        return value
    of_names = {name: mark for mark, name in marks.items()}
    return _pattern(tuple(of_names)).sub(lambda found: of_names[found[0]], value)


def _with_names(marked: str, marks: Mapping[str, str]) -> str:
    return marked.translate({ord(mark): name for mark, name in marks.items()})


@lru_cache(maxsize=32)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the longest of the names that begin at a place; nothing if there are none."""
    return longest(names) if names else re.compile(r"(?!)")


def _without_blocks(marked: str, begin: str, end: str) -> tuple[str, list[Span]]:
    """The text without the marks of `{% generation %}` blocks, and where these are."""
    text: list[str] = []
    spans: list[Span] = []
    length, opened, depth = 0, 0, 0
    for part in re.split(f"([{begin}{end}])", marked):
        if part == begin:
            opened = length if depth == 0 else opened
            depth += 1
        elif part == end:
            depth -= 1
            if depth == 0:
                spans.append(Span(opened, length))
        else:
            text.append(part)
            length += len(part)
    return "".join(text), spans


def _refuse_longer_names(text: str, marked: str, marks: Mapping[str, str]) -> None:
    """Refuses a token of the template that, with what follows it, is the name of another one."""
    pattern, at = _pattern(tuple(marks.values())), 0
    for character in marked:
        name = marks.get(character)
        if name is not None:
            found = pattern.match(text, at)
            if found is None or found[0] != name:
                longer = found[0] if found is not None else name
                raise ChatFormatError(
                    f"the template writes {name!r}, which with what follows it is {longer!r}: "
                    "which of the two special tokens is meant can't be told"
                )
        at += 1 if name is None else len(name)


def _has_name(marked: str, marks: Mapping[str, str]) -> str | None:
    """The first name of a special token in the text between marks."""
    pattern = _pattern(tuple(marks.values()))
    parts = re.split("[" + "".join(marks) + "]", marked) if marks else []
    found = next(filter(None, map(pattern.search, parts)), None)
    return found and found[0]


def _without_names(value: Any, names: tuple[str, ...], other: str) -> Any:  # noqa: ANN401
    """What the template is given, with another first character in names of special tokens."""
    if isinstance(value, str):
        return _pattern(names).sub(lambda found: other + found[0][1:], value)
    if isinstance(value, list):
        return [_without_names(item, names, other) for item in value]
    if isinstance(value, dict):
        return {
            _without_names(key, names, other): _without_names(item, names, other)
            for key, item in value.items()
        }
    return value
