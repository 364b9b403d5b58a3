"""Conversations to ids and to text: `Tokenizer.encode_chat` and its kin.

The formats of the releases are the core's (`rust/chat/`). A folder with a chat template of its own
has that run: `chat/own.py`.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llama3_tok import _core, arguments
from llama3_tok.chat import own
from llama3_tok.chat.fit import FittedChat, fit
from llama3_tok.chat.messages import ChatOptions, Format, Message, several, variables
from llama3_tok.definition import Definition
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import np, npt

if TYPE_CHECKING:
    from llama3_tok._core import CoreChat
    from llama3_tok.chat.template import Marked

__all__ = [
    "by_core",
    "encode",
    "encode_array",
    "encode_learned",
    "encode_masked",
    "fitted",
    "release_format",
    "render",
    "template_of",
]


def encode(
    definition: Definition, messages: Iterable[Message], options: ChatOptions, call: str
) -> list[int]:
    """The ids as a list; `call` is what the caller calls it."""
    template = template_of(definition, options, call)
    if template is None:
        return _core.encode_chat(definition.core, _conversation(definition, messages, options))
    given = list(several(messages, "messages"))
    return own.ids(definition, _marked(definition, template, given, options))


def encode_array(
    definition: Definition, messages: Iterable[Message], options: ChatOptions, call: str
) -> "npt.NDArray[np.uint32]":
    """The ids as an array."""
    arguments.load_numpy()
    template = template_of(definition, options, call)
    if template is None:
        chat = _conversation(definition, messages, options)
        return _core.encode_chat_array(definition.core, chat)
    given = list(several(messages, "messages"))
    return own.ids_array(definition, _marked(definition, template, given, options))


def encode_masked(
    definition: Definition, messages: Iterable[Message], options: ChatOptions, call: str
) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]":
    """The ids as an array, and 1 for each that the assistant writes."""
    arguments.load_numpy()
    template = template_of(definition, options, call)
    if template is None:
        chat = _conversation(definition, messages, options)
        return _core.encode_chat_masked(definition.core, chat)
    given = list(several(messages, "messages"))
    marked = _marked(definition, template, given, options)
    own.check_mask(marked, given)
    return own.ids_and_mask(definition, marked)


def encode_learned(
    definition: Definition,
    messages: list[Message],
    options: ChatOptions,
    learns_all: bool,
    keep: list[bool] | None,
) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]":
    """By a template that is run: the ids, and 1 for each that is learned.

    That is every id, or what the assistant writes, less the messages that `keep` has False for.
    """
    import numpy as np

    template = template_of(definition, options, "encode_chats")
    marked = _marked(definition, str(template), messages, options)
    if learns_all and (keep is None or all(keep)):
        found = own.ids_array(definition, marked)
        return found, np.ones(len(found), np.uint8)
    own.check_mask(marked, messages)
    if keep is None:
        return own.ids_and_mask(definition, marked)
    if learns_all:
        found, left_out = own.ids_and_mask(
            definition, marked, own.spans(marked, messages, keep, False)
        )
        return found, 1 - left_out
    return own.ids_and_mask(definition, marked, own.spans(marked, messages, keep, True))


def render(definition: Definition, messages: Iterable[Message], options: ChatOptions) -> str:
    """The text, special tokens by their names."""
    template = template_of(definition, options, "render_chat")
    if template is None:
        return _core.render_chat(definition.core, _conversation(definition, messages, options))
    return _marked(definition, template, list(several(messages, "messages")), options).text


def fitted(
    definition: Definition,
    messages: Iterable[Message],
    max_tokens: int,
    answer_tokens: int,
    options: ChatOptions,
) -> FittedChat:
    """`Tokenizer.fit_chat`, which has the description."""
    for name in ("tools", "builtin_tools", "documents"):
        if options.get(name) is not None:
            options[name] = list(several(options[name], name))
    given = list(several(messages, "messages"))
    is_known = template_of(definition, options, "fit_chat") is None

    def size(messages: list[Message]) -> int:
        return len(encode(definition, messages, options, "fit_chat"))

    def ends() -> list[int]:
        # Without the tools that the first user message may have: they go with whichever is first.
        plain: ChatOptions = {**options, "tools": None, "add_generation_prompt": False}
        return _core.chat_ends(definition.core, _conversation(definition, given, plain))

    return fit(given, max_tokens, answer_tokens, size, ends if is_known else None)


def template_of(definition: Definition, options: ChatOptions, call: str) -> str | None:
    """The chat template to run; None if the core knows the format."""
    for name in options:
        if name not in ChatOptions.__annotations__:
            raise arguments.unknown(call, name, ChatOptions.__annotations__)
    asked = options.get("chat_template")
    if asked is None and definition.chat_release is not None:
        return None
    return own.template_of(definition, asked, bool(options.get("tools")))


def by_core(
    definition: Definition, messages: Iterable[Message], options: ChatOptions, call: str
) -> "CoreChat | None":
    """The conversation as the core takes it; None if a template has to be run."""
    if template_of(definition, options, call) is not None:
        return None
    return _conversation(definition, messages, options)


def _conversation(
    definition: Definition, messages: Iterable[Message], options: ChatOptions
) -> "CoreChat":
    """A conversation in the format of a release."""
    return release_format(definition, options).conversation(messages)


def release_format(definition: Definition, options: ChatOptions) -> Format:
    """How the conversations of a release are written."""
    given: dict[str, Any] = dict(options)
    for name in ("documents", "template_variables"):
        if given.pop(name, None):
            reason = "the format of this conversation has no place for them; a template may have"
            raise ChatFormatError(reason, None, name)
    given.pop("chat_template", None)
    return Format(str(definition.chat_release), **given)


def _marked(
    definition: Definition, template: str, messages: list[Message], options: ChatOptions
) -> "Marked":
    given: dict[str, Any] = dict(options)
    given.pop("chat_template", None)
    last = messages[-1] if messages else None
    role = last.get("role") if isinstance(last, Mapping) else None
    named, goes_on = variables(role, **given), given.get("continue_final_message", False)
    return own.rendered(definition, template, messages, "content" if goes_on else None, named)
