"""What callers give: one input or a batch, texts, words, tokens or ids, tools, conversations."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.utils import get_json_schema

from llama3_tok.chat.messages import Message

__all__ = ["conversations", "described", "is_batch", "pairs", "words"]


def is_batch(text: Any, is_split_into_words: bool) -> bool:  # noqa: ANN401
    """Whether these are several inputs, by the rule of the base class."""
    if not isinstance(text, list | tuple):
        return False
    if not text:
        return not is_split_into_words
    inner = (list, tuple) if is_split_into_words else (str, list, tuple)
    return isinstance(text[0], inner)


def pairs(
    texts: Sequence[Any], seconds: Sequence[Any] | None, is_split_into_words: bool
) -> list[tuple[Any, Any]]:
    """A batch as pairs of a first and a second input, which may be None."""
    if seconds is not None:
        if not isinstance(seconds, list | tuple) or len(seconds) != len(texts):
            raise ValueError("text_pair must be a batch of the same length as text")
        return list(zip(texts, seconds, strict=True))
    pair_types = (tuple,) if is_split_into_words else (list, tuple)
    pairs: list[tuple[Any, Any]] = []
    for one in texts:
        if isinstance(one, pair_types) and len(one) == 2 and not isinstance(one[0], int):
            pairs.append((one[0], one[1]))
        else:
            pairs.append((one, None))
    return pairs


def words(one: Any, is_split_into_words: bool) -> list[str] | None:  # noqa: ANN401
    """The texts that an input consists of; None if it is ids or tokens already."""
    if isinstance(one, str):
        return [one]
    if is_split_into_words and isinstance(one, list | tuple) and one and isinstance(one[0], str):
        return list(one)
    if one is None or (
        isinstance(one, list | tuple) and (not one or isinstance(one[0], int | str))
    ):
        return None
    raise ValueError(f"an input must be a text, words or ids, not {type(one).__name__}")


def described(tools: list[Any] | None) -> list[Any] | None:
    """Tools as dictionaries: functions are described by their signature and docstring."""
    if tools is None:
        return None
    return [get_json_schema(tool) if callable(tool) else tool for tool in tools]


def conversations(conversation: Sequence[Any]) -> tuple[bool, list[list["Message"]]]:
    """Whether it is a batch, and the conversations without values that are None.

    Messages may be objects: dataclasses, and what has a `model_dump`, as pydantic's models.

    Raises ValueError for an empty list, as transformers does.
    """
    if isinstance(conversation, list | tuple) and not conversation:
        raise ValueError("a conversation must have a message, and this one has none")
    batch = bool(conversation) and (
        isinstance(conversation[0], list | tuple) or hasattr(conversation[0], "messages")
    )
    return batch, [
        [
            {name: value for name, value in _as_data(message).items() if value is not None}
            for message in getattr(messages, "messages", messages)
        ]
        for messages in (conversation if batch else [conversation])
    ]


def _as_data(value: Any) -> Any:  # noqa: ANN401
    """Objects, at any depth, as dictionaries of what they hold."""
    if isinstance(value, Mapping):
        return {name: _as_data(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_as_data, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _as_data(getattr(value, one.name)) for one in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    return _as_data(dump()) if callable(dump) else value
