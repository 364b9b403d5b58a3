"""`Definition`: what a tokenizer is made of. It never changes.

A `Tokenizer` is one of these with methods. The work of the methods is done by functions in other
modules, which take a definition. So the class imports these modules, and none of them imports the
class.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from llama3_tok import profiles
from llama3_tok._core import Core
from llama3_tok.lazy import LazyModule

if TYPE_CHECKING:
    from llama3_tok import folder as folders
else:
    folders = LazyModule("llama3_tok.folder")

__all__ = ["Definition"]


class Definition(NamedTuple):
    """A vocabulary in use, with its added tokens and what its folder says."""

    core: Core
    path: str
    """The vocabulary file, absolute."""
    sha256: str
    """Of the file's content, in hexadecimal."""
    profile: str
    """The release whose special tokens it has, else "folder"."""
    folder: "folders.Folder | None"
    """What its folder says, if it is not just what is usual for the release."""

    @property
    def roles(self) -> "folders.Roles":
        """The ids with a meaning of their own."""
        return folders.Roles.of(self.core.roles)

    @property
    def added_tokens(self) -> "dict[str, folders.AddedToken]":
        """Every token that a text has by its name, in the order of the ids."""
        return {token["content"]: folders.AddedToken(**token) for token in self.core.added_tokens}

    @property
    def chat_templates(self) -> dict[str, str]:
        """The chat templates by name, "default" the first: the folder's, or the release's."""
        if self.folder is None:
            return {"default": profiles.chat_template(self.profile)}
        return dict(self.folder.templates)

    @property
    def chat_release(self) -> str | None:
        """The release whose conversations the core writes; None if a template has to be run."""
        return self.profile if self.folder is None else self.folder.chat

    @property
    def token_roles(self) -> dict[str, str]:
        """The names of the tokens that have a role in a configuration, as "bos_token"."""
        if self.folder is None:
            return profiles.named_roles(self.profile)
        return self.folder.names

    @property
    def post_processor(self) -> dict[str, Any] | None:
        """What `tokenizer.json` has of what is put around a text."""
        import json

        if self.folder is None:
            return folders.post_processor(self.added_tokens.values(), *self._ends)
        return json.loads(self.folder.post_processor) if self.folder.post_processor else None

    @property
    def around(self) -> "folders.Around":
        """The ids that are put around a text for a model."""
        if self.folder is not None:
            return self.folder.around
        before, after = (() if id is None else (id,) for id in self._ends)
        return folders.Around(before, after, (before, after, before, after))

    @property
    def _ends(self) -> tuple[int | None, int | None]:
        """The ids that a release puts before and after a text for a model."""
        release, roles = profiles.find(self.profile), self.core.roles
        bos = roles["bos"] if release.adds_bos else None
        return bos, roles["eos"] if release.adds_eos else None

    def name(self, id: int) -> str:
        """What a special token is called."""
        return self.core.decode([id], False).decode("utf-8", "replace")
