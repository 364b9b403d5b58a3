"""What a model answered: text, calls of tools, or code, from the ids or the text it generated.

The forms of calls are in `calls.py`. They are read strictly, from the first character to the last,
and nothing is evaluated: what only nearly is a call is text, and `problem` says why. With `salvage`
calls are read that have text around them, as servers do that are lenient. What ids and text are
parts of an answer, `answer_parts.py` says.

An answer may be read while it is generated: `AssistantStream`. There is one reader for both, and a
whole answer is one that comes in one part.

What is generated is data. Given ids, only special ids are structure, and an answer that spells out
`<|python_tag|>` has these characters in its content.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, SupportsIndex

from llama3_tok import arguments
from llama3_tok.arguments import Ids
from llama3_tok.chat.answer_parts import IdsSource, TextSource
from llama3_tok.chat.call_reader import ToolCall
from llama3_tok.chat.deltas import (
    CODE_INTERPRETER,
    AnswerEnd,
    Delta,
    FinishReason,
    StopReason,
    choice_delta,
)
from llama3_tok.definition import Definition

__all__ = ["AssistantMessage", "AssistantStream", "of_ids", "of_text"]


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
        self._source: TextSource | IdsSource | None = None
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

    def _source_of(self, answer: object) -> "TextSource | IdsSource":
        """What reads the pushes, which the first of them decides."""
        is_text = isinstance(answer, str)
        if self._source is not None:
            if is_text != isinstance(self._source, TextSource):
                given, now = ("ids", "text") if is_text else ("text", "ids")
                raise TypeError(f"this stream was given {given} before, and now {now}")
            return self._source
        if is_text:
            return TextSource(self._salvage, self._holds)
        if self._definition is None:
            raise TypeError(f"answer must be a str, not {type(answer).__name__}")
        return IdsSource(self._definition(), self._salvage, self._holds)

    def __copy__(self) -> "AssistantStream":
        """Refused: two streams would share one state."""
        raise TypeError("an AssistantStream has a state and can't be copied")
