"""What every part of a `Tokenizer` has: the core, and what it was made from."""

from typing import TYPE_CHECKING, Any

from llama3_tok import vocabulary as _vocabulary
from llama3_tok._core import Core
from llama3_tok.profiles import chat_template, find

if TYPE_CHECKING:
    from llama3_tok.folder import AddedToken, Around, Folder

__all__ = ["Base"]


class Base:
    """A vocabulary with a profile."""

    __slots__ = ("__weakref__", "_core", "_folder", "_path", "_profile", "_sha256")

    _core: Core
    _folder: "Folder | None"
    _path: str
    _profile: str
    _sha256: str

    def _set(self, loaded: _vocabulary.Loaded, cache_bytes: int | None = None) -> None:
        self._core, self._path, self._sha256, self._profile, self._folder = loaded
        if cache_bytes is not None:
            self._core = self._core.with_cache(cache_bytes)

    # What it is

    @property
    def vocab_size(self) -> int:
        """How many ids there are, added tokens included: 128,256 (vision: 128,257)."""
        return self._core.vocab_size

    @property
    def profile(self) -> str:
        """Which release's special tokens are used; "folder" if a folder has others."""
        return self._profile

    @property
    def vocabulary(self) -> str:
        """The vocabulary file, as an absolute path."""
        return self._path

    @property
    def vocabulary_sha256(self) -> str:
        """The SHA-256 of the vocabulary file's content, in hexadecimal."""
        return self._sha256

    @property
    def bos_id(self) -> int | None:
        """What a text begins with, `<|begin_of_text|>`, 128000; None for a folder without one."""
        return self._core.special_ids[0]

    @property
    def eos_id(self) -> int | None:
        """What a text ends with, `<|end_of_text|>`, 128001; None for a folder without one."""
        return self._core.special_ids[1]

    @property
    def eot_id(self) -> int | None:
        """`<|eot_id|>`, the end of a turn: 128009; None for a folder without it."""
        return self._core.special_ids[2]

    @property
    def pad_id(self) -> int | None:
        """The padding token: 128004; None for profile "llama3", which has none."""
        return self._core.special_ids[3]

    @property
    def stop_ids(self) -> list[int]:
        """The ids that end generation, ascending."""
        return self._core.stop_ids

    @property
    def special_tokens(self) -> dict[str, int]:
        """Name to id of every special token, in the order of the ids."""
        return self._core.special_tokens

    @property
    def added_tokens(self) -> "dict[str, AddedToken]":
        """Every token that a text has by its name, special or not, in the order of the ids.

        Special ones are in a text only if `allowed_special` has them, the others always.
        """
        from llama3_tok.folder import AddedToken

        return {token.content: token for token in map(AddedToken._make, self._core.added_tokens)}

    @property
    def chat_templates(self) -> dict[str, str]:
        """The chat templates by name, "default" the first: the folder's, or the release's."""
        if self._folder is None:
            return {"default": chat_template(self._profile)}
        return dict(self._folder.templates)

    @property
    def _bos_name(self) -> str:
        """What BOS is called; "" if there is none."""
        id = self._core.special_ids[0]
        return "" if id is None else self._core.decode([id], False).decode()

    @property
    def _post_processor(self) -> dict[str, Any] | None:
        """What `tokenizer.json` has of what is put around a text."""
        import json

        from llama3_tok.folder import post_processor

        if self._folder is None:
            return post_processor(self.added_tokens.values(), *self._put_around)
        return json.loads(self._folder.post_processor) if self._folder.post_processor else None

    @property
    def _around(self) -> "Around":
        """The ids that are put around a text for a model."""
        from llama3_tok.folder import Around

        if self._folder is not None:
            return self._folder.around
        before, after = (() if id is None else (id,) for id in self._put_around)
        return Around(before, after, (before, after, before, after))

    @property
    def _put_around(self) -> tuple[int | None, int | None]:
        """The ids that a release puts before and after a text for a model."""
        release = find(self._profile)
        return (
            self.bos_id if release.adds_bos else None,
            self.eos_id if release.adds_eos else None,
        )
