"""The Rust core. Not public: `Tokenizer` is, and it checks what comes in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar, final, overload

import numpy as np
import numpy.typing as npt

__version__: str
PATTERN: str
META_SHA256: str
UNICODE_VERSION: str
PROFILES: list[str]

_Names: TypeAlias = Literal["all"] | list[str] | None
_Ids: TypeAlias = list[int] | npt.NDArray[np.uint32 | np.int32 | np.int64]
_Ragged: TypeAlias = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]
_T = TypeVar("_T")

@final
class Files(Iterator[_T]):
    def __next__(self) -> _T: ...
    @property
    def read(self) -> int: ...

@final
class StreamDecoder:
    def begin_after(self, tail: _Ids, before: int) -> bool: ...
    def push(self, ids: _Ids) -> str: ...
    def flush(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def held(self) -> bytes: ...

@final
class IncrementalEncoder:
    def __init__(self, core: Core, options: Options | None) -> None: ...
    def push(self, text: str | bytes) -> list[int]: ...
    def finish(self) -> list[int]: ...
    def forget(self) -> None: ...
    @property
    def ids(self) -> list[int]: ...
    @property
    def ids_array(self) -> npt.NDArray[np.uint32]: ...
    @property
    def pending(self) -> bytes: ...
    @property
    def bytes(self) -> int: ...

@final
class PrefixCache:
    def __init__(self, core: Core, options: Options | None, limit: int) -> None: ...
    def encode(self, text: str | bytes) -> list[int]: ...
    def encode_array(self, text: str | bytes) -> npt.NDArray[np.uint32]: ...
    def encode_chat_array(self, core: Core, chat: CoreChat) -> npt.NDArray[np.uint32]: ...
    def info(self) -> tuple[int, int, int, int, int]: ...
    def clear(self) -> None: ...

@final
class Splitter(Iterator[tuple[int, int, int, int, int]]):
    def __init__(
        self,
        core: Core,
        text: str | bytes,
        limit: int,
        overlap: int,
        at: str,
        options: Options | None,
    ) -> None: ...
    def __next__(self) -> tuple[int, int, int, int, int]: ...

@final
class TokenIndex:
    def __init__(self, core: Core, text: str | bytes) -> None: ...
    def count(self, start: int, end: int, in_characters: bool) -> int: ...

class CoreTotals(TypedDict):
    texts: int
    tokens: int
    bytes: int
    characters: int
    invalid_utf8: bool
    longest: int
    longest_line: int
    above: int
    skipped: int
    first_skipped: tuple[int, str] | None

class CoreAddedToken(TypedDict):
    id: int
    content: str
    special: bool
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool

class CoreRoles(TypedDict):
    bos: int | None
    eos: int | None
    eot: int | None
    pad: int | None
    stops: list[int]

class CoreCacheInfo(TypedDict):
    used: int
    entries: int
    bytes: int
    limit: int
    threads: int
    bytes_of_all: int

class _AddedToken(Protocol):
    """`folder.AddedToken`."""

    @property
    def id(self) -> int: ...
    @property
    def content(self) -> str: ...
    @property
    def special(self) -> bool: ...
    @property
    def single_word(self) -> bool: ...
    @property
    def lstrip(self) -> bool: ...
    @property
    def rstrip(self) -> bool: ...
    @property
    def normalized(self) -> bool: ...

class _Roles(Protocol):
    """`folder.Roles`."""

    @property
    def bos(self) -> int | None: ...
    @property
    def eos(self) -> int | None: ...
    @property
    def eot(self) -> int | None: ...
    @property
    def pad(self) -> int | None: ...
    @property
    def stops(self) -> Sequence[int]: ...

@final
class Options:
    def __new__(
        cls, bos: bool, eos: bool, allowed: _Names = None, disallowed: _Names = None
    ) -> Options: ...
    @property
    def bos(self) -> bool: ...
    @property
    def eos(self) -> bool: ...
    def allows(self, name: str) -> bool: ...

@final
class Content:
    def __new__(cls, data: bytes) -> Content: ...
    @property
    def sha256(self) -> str: ...

@final
class Ranks:
    def __new__(cls, content: Content, file: str) -> Ranks: ...
    @property
    def size(self) -> int: ...
    @property
    def added(self) -> list[CoreAddedToken] | None: ...
    @property
    def post_processor(self) -> str | None: ...
    def differs_from(self, other: Ranks) -> int | None: ...
    def token(self, id: int) -> bytes | None: ...
    def id_written(self, token: str) -> int | None: ...
    def id(self, token: bytes) -> int | None: ...
    @staticmethod
    def of(core: Core) -> Ranks: ...

# How many bytes a packed file may unpack to, and how many times as many as are stored.
PackedLimits: TypeAlias = tuple[int | None, int | None]

@final
class Core:
    def __new__(cls, ranks: Ranks, file: str, profile: str) -> Core: ...
    @staticmethod
    def with_added(
        ranks: Ranks, file: str, tokens: Sequence[_AddedToken], roles: _Roles, release: str | None
    ) -> Core: ...
    def with_special_named(self, names: dict[str, str]) -> Core: ...
    @property
    def added_tokens(self) -> list[CoreAddedToken]: ...
    def with_cache(self, bytes: int) -> Core: ...
    def cache_info(self) -> CoreCacheInfo: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def special_tokens(self) -> dict[str, int]: ...
    @property
    def roles(self) -> CoreRoles: ...
    def encode(self, text: str | bytes, options: Options | None = None) -> list[int]: ...
    def encode_array(
        self, text: str | bytes, options: Options | None = None
    ) -> npt.NDArray[np.uint32]: ...
    def encode_spans(
        self, text: str | bytes, options: Options | None
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
    def added_spans(
        self, text: str | bytes, options: Options | None = None
    ) -> list[tuple[int, int, int]]: ...
    @overload
    def truncate(
        self, text: str, limit: int, from_end: bool, options: Options | None = None
    ) -> str: ...
    @overload
    def truncate(
        self, text: bytes, limit: int, from_end: bool, options: Options | None = None
    ) -> bytes: ...
    def encode_batch(
        self,
        texts: list[str | bytes],
        threads: int,
        options: Options | None,
    ) -> list[list[int]]: ...
    def encode_ragged(
        self,
        texts: list[str | bytes],
        threads: int,
        options: Options | None,
    ) -> _Ragged: ...
    def encode_slices(
        self,
        buffers: Sequence[npt.NDArray[np.uint8]],
        buffer_of: npt.NDArray[np.int32] | None,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        threads: int,
        options: Options | None,
    ) -> _Ragged: ...
    def count_slices(
        self,
        buffers: Sequence[npt.NDArray[np.uint8]],
        buffer_of: npt.NDArray[np.int32] | None,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        threads: int,
        options: Options | None,
    ) -> npt.NDArray[np.int64]: ...
    def count(self, text: str | bytes, options: Options | None = None) -> int: ...
    def count_batch(
        self, texts: list[str | bytes], threads: int, options: Options | None
    ) -> npt.NDArray[np.int64]: ...
    def decode(self, ids: _Ids, skip_special: bool = False, argument: str = "ids") -> bytes: ...
    def decode_text(self, ids: _Ids, skip_special: bool = False) -> str | None: ...
    def decode_batch(
        self, sequences: list[_Ids], threads: int, skip_special: bool
    ) -> list[bytes]: ...
    def tokens_along(self, bytes: bytes) -> npt.NDArray[np.uint32]: ...
    def stream_decoder(self, skip_special: bool, unknown: str) -> StreamDecoder: ...
    def is_canonical(self, ids: _Ids) -> bool: ...
    def token_id(self, token: str | bytes) -> int: ...
    def count_file(
        self,
        path: str,
        field: str | None,
        threads: int,
        options: Options | None,
        limits: PackedLimits,
    ) -> int: ...
    def count_files(
        self,
        paths: list[str],
        field: str | None,
        threads: int,
        options: Options | None,
        limits: PackedLimits,
    ) -> npt.NDArray[np.int64]: ...
    def totals(
        self,
        paths: list[tuple[str | None, bool]],
        field: str | None,
        threads: int,
        options: Options | None,
        limits: PackedLimits,
        progress: Callable[[int], object] | None,
        decodes_utf16: bool,
        skips: bool,
        limit: int | None,
    ) -> Files[CoreTotals | Literal["binary", "utf-16"]]: ...
    @overload
    def encode_files(
        self,
        paths: list[str],
        field: None,
        threads: int,
        options: Options | None,
        limits: PackedLimits,
        whole: bool,
    ) -> Files[npt.NDArray[np.uint32]]: ...
    @overload
    def encode_files(
        self,
        paths: list[str],
        field: str,
        threads: int,
        options: Options | None,
        limits: PackedLimits,
        whole: bool,
    ) -> Files[_Ragged]: ...

# What `chat.messages` makes of a conversation; a part is a text, and None for an image.
Parts: TypeAlias = list[str | None]

class CoreArgument(TypedDict):
    name: str
    text: str | None
    json: str

class CoreCall(TypedDict):
    name: str
    quoted_name: str
    json: str
    arguments: list[CoreArgument]

class CoreMessage(TypedDict):
    role: str
    content: Parts
    calls: list[CoreCall] | None
    context: Parts | None
    turn_goes_on: bool

# A list; a dictionary of nothing but a role and a text is taken as it is.
CoreMessages: TypeAlias = Sequence[CoreMessage | Mapping[str, Any]]

# Messages, the descriptions of tools, and whether the header of an answer follows.
CoreParts: TypeAlias = tuple[CoreMessages, list[str] | None, bool]

class CoreChat(TypedDict):
    dialect: str
    tool_format: str
    messages: CoreMessages
    tools: list[str] | None
    builtin_tools: list[str] | None
    tools_in_user: bool
    date: str | None
    add_generation_prompt: bool
    continue_final_message: bool

def are_plain(messages: list[Any]) -> bool: ...
def encode_chat(core: Core, chat: CoreChat) -> list[int]: ...
def encode_chat_array(core: Core, chat: CoreChat) -> npt.NDArray[np.uint32]: ...
def encode_chat_masked(
    core: Core, chat: CoreChat
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]: ...
def encode_chats(
    core: Core, format: CoreChat, chats: list[CoreParts], masks: bool, threads: int
) -> tuple[
    npt.NDArray[np.uint32],
    npt.NDArray[np.uint8],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    list[tuple[int, Exception]],
]: ...
def chat_ends(core: Core, chat: CoreChat) -> list[int]: ...
def render_chat(core: Core, chat: CoreChat) -> str: ...
def pretoken_ends(text: bytes) -> npt.NDArray[np.int64]: ...
def pretoken_cuts(text: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]: ...
def merge_steps(core: Core, piece: bytes) -> list[tuple[int, int, int, int]]: ...
def not_a_vocabulary(head: bytes) -> str | None: ...

# What `profiles.find` makes a `Profile` of.
def profile(name: str) -> dict[str, Any]: ...
def tokens(core: Core) -> list[bytes]: ...
def listed(ids: npt.NDArray[np.uint32]) -> list[int]: ...
def last_pretoken(text: bytes) -> int: ...
def merge_batch(core: Core, pieces: list[bytes]) -> list[list[int]]: ...

@final
class FileChunks(Iterator[tuple[int, int, bytes]]):
    def __new__(
        cls, core: Core, path: str, lines: bool, size: int, refuses_binary: bool
    ) -> FileChunks: ...
    def __next__(self) -> tuple[int, int, bytes]: ...

def record_text(record: bytes, field: str) -> bytes: ...

@final
class UnpackedFile:
    def __new__(cls, path: str, limits: PackedLimits) -> UnpackedFile: ...
    def read(self, size: int) -> bytes: ...
    @property
    def stored_read(self) -> int: ...

def count_newlines(text: bytes) -> int: ...
def jsonl_column(
    chunk: bytes, field: str
) -> tuple[
    npt.NDArray[np.uint8],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    list[tuple[int, str]],
]: ...
def last_cut(core: Core, text: bytes, options: Options) -> int | None: ...
def digests(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    limit: int,
) -> npt.NDArray[np.uint64]: ...
def rank_file(core: Core) -> bytes: ...
def written_tokens(core: Core) -> list[str]: ...
def written_merges(core: Core) -> list[str]: ...
def walk(root: str, hidden: bool, no_ignore: bool, globs: list[str]) -> list[str | Exception]: ...
def cpu_features() -> list[str]: ...
def code_path() -> str: ...
def code_paths() -> list[str]: ...
def cpu_count() -> int: ...
