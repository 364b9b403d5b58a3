"""`Renderer`: the interface by which libraries for reinforcement learning ask for tokens.

It is that of Prime Intellect's `renderers` (version 0.1.12), which prime-rl and verifiers use: the
`Renderer` there is a protocol, and a class with these methods is one. The results have the fields
that these libraries read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Unpack, cast

from llama3_tok import _core, arguments
from llama3_tok.arguments import Ids
from llama3_tok.chat import conversations
from llama3_tok.chat.messages import ChatOptions, Message, several
from llama3_tok.chat.turns import Turns
from llama3_tok.tokenizer import Tokenizer

__all__ = ["ParsedResponse", "ParsedToolCall", "RenderedTokens", "Renderer"]


@dataclass
class RenderedTokens:
    """The ids of a conversation, and what each is of.

    `message_indices` has the index of an id's message, -1 for what is of none; `sampled_mask` is
    True for what a model would sample, and empty if a template does not tell it. The other fields
    are empty: they are for what Llama 3's formats don't have, or for what is not told.
    """

    token_ids: list[int] = field(default_factory=list)
    message_indices: list[int] = field(default_factory=list)
    sampled_mask: list[bool] = field(default_factory=list)
    is_content: list[bool] = field(default_factory=list)
    message_roles: list[str] = field(default_factory=list)
    message_tool_names: list[str | None] = field(default_factory=list)
    multi_modal_data: None = None

    def message_token_spans(self) -> list[tuple[int, int] | None]:
        """Where the ids of each message begin and end; None for a message that has none."""
        spans: list[tuple[int, int] | None] = [None] * len(self.message_roles)
        for place, index in enumerate(self.message_indices):
            if 0 <= index < len(spans):
                before = spans[index]
                spans[index] = (place if before is None else before[0], place + 1)
        return spans


@dataclass
class ParsedToolCall:
    """A call in an answer; `raw` is the text of the answer that it stands in."""

    raw: str
    name: str | None = None
    arguments: dict[str, Any] | str | None = None
    token_span: tuple[int, int] | None = None
    status: str = "ok"
    id: str | None = None


@dataclass
class ParsedResponse:
    """An answer: its text and its calls; `problem` is that of `AssistantMessage`."""

    content: str
    reasoning_content: str | None = None
    tool_calls: list[ParsedToolCall] = field(default_factory=list)
    problem: str | None = None


class Renderer:
    """A tokenizer as libraries for reinforcement learning know it.

    The options are those of `Tokenizer.encode_chat`, except `tools`, which each call has. Messages
    and tools may have the shapes that these libraries have: a tool without `{"type": "function",
    "function": ...}` around it gets that, and the arguments of a call may be JSON as a str. With
    `salvage`, answers are read as `parse_assistant` does with it.

    >>> renderer = llama3_tok.Renderer(llama3_tok.Tokenizer())
    >>> messages = [{"role": "user", "content": "Hi"}]
    >>> prompt = renderer.render_ids(messages, add_generation_prompt=True)
    >>> renderer.parse_response([9906, 128009]).content
    'Hello'
    >>> following = [{"role": "user", "content": "Bye"}]
    >>> bridged = renderer.bridge_to_next_turn(prompt, [9906, 128009], following)
    >>> bridged.token_ids[len(prompt):][:4], bridged.token_ids[-4:]
    ([9906, 128009, 128006, 882], [128006, 78191, 128007, 271])
    """

    def __init__(
        self, tokenizer: "Tokenizer", *, salvage: bool = False, **options: Unpack[ChatOptions]
    ) -> None:
        arguments.flag(salvage, "salvage")
        if "tools" in options:
            raise TypeError("Renderer() has no option 'tools': render_ids() has it")
        self._tokenizer, self._salvage, self._options = tokenizer, salvage, options
        self._turns = Turns(tokenizer.definition, options, "Renderer")

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> RenderedTokens:
        """The ids of a conversation, and what each is of. Raises as `Tokenizer.encode_chat`."""
        messages = _plain(messages, "messages")
        options = self._of(tools, add_generation_prompt)
        roles = [str(message.get("role") or "") for message in messages]
        if not self._turns.is_known:
            ids = self._tokenizer.encode_chat(messages, **options)
            return RenderedTokens(ids, [-1] * len(ids), message_roles=roles)
        ids, mask = self._tokenizer.encode_chat(messages, return_mask=True, **options)
        definition = self._tokenizer.definition
        chat = conversations.release_format(definition, options).conversation(messages)
        ends = _core.chat_ends(definition.core, chat)
        indices = [-1] * ends[0]
        for index, (start, end) in enumerate(pairwise(ends)):
            indices += [index] * (end - start)
        indices += [-1] * (len(ids) - len(indices))
        return RenderedTokens(ids, indices, mask.astype(bool).tolist(), message_roles=roles)

    def render_ids(
        self,
        messages: Sequence[Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> list[int]:
        """The ids of a conversation. Raises as `Tokenizer.encode_chat`."""
        options = self._of(tools, add_generation_prompt)
        return self._tokenizer.encode_chat(_plain(messages, "messages"), **options)

    def parse_response(
        self, token_ids: "Ids", *, tools: Iterable[Mapping[str, Any]] | None = None
    ) -> ParsedResponse:
        """What a model answered; `tools` are not needed to read it.

        Code is a call of `code_interpreter`. Raises as `parse_assistant`.
        """
        ids = self._tokenizer.checked_ids(token_ids, "token_ids")
        answer = self._tokenizer.parse_assistant(ids, salvage=self._salvage)
        message = answer.to_message()
        stops = set(self.get_stop_token_ids())
        end = next((place for place, id in enumerate(ids) if id in stops), len(ids))
        raw = self._tokenizer.decode(ids[:end])
        functions = [call["function"] for call in message.get("tool_calls", ())]
        calls = [ParsedToolCall(raw, one["name"], one["arguments"]) for one in functions]
        return ParsedResponse(answer.content, None, calls, answer.problem)

    def get_stop_token_ids(self) -> list[int]:
        """The ids that end generation."""
        return self._tokenizer.stop_ids

    def bridge_to_next_turn(
        self,
        previous_prompt_ids: "Ids",
        previous_completion_ids: "Ids",
        new_messages: Sequence[Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
    ) -> RenderedTokens | None:
        """The prompt of the next turn: the ids of the last one as they are, and what is new.

        The new messages are written as the format writes them, and the header of an answer after
        them. A completion without a stop id gets the format's end of an answer. The indices of
        messages are those among the new ones; nothing is marked as sampled.

        It is None where that can't be known, and the conversation has to be rendered anew: for a
        chat template that is run, whose text after an answer may depend on all before it
        (`Rollout` knows that); for a prompt that is empty or does not end with the header of an
        answer; for a stop id that is not at the end of the completion; without new messages, and
        with messages of the assistant among them. `tools` stand in the first turn.
        """
        prompt = self._tokenizer.checked_ids(previous_prompt_ids, "previous_prompt_ids")
        completion = self._tokenizer.checked_ids(previous_completion_ids, "previous_completion_ids")
        new = _plain(new_messages, "new_messages")
        if not self._turns.is_known or not new:
            return None
        header = self._turns.header
        roles = [one.get("role") if isinstance(one, Mapping) else None for one in new]
        stops = set(self.get_stop_token_ids())
        stop = next((place for place, id in enumerate(completion) if id in stops), None)
        if (
            prompt[-len(header) :] != header
            or "assistant" in roles
            or stop not in (None, len(completion) - 1)
        ):
            return None
        end, parts, header = self._turns.following([], {}, new)
        ids = [*prompt, *completion] + ([end] if stop is None else [])
        indices = [-1] * len(ids)
        for index, part in enumerate(parts):
            ids += part
            indices += [index] * len(part)
        ids += header
        indices += [-1] * len(header)
        named = [str(role or "") for role in roles]
        return RenderedTokens(ids, indices, [False] * len(ids), message_roles=named)

    def _of(
        self, tools: Iterable[Mapping[str, Any]] | None, add_generation_prompt: bool
    ) -> ChatOptions:
        """The options of `encode_chat` for a call."""
        arguments.flag(add_generation_prompt, "add_generation_prompt")
        if tools is not None:
            tools = [_enveloped(tool) for tool in several(tools, "tools")]
        given = {**self._options, "tools": tools, "add_generation_prompt": add_generation_prompt}
        return cast(ChatOptions, given)


def _enveloped(tool: Any) -> Any:  # noqa: ANN401 - what it may be is checked later
    """A tool as OpenAI's interface describes it."""
    if not isinstance(tool, Mapping) or "function" in tool or "name" not in tool:
        return tool
    return {"type": "function", "function": {key: tool[key] for key in tool if key != "type"}}


def _plain(messages: Iterable[Message], argument: str) -> list[Message]:
    """Messages whose calls have their arguments as dictionaries."""
    return [_with_arguments(message) for message in several(messages, argument)]


def _with_arguments(message: Any) -> Any:  # noqa: ANN401 - what it may be is checked later
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    if not isinstance(calls, list | tuple):
        return message
    return {**message, "tool_calls": [_with_object(call) for call in calls]}


def _with_object(call: Any) -> Any:  # noqa: ANN401 - what it may be is checked later
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    import json

    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call  # which is refused with its place
    return {**call, "function": {**function, "arguments": arguments}}
