"""Conversations to ids. The format is that of `rust/chat/`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from llama3_tok import _core
from llama3_tok import chat as _chat
from llama3_tok.tokenizer.base import Base

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Conversations"]


class Conversations(Base):
    """A tokenizer of conversations."""

    __slots__ = ()

    @overload
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
        return_mask: Literal[False] = False,
    ) -> list[int]: ...
    @overload
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
        return_mask: Literal[True],
    ) -> "tuple[list[int], npt.NDArray[np.uint8]]": ...
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
        return_mask: bool = False,
    ) -> "list[int] | tuple[list[int], npt.NDArray[np.uint8]]":
        """The ids of a conversation, one BOS included, as its model was trained to read it.

        `messages` are dictionaries with `role` ("system", "user", "assistant", and but for
        profile "llama3" "tool", which dialect "hf" also knows as "ipython") and `content`: a str,
        a list of `{"type": "text", "text": ...}` and, where the profile has images,
        `{"type": "image"}`, or for a tool's result in dialect "hf" any JSON value. An assistant's
        message may have `tool_calls`: `[{"function": {"name": ..., "arguments": {...}}}]`.

        `dialect` "hf" is the template that was published with the profile's release (3; 3.1 and
        3.3, also for profile "meta"; 3.2 text; 3.2 vision), as transformers' `apply_chat_template`
        renders it: content is stripped of white space but in vision models, a call hides its
        content, and a call in a conversation with `builtin_tools` ends with `<|eom_id|>`. "meta",
        the default for profile "meta" alone, is `ChatFormat` of llama-models 0.3.0: content as it
        is, `stop_reason` in a message says how it ends, and `tool_format` how calls are written.

        `tools` are dictionaries that describe functions; they stand in the first user message, or
        with `tools_in="system"` in the system message. `builtin_tools` are names such as
        "brave_search". `date` is a date, "today", or a str that is written as it is; by default it
        is the "26 Jul 2024" of the published templates, so the same call gives the same ids next
        year. The ids end with the header of the assistant's answer; not so without
        `add_generation_prompt`, and with `continue_final_message` the last message has no end.

        Structure gives special tokens, content never does: `<|eot_id|>` in any text of a message
        is plain text. `return_mask` also gives `uint8[n]`, 1 for the tokens that the assistant
        writes: content or call, and what ends it.

        Raises ChatFormatError with `index` and `field` for what the format can't hold, as an
        unknown role, a tool's result without its call, or several calls in dialect "hf".

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.encode_chat([{"role": "user", "content": "hi"}])
        [128000, 128006, 882, 128007, 271, 6151, 128009, 128006, 78191, 128007, 271]
        """
        _chat.check_flag("return_mask", return_mask)
        chat = _chat.conversation(
            self._profile,
            messages,
            tools=tools,
            builtin_tools=builtin_tools,
            add_generation_prompt=add_generation_prompt,
            date=date,
            dialect=dialect,
            tools_in=tools_in,
            continue_final_message=continue_final_message,
            tool_format=tool_format,
        )
        if return_mask:
            return _core.encode_chat_mask(self._core, chat)
        return _core.encode_chat(self._core, chat)

    def render_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
    ) -> str:
        r"""The text of a conversation, special tokens by their names, for people to read.

        Parameters and errors as in `encode_chat`, which makes ids. Don't encode this text: in it
        the names that content has can't be told from those of the structure.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.render_chat([{"role": "user", "content": "hi"}], add_generation_prompt=False)
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>'
        """
        chat = _chat.conversation(
            self._profile,
            messages,
            tools=tools,
            builtin_tools=builtin_tools,
            add_generation_prompt=add_generation_prompt,
            date=date,
            dialect=dialect,
            tools_in=tools_in,
            continue_final_message=continue_final_message,
            tool_format=tool_format,
        )
        return _core.render_chat(self._core, chat)

    def fit_chat(
        self,
        messages: Iterable[_chat.Message],
        max_tokens: int,
        *,
        answer_tokens: int = 0,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
    ) -> _chat.FittedChat:
        """The conversation less its oldest turns, so that it has at most `max_tokens` ids.

        `answer_tokens` of these are left free for the answer. A turn is a user's message with all
        that follows it up to the next, so that calls stay with their results. The system messages
        that it begins with and the last turn are always kept. The other parameters are those of
        `encode_chat`, which gives the ids of what is kept. Time grows with the length alone.

        Raises ChatFormatError as `encode_chat` does, and with `field` "max_tokens" if what is
        always kept is too long.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> messages = [{"role": "user", "content": text} for text in ("one", "two", "three")]
        >>> tokenizer.fit_chat(messages, 20, answer_tokens=8).dropped
        [0, 1]
        """
        return _chat.fit(
            self._core,
            self._profile,
            messages,
            max_tokens,
            answer_tokens,
            tools=tools,
            builtin_tools=builtin_tools,
            add_generation_prompt=add_generation_prompt,
            date=date,
            dialect=dialect,
            tools_in=tools_in,
            continue_final_message=continue_final_message,
            tool_format=tool_format,
        )
