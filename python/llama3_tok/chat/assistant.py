"""What a model answered: text, calls of tools, or code, from the ids or the text it generated.

The forms of calls are in `calls.py`. They are read strictly, from the first character to the last,
and nothing is evaluated: what only nearly is a call is text, and `problem` says why. With `salvage`
calls are read that have text around them, as servers do that are lenient.

An answer may be read while it is generated: `AssistantStream`. There is one reader for both, and a
whole answer is one that comes in one part.

What is generated is data. Given ids, only special ids are structure, and an answer that spells out
`<|python_tag|>` has these characters in its content.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import index as integer
from typing import Any, SupportsIndex

from llama3_tok import arguments
from llama3_tok._core import StreamDecoder
from llama3_tok.arguments import Ids
from llama3_tok.chat.call_reader import PYTHON_TAG, CallReader, ToolCall
from llama3_tok.chat.calls import leniently, strictly
from llama3_tok.chat.deltas import (
    CODE_INTERPRETER,
    AnswerEnd,
    Delta,
    FinishReason,
    Said,
    StopReason,
    choice_delta,
)
from llama3_tok.chat.suspicion import Suspicion
from llama3_tok.definition import Definition

__all__ = ["AssistantMessage", "AssistantStream", "of_ids", "of_text"]

_PAD = "<|finetune_right_pad_id|>"
_STOPS: dict[str, StopReason] = {
    "<|eot_id|>": "end_of_turn",
    "<|eom_id|>": "end_of_message",
    "<|end_of_text|>": "end_of_text",
}
_FENCE = re.compile(r"\s*```\w*\s*")


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """A model's answer.

    `content` is its text, empty if it is nothing but calls or code; `tool_calls` are its calls, in
    order; `code` is what it wants a Python interpreter to run, else None. `stop_reason` says how it
    ended: "end_of_turn" (`<|eot_id|>`), "end_of_message" (`<|eom_id|>`, to go on after a call's
    result), "end_of_text", or None if there is no such token, as where the tokens ran out.
    `problem` is None, or why what looks like a call is not one, or what else is odd.
    """

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    code: str | None = None
    stop_reason: StopReason | None = None
    problem: str | None = None

    def to_message(self) -> dict[str, Any]:
        """The message of a conversation, with calls in OpenAI's shape.

        Code is a call of `code_interpreter` with the argument `code`, and an answer that ended with
        "end_of_message" says so, as Meta's package has them: with `dialect="meta"`, and the
        `tool_format` that the calls were written in, `encode_chat` gives the ids that were
        generated. The published templates, dialect "hf", have one call a message, always as they
        teach it, and no code.

        >>> llama3_tok.parse_assistant('{"name": "f", "parameters": {"a": 1}}').to_message()
        {'role': 'assistant', 'content': '', 'tool_calls': [{'type': 'function', 'function': \
{'name': 'f', 'arguments': {'a': 1}}}]}
        """
        calls = [(call.name, call.arguments) for call in self.tool_calls]
        if self.code is not None:
            calls.append((CODE_INTERPRETER, {"code": self.code}))
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.stop_reason == "end_of_message":
            message["stop_reason"] = self.stop_reason
        if calls:
            message["tool_calls"] = [
                {"type": "function", "function": {"name": name, "arguments": arguments}}
                for name, arguments in calls
            ]
        return message


def of_text(text: str, salvage: bool = False) -> AssistantMessage:
    """An answer as text: see `llama3_tok.parse_assistant`."""
    stream = AssistantStream(None, salvage=salvage, hold_calls=True)
    stream.push(text)
    stream.finish()
    return stream.message


def of_ids(answer: "Ids", definition: Definition, salvage: bool = False) -> AssistantMessage:
    """An answer as ids, which are those of `definition`: see `llama3_tok.parse_assistant`."""
    given = arguments.ids(answer, "answer")
    definition.core.decode(given, False, "answer")  # raises for what is not an id
    stream = AssistantStream(lambda: definition, salvage=salvage, hold_calls=True)
    stream.push(given)
    stream.finish()
    return stream.message


class AssistantStream:
    """An answer that is read while it is generated; `llama3_tok.assistant_stream` makes one.

    `push` takes what was generated, ids or text, and gives what it tells: `ContentDelta`,
    `CallStart`, `CallArguments`, `CallEnd`, `CallDropped`; `finish` gives the rest and an
    `AnswerEnd`. After it, `message` is the answer as `parse_assistant` reads it: its content is the
    text of the content deltas, and its calls are those with a `CallEnd`, however the answer was
    divided.

    Text is held back only while it may be of a call: the first word, which may be the name of a
    built-in tool, and what begins as a call does. A call is told when its arguments begin, and its
    arguments as they come. It ends, with a `CallEnd`, when it is certain: when the answer ends,
    since there may be more after the call; with `salvage`, at once. If it is not a call, there is a
    `CallDropped`, and its text follows as content, or as code after `<|python_tag|>`. With
    `hold_calls` a call is told as a whole, when it is certain; then nothing is ever dropped.

    A stream has a state: each answer needs its own.

    >>> stream = llama3_tok.assistant_stream()
    >>> stream.push('{"name": "add", "parameters": {"a"')[1:]
    [CallArguments(index=0, text='{"a"')]
    >>> stream.push(': 1}}')
    [CallArguments(index=0, text=': 1}')]
    >>> stream.push("<|eot_id|>")
    []
    >>> stream.finish()[:1], stream.message.tool_calls
    ([CallEnd(index=0)], (ToolCall(name='add', arguments={'a': 1}, kind='json'),))
    """

    def __init__(
        self,
        definition: Callable[[], Definition] | None,
        *,
        salvage: bool = False,
        hold_calls: bool = False,
    ) -> None:
        arguments.flag(salvage, "salvage")
        arguments.flag(hold_calls, "hold_calls")
        self._definition, self._salvage, self._holds = definition, salvage, hold_calls
        self._source: _TextSource | _IdsSource | None = None
        self._message: AssistantMessage | None = None
        self._has_role = False

    def push(self, answer: "str | SupportsIndex | Ids") -> list[Delta]:
        """What more of the answer tells: text, an id, or several ids.

        A stream is given either ids or text, as `parse_assistant` is, which says what the
        difference is. Raises InvalidTokenId, its position counted from the beginning of the answer,
        and TypeError for what is neither or is the other of both; then the stream is as it was.
        """
        if self._message is not None:
            raise ValueError("the answer is finished; each answer needs a stream of its own")
        source = self._source_of(answer)
        source.push(answer)
        self._source = source
        return source.answer.said.take()

    def finish(self, *, is_cut: bool | None = None) -> list[Delta]:
        """What the end of the answer tells; the last delta is an `AnswerEnd`.

        `is_cut` is whether the tokens ran out, for the `finish_reason`; by default they did if
        there was no stop token, which text need not have.
        """
        if is_cut is not None:
            arguments.flag(is_cut, "is_cut")
        if self._message is not None:
            raise ValueError("the answer is finished; each answer needs a stream of its own")
        source = self._source or self._source_of("")
        source.finish()
        answer, said = source.answer, source.answer.said
        code = None if said.code is None else "".join(said.code)
        self._message = AssistantMessage(
            "".join(said.content),
            tuple(said.calls),
            code,
            source.stop_reason,
            source.problem or answer.problem(),
        )
        reason: FinishReason = "stop"
        if said.calls or code is not None:
            reason = "tool_calls"
        elif is_cut or (is_cut is None and source.stop_reason is None):
            reason = "length"
        said.end(AnswerEnd(source.stop_reason, self._message.problem, reason))
        return said.take()

    @property
    def message(self) -> AssistantMessage:
        """The whole answer, once it is finished."""
        if self._message is None:
            raise ValueError("the answer is not finished: finish() has not been called")
        return self._message

    def choices(self, deltas: Iterable[Delta]) -> list[dict[str, Any]]:
        """Deltas as servers with OpenAI's interface stream them: each is one of `choices`.

        Each has a `delta` with `content` or `tool_calls`, and `finish_reason`, which is None but in
        the last. The first `delta` has the `role`. A call that is dropped is not known there: give
        `hold_calls` to clients that have no use for a call without an end.

        >>> stream = llama3_tok.assistant_stream()
        >>> stream.choices(stream.push("Hello, world"))
        [{'index': 0, 'delta': {'role': 'assistant', 'content': 'Hello, world'}, \
'finish_reason': None}]
        >>> stream.choices(stream.finish(is_cut=False))
        [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]
        """
        found = []
        for delta in deltas:
            shown = choice_delta(delta)
            if shown is None:
                continue
            if not self._has_role:
                shown, self._has_role = {"role": "assistant", **shown}, True
            reason = delta.finish_reason if isinstance(delta, AnswerEnd) else None
            found.append({"index": 0, "delta": shown, "finish_reason": reason})
        return found

    def _source_of(self, answer: object) -> "_TextSource | _IdsSource":
        """What reads the pushes, which the first of them decides."""
        is_text = isinstance(answer, str)
        if self._source is not None:
            if is_text != isinstance(self._source, _TextSource):
                given, now = ("ids", "text") if is_text else ("text", "ids")
                raise TypeError(f"this stream was given {given} before, and now {now}")
            return self._source
        if is_text:
            return _TextSource(self._salvage, self._holds)
        if self._definition is None:
            raise TypeError(f"answer must be a str, not {type(answer).__name__}")
        return _IdsSource(self._definition(), self._salvage, self._holds)

    def __copy__(self) -> "AssistantStream":
        """Refused: two streams would share one state."""
        raise TypeError("an AssistantStream has a state and can't be copied")


class _TextSource:
    """An answer as text: special tokens are structure at its very beginning and end."""

    problem: str | None = None

    def __init__(self, salvage: bool, holds_calls: bool) -> None:
        self.answer = _Answer(salvage, holds_calls, has_tag=True)
        self.stop_reason: StopReason | None = None
        # The beginning, while it may be that of the tag; then the end, while it may be stop tokens:
        # whole names, and what may become one.
        self._beginning: str | None = ""
        self._names: list[str] = []
        self._rest = ""

    def push(self, answer: Any) -> None:  # noqa: ANN401 - a str, as was seen
        """More text."""
        text, self._rest = f"{self._rest}{answer}", ""
        at = text.rfind("<")
        if at >= 0 and any(name != text[at:] and name.startswith(text[at:]) for name in _ENDINGS):
            text, self._rest = text[:at], text[at:]
        names: list[str] = []
        end = len(text)
        while name := next((name for name in _ENDINGS if text.endswith(name, 0, end)), None):
            end -= len(name)
            names.append(name)
        if end:
            self._text("".join(self._names) + text[:end])
            self._names = []
        self._names += reversed(names)

    def _text(self, text: str) -> None:
        """Text of which it is known that it is not at the end."""
        if self._beginning is not None:
            text = self._beginning + text
            if PYTHON_TAG.startswith(text) and text != PYTHON_TAG:
                self._beginning = text
                return
            self._beginning = None
            if text.startswith(PYTHON_TAG):
                self.answer.tag()
                text = text.removeprefix(PYTHON_TAG)
        self.answer.text(text)

    def finish(self) -> None:
        """No more comes."""
        if self._rest:
            self._text("".join(self._names) + self._rest)
        else:
            reasons = (_STOPS[name] for name in self._names if name in _STOPS)
            self.stop_reason = next(reasons, None)
        if self._beginning:
            self.answer.text(self._beginning)
        self.answer.end()


_ENDINGS = (*_STOPS, _PAD)


class _IdsSource:
    """An answer as ids: special ids are structure, wherever they stand."""

    def __init__(self, definition: Definition, salvage: bool, holds_calls: bool) -> None:
        core, roles = definition.core, definition.roles
        self.answer = _Answer(salvage, holds_calls, has_tag=False)
        self.stop_reason: StopReason | None = None
        specials = core.special_tokens
        self._known = {id: name for name, id in specials.items()}
        self._stops = {
            specials[name]: reason for name, reason in _STOPS.items() if name in specials
        }
        for id in roles.stops:  # a folder may have others
            self._stops.setdefault(id, "end_of_turn")
        self._filling = {*self._stops, roles.pad}
        self._tag = specials.get(PYTHON_TAG)
        self._checker: StreamDecoder = core.stream_decoder(False, "error")
        self._decoder: StreamDecoder = core.stream_decoder(False, "error")
        self._count = 0
        self._end: int | None = None
        self._surplus = 0
        self._odd: str | None = None

    def push(self, answer: Any) -> None:  # noqa: ANN401 - it is being checked
        """More ids."""
        ids = _several(answer)
        self._checker.push(ids)  # raises for what is not an id, with its position
        run: list[int] = []
        for id in map(int, ids):
            if self._end is None and (id in self._stops or id in self._known):
                self._text(run)
                run = []
                self._special(id)
            elif self._end is None:
                run.append(id)
            else:
                self._surplus += id not in self._filling
            self._count += 1
        self._text(run)

    def _text(self, ids: list[int]) -> None:
        if ids:
            self.answer.text(self._decoder.push(ids))

    def _special(self, id: int) -> None:
        self.answer.text(self._decoder.flush())
        if id in self._stops:
            self.stop_reason, self._end = self._stops[id], self._count
            self.answer.end()
        elif id == self._tag and self._odd is None and not self.answer.is_tagged:
            self.answer.tag()
        else:
            name = self._known[id]
            problem = (
                f"the special token {arguments.shortened(name)} at position {self._count} is not "
                "part of an answer"
            )
            self._odd = self._odd or problem
            self.answer.odd(name, problem)

    def finish(self) -> None:
        """No more comes."""
        if self._end is None:
            self.answer.text(self._decoder.flush())
            self.answer.end()

    @property
    def problem(self) -> str | None:
        """What is odd about the ids."""
        if self._odd is not None or not self._surplus:
            return self._odd
        return f"after the end at position {self._end} there are {self._surplus} more ids"


def _several(ids: Any) -> Any:  # noqa: ANN401 - it is being checked
    """One id, or several, as the core takes them."""
    if isinstance(ids, bool):
        raise TypeError("ids must be integers, not bool")
    try:
        return [integer(ids)]
    except TypeError:
        return arguments.ids(ids, "ids")


class _Answer:
    """An answer, in pieces of text and with special tokens where they are structure."""

    def __init__(self, salvage: bool, holds_calls: bool, has_tag: bool) -> None:
        """`has_tag` is whether the name of the tag in its text is suspicious."""
        self.said = Said(holds_calls, Suspicion(has_tag))
        self.is_tagged = False
        self._salvages = salvage
        self._before_tag = 0
        self._begin()

    def _begin(self, is_tagged: bool = False, after_call: bool = False) -> None:
        self._reader = CallReader(self.said)
        self._reading = (
            leniently(self._reader, is_tagged=is_tagged, after_call=after_call)
            if self._salvages
            else strictly(self._reader)
        )
        next(self._reading, None)

    def text(self, text: str) -> None:
        """More text."""
        if text:
            self._reader.add(text)
            next(self._reading, None)

    def _finish_part(self) -> None:
        self._reader.is_whole = True
        next(self._reading, None)

    def _give_up(self, reason: str) -> None:
        """Strictly, what was read is not a call, and all that follows is text."""
        if self._reader.is_open:
            self._reading.throw(self._reader.problem(reason))

    def tag(self) -> None:
        """The tag: text before it is content, and a call or code comes after it."""
        if self._salvages:
            self._finish_part()
        else:
            self._give_up(f"{PYTHON_TAG} comes after it")
        self.is_tagged = self.said.code_comes = True
        self._before_tag = len(self.said.content)
        self._begin(is_tagged=True)

    def odd(self, name: str, problem: str) -> None:
        """A special token that is not part of an answer: a text, which no call can have in it."""
        said = self.said
        if self._salvages:
            self._finish_part()
        if said.code is not None:
            said.drop_code(problem)
        elif said.code_comes:
            said.code_comes = False
            said.text(PYTHON_TAG)
        if self._salvages:
            self._begin(after_call=bool(said.calls))
            self.text(name)
        else:
            self._give_up(problem)
            said.text(name)

    def end(self) -> None:
        """The end."""
        self._finish_part()
        if self.said.code_comes:
            self.said.end_code()

    def problem(self) -> str | None:
        """Why what looks like a call is not one, or is odd."""
        said = self.said
        keys = said.suspicion.has_keys or said.suspicion_of_code.has_keys
        if fault := said.fault or (said.json_fault if keys else None):
            ending = "; the answer ends within it" if fault.is_cut else ""
            return f"not a call: {fault}{ending}"
        if (place := said.suspicion.position) is not None:
            if said.calls and self._salvages:
                return "not a call: a part of the text around the calls looks like one"
            before = "".join(said.content)
            if before.startswith(PYTHON_TAG, place):
                return f"{PYTHON_TAG} at character {place} is text, since it does not come first"
            is_fence = _FENCE.fullmatch(before, 0, place)
            what = "a Markdown fence" if is_fence else "text"
            return f"not a call: {what} comes before what looks like one, at character {place}"
        if said.calls and "".join(said.content[self._before_tag :]).strip():
            return "there is text around the calls"
        return None
