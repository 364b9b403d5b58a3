"""What is put around a text: the post-processor of a `tokenizer.json`, written and read."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from llama3_tok.folder.added import AddedToken

__all__ = ["Around", "around", "post_processor"]

Json = dict[str, Any]


class Around(NamedTuple):
    """The ids that are put around a text, and around two."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    pair: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((),) * 4
    """Before and after the first of two, and before and after the second."""


# Written


def post_processor(added: Iterable[AddedToken], bos: int | None, eos: int | None) -> Json:
    """Puts BOS before a text and EOS after it, and so around each of a pair; None is nothing."""
    names = {token.id: token.content for token in added}

    def special(id: int | None, type_id: int) -> list[Json]:
        return [] if id is None else [{"SpecialToken": {"id": names[id], "type_id": type_id}}]

    def part(sequence: str, type_id: int) -> list[Json]:
        text = {"Sequence": {"id": sequence, "type_id": type_id}}
        return [*special(bos, type_id), text, *special(eos, type_id)]

    used = {names[id]: id for id in (bos, eos) if id is not None}
    template = {
        "type": "TemplateProcessing",
        "single": part("A", 0),
        "pair": [*part("A", 0), *part("B", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]} for name, id in used.items()
        },
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": False,
        "use_regex": True,
    }
    return {"type": "Sequence", "processors": [byte_level, template]}


# Read


@lru_cache(maxsize=64)
def around(post_processor: str) -> Around:
    """The ids that a post-processor puts around texts; ValueError if it does something else."""
    if not post_processor:
        return Around()
    steps = [step for step in _flat(json.loads(post_processor)) if step["type"] != "ByteLevel"]
    if len(steps) > 1:
        raise ValueError("it has several steps that put tokens around a text")
    return _step(steps[0]["type"], steps[0]) if steps else Around()


def _flat(value: object) -> Iterator[Json]:
    """The steps, each an object with a type."""
    if _field(value, "type", str) == "Sequence":
        for step in _field(value, "processors", list):
            yield from _flat(step)
    else:
        yield cast(Json, value)


_Value = TypeVar("_Value")
_KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def _field(value: object, name: str | int, kind: type[_Value]) -> _Value:
    """What an object has by a name, or a list at a place; ValueError if it is not of that kind."""
    found: object = None
    if isinstance(value, dict):
        found = value.get(name)
    elif isinstance(value, list) and isinstance(name, int):
        found = value[name] if name < len(value) else None
    if found is None:
        raise ValueError(f"{repr(value)[:100]} has no {name!r}")
    if type(found) is not kind:
        raise ValueError(f"its {name!r} is {repr(found)[:100]}, and not {_KINDS[kind]}")
    return found


def _step(kind: str, step: Json) -> Around:
    if kind == "TemplateProcessing":
        given = _field(step, "special_tokens", dict)
        ids = {name: _ids(_field(token, "ids", list)) for name, token in given.items()}
        before, after = _parts(_field(step, "single", list), ids, "A")
        return Around(before, after, _parts(_field(step, "pair", list), ids, "AB"))
    if kind in ("RobertaProcessing", "BertProcessing"):
        start, end = (_ids([_field(_field(step, one, list), 1, int)]) for one in ("cls", "sep"))
        between = end + end if kind.startswith("Roberta") else end
        return Around(start, end, (start, between, (), end))
    raise ValueError(f"it has a {kind[:100]}")


def _ids(given: list[Any]) -> tuple[int, ...]:
    for id in given:
        if type(id) is not int or not 0 <= id < 1 << 32:
            raise ValueError(f"{repr(id)[:100]} is not an id")
    return tuple(given)


def _parts(template: list[Json], ids: Mapping[str, tuple[int, ...]], texts: str) -> Any:  # noqa: ANN401
    """The ids before and after each text; those between two are the second's by their type."""
    parts: list[tuple[int, ...]] = [()]
    for part in template:
        if isinstance(part, dict) and "SpecialToken" in part:
            token = part["SpecialToken"]
            name, type_id = _field(token, "id", str), _field(token, "type_id", int)
            if name not in ids:
                raise ValueError(f"it has no ids for {name[:100]!r}")
            if len(parts) == 2 and len(texts) == 2 and type_id == 1:
                parts.append(())
            parts[-1] += ids[name]
            continue
        text, seen = _field(_field(part, "Sequence", dict), "id", str), len(parts) > 1
        if text != texts[seen : seen + 1]:
            raise ValueError("its texts are in another order")
        if seen and len(parts) == 2:
            parts.append(())
        parts.append(())
    if len(parts) != 2 * len(texts):
        raise ValueError("it leaves a text out")
    return tuple(parts)
