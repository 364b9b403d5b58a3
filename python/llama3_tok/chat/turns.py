"""The turns of a conversation by themselves: what a format writes after an answer.

A model's answer is ids, which encoding its text again need not give. So a conversation with a model
that learns from it is not encoded again: what comes after an answer is, and is put after its ids.

In the formats of the releases each message is written by itself, whatever stands before it, and
begins and ends with a special token. A chat template that is run may write anything; there, what
follows an answer is found by rendering the conversation with and without it.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from llama3_tok.chat import conversations
from llama3_tok.chat.messages import ChatOptions, Message, several
from llama3_tok.definition import Definition
from llama3_tok.errors import ChatFormatError

__all__ = ["Following", "Turns"]

# An image changes what a vision model's format writes before the first message, unless the system
# speaks.
_BEFORE: list[Message] = [{"role": "system", "content": "."}, {"role": "user", "content": "?"}]
_ANSWER: Message = {"role": "assistant", "content": "."}
_CALL: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
}


def _is_result(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") in ("tool", "ipython")


class Following(NamedTuple):
    """What a format writes after an answer.

    `end` is the id that ends an answer; `parts` are the ids of each message that follows, and
    `header` those that begin the next answer.
    """

    end: int
    parts: list[list[int]]
    header: list[int]

    @property
    def ids(self) -> list[int]:
        """All ids after the end of the answer."""
        return [id for part in (*self.parts, self.header) for id in part]


class Turns:
    """How the conversations of a tokenizer with these options are written, turn by turn."""

    def __init__(self, definition: Definition, options: ChatOptions, call: str) -> None:
        for name in ("add_generation_prompt", "continue_final_message"):
            if name in options:
                raise TypeError(f"{call}() has no option {name!r}: the answer's header is added")
        self._definition, self._options, self._call = definition, options, call
        given = cast(dict[str, Any], options)
        for name in ("tools", "builtin_tools", "documents"):  # they are read more than once
            if given.get(name) is not None:
                given[name] = list(several(given[name], name))
        self.is_known = conversations.template_of(definition, options, call) is None

    def encode(self, messages: Sequence[Message], prompts: bool) -> list[int]:
        """The ids of a conversation, with or without the header of an answer at its end."""
        options = cast(ChatOptions, {**self._options, "add_generation_prompt": prompts})
        return conversations.encode(self._definition, messages, options, self._call)

    @cached_property
    def header(self) -> list[int]:
        """The ids that begin an answer, in the format of a release."""
        before, start = self._asking
        return self._alone(before, prompts=True)[start:]

    def message(self, message: Message, index: int) -> list[int]:
        """The ids of one message, in the format of a release; an error calls it `index`."""
        before, start = self._calling if _is_result(message) else self._asking
        try:
            return self._alone([*before, message])[start:]
        except ChatFormatError as error:
            raise ChatFormatError(error.reason, index, error.field) from error

    @cached_property
    def _asking(self) -> tuple[list[Message], int]:
        """What any message but a result may follow, and how many ids it has."""
        return _BEFORE, len(self._alone(_BEFORE))

    @cached_property
    def _calling(self) -> tuple[list[Message], int]:
        """What the result of a tool may follow, and how many ids it has."""
        try:
            return [*_BEFORE, _CALL], len(self._alone([*_BEFORE, _CALL]))
        except ChatFormatError:  # There are no tools, nor are there results.
            return self._asking

    def _alone(self, messages: list[Message], prompts: bool = False) -> list[int]:
        """Messages without what the format writes once for all of them."""
        plain = cast(ChatOptions, {**self._options, "tools": None, "tools_in": "user"})
        options = cast(ChatOptions, {**plain, "add_generation_prompt": prompts})
        return conversations.encode(self._definition, messages, options, self._call)

    def following(
        self, messages: list[Message], answer: Message, new: Sequence[Message]
    ) -> Following:
        """What comes after an answer to `messages` if `new` messages follow it."""
        if self.is_known:
            parts = [self.message(message, index) for index, message in enumerate(new)]
            return Following(self.message(_ANSWER, 0)[-1], parts, self.header)
        problem: ChatFormatError | None = None
        # An answer that the template can't write, or writes in another way once more follows, has
        # the same after it as a short one.
        for one in (answer, _ANSWER):
            try:
                before = self.encode([*messages, one], prompts=False)
                after = self.encode([*messages, one, *new], prompts=True)
            except ChatFormatError as error:
                problem = problem or error
                continue
            place = self.end_of(before)
            if place is not None and after[: place + 1] == before[: place + 1]:
                return Following(before[place], [after[place + 1 :]], [])
        raise problem or ChatFormatError(
            "this chat template does not end an answer with a special token, or changes what comes "
            "before it, so what follows an answer is not known"
        )

    def end_of(self, ids: list[int]) -> int | None:
        """The position of the special token that ends the last message; None without one."""
        special = set(self._definition.core.special_tokens.values())
        place = next((at for at in reversed(range(len(ids))) if ids[at] in special), None)
        if place is None:
            return None
        rest = self._definition.core.decode(ids[place + 1 :], False)
        return None if rest.strip() else place
