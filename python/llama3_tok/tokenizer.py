"""`Tokenizer`: text to Llama 3 ids and back. What is allowed is decided here, the work is Rust's.

The ids are those of tiktoken for Meta's 128,000 ranks and the Llama 3 pattern, on the uncut text.

This file is long because it is the whole interface on one page: one class without base classes,
so that each method is where its name is looked for, and half of the lines describe them. A
method checks its arguments and asks the core (`_core`, which is `rust/python/`), or the module
whose business it is. Functions there take a `Definition`, and need not import the class.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from llama3_tok import _core, arguments, elsewhere, thread_cache
from llama3_tok import vocabulary as _vocabulary
from llama3_tok._core import Core, Ranks
from llama3_tok.arguments import (
    AnyText,
    BatchOptions,
    DecodeOptions,
    FileOptions,
    FilePath,
    Ids,
    Options,
    Side,
    SpecialTokens,
    Tensors,
    Text,
    TextOptions,
)
from llama3_tok.chat.fit import FittedChat
from llama3_tok.chat.messages import ChatOptions, Message
from llama3_tok.definition import Definition
from llama3_tok.lazy import LazyModule, np, npt
from llama3_tok.text import chunks, file_ids, healing, second_bos
from llama3_tok.text.chunks import At, Chunk, TokenIndex
from llama3_tok.text.encoding import Encoding
from llama3_tok.text.healing import Continuation
from llama3_tok.text.incremental import IncrementalEncoder
from llama3_tok.text.ragged import Ragged
from llama3_tok.text.streaming import StreamDecoder, begin_after
from llama3_tok.thread_cache import CacheInfo

# What most programs don't use is imported when a method needs it.
if TYPE_CHECKING:
    from llama3_tok import folder as folders
    from llama3_tok.chat import assistant, conversations
    from llama3_tok.formats import save as saving
    from llama3_tok.text import explaining
    from llama3_tok.text import padding as _padding
else:
    folders = LazyModule("llama3_tok.folder")
    assistant = LazyModule("llama3_tok.chat.assistant")
    conversations = LazyModule("llama3_tok.chat.conversations")
    saving = LazyModule("llama3_tok.formats.save")
    explaining = LazyModule("llama3_tok.text.explaining")
    _padding = LazyModule("llama3_tok.text.padding")

__all__ = [
    "Chunk",
    "Encoding",
    "FilePath",
    "Ids",
    "IncrementalEncoder",
    "Ragged",
    "SpecialTokens",
    "StreamDecoder",
    "Text",
    "TokenIndex",
    "Tokenizer",
]


class Tokenizer(metaclass=elsewhere.NamesOfOthers):
    """The Llama 3 tokenizer.

    `vocabulary` is the path of a rank file (Meta's `tokenizer.model`), a `tokenizer.json`, or a
    model folder that has one; without it, the environment variable LLAMA3_TOK_VOCAB and then the
    installed package llama-models are used. A folder is read as it is: added tokens, special or
    not, BOS and EOS, stop ids, padding and chat templates are those that its files say, as
    transformers' `AutoTokenizer` takes them.

    `profile` says instead which release is meant: its special tokens, which the folder must have,
    and its chat template. "llama3", "llama3.1", "llama3.2" (text; the special tokens of 3.1),
    "llama3.2-vision", "llama3.3" (the same as 3.1 under its own name) or "meta". Without a profile,
    a rank file by itself has the special tokens of "llama3.1". `special_tokens` are names and ids
    of further special tokens, as `with_special_tokens` takes them.

    Each thread keeps what it merged in a cache, which begins with less than half a megabyte, grows
    while text repeats itself and takes at most `cache_mb` megabytes, from 0 to 32: by default what
    the environment variable LLAMA3_TOK_CACHE_MB says, else 24. It changes speed, never ids.

    A tokenizer never changes, and is not made to be the base of other classes. It may be shared
    between threads, pickled (the vocabulary is not in the pickle but found again by path and hash)
    and used after a fork.

    Raises VocabularyNotFound, VocabularyError, or Llama3TokError for an unknown profile; ValueError
    for a `cache_mb` that is not from 0 to 32.

    >>> tokenizer = llama3_tok.Tokenizer()
    >>> tokenizer.encode("This is a test sentence.", bos=True, eos=True)
    [128000, 2028, 374, 264, 1296, 11914, 13, 128001]
    """

    __slots__ = ("__weakref__", "_bos", "_core", "_definition")

    _bos: str
    """What BOS is called; "" if there is none."""
    _core: Core
    _definition: Definition

    def __init__(
        self,
        vocabulary: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        special_tokens: Mapping[str, int] | None = None,
        cache_mb: float | None = None,
    ) -> None:
        arguments.profile(profile)
        cache_bytes = thread_cache.limit(cache_mb)
        definition = _vocabulary.load(vocabulary, profile)
        if special_tokens is not None:
            definition = _vocabulary.with_special(definition, special_tokens)
        self._set(definition, cache_bytes)

    @classmethod
    def from_bytes(
        cls,
        vocabulary: bytes,
        *,
        profile: str | None = None,
        all_special_tokens: Mapping[str, int] | None = None,
        name: str = "<bytes>",
        cache_mb: float | None = None,
    ) -> "Tokenizer":
        """A tokenizer from the content of a vocabulary file, as `rank_file` gives it.

        It has the special tokens of `profile`, "llama3.1" by default, or in their place
        `all_special_tokens`, names and ids; several names may have one id, as in tiktoken, and then
        each of them is that token. `name` stands for the file in errors, in `vocabulary`
        and in a pickle, which another process can read only if it is the path of such a file.
        `cache_mb` is as in the class.

        Raises VocabularyError for other content, Llama3TokError for an unknown profile and for
        special tokens with ids of tokens of text, ValueError for both a profile and
        `all_special_tokens`.

        >>> ranks = llama3_tok.Tokenizer().rank_file()
        >>> names = {"<|im_start|>": 128000, "<|im_end|>": 128001}
        >>> tokenizer = llama3_tok.Tokenizer.from_bytes(ranks, all_special_tokens=names)
        >>> tokenizer.encode("hi<|im_end|>", allowed_special="all")
        [6151, 128001]
        """
        cache_bytes = thread_cache.limit(cache_mb)
        definition = _vocabulary.of_bytes(vocabulary, name, profile, all_special_tokens)
        return cls.of(definition, cache_bytes)

    @classmethod
    def of(cls, definition: Definition, cache_bytes: int | None = None) -> "Tokenizer":
        """The tokenizer of a definition, for the other modules of this package.

        `cache_bytes` is the limit of a thread's cache; by default that of the definition.
        """
        tokenizer = cls.__new__(cls)
        tokenizer._set(definition, cache_bytes)
        return tokenizer

    def _set(self, definition: Definition, cache_bytes: int | None) -> None:
        # A core that has this limit already is the one that the whole process shares.
        if cache_bytes is not None and cache_bytes != definition.core.cache_info()["limit"]:
            definition = definition._replace(core=definition.core.with_cache(cache_bytes))
        self._core, self._definition = definition.core, definition
        bos = self.bos_id
        self._bos = "" if bos is None else definition.name(bos)

    # Text to ids

    def encode(self, text: Text, **options: Unpack[TextOptions]) -> list[int]:
        """The ids of a text.

        `bos` and `eos` add the tokens of that name. Special tokens in the text are plain text
        unless `allowed_special` names them ("all", or a set of names); those that
        `disallowed_special` names raise ("all" means all that are not allowed). Both are tiktoken's
        parameters, with the default of Meta's class. A text that already begins with BOS gets a
        second one from `bos`, and the caller gets a warning.

        Lone surrogates of a `str` are encoded as U+FFFD, as tiktoken does. `bytes` need not be
        UTF-8: decoding gives back exactly what was encoded.

        Raises TypeError for anything that is not text, SpecialTokenError for a disallowed special
        token (with its byte offset) and for names that the profile does not have.

        >>> llama3_tok.encode("<|eot_id|>")
        [27, 91, 68, 354, 851, 91, 29]
        >>> llama3_tok.encode("<|eot_id|>", allowed_special="all")
        [128009]
        """
        if not options:
            return self._core.encode(text)
        return self._core.encode(text, self._chosen(options, "encode", (text,)))

    def encode_array(self, text: Text, **options: Unpack[TextOptions]) -> "npt.NDArray[np.uint32]":
        """The ids of a text as `uint32[n]`; parameters and errors as in `encode`."""
        if not arguments.has_numpy:
            arguments.load_numpy()
        if not options:
            return self._core.encode_array(text)
        return self._core.encode_array(text, self._chosen(options, "encode_array", (text,)))

    def encode_batch(
        self, texts: Iterable[Text], **options: Unpack[BatchOptions]
    ) -> list[list[int]]:
        """The ids of each text, encoded on up to `threads` threads (default: all processors).

        Parameters and errors otherwise as in `encode`; an error names the index of the text, which
        a SpecialTokenError also has as `index`.
        """
        given = self._batch("encode_batch", texts, options)
        return self._core.encode_batch(*given)

    def encode_ragged(self, texts: Iterable[Text], **options: Unpack[BatchOptions]) -> Ragged:
        """The ids of all texts in one array; parameters and errors as in `encode_batch`."""
        arguments.load_numpy()
        given = self._batch("encode_ragged", texts, options)
        return Ragged(*self._core.encode_ragged(*given))

    def encode_with_offsets(self, text: Text, **options: Unpack[TextOptions]) -> Encoding:
        """The ids of a text, and which bytes and characters each token is.

        Parameters and errors as in `encode`; `Encoding` describes the spans. Takes time and memory
        linear in the text, and runs on one thread.

        >>> encoding = llama3_tok.Tokenizer().encode_with_offsets("Việt Nam")
        >>> encoding.ids
        array([36644, 26298,    83, 31074], dtype=uint32)
        >>> encoding.char_spans.tolist()
        [[0, 2], [2, 3], [3, 4], [4, 8]]
        """
        chosen = self._chosen(options, "encode_with_offsets", (text,))
        arguments.load_numpy()
        spans = self._core.encode_spans(text, chosen)
        ends = {id: self._core.decode([id], False) for id in self._ends(chosen)}
        return Encoding(*spans, text=text, ends=ends)

    def truncate(
        self,
        text: AnyText,
        max_tokens: int,
        *,
        side: Side = "right",
        **options: Unpack[TextOptions],
    ) -> AnyText:
        """The longest part of a text that has at most `max_tokens` tokens when it is encoded.

        With `side="right"` the right side is cut off and the longest such beginning is kept, with
        `side="left"` the longest such end. That is more than cutting the ids and decoding them: no
        character is cut, and since a part may have fewer tokens than a shorter one, none that fits
        is missed. The other options are those of `encode`, and BOS and EOS count. For `bytes` the
        result is `bytes`, and each byte outside valid UTF-8 counts as a character. In a `str` a
        surrogate pair is not cut.

        Raises as `encode`, and ValueError for a `max_tokens` that is negative, or less than BOS and
        EOS alone.

        >>> llama3_tok.Tokenizer().truncate("This is a test sentence.", 4)
        'This is a test'
        >>> llama3_tok.Tokenizer().truncate("This is a test sentence.", 3, side="left")
        ' test sentence.'
        """
        arguments.choice(side, "side", ("left", "right"))
        limit = arguments.count(max_tokens, "max_tokens", 0)
        chosen = self._chosen(options, "truncate", (text,), "side")
        return self._core.truncate(text, min(limit, sys.maxsize), side == "left", chosen)

    def count(self, text: Text, **options: Unpack[TextOptions]) -> int:
        """How many ids `encode` gives, without making them; parameters and errors as in `encode`.

        >>> llama3_tok.count("This is a test sentence.")
        6
        >>> llama3_tok.count("This is a test sentence.", bos=True)
        7
        """
        if not options:
            return self._core.count(text)
        return self._core.count(text, self._chosen(options, "count", (text,)))

    def count_batch(
        self, texts: Iterable[Text], **options: Unpack[BatchOptions]
    ) -> "npt.NDArray[np.int64]":
        """How many ids each text has, as `int64[len(texts)]`; otherwise as `encode_batch`."""
        arguments.load_numpy()
        given = self._batch("count_batch", texts, options)
        return self._core.count_batch(*given)

    def _chosen(
        self, given: Mapping[str, Any], call: str, texts: Iterable[object] = (), *others: str
    ) -> Options | None:
        """The options of a call, checked; it warns of a text that would get a second BOS."""
        chosen = arguments.chosen(given, call, *others)
        if chosen is not None and chosen.bos:
            second_bos.warn(texts, chosen, self._bos)
        return chosen

    def _batch(
        self, call: str, texts: Iterable[Text], options: Mapping[str, Any]
    ) -> tuple[list[Text], int, Options | None]:
        """The texts of a call, the number of threads, and its options."""
        texts = arguments.texts(texts)
        chosen = self._chosen(options, call, texts, "threads")
        return texts, arguments.threads(options.get("threads")), chosen

    def _ends(self, chosen: Options | None) -> list[int]:
        """The ids that options put around a text."""
        if chosen is None:
            return []
        both = ((chosen.bos, self.bos_id), (chosen.eos, self.eos_id))
        return [id for is_chosen, id in both if is_chosen and id is not None]

    # How a text becomes ids

    def explain(self, text: Text, **options: Unpack[TextOptions]) -> "explaining.Explanation":
        """How a text becomes ids: its pretokens, and for each what the vocabulary and merging say.

        The result is a sequence of `Pretoken` and `AddedPiece`. A pretoken has `bytes`, `start` and
        `end` (bytes of the text), the `alternative` of the pattern that cut it, `ids`,
        `vocab_first`, the `merge_steps` and `merged_ids` of merging alone, and `differs` where that
        gives other ids. `mentions` of the result are the names of special tokens that are plain
        text here. Parameters and errors as in `encode`.

        >>> viet = llama3_tok.Tokenizer().explain("in Việt")[1]
        >>> viet.alternative.number, viet.ids, viet.vocab_first, viet.merged_ids
        (2, (101798,), True, (11655, 26298, 83))
        """
        return explaining.explain(self._core, text, **options)

    def pretokens(self, text: AnyText) -> list[AnyText]:
        """What the pattern cuts a text into before anything is merged; joined, they are the text.

        Special tokens in the text are text. The pretokens of a `str` are `str`, in which lone
        surrogates are U+FFFD, as in `encode`; those of `bytes` are `bytes`. Raises TypeError for
        anything that is not text.

        >>> llama3_tok.Tokenizer().pretokens("In 2024 we've")
        ['In', ' ', '202', '4', ' we', "'ve"]
        """
        data = arguments.utf8(text, "text")
        arguments.load_numpy()
        ends = _core.pretoken_ends(data)
        # Python looks for signals between two parts of the array.
        parts = (ends[at : at + (1 << 16)].tolist() for at in range(0, len(ends), 1 << 16))
        bounds = pairwise(chain([0], chain.from_iterable(parts)))
        found: list[Any] = [data[start:end] for start, end in bounds]
        return found if isinstance(text, bytes) else [part.decode() for part in found]

    def pretoken_ends(self, text: Text) -> "npt.NDArray[np.int64]":
        """Where each of the `pretokens` of a text ends, in bytes of UTF-8, as `int64[n]`.

        >>> llama3_tok.Tokenizer().pretoken_ends("In 2024")
        array([2, 3, 6, 7])
        """
        arguments.load_numpy()
        return _core.pretoken_ends(arguments.utf8(text, "text"))

    def merge(self, pretoken: Text, *, vocab_first: bool = False) -> list[int]:
        """The ids that merging gives for a pretoken, or for any text that is not to be cut.

        With `vocab_first` a pretoken that is a token is this token, as it is in `encode`; merging
        alone does not reach every token. Raises TypeError for anything that is not text.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.merge(" Việt"), tokenizer.merge(" Việt", vocab_first=True)
        ([11655, 26298, 83], [101798])
        """
        arguments.flag(vocab_first, "vocab_first")
        data = arguments.utf8(pretoken, "pretoken")
        if vocab_first and (id := Ranks.of(self._core).id(data)) is not None:
            return [id]
        return _core.merge_batch(self._core, [data])[0]

    def added_spans(
        self, text: Text, *, allowed_special: SpecialTokens = ()
    ) -> list[tuple[int, int, int]]:
        """The added tokens that `encode` finds in a text: `(start, end, id)`, in bytes of UTF-8.

        The white space that a token takes is part of its place. `allowed_special` and errors are as
        in `encode`.

        >>> llama3_tok.Tokenizer().added_spans("hi<|eot_id|>", allowed_special="all")
        [(2, 12, 128009)]
        """
        chosen = arguments.chosen({"allowed_special": allowed_special}, "added_spans")
        return self._core.added_spans(text, chosen)

    # Files to ids

    def count_file(
        self, path: FilePath, *, field: str | None = None, **options: Unpack[FileOptions]
    ) -> int:
        """How many ids a text file has, or with `field` that field of a JSONL file's records.

        The file may be of any size: it is read in pieces, which up to `threads` threads (default:
        all processors) count in a bounded amount of memory. Files whose names end in `.gz` and
        `.zst` are unpacked. A text file is counted as it is, a byte order mark included; bytes that
        are not UTF-8 are counted as `encode` has them. The other options are those of `encode`, and
        `bos` and `eos` are for the file, or with `field` for each record.

        A packed file may be at most `max_ratio` times as large when it is unpacked as it is stored
        (default: 1,000; None for any ratio), or 64 MB, and at most `max_bytes` (default: any
        number). What is larger raises InputError, so that a small file can't keep a server busy.

        Raises OSError for a file that can't be read, and InputError, with path and line, for a
        damaged archive and for a line that is not a JSON object with a string in `field`.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.count_file("hello.txt")
        2
        >>> tokenizer.count_file("hello.jsonl", field="text")
        3
        """
        task = self._file_task("count_file", field, options)
        return self._core.count_file(arguments.path(path), *task)

    def count_files(
        self, paths: Iterable[FilePath], *, field: str | None = None, **options: Unpack[FileOptions]
    ) -> "npt.NDArray[np.int64]":
        """How many ids each file has, as `int64[len(paths)]`.

        Parameters and errors as in `count_file`; of several bad files the first one raises.
        """
        arguments.load_numpy()
        task = self._file_task("count_files", field, options)
        return self._core.count_files(arguments.paths(paths), *task)

    @overload
    def encode_file(
        self, path: FilePath, *, field: None = None, **options: Unpack[FileOptions]
    ) -> "npt.NDArray[np.uint32]": ...
    @overload
    def encode_file(
        self, path: FilePath, *, field: str, **options: Unpack[FileOptions]
    ) -> Ragged: ...
    def encode_file(
        self, path: FilePath, *, field: str | None = None, **options: Unpack[FileOptions]
    ) -> "npt.NDArray[np.uint32] | Ragged":
        """The ids of a file: `uint32[n]`, or with `field` a Ragged with those of each record.

        They are exactly the ids of `encode(pathlib.Path(path).read_bytes())`; `bos` and `eos` add
        to the file, or with `field` to each record. The file is read as `count_file` reads it.

        Raises what `count_file` raises, and what `encode` raises; a SpecialTokenError names `path`
        and the byte `offset` in the unpacked text, or with `field` the `line` and the offset in
        that record's text.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.encode_file("hello.txt")
        array([9906, 1917], dtype=uint32)
        >>> tokenizer.encode_file("hello.jsonl", field="text")
        Ragged(2 texts, 3 ids)
        """
        arguments.load_numpy()
        task = self._file_task("encode_file", field, options)
        return next(file_ids.ids(self._core, [arguments.path(path)], task, are_whole=True))

    @overload
    def encode_files(
        self, paths: Iterable[FilePath], *, field: None = None, **options: Unpack[FileOptions]
    ) -> "Iterator[npt.NDArray[np.uint32]]": ...
    @overload
    def encode_files(
        self, paths: Iterable[FilePath], *, field: str, **options: Unpack[FileOptions]
    ) -> Iterator[Ragged]: ...
    def encode_files(
        self, paths: Iterable[FilePath], *, field: str | None = None, **options: Unpack[FileOptions]
    ) -> "Iterator[npt.NDArray[np.uint32] | Ragged]":
        """An iterator over the ids of files, in the order of the paths.

        Each is what `encode_file` gives. While one is used the next ones are read ahead, up to some
        megabytes; that stops when the iterator is deleted. A bad file raises when its turn comes,
        and the iterator can be asked for the next. Several threads may share it, but a process that
        was forked can't go on with it.

        Parameters and errors as in `encode_file`.

        >>> paths = ["hello.txt", "hello.txt.gz"]
        >>> for ids in llama3_tok.Tokenizer().encode_files(paths):
        ...     print(ids)
        [9906 1917]
        [9906 1917]
        """
        arguments.load_numpy()
        task = self._file_task("encode_files", field, options)
        return file_ids.ids(self._core, arguments.paths(paths), task, are_whole=True)

    @overload
    def stream_file(
        self,
        path: FilePath,
        *,
        field: None = None,
        progress: Callable[[int], object] | None = None,
        **options: Unpack[FileOptions],
    ) -> "Iterator[npt.NDArray[np.uint32]]": ...
    @overload
    def stream_file(
        self,
        path: FilePath,
        *,
        field: str,
        progress: Callable[[int], object] | None = None,
        **options: Unpack[FileOptions],
    ) -> Iterator[Ragged]: ...
    def stream_file(
        self,
        path: FilePath,
        *,
        field: str | None = None,
        progress: Callable[[int], object] | None = None,
        **options: Unpack[FileOptions],
    ) -> "Iterator[npt.NDArray[np.uint32] | Ragged]":
        """The ids of a file part by part, in a bounded amount of memory whatever its size.

        The parts, one after the other, are exactly what `encode_file` gives; there is at least one.
        Their length is not specified: usually a part has the ids of a quarter of a megabyte of
        text, and more where the text can't be cut. `progress` is called with how many bytes of the
        stored file were read so far. Parameters and errors otherwise as in `encode_file`; the
        iterator is like that of `encode_files`, but with `progress` it is for one thread.

        >>> for ids in llama3_tok.Tokenizer().stream_file("hello.txt"):
        ...     print(ids)
        [9906 1917]
        """
        arguments.load_numpy()
        task = self._file_task("stream_file", field, options)
        files = [arguments.path(path)]
        return file_ids.ids(self._core, files, task, are_whole=False, progress=progress)

    def _file_task(
        self, call: str, field: str | None, options: Mapping[str, Any]
    ) -> file_ids.FileTask:
        """What a call asks of files."""
        return file_ids.FileTask(
            arguments.field(field),
            arguments.threads(options.get("threads")),
            self._chosen(options, call, (), *arguments.FILE_OPTIONS),
            arguments.packed_limits(options),
        )

    # Ids to text

    def decode(self, ids: Ids, **options: Unpack[DecodeOptions]) -> str:
        """The text of ids.

        `ids` may be a list, an array of any integer dtype, a tensor, or anything with the buffer
        protocol. Bytes that are not UTF-8, as in the middle of a character, are handled as `errors`
        says (`bytes.decode` has the choices). Special tokens are their names, or nothing with
        `skip_special`. Spaces are never cleaned up.

        Raises InvalidTokenId with id and position, TypeError for ids that are not integers, and
        ValueError for `errors` that Python does not have.

        >>> llama3_tok.decode([9906, 1917])
        'Hello world'
        """
        given = ids if type(ids) is list else arguments.ids(ids, "ids")
        if not options:
            text = self._core.decode_text(given)
            return self._core.decode(given).decode("utf-8", "replace") if text is None else text
        errors, skip_special = arguments.decoding(options, "decode")
        if errors in ("replace", "strict"):
            text = self._core.decode_text(given, skip_special)
            if text is not None:
                return text
        return self._core.decode(given, skip_special).decode("utf-8", errors)

    def decode_bytes(self, ids: Ids, *, skip_special: bool = False) -> bytes:
        """The bytes of ids, exactly; parameters and errors as in `decode`."""
        arguments.flag(skip_special, "skip_special")
        given = ids if type(ids) is list else arguments.ids(ids, "ids")
        return self._core.decode(given, skip_special)

    def decode_batch(
        self,
        sequences: Iterable[Ids],
        *,
        threads: int | None = None,
        **options: Unpack[DecodeOptions],
    ) -> list[str]:
        """The text of each sequence of ids, decoded on up to `threads` threads (default: all).

        Parameters and errors otherwise as in `decode`; an error names the index of the sequence,
        which an InvalidTokenId also has as `index`.
        """
        arguments.refuse_text(sequences, "sequences")
        errors, skip_special = arguments.decoding(options, "decode_batch", "threads")
        lists = [arguments.ids(ids, f"sequences[{index}]") for index, ids in enumerate(sequences)]
        texts = self._core.decode_batch(lists, arguments.threads(threads), skip_special)
        return [text.decode("utf-8", errors) for text in texts]

    def stream_decoder(
        self,
        *,
        skip_special: bool = False,
        prompt_tail: Ids = (),
        unknown: Literal["error", "skip", "replace"] = "error",
    ) -> StreamDecoder:
        """A decoder of ids that come one by one, as a model generates them.

        Its `push` gives text as soon as it is complete UTF-8, and `flush` the rest; together they
        are `decode` of all ids. Special tokens are their names, or nothing with `skip_special`.

        `prompt_tail` are the ids before the first one, all of them or the last ones. Nothing of
        them is given, but a character that began in them is, once it is complete. This takes the
        same time however many they are.

        Models may have more rows than their tokenizer has tokens: `unknown` says what becomes of
        ids from there, an error, nothing ("skip") or U+FFFD ("replace"). Negative ids are an error.

        >>> decoder = llama3_tok.Tokenizer().stream_decoder(skip_special=True)
        >>> decoder.push(9906) + decoder.push([1917, 128009]) + decoder.flush()
        'Hello world'
        """
        arguments.flag(skip_special, "skip_special")
        arguments.choice(unknown, "unknown", ("error", "skip", "replace"))
        decoder = self._core.stream_decoder(skip_special, unknown)
        begin_after(decoder, arguments.ids(prompt_tail, "prompt_tail"))
        return StreamDecoder(decoder)

    def split(
        self,
        text: AnyText,
        max_tokens: int,
        *,
        overlap: int = 0,
        at: At = "word",
        **options: Unpack[TextOptions],
    ) -> Iterator[Chunk[AnyText]]:
        """The text in chunks, each of which has at most `max_tokens` tokens by its own encoding.

        A chunk is as long as it can be, and ends after a "paragraph" (a blank line), a "line", a
        "sentence" or a "word", as `at` says, or anywhere with "token". Where none of that kind
        fits, it ends after what comes next in this list: paragraph, line, sentence, word, token.
        The chunks are the whole text, unless they have an `overlap`: of at most so many tokens,
        which a chunk repeats of the end of the one before it, in whole parts of that kind, where it
        then still goes beyond that one.

        BOS and EOS count where they are asked for; `options` are those of `encode`. Memory is that
        of one chunk, and each byte is read a few times at most. Raises ValueError for an `overlap`
        that is not less than `max_tokens`, and where not even one character fits.

        >>> [chunk.text for chunk in llama3_tok.Tokenizer().split("One two. Three four five.", 4)]
        ['One two. ', 'Three four five.']
        """
        chosen = self._chosen(options, "split", (text,), "max_tokens", "overlap", "at")
        max_tokens = arguments.count(max_tokens, "max_tokens", 1)
        overlap = arguments.count(overlap, "overlap", 0)
        return chunks.split(self._definition, text, max_tokens, overlap, at, chosen)

    def token_index(self, text: Text) -> TokenIndex:
        """The number of tokens of any part of a text, after encoding it once.

        Special tokens in the text are text. Raises TypeError for anything that is not text.

        >>> llama3_tok.Tokenizer().token_index("Hello world, how are you?").count(0, 11)
        2
        """
        return TokenIndex(self._definition, text)

    def heal(self, ids: Ids) -> tuple[list[int], Continuation]:
        """The ids of a prompt without those that its continuation may change, and what has to come.

        A model that is asked to go on after `"Hello wor"` has hardly ever seen the ids that this
        ends with: a text with "world" has others. So the end is taken back to the last position
        where the ids before it do not depend on what follows, over as many tokens as that takes,
        and the model has to write these bytes again: `Continuation.allowed` are the ids that it may
        choose from. The ids of the whole text, as `encode` gives them, are always among these ways,
        but with added tokens that take white space, which no id stands for.

        Special ids stay where they are; after the last of them nothing is taken back that is before
        it. `Llama3.generate(..., heal=True)` does all this. Raises as `decode`.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> kept, rest = tokenizer.heal(tokenizer.encode("Hello wor"))
        >>> kept, rest, 1917 in rest.allowed()
        ([9906], Continuation(b' wor'), True)
        """
        return healing.heal(self._definition, self.checked_ids(ids))

    def prefix_tokens(self, text: Text) -> "npt.NDArray[np.uint32]":
        """The ids of all tokens that begin with a text, or that it begins with: `uint32[n]`.

        These are what can come next if the next bytes of a text are to be these. They are
        ascending, and no special token is among them. For an empty text they are all others.

        >>> llama3_tok.Tokenizer().prefix_tokens(" worl").tolist()
        [220, 289, 1917, 4191, 15603, 24670, 24800, 78162, 97706]
        """
        arguments.load_numpy()
        return self._core.tokens_along(arguments.utf8(text, "text"))

    def encoder(self, **options: Unpack[TextOptions]) -> IncrementalEncoder:
        """An encoder of a text that comes in pieces.

        Its `push` gives ids as soon as nothing that follows can change them, and `finish` the rest;
        together they are `encode` of the whole text. `options` and errors are those of `encode`.

        >>> encoder = llama3_tok.Tokenizer().encoder()
        >>> encoder.push("Hello wor") + encoder.push("ld") + encoder.finish()
        [9906, 1917]
        """
        chosen = arguments.chosen(options, "encoder")
        core = _core.IncrementalEncoder(self._core, chosen)
        return IncrementalEncoder(core, second_bos.Opening(chosen, self._bos))

    def is_canonical(self, ids: Ids) -> bool:
        """Whether encoding the text of `ids` gives the same ids.

        A model may generate a text by other tokens than the tokenizer would; then a model that is
        given the text reads other ids. Special ids stand for themselves: what is between two of
        them is encoded as a text of its own. Raises as `decode`.

        >>> llama3_tok.Tokenizer().is_canonical([9906, 1917])
        True
        >>> llama3_tok.Tokenizer().is_canonical([39, 4896, 1917])  # "H", "ello", " world"
        False
        """
        return self._core.is_canonical(arguments.ids(ids, "ids"))

    def checked_ids(self, ids: Ids, argument: str = "ids") -> list[int]:
        """Ids as a list, after a check that each is the id of a token.

        `argument` is what they are called in an error. Raises as `decode`.

        >>> llama3_tok.Tokenizer().checked_ids(range(3))
        [0, 1, 2]
        """
        given = arguments.ids(ids, argument)
        self._core.decode(given, False, argument)
        return [int(id) for id in given]

    # Conversations

    @overload
    def encode_chat(
        self,
        messages: Iterable[Message],
        *,
        return_mask: Literal[False] = False,
        **options: Unpack[ChatOptions],
    ) -> list[int]: ...
    @overload
    def encode_chat(
        self,
        messages: Iterable[Message],
        *,
        return_mask: Literal[True],
        **options: Unpack[ChatOptions],
    ) -> "tuple[list[int], npt.NDArray[np.uint8]]": ...
    def encode_chat(
        self,
        messages: Iterable[Message],
        *,
        return_mask: bool = False,
        **options: Unpack[ChatOptions],
    ) -> "list[int] | tuple[list[int], npt.NDArray[np.uint8]]":
        """The ids of a conversation, one BOS included, as its model was trained to read it.

        `messages` are dictionaries with `role` ("system", "user", "assistant", and, except for
        profile "llama3", "tool", for which dialect "hf" also takes "ipython") and `content`: a str,
        a list of `{"type": "text", "text": ...}` and, where the profile has images, `{"type":
        "image"}`, or for a tool's result in dialect "hf" any JSON value. An assistant's message may
        have `tool_calls`: `[{"function": {"name": ..., "arguments": {...}}}]`.

        `dialect` "hf" is the template that was published with the profile's release (3; 3.1 and
        3.3, also for profile "meta"; 3.2 text; 3.2 vision), as transformers' `apply_chat_template`
        renders it: content is stripped of white space except in vision models, a call hides its
        content, and a call in a conversation with `builtin_tools` ends with `<|eom_id|>`. "meta",
        the default for profile "meta" alone, is `ChatFormat` of llama-models 0.3.0: content as it
        is, `stop_reason` in a message says how it ends, and `tool_format` how calls are written.

        `tools` are dictionaries that describe functions; they stand in the first user message, or
        with `tools_in="system"` in the system message. `builtin_tools` are names such as
        "brave_search". `date` is a date, "today", or a str that is written as it is; by default it
        is the "26 Jul 2024" of the published templates, so the same call gives the same ids next
        year. With `add_generation_prompt` the ids end with the header of the assistant's answer; by
        default they do unless the last message is the assistant's. With `continue_final_message`
        the last message has no end.

        Structure gives special tokens, content never does: `<|eot_id|>` in any text of a message
        is plain text. `return_mask` also gives `uint8[n]`, 1 for the tokens that the assistant
        writes: content or call, and what ends it.

        A folder with a chat template of its own has that run, in a sandbox of Jinja (extra
        `transformers`) and in such a way that no text of `messages`, `tools` or `documents` can
        make a special token. `chat_template` is the name of another one of the folder, or the text
        of one; `documents` and `template_variables` reach a template that is run, and so do the
        options above by the names that published templates have for them. A mask is then 1 for what
        stands in the template's `{% generation %}` blocks.

        Raises ChatFormatError with `index` and `field` for what the format can't hold, as an
        unknown role, a tool's result without its call, or several calls in dialect "hf" or as JSON.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.encode_chat([{"role": "user", "content": "hi"}])
        [128000, 128006, 882, 128007, 271, 6151, 128009, 128006, 78191, 128007, 271]
        """
        arguments.flag(return_mask, "return_mask")
        definition = self._definition
        if return_mask:
            ids, mask = conversations.encode_masked(definition, messages, options, "encode_chat")
            return _core.listed(ids), mask
        return conversations.encode(definition, messages, options, "encode_chat")

    @overload
    def encode_chat_array(
        self,
        messages: Iterable[Message],
        *,
        return_mask: Literal[False] = False,
        **options: Unpack[ChatOptions],
    ) -> "npt.NDArray[np.uint32]": ...
    @overload
    def encode_chat_array(
        self,
        messages: Iterable[Message],
        *,
        return_mask: Literal[True],
        **options: Unpack[ChatOptions],
    ) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]": ...
    def encode_chat_array(
        self,
        messages: Iterable[Message],
        *,
        return_mask: bool = False,
        **options: Unpack[ChatOptions],
    ) -> "npt.NDArray[np.uint32] | tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]":
        """The ids of a conversation as `uint32[n]`, with `return_mask` and `uint8[n]` for its mask.

        Parameters and errors as in `encode_chat`.
        """
        arguments.flag(return_mask, "return_mask")
        call = conversations.encode_masked if return_mask else conversations.encode_array
        return call(self._definition, messages, options, "encode_chat_array")

    def count_chat(self, messages: Iterable[Message], **options: Unpack[ChatOptions]) -> int:
        """How many ids a conversation has; parameters and errors as in `encode_chat`.

        `llama3_tok.data.count_chats` counts many.

        >>> llama3_tok.Tokenizer().count_chat([{"role": "user", "content": "Hi"}])
        36
        """
        return len(conversations.encode_array(self._definition, messages, options, "count_chat"))

    def render_chat(self, messages: Iterable[Message], **options: Unpack[ChatOptions]) -> str:
        r"""The text of a conversation, special tokens by their names, for people to read.

        Parameters and errors as in `encode_chat`, which makes ids. Don't encode this text: in it
        the names that content has can't be told from those of the structure.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.render_chat([{"role": "user", "content": "hi"}], add_generation_prompt=False)
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>'
        """
        return conversations.render(self._definition, messages, options)

    def fit_chat(
        self,
        messages: Iterable[Message],
        max_tokens: int,
        *,
        answer_tokens: int = 0,
        **options: Unpack[ChatOptions],
    ) -> FittedChat:
        """The conversation less its oldest turns, so that it has at most `max_tokens` ids.

        `answer_tokens` of these are left free for the answer. A turn is a user's message with all
        that follows it up to the next, so that calls stay with their results. The system messages
        that it begins with and the last turn are always kept. The other parameters are those of
        `encode_chat`, which gives the ids of what is kept. With the format of a release, time is
        linear in the length.

        Raises ChatFormatError as `encode_chat` does, and with `field` "max_tokens" if what is
        always kept is too long.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> messages = [{"role": "user", "content": text} for text in ("one", "two", "three")]
        >>> tokenizer.fit_chat(messages, 20, answer_tokens=8).dropped
        [0, 1]
        """
        return conversations.fitted(self._definition, messages, max_tokens, answer_tokens, options)

    def parse_assistant(
        self, answer: str | Ids, *, salvage: bool = False
    ) -> "assistant.AssistantMessage":
        """What a model answered, from its ids or its text: see `llama3_tok.parse_assistant`."""
        if isinstance(answer, str):
            return assistant.of_text(answer, salvage)
        return assistant.of_ids(answer, self._definition, salvage)

    def assistant_stream(
        self, *, salvage: bool = False, hold_calls: bool = False
    ) -> "assistant.AssistantStream":
        """What a model answers, while it does: see `llama3_tok.assistant_stream`."""
        return assistant.AssistantStream(
            lambda: self._definition, salvage=salvage, hold_calls=hold_calls
        )

    # Batches for a model

    def pad(
        self,
        sequences: Iterable[Ids],
        *,
        max_tokens: int | None = None,
        side: Side = "right",
        pad_id: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: Tensors = "np",
    ) -> "_padding.Padded":
        """Sequences of ids as one batch: `input_ids` and `attention_mask`, `int64[batch, length]`.

        The length is that of the longest sequence, or `max_tokens`, rounded up to a multiple of
        `pad_to_multiple_of`. `side` is where padding goes: "left" for generation, which has to go
        on after the last id. `pad_id` is another padding token than that of the profile; it may be
        a special token with no other use, or an id beyond the vocabulary for which the model was
        given a row. With `return_tensors="pt"` both are torch tensors.

        Raises Llama3TokError for a sequence that is longer than `max_tokens` (nothing is cut), for
        profile "llama3" without `pad_id`, for a `pad_id` that is a token of text, begins a text or
        ends generation, and where torch is missing; InvalidTokenId as `decode_batch`.

        >>> padded = llama3_tok.Tokenizer().pad([[9906], [9906, 1917]])
        >>> padded.input_ids.tolist(), padded.attention_mask.tolist()
        ([[9906, 128004], [9906, 1917]], [[1, 0], [1, 1]])
        """
        return _padding.pad(
            self._definition,
            sequences,
            max_tokens,
            side,
            pad_id,
            pad_to_multiple_of,
            return_tensors,
        )

    def __call__(
        self,
        text: Text | Iterable[Text],
        *,
        add_special_tokens: bool = True,
        padding: "_padding.Padding" = False,
        truncation: bool = False,
        max_length: int | None = None,
        padding_side: Side = "right",
        pad_to_multiple_of: int | None = None,
        return_tensors: Tensors | None = None,
    ) -> "_padding.Padded":
        """`input_ids` and `attention_mask` of one text or several, as transformers gives them.

        BOS is added unless `add_special_tokens=False`, EOS is not. `padding` is True or "longest",
        or "max_length"; `truncation` drops the ids after the first `max_length`, BOS counted.
        Without `return_tensors` both are lists, of one text or of several; with "np" or "pt" they
        are `int64[batch, length]`, as in `pad`. Special tokens in the text are text, which they are
        not in transformers.

        Raises as `encode_batch` and `pad`; ValueError for arguments that don't go together.

        >>> llama3_tok.Tokenizer()("Hello world")["input_ids"]
        [128000, 9906, 1917]
        """
        return _padding.call(
            self._definition,
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

    def tokens(self) -> list[bytes]:
        """The bytes of every token of text, by id: 128,000. `added_tokens` has the others.

        >>> llama3_tok.Tokenizer().tokens()[9906]
        b'Hello'
        """
        return _core.tokens(self._core)

    def written_tokens(self) -> list[str]:
        """Every token of text as `tokenizer.json` writes it, by id: each byte is a character.

        >>> llama3_tok.Tokenizer().written_tokens()[1917]
        'Ġworld'
        """
        return _core.written_tokens(self._core)

    def with_folder(self, folder: "folders.Folder") -> "Tokenizer":
        """A tokenizer with the same ranks, and everything else as `folder` says.

        >>> from llama3_tok.folder import usual
        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.with_folder(usual("llama3.2", tokenizer.rank_count)).profile
        'llama3.2'
        """
        if not hasattr(folder, "added"):
            raise TypeError(f"folder must be a Folder, not {type(folder).__name__}")
        changed = _vocabulary.with_folder(self._definition, folder)
        return self.of(changed, self.cache_info().limit)

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

        An id is that of a reserved token, which gets the new name, or one after the end of the
        vocabulary, for which the model must have a row. `bos`, `eos` and `pad` name the tokens that
        have these roles, `stop_ids` are the ids that end generation (by default as before, and
        `eos` if given), `chat_template` is a template for conversations, in Jinja.

        Raises Llama3TokError for an id or name that another token has, and for an unknown role.

        >>> names = {"<|im_start|>": 128002, "<|im_end|>": 128003}
        >>> tokenizer = llama3_tok.Tokenizer().with_special_tokens(names, eos="<|im_end|>")
        >>> tokenizer.encode("hi<|im_end|>", allowed_special="all"), tokenizer.eos_id
        ([6151, 128003], 128003)
        """
        roles = {"bos": bos, "eos": eos, "pad": pad}
        changed = _vocabulary.with_special(
            self._definition,
            special_tokens,
            stop_ids=stop_ids,
            chat_template=chat_template,
            **roles,
        )
        return self.of(changed, self.cache_info().limit)

    def cache_info(self) -> CacheInfo:
        """What the calling thread's cache holds and takes, and what those of all threads take.

        A thread has one cache, for the vocabulary that it used last.

        >>> llama3_tok.Tokenizer(cache_mb=8).cache_info().limit
        8388608
        """
        return CacheInfo(**self._core.cache_info())

    # What it is

    def __len__(self) -> int:
        """How many ids there are: `vocab_size`."""
        return self._core.vocab_size

    @property
    def vocab_size(self) -> int:
        """How many ids there are, added tokens included: 128,256 (vision: 128,257)."""
        return self._core.vocab_size

    @property
    def profile(self) -> str:
        """Which release's special tokens are used; "folder" if a folder has others."""
        return self._definition.profile

    @property
    def vocabulary(self) -> str:
        """The vocabulary file, as an absolute path."""
        return self._definition.path

    @property
    def vocabulary_sha256(self) -> str:
        """The SHA-256 of the vocabulary file's content, in hexadecimal."""
        return self._definition.sha256

    @property
    def bos_id(self) -> int | None:
        """What a text begins with, `<|begin_of_text|>`, 128000; None for a folder without one."""
        return self._core.roles["bos"]

    @property
    def eos_id(self) -> int | None:
        """What a text ends with, `<|end_of_text|>`, 128001; None for a folder without one."""
        return self._core.roles["eos"]

    @property
    def eot_id(self) -> int | None:
        """`<|eot_id|>`, the end of a turn: 128009; None for a folder without it."""
        return self._core.roles["eot"]

    @property
    def pad_id(self) -> int | None:
        """The padding token: 128004; None for profile "llama3", which has none."""
        return self._core.roles["pad"]

    @property
    def stop_ids(self) -> list[int]:
        """The ids that end generation, ascending."""
        return self._core.roles["stops"]

    @property
    def special_tokens(self) -> dict[str, int]:
        """Name to id of every special token, in the order of the ids."""
        return self._core.special_tokens

    @property
    def rank_count(self) -> int:
        """How many ranks the vocabulary file has, which are the ids of text: 128,000."""
        return Ranks.of(self._core).size

    @property
    def folder(self) -> "folders.Folder | None":
        """What a model folder or the caller says of the tokens, besides their ranks.

        None if that is only what is usual for the release.

        >>> llama3_tok.Tokenizer().folder is None
        True
        """
        return self._definition.folder

    @property
    def chat_profile(self) -> str | None:
        """The release in whose format conversations are encoded.

        None if a chat template of the folder is run instead, or the folder has none.

        >>> llama3_tok.Tokenizer(profile="llama3.2").chat_profile
        'llama3.2'
        """
        return self._definition.chat_release

    @property
    def post_processor(self) -> dict[str, Any] | None:
        """What is put around a text, as `tokenizer.json` says it; None for nothing."""
        return self._definition.post_processor

    @property
    def around(self) -> "folders.Around":
        """The ids that are put around a text for a model: by default BOS before it.

        >>> llama3_tok.Tokenizer().around.before
        (128000,)
        """
        return self._definition.around

    @property
    def added_tokens(self) -> "dict[str, folders.AddedToken]":
        """Every token that a text has by its name, special or not, in the order of the ids.

        Special ones are in a text only if `allowed_special` has them, the others always.
        """
        return self._definition.added_tokens

    @property
    def chat_templates(self) -> dict[str, str]:
        """The chat templates by name, "default" the first: the folder's, or the release's."""
        return self._definition.chat_templates

    @property
    def definition(self) -> Definition:
        """What it is made of, for the other modules of this package."""
        return self._definition

    # Files of its own

    def save(self, folder: FilePath) -> None:
        """Writes the tokenizer to a folder, which is made if it is not there.

        The folder is one that transformers' `AutoTokenizer` loads, with the same ids for text and
        for chat: `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` (a template
        that renders as `render_chat`), `special_tokens_map.json` and `generation_config.json` (stop
        ids). `tokenizer.model` is the rank file, as Meta's code and `Tokenizer(folder)` read it.

        Files of these names are replaced, each at once: nobody ever sees a half one. The vocabulary
        files are read back and compared first. Of a `generation_config.json` that is there, the
        settings that are not ids stay. For a release, `tokenizer_config.json` notes the profile, as
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
        saving.save(self._definition, os.path.expanduser(arguments.path(folder, "folder")))

    def rank_file(self) -> bytes:
        r"""The content of the rank file: for Meta's vocabulary, Meta's own file byte for byte.

        >>> llama3_tok.Tokenizer().rank_file()[:9]
        b'IQ== 0\nIg'
        """
        return _core.rank_file(self._core)

    # As a Python object

    def __repr__(self) -> str:
        """For people."""
        return f"Tokenizer({self.vocabulary!r}, profile={self.profile!r})  # {len(self):,} ids"

    def __eq__(self, other: object) -> bool:
        """Tokenizers are equal if they give the same ids: same vocabulary, profile and folder."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        """Equal tokenizers hash alike."""
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        _, _, sha256, profile, folder = self._definition
        return sha256, profile, folder

    def __dir__(self) -> list[str]:
        """What there is, without the names of other libraries, which only say what to use here."""
        return elsewhere.without_names_of_others(type(self), super().__dir__())

    def __copy__(self) -> "Tokenizer":
        """Itself, since it never changes."""
        return self

    def __deepcopy__(self, memo: object) -> "Tokenizer":
        """Itself, since it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as path and hash, which find the file, and what its folder said."""
        return _restore, (type(self), self.vocabulary, *self._key(), self.cache_info().limit)


def _restore(
    kind: type[Tokenizer],
    path: str,
    sha256: str,
    profile: str,
    folder: "folders.Folder | None",
    cache_bytes: int,
) -> Tokenizer:
    return kind.of(_vocabulary.load_again(path, sha256, profile, folder), cache_bytes)
