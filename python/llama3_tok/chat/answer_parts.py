"""An answer that comes as ids or as text, told part by part to those who listen."""

import re
from operator import index as integer
from typing import Any

from llama3_tok import arguments
from llama3_tok._core import StreamDecoder
from llama3_tok.chat.call_reader import PYTHON_TAG, CallReader
from llama3_tok.chat.calls import leniently, strictly
from llama3_tok.chat.deltas import Said, StopReason
from llama3_tok.chat.suspicion import Suspicion
from llama3_tok.definition import Definition

__all__ = ["IdsSource", "TextSource"]

_PAD = "<|finetune_right_pad_id|>"
_STOPS: dict[str, StopReason] = {
    "<|eot_id|>": "end_of_turn",
    "<|eom_id|>": "end_of_message",
    "<|end_of_text|>": "end_of_text",
}
_FENCE = re.compile(r"\s*```\w*\s*")
_ENDINGS = (*_STOPS, _PAD)


class TextSource:
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


class IdsSource:
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
