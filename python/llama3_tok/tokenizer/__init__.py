"""`Tokenizer`: text to Llama 3 ids and back. What is allowed is decided here, the work is Rust's.

The ids are those of tiktoken for Meta's 128,000 ranks and the Llama 3 pattern, on the uncut text.
"""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llama3_tok import arguments, thread_cache
from llama3_tok import vocabulary as _vocabulary
from llama3_tok._core import Ranks
from llama3_tok.arguments import FilePath, Ids, Side, SpecialTokens, Tensors, Text
from llama3_tok.text.encoding import Encoding
from llama3_tok.text.ragged import Ragged
from llama3_tok.text.streaming import StreamDecoder
from llama3_tok.thread_cache import CacheInfo
from llama3_tok.tokenizer.conversations import Conversations
from llama3_tok.tokenizer.text_files import TextFiles
from llama3_tok.tokenizer.texts import Texts

if TYPE_CHECKING:
    from llama3_tok.chat.assistant import AssistantMessage
    from llama3_tok.folder import Folder
    from llama3_tok.text.padding import Padded, Padding

__all__ = [
    "Encoding",
    "FilePath",
    "Ids",
    "Ragged",
    "SpecialTokens",
    "StreamDecoder",
    "Text",
    "Tokenizer",
]


class Tokenizer(Texts, TextFiles, Conversations):
    """The Llama 3 tokenizer.

    `vocabulary` is the path of a rank file (Meta's `tokenizer.model`), a `tokenizer.json`, or a
    model folder that has one; without it, the environment variable LLAMA3_TOK_VOCAB and then the
    installed package llama-models are used. A folder is read as it is: added tokens, special or
    not, BOS and EOS, stop ids, padding and chat templates are those that its files say, as
    transformers' `AutoTokenizer` takes them.

    `profile` says instead which release is meant: its special tokens, which the folder must have,
    and its chat template. "llama3", "llama3.1", "llama3.2" (text; the special tokens of 3.1),
    "llama3.2-vision", "llama3.3" (the same as 3.1 under its own name) or "meta". A rank file by
    itself has those of "llama3.1" without one. `special_tokens` are names and ids of more, as
    `with_special_tokens` takes them.

    Each thread keeps what it merged in a cache, which begins with less than half a megabyte, grows
    while text repeats itself and takes at most `cache_mb` megabytes, from 0 to 32: by default what
    the environment variable LLAMA3_TOK_CACHE_MB says, else 24. It changes speed, never ids.

    A tokenizer never changes; it may be shared between threads, pickled (the vocabulary is not in
    the pickle but found again by path and hash) and used after a fork.

    Raises VocabularyNotFound, VocabularyError, or Llama3TokError for an unknown profile; ValueError
    for a `cache_mb` that is not from 0 to 32.

    >>> tokenizer = llama3_tok.Tokenizer()
    >>> tokenizer.encode("This is a test sentence.", bos=True, eos=True)
    [128000, 2028, 374, 264, 1296, 11914, 13, 128001]
    """

    __slots__ = ()

    def __init__(
        self,
        vocabulary: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        special_tokens: Mapping[str, int] | None = None,
        cache_mb: float | None = None,
    ) -> None:
        if not isinstance(profile, str | None):
            raise TypeError(f"profile must be a str or None, not {type(profile).__name__}")
        cache_bytes = thread_cache.limit(cache_mb)
        loaded = _vocabulary.load(vocabulary, profile)
        if special_tokens is not None:
            loaded = _with_special(loaded, special_tokens)
        self._set(loaded, cache_bytes)

    # Answers

    def parse_assistant(self, answer: "str | Ids") -> "AssistantMessage":
        """What a model answered, from its ids or its text: see `llama3_tok.parse_assistant`."""
        from llama3_tok.chat.assistant import parse_assistant

        return parse_assistant(answer, tokenizer=self)

    # Batches for a model

    def pad(
        self,
        sequences: Iterable[Ids],
        *,
        max_length: int | None = None,
        side: Side = "right",
        pad_id: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: Tensors = "np",
    ) -> "Padded":
        """Sequences of ids as one batch: `input_ids` and `attention_mask`, `int64[batch, length]`.

        The length is that of the longest sequence, or `max_length`, rounded up to a multiple of
        `pad_to_multiple_of`. `side` is where padding goes: "left" for generation, which has to go
        on behind the last id. `pad_id` is another padding token than that of the profile; it may be
        a special token with no other use, or one behind the vocabulary that the model was given.
        With `return_tensors="pt"` both are torch tensors.

        Raises Llama3TokError for a sequence that is longer than `max_length` (nothing is cut), for
        profile "llama3" without `pad_id`, for a `pad_id` that is a token of text, begins a text or
        ends generation, and where torch is missing; InvalidTokenId as `decode_batch`.

        >>> padded = llama3_tok.Tokenizer().pad([[9906], [9906, 1917]])
        >>> padded.input_ids.tolist(), padded.attention_mask.tolist()
        ([[9906, 128004], [9906, 1917]], [[1, 0], [1, 1]])
        """
        from llama3_tok.text import padding

        return padding.pad(
            self, sequences, max_length, side, pad_id, pad_to_multiple_of, return_tensors
        )

    def __call__(
        self,
        text: Text | Iterable[Text],
        *,
        add_special_tokens: bool = True,
        padding: "Padding" = False,
        truncation: bool = False,
        max_length: int | None = None,
        padding_side: Side = "right",
        pad_to_multiple_of: int | None = None,
        return_tensors: Tensors | None = None,
    ) -> "Padded":
        """`input_ids` and `attention_mask` of one text or several, as transformers gives them.

        BOS is added unless `add_special_tokens=False`, EOS is not. `padding` is True or "longest",
        or "max_length"; `truncation` cuts the ids behind the first `max_length`, BOS among them.
        Without `return_tensors` both are lists, of one text or of several; with "np" or "pt" they
        are `int64[batch, length]`, as in `pad`. Special tokens in the text are text, which they are
        not in transformers.

        Raises as `encode_batch` and `pad`; ValueError for arguments that don't go together.

        >>> llama3_tok.Tokenizer()("Hello world")["input_ids"]
        [128000, 9906, 1917]
        """
        from llama3_tok.text.padding import call

        return call(
            self,
            text,
            add_special_tokens,
            padding,
            truncation,
            max_length,
            padding_side,
            pad_to_multiple_of,
            return_tensors,
        )

    # Tokens

    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token; a special token's are its name. Raises InvalidTokenId."""
        if isinstance(id, bool) or not hasattr(id, "__index__"):
            raise TypeError(f"id must be an integer, not {type(id).__name__}")
        return self._core.decode([id], False)

    def token_id(self, token: Text) -> int:
        """The id of the token that is exactly these bytes, or has this special name.

        Raises UnknownToken if there is none.
        """
        return self._core.token_id(token)

    def with_special_tokens(
        self,
        special_tokens: Mapping[str, int],
        *,
        bos: str | None = None,
        eos: str | None = None,
        pad: str | None = None,
        stop_ids: Iterable[int] | None = None,
        chat_template: str | None = None,
    ) -> "Tokenizer":
        """A tokenizer that has more special tokens, by their names and ids.

        An id is that of a reserved token, which is then called so, or one from the end of the
        vocabulary on, for which a model has rows. `bos`, `eos` and `pad` name the tokens that have
        these roles, `stop_ids` are the ids that end generation (by default as before, and `eos` if
        given), `chat_template` is a template for conversations, in Jinja.

        Raises Llama3TokError for an id or name that another token has, and for an unknown role.

        >>> names = {"<|im_start|>": 128002, "<|im_end|>": 128003}
        >>> tokenizer = llama3_tok.Tokenizer().with_special_tokens(names, eos="<|im_end|>")
        >>> tokenizer.encode("hi<|im_end|>", allowed_special="all"), tokenizer.eos_id
        ([6151, 128003], 128003)
        """
        loaded = _vocabulary.Loaded(
            self._core, self._path, self._sha256, self._profile, self._folder
        )
        stops = (
            None if stop_ids is None else [arguments.count(id, "stop_ids", 0) for id in stop_ids]
        )
        roles = {"bos": bos, "eos": eos, "pad": pad, "chat_template": chat_template}
        changed = _with_special(loaded, special_tokens, stop_ids=stops, **roles)
        return made(type(self), changed, self._core.cache_info()[3])

    def cache_info(self) -> CacheInfo:
        """What the calling thread's cache holds and takes, and what those of all threads take.

        A thread has one cache, for the vocabulary that it used last.

        >>> llama3_tok.Tokenizer(cache_mb=8).cache_info().limit
        8388608
        """
        return CacheInfo(*self._core.cache_info())

    # Files of its own

    def save(self, folder: FilePath) -> None:
        """Writes the tokenizer to a folder, which is made if it is not there.

        The folder is one that transformers' `AutoTokenizer` loads, with the same ids for text and
        for chat: `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` (a template
        that renders as `render_chat`), `special_tokens_map.json` and `generation_config.json` (stop
        ids). `tokenizer.model` is the rank file, as Meta's code and `Tokenizer(folder)` read it.

        Files of these names are replaced, each at once: nobody ever sees a half one. The vocabulary
        files are read back and compared first. Of a `generation_config.json` that is there, the
        settings that are no ids stay. Of a release `tokenizer_config.json` notes the profile, as
        "profile". What another folder said is written as it was read: flags, chat templates by
        name, what is put around a text, its own settings.

        All are written before the first is replaced; should a replacement fail then, the error says
        which files are the new ones.

        Raises OSError where the folder can't be written, and Llama3TokError for one whose
        `generation_config.json` can't be read or that has another tokenizer's `added_tokens.json`.

        >>> llama3_tok.Tokenizer(profile="llama3.2").save("saved")
        >>> llama3_tok.Tokenizer("saved").profile
        'llama3.2'
        """
        from llama3_tok.formats.save import save

        save(self, os.path.expanduser(arguments.path(folder, "folder")))

    # As a Python object

    def __repr__(self) -> str:
        """For people."""
        return f"Tokenizer({self._path!r}, profile={self._profile!r})  # {self.vocab_size:,} ids"

    def __eq__(self, other: object) -> bool:
        """Tokenizers are equal if they give the same ids: same vocabulary, profile and folder."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        """Equal tokenizers hash alike."""
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self._sha256, self._profile, self._folder

    def __copy__(self) -> "Tokenizer":
        """Itself, since it never changes."""
        return self

    def __deepcopy__(self, memo: object) -> "Tokenizer":
        """Itself, since it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as path and hash, which find the file, and what its folder said."""
        cache_bytes = self._core.cache_info()[3]
        return _restore, (type(self), self._path, *self._key(), cache_bytes)


def _restore(
    kind: type[Tokenizer],
    path: str,
    sha256: str,
    profile: str,
    folder: "Folder | None",
    cache_bytes: int,
) -> Tokenizer:
    return made(kind, _vocabulary.load_again(path, sha256, profile, folder), cache_bytes)


def _with_special(
    loaded: _vocabulary.Loaded,
    special_tokens: Mapping[str, int],
    **roles: Any,  # noqa: ANN401 - those of `with_special`
) -> _vocabulary.Loaded:
    from llama3_tok.folder import usual, with_special

    tokens = {}
    for name, id in special_tokens.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"special_tokens: {name!r} is not a name")
        tokens[name] = arguments.count(id, f"special_tokens[{name!r}]", 0)
    ranks = Ranks.of(loaded.core)
    base = loaded.folder or usual(loaded.profile, ranks.size)
    return _vocabulary.with_folder(loaded, with_special(base, ranks, tokens, **roles))


def made(
    kind: type[Tokenizer], loaded: _vocabulary.Loaded, cache_bytes: int | None = None
) -> Tokenizer:
    """A tokenizer with a vocabulary that was loaded already."""
    tokenizer = kind.__new__(kind)
    tokenizer._set(loaded, cache_bytes)
    return tokenizer
