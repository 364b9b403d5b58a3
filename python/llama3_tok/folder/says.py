"""What a folder says, as values that never change."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from llama3_tok.formats import hugging_face

__all__ = [
    "CONFIG",
    "RESERVED",
    "ROLES",
    "TEMPLATE",
    "TEMPLATES",
    "USUAL",
    "AddedToken",
    "Around",
    "Folder",
    "Json",
    "Roles",
    "Templates",
    "around",
    "canonical",
    "content_of",
    "ids_of",
]

Json = dict[str, Any]

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
TEMPLATES = "additional_chat_templates"

# The tokens that transformers knows by these names, in its order.
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# What these tokens are called in the releases.
USUAL = {
    "bos": "<|begin_of_text|>",
    "eos": "<|end_of_text|>",
    "eot": "<|eot_id|>",
    "pad": "<|finetune_right_pad_id|>",
}
RESERVED = "<|reserved_special_token_"


Templates: TypeAlias = tuple[tuple[str, str], ...]
"""Names and texts of chat templates; the first is "default" if there is one."""


class AddedToken(NamedTuple):
    """A token that a text has by its name.

    `special`: only if the caller allows it, and decoding may leave it out. `single_word`: only
    where no word goes on before or after it. `lstrip`, `rstrip`: the white space before or after it
    belongs to it. `normalized`: it is searched for in what the others leave.
    """

    id: int
    content: str
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class Roles(NamedTuple):
    """The ids with a meaning of their own."""

    bos: int | None
    eos: int | None
    eot: int | None
    pad: int | None
    stops: tuple[int, ...]


class Around(NamedTuple):
    """The ids that are put around a text, and around two."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    pair: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((),) * 4
    """Before and after the first of two, and before and after the second."""


class Folder(NamedTuple):
    """What a folder says. It never changes, and equal ones give the same ids."""

    added: tuple[AddedToken, ...]
    """Ascending by id."""
    roles: Roles
    post_processor: str
    """What is put around a text, as the JSON of `tokenizer.json`; "" if nothing is."""
    templates: Templates
    """The chat templates."""
    config: str
    """`tokenizer_config.json` as JSON, without chat templates; "" if there is none."""
    release: str | None
    """The release whose special tokens these are, else None."""

    @property
    def around(self) -> Around:
        """What is put around a text."""
        return around(self.post_processor)

    @property
    def names(self) -> dict[str, str]:
        """The tokens that have a role in the configuration, as "unk_token"."""
        config = json.loads(self.config) if self.config else {}
        more = config.get("extra_special_tokens")
        given = config | (more if isinstance(more, dict) else {})
        found = {
            role: content_of(value) for role, value in given.items() if role.endswith("_token")
        }
        return {role: content for role, content in found.items() if content}

    @property
    def chat(self) -> str | None:
        """The release whose conversations the core writes for this folder.

        None if its chat template has to be run, or there is none. A published template names
        tokens: they have to be special ones, and BOS the one that it is there.
        """
        if not self.templates:
            return self.release
        name, text = self.templates[0]
        release = hugging_face.profile_of_template(text) if name == "default" else None
        special = {token.content: token.id for token in self.added if token.special}
        if (
            release is None
            or self.roles.bos is None
            or self.roles.bos != special.get(USUAL["bos"])
            or not hugging_face.named_in_chats(release) <= special.keys()
        ):
            return None
        return release


def content_of(value: Any) -> str | None:  # noqa: ANN401 - of JSON
    """A token's content, which is given by itself or with flags; None for what is no token."""
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str):
        return None
    # Half a surrogate pair, which JSON can have, is no text.
    return (
        content
        if content.isascii() or not any("\ud800" <= c <= "\udfff" for c in content)
        else None
    )


def ids_of(*ids: int | None) -> list[int]:
    """Those that there are, ascending."""
    return sorted({id for id in ids if id is not None})


def canonical(value: Json | None) -> str:
    """JSON that is the same for the same values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# What is put around a text


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
