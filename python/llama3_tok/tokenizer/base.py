"""What every part of a `Tokenizer` has: the core, and what it was made from."""

from llama3_tok import vocabulary as _vocabulary
from llama3_tok._core import Core

__all__ = ["Base"]


class Base:
    """A vocabulary with a profile."""

    __slots__ = ("__weakref__", "_core", "_path", "_profile", "_sha256")

    _core: Core
    _path: str
    _profile: str
    _sha256: str

    def _set(self, loaded: _vocabulary.Loaded, cache_bytes: int | None = None) -> None:
        self._core, self._path, self._sha256, self._profile = loaded
        if cache_bytes is not None:
            self._core = self._core.with_cache(cache_bytes)

    # What it is

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special tokens included: 128,256 (vision: 128,257)."""
        return self._core.vocab_size

    @property
    def profile(self) -> str:
        """Which release's special tokens are used."""
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
    def bos_id(self) -> int:
        """`<|begin_of_text|>`: 128000."""
        return self._core.special_ids[0]

    @property
    def eos_id(self) -> int:
        """`<|end_of_text|>`: 128001."""
        return self._core.special_ids[1]

    @property
    def eot_id(self) -> int:
        """`<|eot_id|>`, the end of a turn: 128009."""
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
