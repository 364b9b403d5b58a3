"""The calls of tools that an answer has, in each form that Llama 3 is taught.

The forms are those that Meta's prompts teach and `llama_models.llama3.tool_utils` writes, and the
one of the chat template published with Llama 3.1. `strictly` reads an answer that is nothing but
calls, `leniently` also calls with text around them. Both are generators, as everything that reads
(`literals.py`), and tell a `Listener` what they find as soon as it is known.

What only begins like a call is told as a call that has started, and later as dropped. So nothing
is evaluated, and nothing is a call before its last character was read.
"""

import re

from llama3_tok.chat.call_forms import (
    builtin_call,
    builtin_name,
    function_call,
    json_call,
    list_of_calls,
)
from llama3_tok.chat.call_reader import PYTHON_TAG, CallReader
from llama3_tok.chat.literals import LiteralProblem, Reading

__all__ = ["leniently", "strictly"]

_SEPARATORS = re.compile(r"[ \t\r\n;]*")


# An answer


def strictly(reader: CallReader) -> Reading[None]:
    """Reads a text that is nothing but calls of one form, or else nothing but text."""
    reader.mark()
    try:
        yield from _calls(reader)
    except LiteralProblem as problem:
        reader.listener.text(reader.fail(problem))
        yield from _pass_on(reader)
    else:
        reader.succeed()


def _pass_on(reader: CallReader) -> Reading[None]:
    """All that follows is text."""
    while (yield from reader.ready()):
        text, reader.at = reader.text[reader.at :], len(reader.text)
        reader.listener.text(text)


def _calls(reader: CallReader) -> Reading[None]:
    """Calls, up to the end of the text."""
    # Some models write a semicolon before the first call as well.
    yield from _separators(reader)
    first = yield from reader.peek()
    if first == "[":
        what = yield from list_of_calls(reader)
        if not (yield from _ends(reader)):
            raise reader.problem(f"there is more after the {what}")
        return
    if first == "{":
        reader.beginning = "json"
        yield from json_call(reader)
        while not (yield from _ends(reader)):
            yield from json_call(reader)
        return
    if first == "<" and (yield from reader.starts("<function=")):
        while True:
            yield from function_call(reader)
            yield from _separators(reader)
            if not (yield from reader.ready()):
                return
    if name := (yield from builtin_name(reader)):
        yield from builtin_call(reader, name)
        while not (yield from _ends(reader)):
            if not (name := (yield from builtin_name(reader))):
                raise reader.problem("there is more after the call")
            yield from builtin_call(reader, name)
        return
    raise reader.problem("this is not how a call begins")


def _separators(reader: CallReader) -> Reading[str]:
    """Goes to what comes after white space and semicolons, which are given."""
    found = ""
    while True:
        if match := _SEPARATORS.match(reader.text, reader.at):
            found += match[0]
            reader.at = match.end()
        if reader.at < len(reader.text) or reader.is_whole:
            return found
        yield


def _ends(reader: CallReader) -> Reading[bool]:
    """Whether the text ends here; else white space or a semicolon has to come next."""
    separators = yield from _separators(reader)
    if not (yield from reader.ready()):
        return True
    if not separators:
        raise reader.problem("there is more after the call")
    return False


# Calls with text around them

_FENCE = "```"
_LANGUAGE = re.compile(r"\w*")
_LONGEST_LANGUAGE = 32
_BLANK = re.compile(r"[ \t\r\n]*")
_NOTABLE = re.compile(r"[`{\[<\n]")


def leniently(
    reader: CallReader, *, is_tagged: bool = False, after_call: bool = False
) -> Reading[None]:
    """Reads all calls that can be read in a text, and the text around them.

    What separates calls is left out: white space and semicolons between them, and the marks of a
    Markdown fence, or a spelled-out `<|python_tag|>`, right before one and the fence's end after
    it. A call that can't be read is text, up to where that was seen; one that the end of the text
    cuts is text up to there. Calls of built-in tools are looked for where a line begins.

    A text that `is_tagged` has to begin with a call, and is code otherwise.
    """
    if is_tagged:
        reader.mark()
        yield from _separators(reader)
        try:
            yield from _call(reader, True)
        except LiteralProblem as problem:
            reader.listener.text(reader.fail(problem))
            yield from _pass_on(reader)
            return
        reader.succeed()
        after_call = True

    # Since the beginning or the last call there was nothing but `gap`, if `is_gap`, and `opening`,
    # which is left out if a call comes next.
    is_gap, gap, opening = True, "", ""
    begins_line, is_fenced = True, False
    while True:
        if is_gap and not opening:
            gap += yield from _separators(reader)
        first = yield from reader.peek()
        if not first:
            if not (after_call and is_gap) or opening:
                reader.listener.text(gap + opening)
            return
        if mark := (yield from _opening(reader, first)):
            if mark == _FENCE and is_fenced and is_gap and not opening:
                reader.at += len(mark)
                is_fenced = False
                continue
            reader.at += len(mark)
            opening += mark + (yield from _separators(reader))
            continue
        if not is_gap and (first == "\n" or (begins_line and first in " \t\r")):
            if match := _BLANK.match(reader.text, reader.at):
                reader.at = match.end()
                reader.listener.text(match[0])
            begins_line = True
            continue
        reader.mark()
        try:
            yield from _call(reader, begins_line or is_gap or bool(opening))
        except LiteralProblem as problem:
            if problem.is_cut:
                reader.at = len(reader.text)
            text = reader.fail(problem)
            if not text:  # No call begins here, so none does before the next notable character.
                notable = _NOTABLE.search(reader.text, reader.at + 1)
                end = notable.start() if notable else len(reader.text)
                text, reader.at = reader.text[reader.at : end], end
            reader.listener.text(gap + opening + text)
            is_gap, gap, opening, begins_line = False, "", "", False
        else:
            reader.succeed()
            is_fenced = _FENCE in opening
            is_gap, gap, opening, after_call = True, "", "", True


def _opening(reader: CallReader, first: str) -> Reading[str]:
    """What may stand right before a call and is not of the text around it; "" for nothing."""
    if first == "`" and (yield from reader.starts(_FENCE)):
        language = yield from reader.run(_LANGUAGE, _LONGEST_LANGUAGE, len(_FENCE))
        return _FENCE + language if len(language) <= _LONGEST_LANGUAGE else ""
    if first == "<" and (yield from reader.starts(PYTHON_TAG)):
        return PYTHON_TAG
    return ""


def _call(reader: CallReader, may_be_builtin: bool) -> Reading[None]:
    """One call, or one list of calls."""
    first = yield from reader.peek()
    if first == "[":
        yield from list_of_calls(reader)
    elif first == "{":
        reader.beginning = "json"
        yield from json_call(reader)
    elif first == "<" and (yield from reader.starts("<function=")):
        yield from function_call(reader)
    else:
        name = (yield from builtin_name(reader)) if may_be_builtin else ""
        if not name:
            raise reader.problem("this is not how a call begins")
        yield from builtin_call(reader, name)


# The forms


# What looks like a call
