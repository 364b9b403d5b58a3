"""Llama 2's tokenizer, through the library sentencepiece: its ids, and where each stands.

SentencePiece puts a space before the text (the dummy prefix), writes spaces as `▁`, and gives
pieces of that; this module maps them back. The spans follow each other and cover the text,
whatever it is, and the pieces are compared with the text that they cover, so a model that changes
the text is refused rather than mapped wrongly. Bytes that are not UTF-8 are U+FFFD to Llama 2, one
each, as sentencepiece reads them.

A text may come in parts: what ends at a place that `may_cut` allows is encoded as in the whole,
because no piece of the vocabulary reaches over it. (A merge makes pieces of the vocabulary only, so
without such a piece none ever crosses the place, and each side is merged as if it were alone.)
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import nullcontext
from time import perf_counter
from typing import Any, NamedTuple

from llama3_tok.errors import VocabularyError, VocabularyNotFound
from llama3_tok.extras import require
from llama3_tok.lazy import np, npt
from llama3_tok.report.characters import INVALID, sizes_of
from llama3_tok.vocabulary import is_vocabulary

__all__ = ["ENVIRONMENT", "Llama2", "Row", "Timer", "find", "load"]

ENVIRONMENT = "LLAMA3_TOK_LLAMA2"
PIECES = 32_000
"""How many pieces Llama 2 has, bytes and three control pieces included."""
UNK, BOS, EOS, FIRST_BYTE, FIRST_PLAIN = 0, 1, 2, 3, 259
SPACE = "▁"

WAYS = f"""Llama 2's tokenizer.model comes with every Llama 2 model, for example at
https://huggingface.co/meta-llama/Llama-2-7b-hf (Meta's licence has to be accepted). Give it
in any of these ways:
  - --llama2 PATH, compare(..., llama2=PATH)   the file, or a model folder that has it
  - {ENVIRONMENT}=PATH                    does the same"""


class Timer:
    """Adds up how long its blocks take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += perf_counter() - self._start


class Row(NamedTuple):
    """Tokens over a text: ids, and where each ends in bytes, which is where the next begins."""

    ids: "npt.NDArray[np.int64]"
    ends: "npt.NDArray[np.int64]"

    @property
    def starts(self) -> "npt.NDArray[np.int64]":
        """Where each token begins."""
        import numpy as np

        return np.concatenate([np.zeros(1, np.int64), self.ends])[:-1]


def find(path: str | os.PathLike[str] | None = None) -> str:
    """The file: the argument's, or that of the environment variable LLAMA3_TOK_LLAMA2.

    Raises VocabularyNotFound, which says where to get one.
    """
    given = os.environ.get(ENVIRONMENT) if path is None else path
    if not given:
        raise VocabularyNotFound(f"no Llama 2 tokenizer was given. {WAYS}")
    file = os.path.expanduser(os.fsdecode(given))
    if os.path.isdir(file):
        inside = os.path.join(file, "tokenizer.model")
        if not os.path.isfile(inside):
            raise VocabularyNotFound(f"the folder {file} has no tokenizer.model. {WAYS}")
        return inside
    if not os.path.exists(file):
        raise VocabularyNotFound(f"the Llama 2 tokenizer {file} does not exist. {WAYS}")
    return file


def load(path: str | os.PathLike[str] | None = None) -> "Llama2":
    """Reads Llama 2's tokenizer from a `tokenizer.model` or a folder that has one.

    Raises MissingExtra without the library sentencepiece, VocabularyNotFound, OSError, and
    VocabularyError for a file that is not Llama 2's.
    """
    library = require("sentencepiece", "report")
    file = find(path)
    with open(file, "rb") as opened:
        data = opened.read(64 << 20)
    if is_vocabulary(data[:1024]):
        raise _refused(file, "this is a Llama 3 vocabulary, not a SentencePiece model of Llama 2")
    try:
        processor = library.SentencePieceProcessor(model_proto=data)
    except (RuntimeError, ValueError, OSError):  # by its version; the file has been read
        raise _refused(file, "this is not a SentencePiece model such as Llama 2's") from None
    if reason := _foreign(processor):
        raise _refused(file, f"this SentencePiece model is not Llama 2's: {reason}")
    return Llama2(processor, os.path.abspath(file), hashlib.sha256(data).hexdigest())


def _refused(file: str, reason: str) -> VocabularyError:
    return VocabularyError(f"{file}: {reason}", file=file, reason=reason)


def _foreign(processor: Any) -> str | None:  # noqa: ANN401 - the library has no types
    """Why a model can't be Llama 2's; None if it can."""
    count = processor.vocab_size()
    if count != PIECES:
        return f"it has {count:,} pieces in place of {PIECES:,}"
    control = processor.unk_id(), processor.bos_id(), processor.eos_id()
    if control != (UNK, BOS, EOS):
        return f"the ids of <unk>, <s> and </s> are {control} in place of {(UNK, BOS, EOS)}"
    if not all(processor.is_byte(FIRST_BYTE + byte) for byte in range(256)):
        return f"ids {FIRST_BYTE} to {FIRST_PLAIN - 1} are not the 256 bytes"
    if any("\n" in processor.id_to_piece(id) for id in range(FIRST_PLAIN, PIECES)):
        return "it has pieces with a line break"
    return None


class Llama2:
    """Llama 2's tokenizer; `load` makes it."""

    def __init__(self, processor: Any, path: str, sha256: str) -> None:  # noqa: ANN401
        import numpy as np

        self._processor = processor
        self.path, self.sha256 = path, sha256
        self.pieces: list[str] = [processor.id_to_piece(id) for id in range(PIECES)]
        self._plain = {piece: id for id, piece in enumerate(self.pieces) if id >= FIRST_PLAIN}
        joined = (piece for piece in self._plain if len(piece) > 1)
        self._neighbours = {piece[at : at + 2] for piece in joined for at in range(len(piece) - 1)}
        # What each piece is in the text as SentencePiece sees it; control pieces never come.
        self._written = [
            bytes([id - FIRST_BYTE]) if FIRST_BYTE <= id < FIRST_PLAIN else piece.encode()
            for id, piece in enumerate(self.pieces)
        ]
        self._lengths = np.array([len(piece) for piece in self._written], np.int64)
        # "\n" is in no piece but its byte: what follows it is encoded as after any other text.
        self._lead = len(processor.encode("\n"))

    @staticmethod
    def is_byte(id: int) -> bool:
        """Whether it stands for one byte of a character that is not a piece."""
        return FIRST_BYTE <= id < FIRST_PLAIN

    def piece(self, id: int) -> str:
        """A piece as the model writes it: `▁Hello`, `<0x0A>`."""
        return self.pieces[id]

    def knows(self, data: bytes, *, prefixed: bool = False) -> bool:
        """Whether some bytes are one piece, or with `prefixed` could be one after the prefix."""
        try:
            text = data.decode().replace(" ", SPACE)
        except UnicodeDecodeError:
            return False
        return text in self._plain or (prefixed and SPACE + text in self._plain)

    def may_join(self, left: str, right: str) -> bool:
        """Whether some piece has these two characters side by side."""
        pair = INVALID.sub("\ufffd", left + right).replace(" ", SPACE)
        return pair in self._neighbours

    def may_cut(self, before: bytes, after: bytes) -> bool:
        """Whether the texts before and after a place give the ids that both together do."""
        left = before[-4:].decode("utf-8", "surrogateescape")[-1:]
        right = after[:4].decode("utf-8", "surrogateescape")[:1]
        return not left or not right or not self.may_join(left, right)

    def encode(self, text: str, *, continued: bool = False) -> list[int]:
        """The ids of a text without surrogates; `continued` ones have no dummy prefix."""
        if not continued:
            return self._processor.encode(text)  # type: ignore[no-any-return]
        ids: list[int] = self._processor.encode("\n" + text)
        return ids[self._lead :]

    def loses_space(self) -> "npt.NDArray[np.bool_]":
        """For each id whether decoding it alone loses the space that its piece begins with."""
        import numpy as np

        decode = self._processor.decode
        loses = np.zeros(PIECES, np.bool_)
        for piece, id in self._plain.items():
            loses[id] = decode([id]) != piece.replace(SPACE, " ")
        return loses

    def row(
        self, texts: Sequence[bytes], *, continued: bool = False, timer: Timer | None = None
    ) -> Row:
        """The tokens of texts, one after the other; `continued` if the first is not a beginning.

        `timer` measures what the library itself takes. Raises VocabularyError if the model's
        pieces are not the text.
        """
        import numpy as np

        ids: list[int] = []
        written, lengths, sizes = [], [], []
        for index, data in enumerate(texts):
            escaped = data.decode("utf-8", "surrogateescape")
            text = INVALID.sub("\ufffd", escaped)
            is_continued = continued and index == 0
            with timer or nullcontext():
                encoded = self.encode(text, continued=is_continued)
            ids += encoded
            prefix = "" if is_continued or not text else SPACE
            written.append((prefix + text).replace(" ", SPACE))
            lengths.append(sizes_of(written[-1]))
            sizes.append(np.zeros(len(prefix), np.int64))
            sizes.append(sizes_of(escaped))
        given = np.array(ids, np.int64)
        whole = "".join(written).encode()
        if b"".join([self._written[id] for id in ids]) != whole:
            raise _refused(
                self.path, "this model changes the text that it encodes; Llama 2's does not"
            )
        # Both count from the beginning: bytes of the written text, and bytes of the text itself.
        starts, places = _starts(lengths), _starts(sizes)
        ends = np.cumsum(self._lengths[given])
        at = np.searchsorted(starts, ends, side="right") - 1
        inside = np.append(np.diff(places), 0)
        return Row(given, places[at] + np.minimum(ends - starts[at], inside[at]))


def _starts(lengths: "Sequence[npt.NDArray[np.int64]]") -> "npt.NDArray[np.int64]":
    """Where each part begins, and where the last one ends."""
    import numpy as np

    return np.concatenate([[0], np.cumsum(np.concatenate([*lengths, np.zeros(0, np.int64)]))])
