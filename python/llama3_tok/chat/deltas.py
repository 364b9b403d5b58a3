"""What a streamed answer is told in: text, calls as they begin, grow and end, and how all ended."""

import secrets
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal, TypeAlias

from llama3_tok.chat.call_reader import PYTHON_TAG, Beginning, Kind, ToolCall
from llama3_tok.chat.literals import LiteralProblem, json_string
from llama3_tok.chat.suspicion import Suspicion

__all__ = [
    "CODE_INTERPRETER",
    "AnswerEnd",
    "CallArguments",
    "CallDropped",
    "CallEnd",
    "CallStart",
    "ContentDelta",
    "Delta",
    "FinishReason",
    "Said",
    "StopReason",
    "choice_delta",
]

StopReason: TypeAlias = Literal["end_of_turn", "end_of_message", "end_of_text"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]

# What Meta's package calls the tool that runs code.
CODE_INTERPRETER = "code_interpreter"


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """More of the text of an answer. It is never taken back."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call has begun: its `index` in the answer, an `id` made for it, its `name` and form.

    Code is a call of `code_interpreter` of the kind "code", with the argument `code`.
    """

    index: int
    id: str
    name: str
    kind: Kind | Literal["code"]


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of the arguments of a call: all pieces together are a JSON object."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """A call is complete, and can be run."""

    index: int


@dataclass(frozen=True, slots=True)
class CallDropped:
    """What began as a call is not one; its text follows as content, or as code.

    `reason` says why. `is_cut` is whether the answer ended within it, as where the tokens ran out.
    """

    index: int
    reason: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The end of the answer, with what `AssistantMessage` says about it.

    `finish_reason` is what OpenAI's interface calls it: "tool_calls" for an answer with calls or
    code, else "stop", or "length" if the tokens ran out.
    """

    stop_reason: StopReason | None
    problem: str | None
    finish_reason: FinishReason


Delta: TypeAlias = ContentDelta | CallStart | CallArguments | CallEnd | CallDropped | AnswerEnd


def choice_delta(delta: Delta) -> dict[str, Any] | None:
    """What OpenAI's interface has for it in `choices[0].delta`; None for nothing."""
    match delta:
        case ContentDelta(text):
            return {"content": text}
        case CallStart(index, id, name):
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": id, "type": "function", "function": function}
            return {"tool_calls": [call]}
        case CallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        case AnswerEnd():
            return {}
    return None


class Said:
    """What an answer has said so far, and the deltas that are not given yet.

    It is the listener of those who read the answer. `code_comes` is whether text that is not a call
    is code. With `holds_calls`, a call is told when it is certain.
    """

    def __init__(self, holds_calls: bool, suspicion: Suspicion) -> None:
        self.content: list[str] = []
        self.calls: list[ToolCall] = []
        self.code: list[str] | None = None
        self.code_comes = False
        # Why the first text that begins like nothing but a call is none, and the first JSON.
        self.fault: LiteralProblem | None = None
        self.json_fault: LiteralProblem | None = None
        self.suspicion = suspicion
        self.suspicion_of_code = Suspicion(has_tag=False)
        self._holds_calls = holds_calls
        self._deltas: list[Delta] = []
        # Of calls that are not certain: deltas, if they are held, what was read, and their indices.
        self._held: list[Delta] = []
        self._read: list[ToolCall] = []
        self._started: list[int] = []
        self._next = 0

    def take(self) -> list[Delta]:
        """The deltas since the last time; what continues another is joined with it."""
        deltas, self._deltas = self._deltas, []
        found: list[Delta] = []
        for _, group in groupby(deltas, _continues):
            first, *more = group
            if more and isinstance(first, ContentDelta | CallArguments):
                found.append(replace(first, text="".join(map(_text, (first, *more)))))
            else:
                found += (first, *more)
        return found

    # What readers tell

    def text(self, text: str) -> None:
        """Text that is not of a call: content, or code."""
        if not text:
            return
        if not self.code_comes:
            self.content.append(text)
            self.suspicion.add(text)
            self._deltas.append(ContentDelta(text))
            return
        self._begin_code().append(text)
        self.suspicion_of_code.add(text)
        self.arguments(json_string(text))

    def start(self, name: str, kind: Kind | Literal["code"]) -> None:
        """A call has begun."""
        index, self._next = self._next, self._next + 1
        self._started.append(index)
        self._tell(CallStart(index, f"call_{secrets.token_hex(12)}", name, kind))

    def arguments(self, text: str) -> None:
        """A part of the arguments of the call that began last."""
        if text:
            self._tell(CallArguments(self._started[-1], text))

    def call(self, call: ToolCall) -> None:
        """The call that began last was read to its end."""
        self._read.append(call)

    def certain(self) -> None:
        """The calls that were read are calls."""
        self.calls += self._read
        self.code_comes = False
        self._end()

    def dropped(self, problem: LiteralProblem, beginning: Beginning) -> None:
        """The calls that were read are text."""
        if beginning == "call":
            self.fault = self.fault or problem
        elif beginning == "json":
            self.json_fault = self.json_fault or problem
        if self._holds_calls:
            self._next -= len(self._started)
        else:
            reason = str(problem)
            self._deltas += [CallDropped(at, reason, problem.is_cut) for at in self._started]
        self._held, self._read, self._started = [], [], []

    # What the answer tells

    def end_code(self) -> None:
        """What was read as code is code."""
        self._begin_code()
        self.arguments('"}')
        self._end()

    def drop_code(self, reason: str) -> None:
        """What comes after the tag is content, and so is the tag."""
        code, self.code = self.code or [], None
        self.dropped(LiteralProblem(reason), "text")
        self.code_comes = False
        self.text(PYTHON_TAG + "".join(code))

    def end(self, end: AnswerEnd) -> None:
        """The answer has ended."""
        self._deltas.append(end)

    def _begin_code(self) -> list[str]:
        if self.code is None:
            self.code = []
            self.start(CODE_INTERPRETER, "code")
            self.arguments('{"code": "')
        return self.code

    def _tell(self, delta: CallStart | CallArguments) -> None:
        (self._held if self._holds_calls else self._deltas).append(delta)

    def _end(self) -> None:
        self._deltas += self._held
        self._deltas += map(CallEnd, self._started)
        self._held, self._read, self._started = [], [], []


def _continues(delta: Delta) -> tuple[type, int]:
    return type(delta), delta.index if isinstance(delta, CallArguments) else 0


def _text(delta: Delta) -> str:
    return delta.text if isinstance(delta, ContentDelta | CallArguments) else ""
