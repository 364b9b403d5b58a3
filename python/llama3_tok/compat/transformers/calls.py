"""The part of the class that texts are encoded by: calls, their options, and their encodings."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, cast

from llama3_tok.arguments import Options
from llama3_tok.extras import require
from llama3_tok.folder import Around

require("transformers", "transformers")

from transformers import BatchEncoding  # noqa: E402 - whether it is there was asked first
from transformers.tokenization_utils_base import TruncationStrategy  # noqa: E402
from transformers.utils import PaddingStrategy  # noqa: E402

from llama3_tok.compat.transformers import given as _given  # noqa: E402
from llama3_tok.compat.transformers import truncation as _truncation  # noqa: E402
from llama3_tok.compat.transformers.backend import Backend  # noqa: E402
from llama3_tok.compat.transformers.fast_encoding import (  # noqa: E402
    Encodings,
    FastEncoding,
    Frame,
    Part,
)
from llama3_tok.compat.transformers.inputs import Input, Reader  # noqa: E402

__all__ = ["Calls"]

# What may be asked for besides ids and mask.
_MORE = (
    "return_token_type_ids",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
)
_NAMES = ["input_ids", "attention_mask"]
# What `encode(text, allowed_special="all")` asks the core for.
_WITH_SPECIAL = Options(False, False, "all")
_NOTHING = Around()


class Calls(Backend):
    """`__call__`, `encode` and `tokenize`, for `Llama3Tokenizer`."""

    _table: Callable[[], list[str]]
    _takes_space: bool
    _sides: Around

    def _switch_to_input_mode(self) -> None:
        """There is one mode. Without this, `__call__` looks for it in all classes at every call."""

    def tokenize(
        self,
        text: Any,  # noqa: ANN401 - a text, or a batch of which the first one counts
        pair: str | None = None,
        add_special_tokens: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[str]:
        """The tokens of a text, as `tokenizer.json` writes them."""
        if pair or add_special_tokens or not isinstance(text, str) or self._takes_space:
            kwargs["add_special_tokens"] = add_special_tokens
            return cast(list[str], self._encode_plus(text, pair, **kwargs).tokens())
        written = self._table()
        return [written[id] for id in self._encode_batch([text], kwargs)[0]]

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:  # noqa: ANN401
        written = self._table()
        return [written[id] for id in self.llama3.encode(text)]

    def _encode_batch(self, texts: list[str], options: Mapping[str, Any]) -> list[list[int]]:
        """The ids of each text, with nothing around them."""
        has_special = self._has_special(options)
        if len(texts) == 1:
            # The one use of the core here, since the arguments need no check: that is a tenth of a
            # short call (1.3 of 15 us, 2026-11-29).
            return [self.llama3._core.encode(texts[0], _WITH_SPECIAL if has_special else None)]
        return self.llama3.encode_batch(texts, allowed_special="all" if has_special else ())

    def _has_special(self, options: Mapping[str, Any]) -> bool:
        """Whether special tokens in a text count."""
        split = options.get("split_special_tokens")
        return not (self.split_special_tokens if split is None else split)

    def _encode_plus(
        self,
        text: Any,  # noqa: ANN401 - a text, ids, words, or a batch of them
        text_pair: Any = None,  # noqa: ANN401
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,  # noqa: ANN401
        return_attention_mask: bool | None = None,
        **kwargs: Any,  # noqa: ANN401 - what else is returned, and how texts are read
    ) -> BatchEncoding:
        """What `__call__` and `encode` of the base class ask for."""
        batch = _given.is_batch(text, is_split_into_words)
        pairs = (
            _given.pairs(text, text_pair, is_split_into_words)
            if batch
            else [(text, text_pair or None)]
        )
        flat = [one for pair in pairs for one in pair]
        words = [_given.words(one, is_split_into_words) for one in flat]
        ids = self._inputs(flat, words, kwargs)
        around = self._sides
        frame = Frame(around if add_special_tokens else _NOTHING, self.convert_ids_to_tokens)
        if frame.around[0]:
            self._warn_of_second_bos(ids, frame)
        room = None
        if truncation_strategy is not TruncationStrategy.DO_NOT_TRUNCATE and max_length is not None:
            needed = len(around.before) + len(around.after)
            _truncation.check_room(max_length, stride, frame.count(1), needed)
            room = max_length - frame.count(1)
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        reader = self._reader(kwargs)
        rows: Sequence[FastEncoding]
        columns: dict[str, list[Any]]
        # Mostly these are single texts, none is cut, and nothing but ids and mask is asked for.
        is_plain = (
            self.model_input_names == _NAMES
            and not any(map(kwargs.get, _MORE))
            and all(isinstance(one, str) for one in flat[::2])
            and not any(one is not None for one in flat[1::2])
            and (room is None or all(len(one) <= room for one in ids if one))
        )
        if is_plain:
            whole = _with_frame(ids[::2], frame)
            lengths = [len(one) for one in whole]
            rows = Encodings(partial(_whole_rows, flat[::2], reader, frame))
        else:
            inputs = [
                None if one is None else Input(one, texts, is_split_into_words, reader)
                for one, texts in zip(ids, words, strict=True)
            ]
            cut = (max_length if room is not None else None, truncation_strategy.value, stride)
            rows = [
                self._row(first, second, cut, frame)
                for first, second in zip(inputs[::2], inputs[1::2], strict=True)
            ]
            lengths = [row.unpadded for row in rows]
        if padding_strategy is not PaddingStrategy.DO_NOT_PAD:
            length = max_length if padding_strategy is PaddingStrategy.MAX_LENGTH else None
            self._pad_to(frame, length, lengths, pad_to_multiple_of, padding_side)
        if is_plain:
            columns = {"input_ids": _padded(whole, frame.pad_id, frame)}
            if return_attention_mask:
                columns["attention_mask"] = _padded([[1] * length for length in lengths], 0, frame)
        else:
            asked = {"return_attention_mask": return_attention_mask} | kwargs
            rows, columns = self._columns(rows, asked)
        verbose = kwargs.get("verbose", True)
        for one in columns["input_ids"]:
            self._eventual_warn_about_too_long_sequence(one, max_length, verbose)
        knows_places = is_plain or all(one is None or one.has_text for one in inputs)
        if not batch and return_tensors is None and not kwargs.get("return_overflowing_tokens"):
            columns = {
                name: column[0] if isinstance(column[0], list) else column
                for name, column in columns.items()
            }
        return BatchEncoding(
            columns,
            rows if knows_places else None,
            tensor_type=return_tensors,
            n_sequences=None if not (pairs and knows_places) else 1 + (pairs[0][1] is not None),
        )

    def _inputs(
        self, inputs: list[Any], words: list[list[str] | None], options: Mapping[str, Any]
    ) -> list[list[int] | None]:
        """The ids of each input: a text, words, tokens or ids; None stays what it is."""
        encoded = iter(
            self._encode_batch(list(chain.from_iterable(w for w in words if w)), options)
        )
        ids: list[list[int] | None] = []
        for one, texts in zip(inputs, words, strict=True):
            if texts is not None and len(texts) == 1:
                ids.append(next(encoded))
            elif texts is not None:
                ids.append(list(chain.from_iterable(next(encoded) for _ in texts)))
            elif one is not None and len(one) and isinstance(one[0], str):
                ids.append(self.convert_tokens_to_ids(list(one)))
            else:
                ids.append(None if one is None else list(one))
        return ids

    def _warn_of_second_bos(self, ids: list[list[int] | None], frame: Frame) -> None:
        bos = frame.around[0][0]
        if any(one[0] == bos for one in ids if one):
            warnings.warn(
                f"a text begins with {self.convert_ids_to_tokens(bos)} already, and a second one "
                "is put before it; encode a rendered conversation with add_special_tokens=False",
                stacklevel=5,
            )

    def _reader(self, options: Mapping[str, Any]) -> Reader:
        """What reads the texts of a call for places, whatever is added to the tokenizer later."""
        return Reader(self.llama3, self._has_special(options), self._table)

    def _row(
        self,
        first: Input | None,
        second: Input | None,
        cut: tuple[int | None, str, int],
        frame: Frame,
    ) -> FastEncoding:
        """The row of an input or a pair: what truncation keeps of it, and knows of the rest."""
        if first is None:
            raise ValueError("an input must be a text, words or ids, not None")
        inputs = [first] if second is None else [first, second]
        lengths = [len(one.ids) for one in inputs]
        windows = [[(0, length)] for length in lengths]
        most, strategy, stride = cut
        if most is not None:
            around = frame.count(len(inputs))
            _truncation.check_room(most, 0, around, around)
            windows = _truncation.windows_of_inputs(
                lengths, most - around, strategy, stride, self.truncation_side
            )
        parts = (Part(one, kept, rest) for one, (kept, *rest) in zip(inputs, windows, strict=True))
        return FastEncoding(tuple(parts), frame)

    def _pad_to(
        self,
        frame: Frame,
        length: int | None,
        lengths: list[int],
        multiple: int | None,
        side: str | None,
    ) -> None:
        """Sets what rows are padded to, by default the length of the longest, and with what."""
        side = self.padding_side if side is None else side
        if side not in ("left", "right"):
            raise ValueError(f'padding_side must be "left" or "right", not {side!r}')
        length = max(lengths, default=0) if length is None else length
        if multiple:
            length += -length % multiple
        frame.length, frame.pads_left = length, side == "left"
        frame.pad_id, frame.pad_type_id = self.pad_token_id, self.pad_token_type_id

    def _columns(
        self, rows: Sequence[FastEncoding], asked: Mapping[str, Any]
    ) -> tuple[list[FastEncoding], dict[str, list[Any]]]:
        """The rows of a batch, with those that overflow if they are asked for, and its columns."""
        overflows = bool(asked.get("return_overflowing_tokens"))
        of_inputs = [[row, *row.overflowing] if overflows else [row] for row in rows]
        all_rows = list(chain.from_iterable(of_inputs))
        type_ids = asked.get("return_token_type_ids")
        if type_ids is None:
            type_ids = "token_type_ids" in self.model_input_names
        wanted: list[tuple[str, Any, Callable[[FastEncoding], Any]]] = [
            ("input_ids", True, lambda row: row.ids),
            ("token_type_ids", type_ids, lambda row: row.type_ids),
            ("attention_mask", asked["return_attention_mask"], lambda row: row.attention_mask),
            (
                "special_tokens_mask",
                asked.get("return_special_tokens_mask"),
                lambda row: row.special_tokens_mask,
            ),
            ("offset_mapping", asked.get("return_offsets_mapping"), lambda row: row.offsets),
            ("length", asked.get("return_length"), len),
        ]
        columns: dict[str, list[Any]] = {
            name: [of(row) for row in all_rows] for name, is_wanted, of in wanted if is_wanted
        }
        if overflows:
            columns["overflow_to_sample_mapping"] = [
                index for index, found in enumerate(of_inputs) for _ in found
            ]
        return all_rows, columns


def _with_frame(ids: Sequence[list[int] | None], frame: Frame) -> list[list[int]]:
    before, after = frame.around
    return [[*before, *one, *after] for one in ids if one is not None]


def _padded(rows: list[list[int]], pad: int, frame: Frame) -> list[list[int]]:
    if not frame.length:
        return rows
    pads = [[pad] * (frame.length - len(row)) for row in rows]
    both = zip(pads, rows, strict=True) if frame.pads_left else zip(rows, pads, strict=True)
    return [one + other for one, other in both]


def _whole_rows(texts: Sequence[Any], reader: Reader, frame: Frame) -> list[FastEncoding]:
    """The rows of texts that are not cut, read when they are asked for."""
    inputs = [Input(None, [text], False, reader) for text in texts]
    return [FastEncoding((Part(one, (0, len(one.ids))),), frame) for one in inputs]
