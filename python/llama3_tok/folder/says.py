"""What a folder says, as values that never change."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from llama3_tok.formats import hugging_face

if TYPE_CHECKING:
    from llama3_tok._core import CoreRoles

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

    @classmethod
    def of(cls, roles: "CoreRoles") -> "Roles":
        """As the core gives them."""
        stops = tuple(roles["stops"])
        return cls(roles["bos"], roles["eos"], roles["eot"], roles["pad"], stops)


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
