"""`Tokenizer`: text to Llama 3 ids and back. What is allowed is decided here, the work is Rust's.

The ids are those of tiktoken for Meta's 128,000 ranks and the Llama 3 pattern, on the uncut text.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import starmap
from typing import TYPE_CHECKING, Any, Literal, overload

from llama3_tok import _core, arguments
from llama3_tok import chat as _chat
from llama3_tok import vocabulary as _vocabulary
from llama3_tok.arguments import NONE, FilePath, Ids, Side, SpecialTokens, Tensors, Text
from llama3_tok.encoding import Encoding
from llama3_tok.ragged import Ragged
from llama3_tok.streaming import StreamDecoder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from llama3_tok.assistant import AssistantMessage
    from llama3_tok.padding import Padded, Padding

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


class Tokenizer:
    """The Llama 3 tokenizer.

    `vocabulary` is the path of a rank file (Meta's `tokenizer.model`), a `tokenizer.json`, or a
    model folder that has one; without it, the environment variable LLAMA3_TOK_VOCAB and then the
    installed package llama-models are used. `profile` says which release's special tokens the ids
    from 128,000 are, and which chat template is meant: "llama3", "llama3.1" (also 3.3), "llama3.2"
    (text; the special tokens of 3.1), "llama3.2-vision" or "meta".

    A tokenizer never changes; it may be shared between threads, pickled (the vocabulary is not in
    the pickle but found again by path and hash) and used after a fork.

    Raises VocabularyNotFound, VocabularyError, or Llama3TokError for an unknown profile.

    >>> tokenizer = llama3_tok.Tokenizer()
    >>> tokenizer.encode("This is a test sentence.", bos=True, eos=True)
    [128000, 2028, 374, 264, 1296, 11914, 13, 128001]
    """

    __slots__ = ("__weakref__", "_core", "_path", "_profile", "_sha256")

    def __init__(
        self,
        vocabulary: str | os.PathLike[str] | None = None,
        *,
        profile: str = "llama3.1",
    ) -> None:
        if not isinstance(profile, str):
            raise TypeError(f"profile must be a str, not {type(profile).__name__}")
        self._set(_vocabulary.load(vocabulary, profile), profile)

    def _set(self, loaded: _vocabulary.Loaded, profile: str) -> None:
        self._core, self._path, self._sha256 = loaded
        self._profile = profile

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

    # Text to ids

    def encode(
        self,
        text: Text,
        *,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> list[int]:
        """The ids of a text.

        `bos` and `eos` add the tokens of that name. Special tokens in the text are plain text
        unless `allowed_special` names them ("all", or a set of names); those that
        `disallowed_special` names raise ("all" means all that are not allowed). Both are tiktoken's
        parameters, with the default of Meta's class. A text that begins with BOS already gets a
        second one from `bos`, and the caller a warning.

        Lone surrogates of a `str` are encoded as U+FFFD, as tiktoken does. `bytes` need not be
        UTF-8: decoding gives back exactly what was encoded.

        Raises TypeError for what is no text, SpecialTokenError for a disallowed special token (with
        its byte offset) and for names that the profile does not have.

        >>> llama3_tok.encode("<|eot_id|>")
        [27, 91, 68, 354, 851, 91, 29]
        >>> llama3_tok.encode("<|eot_id|>", allowed_special="all")
        [128009]
        """
        if bos is eos is False and allowed_special is disallowed_special is NONE:
            return self._core.encode(text)
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        if bos:
            _chat.warn_of_second_bos((text,), asked[2] if asked else None)
        return self._core.encode(text, asked)

    def encode_array(
        self,
        text: Text,
        *,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "npt.NDArray[np.uint32]":
        """The ids of a text as `uint32[n]`; parameters and errors as in `encode`."""
        if bos is eos is False and allowed_special is disallowed_special is NONE:
            return self._core.encode_array(text)
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        if bos:
            _chat.warn_of_second_bos((text,), asked[2] if asked else None)
        return self._core.encode_array(text, asked)

    def encode_batch(
        self,
        texts: Iterable[Text],
        *,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> list[list[int]]:
        """The ids of each text, encoded on up to `threads` threads (default: all processors).

        Parameters and errors otherwise as in `encode`; an error names the index of the text, which
        a SpecialTokenError also has as `index`.
        """
        texts = arguments.texts(texts)
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        if bos:
            _chat.warn_of_second_bos(texts, asked[2] if asked else None)
        return self._core.encode_batch(texts, arguments.threads(threads), asked)

    def encode_ragged(
        self,
        texts: Iterable[Text],
        *,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Ragged:
        """The ids of all texts in one array; parameters and errors as in `encode_batch`."""
        texts = arguments.texts(texts)
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        if bos:
            _chat.warn_of_second_bos(texts, asked[2] if asked else None)
        return Ragged(*self._core.encode_ragged(texts, arguments.threads(threads), asked))

    def encode_with_offsets(
        self,
        text: Text,
        *,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Encoding:
        """The ids of a text, and which bytes and characters each token is.

        Parameters and errors as in `encode`; `Encoding` describes the spans. Takes time and memory
        linear in the text, and runs on one thread.

        >>> encoding = llama3_tok.Tokenizer().encode_with_offsets("Việt Nam")
        >>> encoding.ids
        array([36644, 26298,    83, 31074], dtype=uint32)
        >>> encoding.char_spans.tolist()
        [[0, 2], [2, 3], [3, 4], [4, 8]]
        """
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        if bos:
            _chat.warn_of_second_bos((text,), asked[2] if asked else None)
        return Encoding(*self._core.encode_spans(text, asked))

    @overload
    def truncate(self, text: str, max_tokens: int, *, side: Side = "right") -> str: ...
    @overload
    def truncate(self, text: bytes, max_tokens: int, *, side: Side = "right") -> bytes: ...
    def truncate(self, text: Text, max_tokens: int, *, side: Side = "right") -> Text:
        """The longest part of a text that has at most `max_tokens` tokens when it is encoded.

        With `side="right"` the right side is cut off and the longest such beginning is kept, with
        `side="left"` the longest such end. That is more than cutting the ids and decoding them: no
        character is cut, and since a part may have fewer tokens than a shorter one, none that fits
        is missed. BOS and EOS are not counted, special tokens in the text are text. Of `bytes` a
        part is given, where each byte outside valid UTF-8 counts as a character; of a `str` a
        surrogate pair is not cut.

        Raises TypeError for what is no text, ValueError for a negative `max_tokens`.

        >>> llama3_tok.Tokenizer().truncate("This is a test sentence.", 4)
        'This is a test'
        >>> llama3_tok.Tokenizer().truncate("This is a test sentence.", 3, side="left")
        ' test sentence.'
        """
        arguments.choice(side, "side", ("left", "right"))
        limit = arguments.count(max_tokens, "max_tokens", 0)
        return self._core.truncate(text, min(limit, sys.maxsize), side == "left")

    def count(self, text: Text) -> int:
        """How many ids `encode(text)` has, without making them.

        >>> llama3_tok.count("This is a test sentence.")
        6
        """
        return self._core.count(text)

    def count_batch(
        self, texts: Iterable[Text], *, threads: int | None = None
    ) -> "npt.NDArray[np.int64]":
        """How many ids each text has, as `int64[len(texts)]`."""
        return self._core.count_batch(arguments.texts(texts), arguments.threads(threads))

    # Files

    def count_file(
        self, path: FilePath, *, field: str | None = None, threads: int | None = None
    ) -> int:
        """How many ids a text file has, or with `field` that field of a JSONL file's records.

        The file may be of any size: it is read in pieces, which up to `threads` threads (default:
        all processors) count in a bounded amount of memory. Files whose names end in `.gz` and
        `.zst` are unpacked. A text file is counted as it is, a byte order mark included; bytes that
        are not UTF-8 are counted as `encode` has them.

        Raises OSError for a file that can't be read, and InputError, with path and line, for a
        damaged archive and for a line that is not a JSON object with a string in `field`.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.count_file("hello.txt")
        2
        >>> tokenizer.count_file("hello.jsonl", field="text")
        3
        """
        return self._core.count_file(
            arguments.path(path), arguments.field(field), arguments.threads(threads)
        )

    def count_files(
        self, paths: Iterable[FilePath], *, field: str | None = None, threads: int | None = None
    ) -> "npt.NDArray[np.int64]":
        """How many ids each file has, as `int64[len(paths)]`.

        Parameters and errors as in `count_file`; of several bad files the first one raises.
        """
        return self._core.count_files(
            arguments.paths(paths), arguments.field(field), arguments.threads(threads)
        )

    @overload
    def encode_file(
        self,
        path: FilePath,
        *,
        field: None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "npt.NDArray[np.uint32]": ...
    @overload
    def encode_file(
        self,
        path: FilePath,
        *,
        field: str,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Ragged: ...
    def encode_file(
        self,
        path: FilePath,
        *,
        field: str | None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
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
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        files, count = [arguments.path(path)], arguments.threads(threads)
        if field is None:
            return next(self._core.encode_files(files, None, count, asked, True))
        return Ragged(
            *next(self._core.encode_files(files, arguments.field(field), count, asked, True))
        )

    @overload
    def encode_files(
        self,
        paths: Iterable[FilePath],
        *,
        field: None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "Iterator[npt.NDArray[np.uint32]]": ...
    @overload
    def encode_files(
        self,
        paths: Iterable[FilePath],
        *,
        field: str,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Iterator[Ragged]: ...
    def encode_files(
        self,
        paths: Iterable[FilePath],
        *,
        field: str | None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "Iterator[npt.NDArray[np.uint32]] | Iterator[Ragged]":
        """An iterator over the ids of files, in the order of the paths.

        Each is what `encode_file` gives. While one is used those behind it are read, as far as
        some megabytes allow; that stops when the iterator is deleted. A bad file raises when its
        turn comes, and the iterator can be asked for the next. Several threads may share it, but a
        process that was forked can't go on with it.

        Parameters and errors as in `encode_file`.

        >>> paths = ["hello.txt", "hello.txt.gz"]
        >>> for ids in llama3_tok.Tokenizer().encode_files(paths):
        ...     print(ids)
        [9906 1917]
        [9906 1917]
        """
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        files, count = arguments.paths(paths), arguments.threads(threads)
        if field is None:
            return self._core.encode_files(files, None, count, asked, True)
        return starmap(
            Ragged, self._core.encode_files(files, arguments.field(field), count, asked, True)
        )

    @overload
    def stream_file(
        self,
        path: FilePath,
        *,
        field: None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "Iterator[npt.NDArray[np.uint32]]": ...
    @overload
    def stream_file(
        self,
        path: FilePath,
        *,
        field: str,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> Iterator[Ragged]: ...
    def stream_file(
        self,
        path: FilePath,
        *,
        field: str | None = None,
        threads: int | None = None,
        bos: bool = False,
        eos: bool = False,
        allowed_special: SpecialTokens = NONE,
        disallowed_special: SpecialTokens = NONE,
    ) -> "Iterator[npt.NDArray[np.uint32]] | Iterator[Ragged]":
        """The ids of a file part by part, in a bounded amount of memory whatever its size.

        The parts, one behind the other, are exactly what `encode_file` gives; there is at least
        one. How long they are is not specified: that of a quarter of a megabyte of text, or more
        where the text can't be cut. Parameters and errors as in `encode_file`; the iterator is like
        that of `encode_files`.

        >>> for ids in llama3_tok.Tokenizer().stream_file("hello.txt"):
        ...     print(ids)
        [9906 1917]
        """
        asked = arguments.asked(bos, eos, allowed_special, disallowed_special)
        files, count = [arguments.path(path)], arguments.threads(threads)
        if field is None:
            return self._core.encode_files(files, None, count, asked, False)
        return starmap(
            Ragged, self._core.encode_files(files, arguments.field(field), count, asked, False)
        )

    # Ids to text

    def decode(self, ids: Ids, *, errors: str = "replace", skip_special: bool = False) -> str:
        """The text of ids.

        `ids` may be a list, an array of any integer dtype, a tensor, or anything with the buffer
        protocol. Bytes that are not UTF-8, as in the middle of a character, are handled as `errors`
        says (`bytes.decode` has the choices). Special tokens are their names, or nothing with
        `skip_special`. Spaces are never cleaned up.

        Raises InvalidTokenId with id and position, TypeError for what are no integers.

        >>> llama3_tok.decode([9906, 1917])
        'Hello world'
        """
        given = arguments.ids(ids, "ids")
        # Any other `errors` might be wrong, which `bytes.decode` has to find out.
        if type(errors) is str and errors in ("replace", "strict"):
            text = self._core.decode_text(given, skip_special)
            if text is not None:
                return text
        return self._core.decode(given, skip_special).decode("utf-8", errors)

    def decode_bytes(self, ids: Ids, *, skip_special: bool = False) -> bytes:
        """The bytes of ids, exactly; parameters and errors as in `decode`."""
        return self._core.decode(arguments.ids(ids, "ids"), skip_special)

    def decode_batch(
        self,
        sequences: Iterable[Ids],
        *,
        threads: int | None = None,
        errors: str = "replace",
        skip_special: bool = False,
    ) -> list[str]:
        """The text of each sequence of ids, decoded on up to `threads` threads (default: all).

        Parameters and errors otherwise as in `decode`; an error names the index of the sequence,
        which an InvalidTokenId also has as `index`.
        """
        arguments.refuse_text(sequences, "sequences")
        lists = [arguments.ids(ids, f"sequences[{index}]") for index, ids in enumerate(sequences)]
        texts = self._core.decode_batch(lists, arguments.threads(threads), skip_special)
        return [text.decode("utf-8", errors) for text in texts]

    def stream_decoder(self, *, skip_special: bool = False) -> StreamDecoder:
        """A decoder of ids that come one by one, as a model generates them.

        Its `push` gives text as soon as it is complete UTF-8, and `flush` the rest; together they
        are `decode` of all ids. Special tokens are their names, or nothing with `skip_special`.

        >>> decoder = llama3_tok.Tokenizer().stream_decoder(skip_special=True)
        >>> decoder.push(9906) + decoder.push([1917, 128009]) + decoder.flush()
        'Hello world'
        """
        return StreamDecoder(self._core.stream_decoder(skip_special))

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

    def parse_assistant(self, answer: "str | Ids") -> "AssistantMessage":
        """What a model answered, from its ids or its text: see `llama3_tok.parse_assistant`."""
        from llama3_tok.assistant import parse_assistant

        return parse_assistant(answer, tokenizer=self)

    # Conversations

    @overload
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
        return_mask: Literal[False] = False,
    ) -> list[int]: ...
    @overload
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
        return_mask: Literal[True],
    ) -> "tuple[list[int], npt.NDArray[np.uint8]]": ...
    def encode_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
        return_mask: bool = False,
    ) -> "list[int] | tuple[list[int], npt.NDArray[np.uint8]]":
        """The ids of a conversation, one BOS included, as its model was trained to read it.

        `messages` are dictionaries with `role` ("system", "user", "assistant", and but for
        profile "llama3" "tool", which dialect "hf" also knows as "ipython") and `content`: a str,
        a list of `{"type": "text", "text": ...}` and, where the profile has images,
        `{"type": "image"}`, or for a tool's result in dialect "hf" any JSON value. An assistant's
        message may have `tool_calls`: `[{"function": {"name": ..., "arguments": {...}}}]`.

        `dialect` "hf" is the template that was published with the profile's release (3; 3.1 and
        3.3, also for profile "meta"; 3.2 text; 3.2 vision), as transformers' `apply_chat_template`
        renders it: content is stripped of white space but in vision models, a call hides its
        content, and a call in a conversation with `builtin_tools` ends with `<|eom_id|>`. "meta",
        the default for profile "meta" alone, is `ChatFormat` of llama-models 0.3.0: content as it
        is, `stop_reason` in a message says how it ends, and `tool_format` how calls are written.

        `tools` are dictionaries that describe functions; they stand in the first user message, or
        with `tools_in="system"` in the system message. `builtin_tools` are names such as
        "brave_search". `date` is a date, "today", or a str that is written as it is; by default it
        is the "26 Jul 2024" of the published templates, so the same call gives the same ids next
        year. The ids end with the header of the assistant's answer; not so without
        `add_generation_prompt`, and with `continue_final_message` the last message has no end.

        Structure gives special tokens, content never does: `<|eot_id|>` in any text of a message
        is plain text. `return_mask` also gives `uint8[n]`, 1 for the tokens that the assistant
        writes: content or call, and what ends it.

        Raises ChatFormatError with `index` and `field` for what the format can't hold, as an
        unknown role, a tool's result without its call, or several calls in dialect "hf".

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.encode_chat([{"role": "user", "content": "hi"}])
        [128000, 128006, 882, 128007, 271, 6151, 128009, 128006, 78191, 128007, 271]
        """
        _chat.check_flag("return_mask", return_mask)
        chat = _chat.conversation(
            self._profile,
            messages,
            tools=tools,
            builtin_tools=builtin_tools,
            add_generation_prompt=add_generation_prompt,
            date=date,
            dialect=dialect,
            tools_in=tools_in,
            continue_final_message=continue_final_message,
            tool_format=tool_format,
        )
        if return_mask:
            return _core.encode_chat_mask(self._core, chat)
        return _core.encode_chat(self._core, chat)

    def render_chat(
        self,
        messages: Iterable[_chat.Message],
        *,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
    ) -> str:
        r"""The text of a conversation, special tokens by their names, for people to read.

        Parameters and errors as in `encode_chat`, which makes ids. Don't encode this text: in it
        the names that content has can't be told from those of the structure.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> tokenizer.render_chat([{"role": "user", "content": "hi"}], add_generation_prompt=False)
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>'
        """
        chat = _chat.conversation(
            self._profile,
            messages,
            tools=tools,
            builtin_tools=builtin_tools,
            add_generation_prompt=add_generation_prompt,
            date=date,
            dialect=dialect,
            tools_in=tools_in,
            continue_final_message=continue_final_message,
            tool_format=tool_format,
        )
        return _core.render_chat(self._core, chat)

    def fit_chat(
        self,
        messages: Iterable[_chat.Message],
        max_tokens: int,
        *,
        answer_tokens: int = 0,
        tools: Iterable[Mapping[str, Any]] | None = None,
        builtin_tools: Iterable[str] | None = None,
        add_generation_prompt: bool = True,
        date: _chat.Date = None,
        dialect: _chat.Dialect | None = None,
        tools_in: Literal["user", "system"] = "user",
        continue_final_message: bool = False,
        tool_format: _chat.ToolFormat = "json",
    ) -> _chat.FittedChat:
        """The conversation less its oldest turns, so that it has at most `max_tokens` ids.

        `answer_tokens` of these are left free for the answer. A turn is a user's message with all
        that follows it up to the next, so that calls stay with their results. The system messages
        that it begins with and the last turn are always kept. The other parameters are those of
        `encode_chat`, which gives the ids of what is kept. Time grows with the length alone.

        Raises ChatFormatError as `encode_chat` does, and with `field` "max_tokens" if what is
        always kept is too long.

        >>> tokenizer = llama3_tok.Tokenizer(profile="llama3")
        >>> messages = [{"role": "user", "content": text} for text in ("one", "two", "three")]
        >>> tokenizer.fit_chat(messages, 20, answer_tokens=8).dropped
        [0, 1]
        """
        return _chat.fit(
            self._core,
            self._profile,
            messages,
            max_tokens,
            answer_tokens,
            tools=tools,
            builtin_tools=builtin_tools,
            add_generation_prompt=add_generation_prompt,
            date=date,
            dialect=dialect,
            tools_in=tools_in,
            continue_final_message=continue_final_message,
            tool_format=tool_format,
        )

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
        from llama3_tok import padding

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
        from llama3_tok.padding import call

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

    # Files of its own

    def save(self, folder: FilePath) -> None:
        """Writes the tokenizer to a folder, which is made if it is not there.

        The folder is one that transformers' `AutoTokenizer` loads, with the same ids for text and
        for chat: `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` (a template
        that renders as `render_chat`), `special_tokens_map.json` and `generation_config.json` (stop
        ids). `tokenizer.model` is the rank file, as Meta's code and `Tokenizer(folder)` read it.

        Files of these names are replaced, each at once: nobody ever sees a half one. The vocabulary
        files are read back and compared first.

        Raises OSError where the folder can't be written.

        >>> llama3_tok.Tokenizer().save("saved")
        >>> llama3_tok.Tokenizer("saved").encode("Hello world")
        [9906, 1917]
        """
        from llama3_tok.save import save

        save(self, arguments.path(folder, "folder"))

    # As a Python object

    def __repr__(self) -> str:
        """For people."""
        return f"Tokenizer({self._path!r}, profile={self._profile!r})  # {self.vocab_size:,} ids"

    def __eq__(self, other: object) -> bool:
        """Tokenizers are equal if they give the same ids: same vocabulary, same profile."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (self._sha256, self._profile) == (other._sha256, other._profile)

    def __hash__(self) -> int:
        """Equal tokenizers hash alike."""
        return hash((self._sha256, self._profile))

    def __copy__(self) -> "Tokenizer":
        """Itself, since it never changes."""
        return self

    def __deepcopy__(self, memo: object) -> "Tokenizer":
        """Itself, since it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as path, hash and profile; the vocabulary is found again by them."""
        return _restore, (type(self), self._path, self._sha256, self._profile)


def _restore(kind: type[Tokenizer], path: str, sha256: str, profile: str) -> Tokenizer:
    return made(kind, _vocabulary.load_again(path, sha256, profile), profile)


def made(kind: type[Tokenizer], loaded: _vocabulary.Loaded, profile: str) -> Tokenizer:
    """A tokenizer with a vocabulary that was loaded already."""
    tokenizer = kind.__new__(kind)
    tokenizer._set(loaded, profile)
    return tokenizer
