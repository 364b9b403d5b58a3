"""What is put around a text: the post-processor of a `tokenizer.json`, written and read."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

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
    value = json.loads(post_processor)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    steps = [step for step in _flat(value) if step.get("type") != "ByteLevel"]
    if len(steps) > 1:
        raise ValueError("it has several steps that put tokens around a text")
    return _step(str(steps[0].get("type")), steps[0]) if steps else Around()


def _flat(value: Json) -> Iterator[Json]:
    if value.get("type") == "Sequence":
        for step in value["processors"]:
            yield from _flat(step)
    else:
        yield value


def _step(kind: str, step: Json) -> Around:
    if kind == "TemplateProcessing":
        ids = {name: tuple(token["ids"]) for name, token in step["special_tokens"].items()}
        before, after = _parts(step["single"], ids, "A")
        return Around(before, after, _parts(step["pair"], ids, "AB"))
    if kind in ("RobertaProcessing", "BertProcessing"):
        start, end = (step["cls"][1],), (step["sep"][1],)
        between = end + end if kind.startswith("Roberta") else end
        return Around(start, end, (start, between, (), end))
    raise ValueError(f"it has a {kind}")


def _parts(template: list[Json], ids: Mapping[str, tuple[int, ...]], texts: str) -> Any:  # noqa: ANN401
    """The ids before and after each text; those between two are the second's by their type."""
    parts: list[tuple[int, ...]] = [()]
    for part in template:
        if "SpecialToken" in part:
            token = part["SpecialToken"]
            if len(parts) == 2 and len(texts) == 2 and token["type_id"] == 1:
                parts.append(())
            parts[-1] += ids[token["id"]]
            continue
        text, seen = part["Sequence"]["id"], len(parts) > 1
        if text != texts[seen : seen + 1]:
            raise ValueError("its texts are in another order")
        if seen and len(parts) == 2:
            parts.append(())
        parts.append(())
    if len(parts) != 2 * len(texts):
        raise ValueError("it leaves a text out")
    return tuple(parts)
