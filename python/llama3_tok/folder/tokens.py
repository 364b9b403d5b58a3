"""The added tokens of a folder, as transformers collects them."""

from collections.abc import Iterable, Iterator
from typing import Any

from llama3_tok import _core
from llama3_tok.folder.files import refuse
from llama3_tok.folder.says import ROLES, AddedToken, Json, content_of

__all__ = ["Tokens", "of_decoder", "of_older", "with_roles"]

_FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")


class Tokens:
    """Added tokens as transformers collects them."""

    def __init__(self, ranks: _core.Ranks, file: str) -> None:
        self._ranks, self._file = ranks, file
        given = (AddedToken(*one) for one in ranks.added or ())
        self._of = {token.content: token for token in given}
        self._is_new = not self._of

    def __iter__(self) -> Iterator[AddedToken]:
        return iter(sorted(self._of.values()))

    def take_release(self, release: str) -> None:
        """Takes the special tokens of a release."""
        for id, name in enumerate(_core.special_names(release), self._ranks.size):
            self._of[name] = AddedToken(id, name)

    def take(self, path: str, tokens: Iterable[AddedToken]) -> None:
        """Takes tokens with their ids from another file; flags count as they are there."""
        for token in sorted(tokens):
            expected = self._id(token.content)
            if token.id != expected and not (self._is_new and token.content not in self._of):
                other = next((one for one in self._of.values() if one.id == token.id), None)
                there = f"{token.content!r} has the id {expected}"
                if other is not None and token.content not in self._of:
                    there = f"the id {token.id} is {other.content!r}"
                refuse(
                    path,
                    f"it gives {token.content!r} the id {token.id}, and by {self._file} {there}: "
                    "the two files are of different tokenizers; remove the wrong one",
                )
            self._of[token.content] = token

    def name(self, path: str, role: str, value: Any) -> None:  # noqa: ANN401 - of JSON
        """Takes a token that has a role; it is added if it is not there."""
        content = content_of(value)
        if content is None:
            refuse(path, f"its {role} is {value!r}, which is no token")
        if content and content not in self._of:
            flags = _flags(path, value) if isinstance(value, dict) else {}
            token = AddedToken(self._id(content), content, **(flags | {"special": True}))
            self._of[content] = token

    def _id(self, content: str) -> int:
        """The id that transformers gives to a token."""
        if (known := self._of.get(content)) is not None:
            return known.id
        id = self._ranks.id_written(content)
        if id is not None:
            return id
        return max([self._ranks.size, *(token.id + 1 for token in self._of.values())])


def of_decoder(path: str, decoder: Any) -> list[AddedToken]:  # noqa: ANN401 - of JSON
    """The tokens of an `added_tokens_decoder`."""
    if not isinstance(decoder, dict):
        refuse(path, "its added_tokens_decoder is not an object")
    tokens = []
    for id, value in decoder.items():
        content = content_of(value)
        if not id.isascii() or not id.isdigit() or not content or not isinstance(value, dict):
            refuse(path, f"its added_tokens_decoder has {id!r}: {value!r}, which is no token")
        flags = {"special": False} | _flags(path, value)
        tokens.append(AddedToken(int(id), content, **flags))
    return tokens


def of_older(path: str, name: str, id: Any, special: set[str | None]) -> AddedToken:  # noqa: ANN401
    """A token of an `added_tokens.json`; it is special if it has a role."""
    if not isinstance(id, int) or id < 0 or not name:
        refuse(path, f"it gives {name!r} the id {id!r}")
    return AddedToken(id, name, special=name in special, normalized=name not in special)


def _flags(path: str, value: Json) -> dict[str, bool]:
    flags = {flag: value[flag] for flag in _FLAGS if value.get(flag) is not None}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        refuse(path, f"the flags of {value.get('content')!r} are not all true or false")
    flags.setdefault("normalized", not flags.get("special", False))
    return flags


def with_roles(path: str, config: Json) -> list[tuple[str, Any]]:
    """The tokens that have a role, in the order in which transformers adds them."""
    found = [(f"{role}_token", config.get(f"{role}_token")) for role in ROLES]
    known = {role for role, _ in found}
    more = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    if isinstance(more, dict):
        found += more.items()
        more = []
    if not isinstance(more, list):
        refuse(path, "its additional special tokens are not a list")
    found += [
        (role, value)
        for role, value in config.items()
        if role.endswith("_token") and role not in known and content_of(value) is not None
    ]
    found += [("extra_special_tokens", value) for value in more]
    return [(role, value) for role, value in found if value is not None]
