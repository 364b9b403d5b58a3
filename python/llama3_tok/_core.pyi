"""The Rust core. Not public: `Tokenizer` is, and it checks what comes in."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__version__: str
UNICODE_VERSION: str
PROFILES: list[str]

_Names: TypeAlias = Literal["all"] | list[str] | None

class Core:
    def __new__(cls, data: bytes, file: str, profile: str, is_meta: bool) -> Core: ...
    def with_profile(self, file: str, profile: str) -> Core: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def special_tokens(self) -> dict[str, int]: ...
    @property
    def special_ids(self) -> tuple[int, int, int, int | None]: ...
    @property
    def stop_ids(self) -> list[int]: ...
    def encode(
        self, text: str | bytes, bos: bool, eos: bool, allowed: _Names, disallowed: _Names
    ) -> list[int]: ...
    def encode_array(
        self, text: str | bytes, bos: bool, eos: bool, allowed: _Names, disallowed: _Names
    ) -> npt.NDArray[np.uint32]: ...
    def encode_spans(
        self, text: str | bytes, bos: bool, eos: bool, allowed: _Names, disallowed: _Names
    ) -> tuple[list[int], list[tuple[int, int]]]: ...
    def encode_batch(
        self,
        texts: list[str | bytes],
        threads: int,
        bos: bool,
        eos: bool,
        allowed: _Names,
        disallowed: _Names,
    ) -> list[list[int]]: ...
    def encode_ragged(
        self,
        texts: list[str | bytes],
        threads: int,
        bos: bool,
        eos: bool,
        allowed: _Names,
        disallowed: _Names,
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]: ...
    def count(self, text: str | bytes) -> int: ...
    def count_batch(self, texts: list[str | bytes], threads: int) -> npt.NDArray[np.int64]: ...
    def decode(
        self,
        ids: list[int] | npt.NDArray[np.uint32] | npt.NDArray[np.int64],
        skip_special: bool,
    ) -> bytes: ...
    def token_id(self, token: str | bytes) -> int: ...
    def count_file(
        self,
        path: str,
        field: str | None,
        skip_binary: bool,
        progress: Callable[[int], object] | None,
    ) -> tuple[int, int, int, int, bool] | None: ...

def walk(root: str, hidden: bool, no_ignore: bool, globs: list[str]) -> list[str | Exception]: ...
def cpu_features() -> list[str]: ...
def cpu_count() -> int: ...
