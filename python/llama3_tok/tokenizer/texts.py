"""Text to ids and back, one or many."""

import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, overload

from llama3_tok import _core, arguments
from llama3_tok._core import Ranks
from llama3_tok.arguments import NONE, Ids, Side, SpecialTokens, Text
from llama3_tok.chat import messages as _chat
from llama3_tok.text.encoding import Encoding
from llama3_tok.text.ragged import Ragged
from llama3_tok.text.streaming import StreamDecoder
from llama3_tok.tokenizer.base import Base

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Texts"]


class Texts(Base):
    """A tokenizer of texts."""

    __slots__ = ()

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
            _chat.warn_of_second_bos((text,), asked[2] if asked else None, self._bos_name)
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
            _chat.warn_of_second_bos((text,), asked[2] if asked else None, self._bos_name)
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
            _chat.warn_of_second_bos(texts, asked[2] if asked else None, self._bos_name)
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
            _chat.warn_of_second_bos(texts, asked[2] if asked else None, self._bos_name)
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
            _chat.warn_of_second_bos((text,), asked[2] if asked else None, self._bos_name)
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

    # How a text becomes ids

    @overload
    def pretokens(self, text: str) -> list[str]: ...
    @overload
    def pretokens(self, text: bytes) -> list[bytes]: ...
    def pretokens(self, text: Text) -> list[str] | list[bytes]:
        """What the pattern cuts a text into before anything is merged; together it is the text.

        Special tokens in the text are text. Of a `str` they are `str`, in which lone surrogates are
        U+FFFD, as in `encode`; of `bytes` they are `bytes`. Raises TypeError for what is no text.

        >>> llama3_tok.Tokenizer().pretokens("In 2024 we've")
        ['In', ' ', '202', '4', ' we', "'ve"]
        """
        data = arguments.utf8(text, "text")
        ends = _core.pretoken_ends(data).tolist()
        pieces = [data[start:end] for start, end in pairwise([0, *ends])]
        return pieces if isinstance(text, bytes) else [piece.decode() for piece in pieces]

    def pretoken_ends(self, text: Text) -> "npt.NDArray[np.int64]":
        """Where each of the `pretokens` of a text ends, in bytes of UTF-8, as `int64[n]`.

        >>> llama3_tok.Tokenizer().pretoken_ends("In 2024")
        array([2, 3, 6, 7])
        """
        return _core.pretoken_ends(arguments.utf8(text, "text"))

    def merge(self, pretoken: Text, *, vocab_first: bool = False) -> list[int]:
        """The ids that merging gives for a pretoken, or for any text that is not to be cut.

        With `vocab_first` a pretoken that is a token is this token, as it is in `encode`; merging
        alone does not reach every token. Raises TypeError for what is no text.

        >>> tokenizer = llama3_tok.Tokenizer()
        >>> tokenizer.merge(" Việt"), tokenizer.merge(" Việt", vocab_first=True)
        ([11655, 26298, 83], [101798])
        """
        data = arguments.utf8(pretoken, "pretoken")
        if vocab_first and (id := Ranks.of(self._core).id(data)) is not None:
            return [id]
        return _core.merge_batch(self._core, [data])[0]

    def added_places(
        self, text: Text, *, allowed_special: SpecialTokens = NONE
    ) -> list[tuple[int, int, int]]:
        """The added tokens that `encode` finds in a text: `(start, end, id)`, in bytes of UTF-8.

        The white space that a token takes is part of its place. `allowed_special` and errors are as
        in `encode`.

        >>> llama3_tok.Tokenizer().added_places("hi<|eot_id|>", allowed_special="all")
        [(2, 12, 128009)]
        """
        return self._core.added_places(text, arguments.asked(False, False, allowed_special, NONE))

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
        given = ids if type(ids) is list else arguments.ids(ids, "ids")
        # Any other `errors` might be wrong, which `bytes.decode` has to find out.
        if type(errors) is str and errors in ("replace", "strict"):
            text = self._core.decode_text(given, skip_special)
            if text is not None:
                return text
        return self._core.decode(given, skip_special).decode("utf-8", errors)

    def decode_bytes(self, ids: Ids, *, skip_special: bool = False) -> bytes:
        """The bytes of ids, exactly; parameters and errors as in `decode`."""
        given = ids if type(ids) is list else arguments.ids(ids, "ids")
        return self._core.decode(given, skip_special)

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

    def checked_ids(self, ids: Ids, argument: str = "ids") -> list[int]:
        """Ids as a list, each of which is a token's.

        `argument` is what they are called in an error. Raises as `decode`.

        >>> llama3_tok.Tokenizer().checked_ids(range(3))
        [0, 1, 2]
        """
        given = arguments.ids(ids, argument)
        self._core.decode(given, False, argument)
        return [int(id) for id in given]

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
