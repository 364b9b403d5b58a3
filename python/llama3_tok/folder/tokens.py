"""The added tokens of a folder, as transformers collects them."""

from collections.abc import Iterable, Iterator
from typing import Any

from llama3_tok import _core
from llama3_tok.folder.added import AddedToken
from llama3_tok.folder.files import refuse
from llama3_tok.folder.says import ROLES, Json, content_of
from llama3_tok.profiles import find

__all__ = ["EXTRA", "Tokens", "check_roles", "of_decoder", "of_older", "with_roles"]

EXTRA = "extra_special_tokens"
_FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")


class Tokens:
    """Added tokens as transformers collects them."""

    def __init__(self, ranks: _core.Ranks, file: str) -> None:
        self._ranks, self._file = ranks, file
        given = (AddedToken(**one) for one in ranks.added or ())
        self._of = {token.content: token for token in given}
        self._is_new = ranks.added is None
        self._taken: set[str] | None = None

    def __iter__(self) -> Iterator[AddedToken]:
        return iter(sorted(self._of.values()))

    def take_release(self, release: str) -> None:
        """Takes the special tokens of a release."""
        for name, id in find(release).special_tokens(self._ranks.size).items():
            self._of[name] = AddedToken(id, name)

    def take(self, path: str, tokens: Iterable[AddedToken], *, flags_count: bool = True) -> None:
        """Takes tokens with their ids from another file.

        With `flags_count` the flags are as they are there, but a token that was special stays so:
        transformers keeps splitting text at it, whatever it shows.
        """
        tokens = sorted(tokens)
        if flags_count:
            self._taken = {token.content for token in tokens}
        for token in tokens:
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
            known = self._of.get(token.content)
            if known is None:
                self._of[token.content] = token
            elif flags_count:
                special = token.special or known.special
                self._of[token.content] = token._replace(special=special)

    def name(self, path: str, role: str, value: Any) -> None:  # noqa: ANN401 - of JSON
        """Takes a token that has a role; it is added if it is not there.

        It is special, but for one that is listed as extra with flags that say otherwise. One that
        is there becomes special if the configuration gives its flags, or gives none at all.
        """
        content = _content(path, role, value)
        if not content:
            return
        known = self._of.get(content)
        if known is None:
            flags = _flags(path, value) if isinstance(value, dict) else {"special": True}
            if role != EXTRA:
                flags["special"] = True
            self._of[content] = AddedToken(
                self._id(content), content, **({"special": False} | flags)
            )
        elif role != EXTRA and (self._taken is None or content in self._taken):
            self._of[content] = known._replace(special=True)

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
        if not (id.isascii() and id.isdigit() and len(id) < 10 and content) or value is content:
            shown = f"{id[:20]!r}: {repr(value)[:100]}"
            refuse(path, f"its added_tokens_decoder has {shown}, which is not a token")
        flags = {"special": False} | _flags(path, value)
        tokens.append(AddedToken(int(id), content, **flags))
    return tokens


def of_older(path: str, name: str, id: Any, special: set[str | None]) -> AddedToken:  # noqa: ANN401
    """A token of an `added_tokens.json`; it is special if it has a role."""
    if type(id) is not int or not 0 <= id < 1 << 31 or not name:
        refuse(path, f"it gives {name[:100]!r} the id {str(id)[:20]}")
    return AddedToken(id, name, special=name in special, normalized=name not in special)


def _flags(path: str, value: Json) -> dict[str, bool]:
    flags = {flag: value[flag] for flag in _FLAGS if value.get(flag) is not None}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        refuse(path, f"the flags of {value.get('content')!r} are not all true or false")
    flags.setdefault("normalized", not flags.get("special", False))
    return flags


def _content(path: str, role: str, value: Any) -> str:  # noqa: ANN401 - of JSON
    content = content_of(value)
    if content is None:
        refuse(path, f"its {role} is {repr(value)[:100]}, which is not a token")
    return content


def check_roles(path: str, config: Json) -> None:
    """Refuses what one file says of tokens with a role, before it is joined with another's."""
    for role, value in with_roles(path, config):
        _content(path, role, value)
        if isinstance(value, dict):
            _flags(path, value)


def with_roles(path: str, config: Json) -> list[tuple[str, Any]]:
    """The tokens that have a role, in the order in which transformers adds them."""
    roles = [(f"{role}_token", config.get(f"{role}_token")) for role in ROLES]
    known = {role for role, _ in roles}
    found = [(role, value) for role, value in roles if value is not None]
    both = config.get(EXTRA), config.get("additional_special_tokens")
    if not all(isinstance(more, list | dict | None) for more in both):
        refuse(path, "its additional special tokens are not a list")
    more = both[0] or both[1] or []
    if isinstance(more, dict):
        found += more.items()
        more = []
    found += [
        (role, value)
        for role, value in config.items()
        # Switches have such names, too, as "add_bos_token".
        if role.endswith("_token") and role not in known and content_of(value) is not None
    ]
    return found + [(EXTRA, value) for value in more]
