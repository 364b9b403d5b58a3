"""Conversations of a folder with a chat template of its own, which `chat/template` runs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llama3_tok._core import Core, Options
from llama3_tok.arguments import quoted
from llama3_tok.definition import Definition
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import LazyModule, np, npt

if TYPE_CHECKING:
    from llama3_tok.chat import template as rendering
else:
    rendering = LazyModule("llama3_tok.chat.template")

__all__ = ["check_mask", "ids", "ids_and_mask", "ids_array", "rendered", "spans", "template_of"]


# Marks are special tokens wherever they stand.
_ALL = Options(False, False, "all")


def template_of(definition: Definition, asked: str | None, has_tools: bool) -> str:
    """The chat template to run: the one with the name that is asked for, or whose text that is.

    By default it is "tool_use" for a conversation with tools where there is one of that name, else
    "default", as in transformers.
    """
    templates = definition.chat_templates
    if asked is not None:
        if not isinstance(asked, str):
            raise TypeError(f"chat_template must be a str or None, not {type(asked).__name__}")
        if asked in templates:
            return templates[asked]
        if "{" not in asked:
            known = ", ".join(map(repr, templates)) or "none"
            raise ChatFormatError(
                f"{quoted(asked)} is neither a chat template nor the name of one; this tokenizer "
                f"has {known}"
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
    definition: Definition,
    template: str,
    messages: Iterable[Mapping[str, Any]],
    continue_in: str | None,
    variables: Mapping[str, Any],
) -> "rendering.Marked":
    """A conversation as a template renders it."""
    reserved = {"messages", *_PARAMETERS} & variables.keys()
    if reserved:
        raise ChatFormatError(
            f"a template variable can't be called {min(reserved)!r}", None, "template_variables"
        )
    return rendering.render(
        template,
        list(messages),
        definition.core.special_tokens,
        tokens=definition.token_roles,
        continue_in=continue_in,
        **variables,
    )


# What the function that renders is given besides.
_PARAMETERS = ("template", "names", "tokens", "continue_in")


def ids(definition: Definition, marked: "rendering.Marked") -> list[int]:
    """The ids of a rendered conversation."""
    core = _marked_core(definition.core, tuple(marked.marks.items()))
    text, _ = _with_words(definition, marked)
    return core.encode(text, _ALL)


def ids_array(definition: Definition, marked: "rendering.Marked") -> "npt.NDArray[np.uint32]":
    """The same as `uint32[n]`."""
    core = _marked_core(definition.core, tuple(marked.marks.items()))
    text, _ = _with_words(definition, marked)
    return core.encode_array(text, _ALL)


def ids_and_mask(
    definition: Definition,
    marked: "rendering.Marked",
    among: "Sequence[rendering.Span] | None" = None,
) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]":
    """The ids, `uint32[n]`, and `uint8[n]`: 1 for what stands in generation blocks.

    Or in those of them that `among` has.
    """
    import numpy as np

    core = _marked_core(definition.core, tuple(marked.marks.items()))
    text, places = _with_words(definition, marked)
    found, _, spans = core.encode_spans(text, _ALL)
    mask = np.zeros(len(found), np.uint8)
    for start, end in marked.generated if among is None else among:
        start, end = (at + sum(more for place, more in places if place < at) for at in (start, end))
        mask |= (spans[:, 0] < end) & (start < spans[:, 1])
    return found, mask


def _with_words(
    definition: Definition, marked: "rendering.Marked"
) -> tuple[str, list[tuple[int, int]]]:
    """The marked text in which a token that has to be a whole word, and is not, is its name.

    And the places of these marks, each with how many characters more there are now.
    """
    added = definition.added_tokens
    alone = {mark: name for mark, name in marked.marks.items() if added[name].single_word}
    if not alone:
        return marked.marked, []
    text, parts, places = marked.marked, [], []
    for at, character in enumerate(text):
        name = alone.get(character)
        if name is not None:
            around = [marked.marks.get(one, one) for one in (text[:at][-1:], text[at + 1 :][:1])]
            before, after = around[0][-1:], around[1][:1]
            found = definition.core.added_spans(before + name + after, _ALL)
            if not any(id == added[name].id for *_, id in found):
                parts.append(name)
                places.append((at, len(name) - 1))
                continue
        parts.append(character)
    return "".join(parts), places


@lru_cache(maxsize=8)
def _marked_core(core: Core, marks: tuple[tuple[str, str], ...]) -> Core:
    """The same core, but special tokens are called by their marks."""
    # A mark stands for a token wherever it is, and is found before other names.
    return core.with_special_named({name: mark for mark, name in marks})


def check_mask(marked: "rendering.Marked", messages: Sequence[Mapping[str, Any]]) -> None:
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


def spans(
    marked: "rendering.Marked",
    messages: Sequence[Mapping[str, Any]],
    keep: Sequence[bool],
    kept: bool,
) -> "list[rendering.Span]":
    """The generation blocks of the messages for which `keep` has the value `kept`.

    The template must have a block for each message of the assistant, and no message of others may
    be among those that are not kept.
    """
    answers = [index for index, one in enumerate(messages) if one.get("role") == "assistant"]
    if len(marked.generated) != len(answers):
        raise ChatFormatError(
            f"this chat template makes {len(marked.generated)} {{% generation %}} blocks for "
            f"{len(answers)} messages of the assistant, so it is not known which block belongs to "
            "which message, and messages can't be learned by themselves"
        )
    other = next((at for at, is_kept in enumerate(keep) if not is_kept and at not in answers), None)
    if other is not None and not kept:
        raise ChatFormatError(
            "is not to be learned, and this chat template does not say which tokens are of it: it "
            "is not the assistant's",
            other,
        )
    blocks = zip(answers, marked.generated, strict=True)
    return [block for index, block in blocks if keep[index] == kept]
