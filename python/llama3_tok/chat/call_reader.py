"""A call of a tool, and the reader that tells a listener of calls."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from llama3_tok.chat.literals import LiteralProblem, Reader

__all__ = ["PYTHON_TAG", "Beginning", "CallReader", "Kind", "Listener", "ToolCall"]

Kind: TypeAlias = Literal["builtin", "json", "function", "pythonic"]
# What a text begins like: like nothing but a call, like JSON, which may be anything, or like text.
Beginning: TypeAlias = Literal["call", "json", "text"]

PYTHON_TAG = "<|python_tag|>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool: its `name`, its `arguments` by name, and the form it was written in.

    `kind` is "builtin" for `name.call(query="...")`, "json" for `{"name": ..., "parameters": ...}`,
    "function" for `<function=name>{...}</function>` and "pythonic" for `[name(key=value)]`.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "json"


class Listener(Protocol):
    """Who is told what an answer has."""

    def text(self, text: str) -> None:
        """Text that is not of a call."""

    def start(self, name: str, kind: Kind) -> None:
        """A call has begun, and its arguments come."""

    def arguments(self, text: str) -> None:
        """A part of the arguments of the call that began last, as JSON."""

    def call(self, call: ToolCall) -> None:
        """The call that began last, when it was read to its end."""

    def certain(self) -> None:
        """The calls that were read are calls, whatever follows."""

    def dropped(self, problem: LiteralProblem, beginning: Beginning) -> None:
        """The calls that were read since the last that are certain are text, which comes now."""


class CallReader(Reader):
    """A reader that tells a listener of the calls that it reads.

    `is_open` is whether what is read now may be a call or not; `beginning` what it is like, and
    `has_key` whether it has a key that calls as JSON have.
    """

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener = listener
        self.is_open = True
        self.beginning: Beginning = "text"
        self.has_key = False
        self._is_writing = False
        self._waiting: list[str] | None = None

    def write(self, text: str) -> None:
        """Arguments are told as soon as it is known whose they are."""
        if not self._is_writing:
            return
        if self._waiting is None:
            self.listener.arguments(text)
        else:
            self._waiting.append(text)

    def start(self, name: str, kind: Kind) -> None:
        """A call has begun; its arguments come now, or have come."""
        self.listener.start(name, kind)
        if self._waiting is None:
            self._is_writing = True
        else:
            self.listener.arguments("".join(self._waiting))
            self._waiting = None

    def wait(self) -> None:
        """Arguments come now, and the name of the call is not known."""
        self._is_writing, self._waiting = True, []

    def done(self, call: ToolCall) -> None:
        """A call was read to its end."""
        self._is_writing = False
        self.listener.call(call)

    def arguments_end(self) -> None:
        """What comes now is not of arguments."""
        self._is_writing = False

    def succeed(self) -> None:
        """What was read since the mark are calls."""
        self.since_mark()
        self.is_open, self.beginning, self.has_key = False, "text", False
        self.listener.certain()

    def fail(self, problem: LiteralProblem) -> str:
        """What was read since the mark, which is text."""
        # What ends after a key of a call as JSON was to be one; what goes on may be other JSON.
        is_call = self.has_key and problem.is_cut
        self.listener.dropped(problem, "call" if is_call else self.beginning)
        self._is_writing, self._waiting = False, None
        self.is_open, self.beginning, self.has_key = False, "text", False
        return self.since_mark()
