"""What a folder says, as values that never change."""

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from llama3_tok.folder.added import AddedToken
from llama3_tok.folder.around import Around, around
from llama3_tok.profiles import (
    DEFAULT_PROFILE,
    RESERVED,
    find,
    named_in_chats,
    profile_of_template,
)

if TYPE_CHECKING:
    from llama3_tok._core import CoreRoles

__all__ = [
    "CONFIG",
    "RESERVED",
    "ROLES",
    "TEMPLATE",
    "TEMPLATES",
    "USUAL",
    "Folder",
    "Json",
    "Roles",
    "Templates",
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
_usual = find(DEFAULT_PROFILE)
USUAL = {
    role: _usual.special_names[at]
    for role, at in (
        ("bos", _usual.bos),
        ("eos", _usual.eos),
        ("eot", _usual.eot),
        ("pad", _usual.pad),
    )
    if at is not None
}


Templates: TypeAlias = tuple[tuple[str, str], ...]
"""Names and texts of chat templates; the first is "default" if there is one."""


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
    def noted(self) -> str | None:
        """The release that `Tokenizer.save` noted: the one that the tokens were made from."""
        noted = json.loads(self.config).get("profile") if self.config else None
        return noted if isinstance(noted, str) else None

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
        tokens: they have to be special ones, and BOS the one that it is there. Where it is that of
        several releases and the special tokens are those of none, what `Tokenizer.save` noted says
        which is meant.
        """
        if not self.templates:
            return self.release
        name, text = self.templates[0]
        meant = self.release or self.noted
        release = profile_of_template(text, meant) if name == "default" else None
        special = {token.content: token.id for token in self.added if token.special}
        if (
            release is None
            or self.roles.bos is None
            or self.roles.bos != special.get(USUAL["bos"])
            or not named_in_chats(release) <= special.keys()
        ):
            return None
        return release


def content_of(value: Any) -> str | None:  # noqa: ANN401 - of JSON
    """A token's content, which is given by itself or with flags; None for what is not a token."""
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str):
        return None
    # Half a surrogate pair, which JSON can have, is not a text.
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
