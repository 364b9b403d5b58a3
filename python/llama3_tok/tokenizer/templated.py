"""Conversations of a folder with a chat template of its own, which `chat_template` runs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llama3_tok._core import Core
from llama3_tok.errors import ChatFormatError
from llama3_tok.tokenizer.base import Base

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from llama3_tok.chat_template import Marked

__all__ = ["check_mask", "ids", "ids_and_mask", "rendered", "template_of"]


def template_of(tokenizer: Base, asked: str | None, has_tools: bool) -> str:
    """The chat template to run: the one with the name that is asked for, or whose text that is.

    By default it is "tool_use" for a conversation with tools where there is one of that name, else
    "default", as in transformers.
    """
    templates = tokenizer.chat_templates
    if asked is not None:
        if not isinstance(asked, str):
            raise TypeError(f"chat_template must be a str or None, not {type(asked).__name__}")
        if asked in templates:
            return templates[asked]
        if "{" not in asked:
            known = ", ".join(map(repr, templates)) or "none"
            raise ChatFormatError(
                f"{asked!r} is neither a chat template nor the name of one; this tokenizer has "
                f"{known}"
            )
        return asked
    if has_tools and "tool_use" in templates:
        return templates["tool_use"]
    if "default" in templates:
        return templates["default"]
    names = ", ".join(map(repr, templates))
    raise ChatFormatError(
        f"this tokenizer has no default chat template but {names}; pass chat_template=, one of "
        "these"
        if names
        else "this tokenizer has no chat template; pass chat_template=, the text of one"
    )


def rendered(
    tokenizer: Base,
    template: str,
    messages: Iterable[Mapping[str, Any]],
    continue_in: str | None,
    variables: Mapping[str, Any],
) -> "Marked":
    """A conversation as a template renders it."""
    from llama3_tok import chat_template

    special = tokenizer.special_tokens
    names = {id: name for name, id in special.items()}
    ids = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "pad": tokenizer.pad_id}
    roles = tokenizer._folder.names if tokenizer._folder is not None else {}
    roles |= {f"{role}_token": names[id] for role, id in ids.items() if id in names}
    return chat_template.render(
        template, list(messages), special, tokens=roles, continue_in=continue_in, **variables
    )


def ids(tokenizer: Base, marked: "Marked") -> list[int]:
    """The ids of a rendered conversation."""
    core = _marked_core(tokenizer._core, tuple(marked.marks.items()))
    return core.encode(marked.marked, (False, False, "all", None))


def ids_and_mask(tokenizer: Base, marked: "Marked") -> "tuple[list[int], npt.NDArray[np.uint8]]":
    """The ids and a mask, `uint8[n]`: 1 for what stands in the template's generation blocks."""
    import numpy as np

    core = _marked_core(tokenizer._core, tuple(marked.marks.items()))
    found, _, spans = core.encode_spans(marked.marked, (False, False, "all", None))
    mask = np.zeros(len(found), np.uint8)
    for start, end in marked.generated:
        mask |= (spans[:, 0] < end) & (start < spans[:, 1])
    return found.tolist(), mask


@lru_cache(maxsize=8)
def _marked_core(core: Core, marks: tuple[tuple[str, str], ...]) -> Core:
    """The same core, but special tokens are called by their marks."""
    # A mark stands for a token wherever it is, and is found before other names.
    return core.with_special_named({name: mark for mark, name in marks})


def check_mask(marked: "Marked", messages: Sequence[Mapping[str, Any]]) -> None:
    """A mask of nothing but zeros is not given for a conversation in which the assistant writes."""
    if not marked.tells_generated:
        raise ChatFormatError(
            "this chat template does not say which tokens the assistant writes: it has no "
            "{% generation %} block, so masks are not known for it"
        )
    if not marked.generated and any(one.get("role") == "assistant" for one in messages):
        raise ChatFormatError(
            "this chat template has a {% generation %} block and does not come to it in this "
            "conversation, in which the assistant writes, so its mask is not known"
        )
