"""Conversations to ids. The formats of the releases are those of `rust/chat/`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from llama3_tok import _core, arguments
from llama3_tok.chat import messages as _chat
from llama3_tok.chat import own
from llama3_tok.chat.messages import ChatOptions
from llama3_tok.errors import ChatFormatError
from llama3_tok.tokenizer.base import Base

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from llama3_tok.chat.template import Marked

__all__ = ["Conversations"]


class Conversations(Base):
    """A tokenizer of conversations."""

    __slots__ = ()

    @overload
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        return_mask: Literal[False] = False,
        **options: Unpack[ChatOptions],
    ) -> list[int]: ...
    @overload
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        return_mask: Literal[True],
        **options: Unpack[ChatOptions],
    ) -> "tuple[list[int], npt.NDArray[np.uint8]]": ...
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        return_mask: bool = False,
        **options: Unpack[ChatOptions],
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

        A folder with a chat template of its own has that run, in a sandbox of Jinja (extra
        `transformers`) and in such a way that no text of `messages`, `tools` or `documents` can
        make a special token. `chat_template` is the name of another one of the folder, or the text
        of one; `documents` and `template_variables` reach a template that is run, and so do the
        options above by the names that published templates have for them. A mask is then 1 for what
        stands in the template's `{% generation %}` blocks.

        Raises ChatFormatError with `index` and `field` for what the format can't hold, as an
        unknown role, a tool's result without its call, or several calls in dialect "hf".

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.encode_chat([{"role": "user", "content": "hi"}])
        [128000, 128006, 882, 128007, 271, 6151, 128009, 128006, 78191, 128007, 271]
        """
        arguments.flag(return_mask, "return_mask")
        template = self._template(options)
        if template is None:
            chat = self._conversation(messages, options)
            if return_mask:
                return _core.encode_chat_mask(self._core, chat)
            return _core.encode_chat(self._core, chat)
        given = list(_chat.several(messages, "messages"))
        marked = self._marked(template, given, options)
        if not return_mask:
            return own.ids(self, marked)
        own.check_mask(marked, given)
        return own.ids_and_mask(self, marked)

    def render_chat(self, messages: Iterable[_chat.Message], **options: Unpack[ChatOptions]) -> str:
        r"""The text of a conversation, special tokens by their names, for people to read.

        Parameters and errors as in `encode_chat`, which makes ids. Don't encode this text: in it
        the names that content has can't be told from those of the structure.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.render_chat([{"role": "user", "content": "hi"}], add_generation_prompt=False)
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>'
        """
        template = self._template(options)
        if template is None:
            return _core.render_chat(self._core, self._conversation(messages, options))
        return self._marked(template, list(_chat.several(messages, "messages")), options).text

    def fit_chat(
        self,
        messages: Iterable[_chat.Message],
        max_tokens: int,
        *,
        answer_tokens: int = 0,
        **options: Unpack[ChatOptions],
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
        for name in ("tools", "builtin_tools", "documents"):
            if options.get(name) is not None:
                options[name] = list(_chat.several(options[name], name))
        given = list(_chat.several(messages, "messages"))
        known = self._template(options) is None

        def size(messages: list[_chat.Message]) -> int:
            return len(self.encode_chat(messages, **options))

        def ends() -> list[int]:
            # Without the tools that the first user message may have: they go with whichever is the
            # first.
            plain: ChatOptions = {**options, "tools": None, "add_generation_prompt": False}
            return _core.chat_ends(self._core, self._conversation(given, plain))

        return _chat.fit(given, max_tokens, answer_tokens, size, ends if known else None)

    # Which format

    def _template(self, options: ChatOptions) -> str | None:
        """The chat template to run; None if the core knows the format."""
        unknown = options.keys() - ChatOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"{min(unknown)!r} is not an option of conversations")
        asked, folder = options.get("chat_template"), self._folder
        has_tools = bool(options.get("tools"))
        if asked is None and (folder is None or folder.chat is not None):
            return None
        return own.template_of(self, asked, has_tools)

    def _conversation(
        self, messages: Iterable[_chat.Message], options: ChatOptions
    ) -> dict[str, Any]:
        """A conversation in the format of a release."""
        given: dict[str, Any] = dict(options)
        for name in ("documents", "template_variables"):
            if given.pop(name, None):
                raise ChatFormatError(
                    f"the format of this conversation has no place for {name}; a chat template "
                    "may have",
                    None,
                    name,
                )
        given.pop("chat_template", None)
        release = self._profile if self._folder is None else self._folder.chat
        return _chat.conversation(str(release), messages, **given)

    def _marked(
        self, template: str, messages: list[_chat.Message], options: ChatOptions
    ) -> "Marked":
        given: dict[str, Any] = dict(options)
        given.pop("chat_template", None)
        goes_on = given.pop("continue_final_message", False)
        arguments.flag(goes_on, "continue_final_message")
        variables = _chat.variables(**given)
        if goes_on:
            variables["add_generation_prompt"] = False
        return own.rendered(self, template, messages, "content" if goes_on else None, variables)
