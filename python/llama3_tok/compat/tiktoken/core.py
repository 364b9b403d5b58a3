"""`Encoding`: what tiktoken's class of this name does, by way of a `Tokenizer`."""

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from operator import index as integer
from typing import Any, Literal, NoReturn, TypeVar

from llama3_tok.about import PATTERN
from llama3_tok.arguments import Options, load_numpy
from llama3_tok.compat.tiktoken import unstable
from llama3_tok.errors import InvalidTokenId, Llama3TokError, SpecialTokenError, UnknownToken
from llama3_tok.lazy import np, npt
from llama3_tok.tokenizer import Tokenizer

_T = TypeVar("_T")
# What tiktoken's parameters take.
_Allowed = Literal["all"] | AbstractSet[str]
_Disallowed = Literal["all"] | Collection[str]

# The encodings of profiles, by their names, that were asked for.
ENCODINGS: "dict[str, Encoding]" = {}

# What most calls ask `decode` for.
_HANDLERS = ("replace", "strict", "ignore")

# All that the core is asked for in the common case: special tokens are refused.
_REFUSE = Options(False, False, None, "all")


class Encoding:
    """A Llama 3 encoding with tiktoken's methods.

    `get_encoding` gives those of the installed vocabulary. This makes one from tables as Meta's
    code does, also with more special tokens than a release has: `pat_str` must be Llama 3's
    pattern, `mergeable_ranks` a complete vocabulary, and `special_tokens` any names and ids behind
    it. Raises ValueError otherwise.

    >>> import llama3_tok.compat.tiktoken as tiktoken
    >>> from llama3_tok.compat.tiktoken.load import load_tiktoken_bpe
    >>> known = tiktoken.get_encoding("llama3")
    >>> tiktoken.Encoding(
    ...     "mine",
    ...     pat_str=known._pat_str,
    ...     mergeable_ranks=load_tiktoken_bpe(llama3_tok.Tokenizer().vocabulary),
    ...     special_tokens={**known._special_tokens, "<|im_end|>": 128256},
    ... ).encode("Hello world<|im_end|>", allowed_special="all")
    [9906, 1917, 128256]
    """

    def __init__(
        self,
        name: str,
        *,
        pat_str: str,
        mergeable_ranks: dict[bytes, int],
        special_tokens: dict[str, int],
        explicit_n_vocab: int | None = None,
    ) -> None:
        if pat_str != PATTERN:
            raise Llama3TokError(
                f"the pattern {pat_str!r} is not Llama 3's, which is all that this module encodes"
            )
        lines = sorted((rank, b64encode(token)) for token, rank in mergeable_ranks.items())
        data = b"".join(b"%s %d\n" % (token, rank) for rank, token in lines)
        tokenizer = Tokenizer.from_bytes(data, all_special_tokens=special_tokens, name=name)
        if explicit_n_vocab and explicit_n_vocab != tokenizer.vocab_size:
            raise Llama3TokError(
                f"explicit_n_vocab is {explicit_n_vocab}, but there are {tokenizer.vocab_size}"
            )
        self._hold(name, tokenizer)
        # Several names may have one id, and then each is that token.
        self._special_tokens = dict(special_tokens)

    @classmethod
    def _of(cls, name: str, tokenizer: Tokenizer) -> "Encoding":
        encoding = cls.__new__(cls)
        encoding._hold(name, tokenizer)
        return encoding

    @classmethod
    def _named(cls, name: str) -> "Encoding":
        """That of a profile, always the same object for a name."""
        known = ENCODINGS.get(name)
        if known is None:
            known = cls._of(name, Tokenizer(profile=name))
        return ENCODINGS.setdefault(name, known)

    def _hold(self, name: str, tokenizer: Tokenizer) -> None:
        self.name = name
        self.max_token_value = tokenizer.vocab_size - 1
        self._tokenizer = tokenizer
        # For `encode` alone, whose arguments are those of tiktoken: to check them again by way of
        # the tokenizer would take longer than some texts do.
        self._core = tokenizer._core
        self._special_tokens = tokenizer.special_tokens
        self._pat_str = PATTERN

    def __repr__(self) -> str:
        """For people."""
        return f"<Encoding {self.name!r}>"

    # Text to ids

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of a text in which special tokens are plain text.

        >>> tiktoken.get_encoding("llama3.1").encode_ordinary("Hello world")
        [9906, 1917]
        """
        return self._core.encode(_checked(text))

    def encode(
        self,
        text: str,
        *,
        allowed_special: _Allowed = set(),  # noqa: B006
        disallowed_special: _Disallowed = "all",
    ) -> list[int]:
        """The ids of a text.

        Special tokens in it that `allowed_special` names ("all", or a set) become special ids;
        those that `disallowed_special` names, by default all others, raise SpecialTokenError (a
        ValueError). With `disallowed_special=()` they are plain text.

        >>> tiktoken.get_encoding("llama3.1").encode("<|eot_id|>", allowed_special={"<|eot_id|>"})
        [128009]
        """
        return self._encode(self._core.encode, text, allowed_special, disallowed_special)

    def encode_to_numpy(
        self,
        text: str,
        *,
        allowed_special: _Allowed = set(),  # noqa: B006
        disallowed_special: _Disallowed = "all",
    ) -> "npt.NDArray[np.uint32]":
        """The ids of a text as `uint32[n]`; parameters and errors as in `encode`."""
        load_numpy()
        return self._encode(self._core.encode_array, text, allowed_special, disallowed_special)

    def encode_ordinary_batch(self, text: list[str], *, num_threads: int = 8) -> list[list[int]]:
        """`encode_ordinary` of each text, on up to `num_threads` threads."""
        texts = [_checked(one) for one in text]
        return self._tokenizer.encode_batch(texts, threads=num_threads)

    def encode_batch(
        self,
        text: list[str],
        *,
        num_threads: int = 8,
        allowed_special: _Allowed = set(),  # noqa: B006
        disallowed_special: _Disallowed = "all",
    ) -> list[list[int]]:
        """`encode` of each text, on up to `num_threads` threads."""
        if disallowed_special != "all":
            disallowed_special = frozenset(disallowed_special)
        allowed, disallowed, others = self._selected(allowed_special, disallowed_special)
        texts = [_checked(one) for one in text]
        for one in texts:
            _refuse(one, others)
        try:
            return self._tokenizer.encode_batch(
                texts, threads=num_threads, allowed_special=allowed, disallowed_special=disallowed
            )
        except SpecialTokenError as error:
            _raise_disallowed(error)

    def encode_with_unstable(
        self,
        text: str,
        *,
        allowed_special: _Allowed = set(),  # noqa: B006
        disallowed_special: _Disallowed = "all",
    ) -> tuple[list[int], list[list[int]]]:
        """The ids of a text that more text would not change, and how the text may go on.

        Each of the latter is a list of ids that begins with the rest of the text, and ends with
        the token in which the text ends; together with the former it is the beginning of the ids
        of some longer text. Parameters and errors as in `encode`.
        """
        ids = self.encode(
            text, allowed_special=allowed_special, disallowed_special=disallowed_special
        )
        return self._completions.split(ids)

    def encode_single_token(self, text_or_bytes: str | bytes) -> int:
        """The id of the token that is exactly this, or has this special name.

        Raises KeyError if there is none.
        """
        if isinstance(text_or_bytes, str):
            text_or_bytes = text_or_bytes.encode()
        try:
            return self._tokenizer.token_id(text_or_bytes)
        except UnknownToken as error:
            raise KeyError(text_or_bytes) from error

    # Ids to text

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        """The bytes of ids; KeyError for an id that no token has."""
        try:
            return self._tokenizer.decode_bytes(_sequence(tokens))
        except InvalidTokenId as error:
            _raise_unknown(error)

    def decode(self, tokens: Sequence[int], errors: str = "replace") -> str:
        """The text of ids; bytes that are not UTF-8 are handled as `bytes.decode` does.

        Raises KeyError for an id that no token has.
        """
        if errors not in _HANDLERS:  # where nothing has to be handled, tiktoken takes any
            return self.decode_bytes(tokens).decode("utf-8", errors)
        try:
            return self._tokenizer.decode(_sequence(tokens), errors=errors)
        except InvalidTokenId as error:
            _raise_unknown(error)

    def decode_single_token_bytes(self, token: int) -> bytes:
        """The bytes of one token; a special token's are its name. KeyError if there is none."""
        try:
            return self._tokenizer.decode_bytes([integer(token)])
        except InvalidTokenId as error:
            _raise_unknown(error)

    def decode_tokens_bytes(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token."""
        try:
            self._tokenizer.checked_ids(_sequence(tokens))
        except InvalidTokenId as error:
            _raise_unknown(error)
        return [self.decode_single_token_bytes(token) for token in tokens]

    def decode_with_offsets(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """The text, and for each token the place in it, in characters, where the token begins.

        For a token that begins inside a character that is the place of this character. Raises
        UnicodeDecodeError if the bytes are not UTF-8.

        >>> tiktoken.get_encoding("llama3.1").decode_with_offsets([9906, 1917])
        ('Hello world', [0, 5])
        """
        offsets, begun = [], 0
        parts = self.decode_tokens_bytes(tokens)
        for part in parts:
            inside = part[0] & 0xC0 == 0x80
            offsets.append(max(0, begun - inside))
            begun += sum(byte & 0xC0 != 0x80 for byte in part)
        return b"".join(parts).decode(), offsets

    def decode_batch(
        self, batch: Sequence[Sequence[int]], *, errors: str = "replace", num_threads: int = 8
    ) -> list[str]:
        """`decode` of each list of ids, on up to `num_threads` threads."""
        if errors not in _HANDLERS:
            texts = self.decode_bytes_batch(batch, num_threads=num_threads)
            return [text.decode("utf-8", errors) for text in texts]
        lists = [list(ids) if isinstance(ids, bytes) else ids for ids in batch]
        try:
            return self._tokenizer.decode_batch(lists, threads=num_threads, errors=errors)
        except InvalidTokenId as error:
            _raise_unknown(error)

    def decode_bytes_batch(
        self, batch: Sequence[Sequence[int]], *, num_threads: int = 8
    ) -> list[bytes]:
        """`decode_bytes` of each list of ids."""
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, not {num_threads}")
        return [self.decode_bytes(tokens) for tokens in batch]

    # What it is

    def token_byte_values(self) -> list[bytes]:
        """The bytes of every token that is not special, sorted."""
        return self._completions.sorted_tokens()

    @property
    def eot_token(self) -> int:
        """The end of text: 128001, `<|end_of_text|>`.

        tiktoken has one for OpenAI's encodings only, where it is `<|endoftext|>`. Raises KeyError
        for special tokens without either.
        """
        names = ("<|endoftext|>", "<|end_of_text|>")
        known = (self._special_tokens[name] for name in names if name in self._special_tokens)
        if (id := next(known, None)) is None:
            raise KeyError(names[0])
        return id

    @cached_property
    def special_tokens_set(self) -> set[str]:
        """The names of the special tokens."""
        return set(self._special_tokens)

    def is_special_token(self, token: int) -> bool:
        """Whether an id is that of a special token."""
        if not isinstance(token, int):
            raise AssertionError(f"token must be an int, not {type(token).__name__}")
        return token in self._special_ids

    @property
    def n_vocab(self) -> int:
        """How many ids there are: `max_token_value + 1`."""
        return self.max_token_value + 1

    # What tiktoken does not call public, and others read nevertheless

    @cached_property
    def _mergeable_ranks(self) -> dict[bytes, int]:
        return {token: rank for rank, token in enumerate(self._tokenizer.tokens())}

    def _encode_single_piece(self, text_or_bytes: str | bytes) -> list[int]:
        """The ids of a text, or bytes, that is not cut: one token, or else merged."""
        if isinstance(text_or_bytes, str):
            text_or_bytes = text_or_bytes.encode()
        return self._tokenizer.merge(text_or_bytes, vocab_first=True)

    def _encode_only_native_bpe(self, text: str) -> list[int]:
        """The same as `encode_ordinary`; in tiktoken another way to it."""
        return self.encode_ordinary(text)

    def _encode_bytes(self, text: bytes) -> list[int]:
        """The ids of bytes, in tiktoken's way.

        What is not UTF-8 and all after it is one piece with what it may join: it is not cut.
        `Tokenizer.encode` takes bytes as well, and cuts them.
        """
        try:
            return self.encode_ordinary(text.decode())
        except UnicodeDecodeError as error:
            ids, rest = self._completions.settled(self._tokenizer.encode(text[: error.start]))
            rest += text[error.start :]
        return ids + self._encode_single_piece(rest)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self._special_tokens.values())

    @cached_property
    def _completions(self) -> unstable.Completions:
        return unstable.Completions(self._tokenizer)

    def __getstate__(self) -> object:
        """Its name, or if that is not enough all of it."""
        if self is ENCODINGS.get(self.name):
            return self.name
        return {
            "name": self.name,
            "pat_str": self._pat_str,
            "mergeable_ranks": self._mergeable_ranks,
            "special_tokens": self._special_tokens,
        }

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401
        """The reverse."""
        if isinstance(state, str):
            self.__dict__ = self._named(state).__dict__
        else:
            Encoding.__init__(self, **state)

    # Arguments as the core takes them

    def _encode(
        self,
        encode: Callable[[str, Any], _T],
        text: str,
        allowed: _Allowed,
        disallowed: _Disallowed,
    ) -> _T:
        _checked(text)
        try:
            if disallowed == "all" and not allowed and isinstance(allowed, set | frozenset):
                return encode(text, _REFUSE)
            chosen, refused, others = self._selected(allowed, disallowed)
            _refuse(text, others)
            return encode(text, Options(False, False, _listed(chosen), _listed(refused)))
        except SpecialTokenError as error:
            _raise_disallowed(error)

    def _selected(
        self, allowed: _Allowed, disallowed: _Disallowed
    ) -> tuple[_Allowed, _Disallowed, frozenset[str]]:
        """What is allowed and disallowed of the special tokens, and what is disallowed besides."""
        if allowed != "all":
            if not isinstance(allowed, set | frozenset):
                kind = type(allowed).__name__
                raise TypeError(f'allowed_special must be "all" or a set of names, not {kind}')
            for name in allowed:
                if not isinstance(name, str):
                    raise TypeError(f"allowed_special must hold names, not {type(name).__name__}")
            allowed = allowed & self.special_tokens_set
        if disallowed == "all":
            return allowed, "all", frozenset()
        names = frozenset(disallowed or ())
        return allowed, names & self.special_tokens_set, names - self.special_tokens_set


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text must be str, not {type(text).__name__}")
    return text


def _listed(names: _Allowed | _Disallowed) -> Literal["all"] | list[str] | None:
    return "all" if names == "all" else list(names) or None


def _refuse(text: str, names: Iterable[str]) -> None:
    """Refuses strings that are not special tokens, as tiktoken may be asked to, too."""
    if names and (found := re.search("|".join(map(re.escape, names)), text)):
        place = len(text[: found.start()].encode("utf-8", "surrogatepass"))
        _raise_disallowed(SpecialTokenError("", found.group(), place))


def _raise_disallowed(error: SpecialTokenError) -> NoReturn:
    token = error.token
    raise SpecialTokenError(
        f"the text has the special token {token!r} at byte {error.offset}, which is disallowed; "
        f"to encode it as the special token, pass allowed_special={{{token!r}}}; to encode it as "
        f"plain text, pass disallowed_special=(encoding.special_tokens_set - {{{token!r}}}), or "
        "disallowed_special=() for all special tokens",
        token=token,
        offset=error.offset,
        index=error.index,
    ) from None


_RANKS = range(1 << 32)


def _sequence(tokens: Any) -> Any:  # noqa: ANN401
    """Ids as tiktoken takes them; bytes are ids as well."""
    if type(tokens) is list:  # first, since asking an abstract class takes longer than decoding
        return tokens
    if isinstance(tokens, bytes):
        return list(tokens)
    if not isinstance(tokens, Sequence) and not hasattr(tokens, "__array__"):
        raise TypeError(f"tokens must be a sequence, not {type(tokens).__name__}")
    return tokens


def _raise_unknown(error: InvalidTokenId) -> NoReturn:
    """tiktoken's errors for ids that no token has."""
    place = f"{error.id} at position {error.position}"
    if error.index is not None:
        place = f"batch[{error.index}]: {place}"
    if error.id not in _RANKS:
        raise OverflowError(f"{place} is out of the range of ids") from error
    raise KeyError(f"{place} is not the id of a token") from error
