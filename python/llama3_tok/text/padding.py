"""Batches of one length: `Tokenizer.pad`, and calling a tokenizer as transformers has it.

The padding token is never a token of text, never one that ends generation and never -1. A batch
without one is an error that says what to do, since each wrong choice trains or generates badly and
silently.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from llama3_tok import arguments
from llama3_tok.arguments import Ids, Side, Tensors, Text
from llama3_tok.definition import Definition
from llama3_tok.errors import Llama3TokError
from llama3_tok.folder.says import RESERVED
from llama3_tok.lazy import np, npt

__all__ = ["Padded", "Padding", "call", "pad"]

# More would be no batch, and NumPy's own error would not name the argument.
_MAX_LENGTH = 1 << 40

Padding: TypeAlias = bool | Literal["longest", "max_length", "do_not_pad"]

_NO_PAD = """\
profile {profile!r} has no padding token. Give pad_id=, one of:
{reserved}- the id of a token that you add, pad_id={added}: resize the model's embeddings for it.
To pad with {eos} and mask it is common, but not offered: whoever leaves out padding by its id, as \
collators for training do, then also leaves out the real end, and the model learns not to stop. \
Only with labels that are masked by attention_mask is it right."""


_RESERVED = """\
- pad_id={reserved}, a reserved special token: the model has a row for it, and nothing else uses it;
"""


class Padded(Mapping[str, Any]):
    """`input_ids` and `attention_mask` of a batch, as items and as attributes.

    From `pad`, and with `return_tensors`, both are `int64[batch, length]`, NumPy arrays or torch
    tensors; the mask is 1 for ids and 0 for padding. Otherwise they are lists. It is a mapping, so
    `model(**padded)` works, and with tensors so does `padded.to("cuda")`.
    """

    __slots__ = ("attention_mask", "input_ids")

    def __init__(self, input_ids: Any, attention_mask: Any) -> None:  # noqa: ANN401
        self.input_ids, self.attention_mask = input_ids, attention_mask

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - lists, arrays or tensors
        """One of the two."""
        if key not in self.__slots__:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which models take them."""
        return iter(("input_ids", "attention_mask"))

    def __len__(self) -> int:
        """How many there are: two."""
        return 2

    def __repr__(self) -> str:
        """For people."""
        return f"Padded(input_ids={self.input_ids!r}, attention_mask={self.attention_mask!r})"

    def __eq__(self, other: object) -> bool:
        """Only itself: what is in it are arrays, tensors or lists, which have their own `==`."""
        return self is other

    __hash__ = object.__hash__

    def to(self, *where: Any, **options: Any) -> "Padded":  # noqa: ANN401 - as torch has it
        """The same on another device, by the `to` of torch's tensors."""
        return Padded(
            self.input_ids.to(*where, **options), self.attention_mask.to(*where, **options)
        )


def pad(
    definition: Definition,
    sequences: Iterable[Ids],
    max_tokens: int | None,
    side: Side,
    pad_id: int | None,
    pad_to_multiple_of: int | None,
    return_tensors: Tensors,
    called: str = "max_tokens",
) -> Padded:
    """`Tokenizer.pad`, which has the description; `called` is what the caller calls the limit."""
    import numpy as np

    arguments.choice(side, "side", ("left", "right"))
    arguments.choice(return_tensors, "return_tensors", ("np", "pt"))
    arguments.refuse_text(sequences, "sequences")
    filling = checked_pad_id(definition, pad_id)
    given = [arguments.ids(ids, f"sequences[{index}]") for index, ids in enumerate(sequences)]
    definition.core.decode_batch(given, 1, False)  # raises for what are not ids
    rows = [np.asarray(ids, np.int64) for ids in given]
    length = max(map(len, rows), default=0)
    if max_tokens is not None:
        length = arguments.count(max_tokens, called, 0, _MAX_LENGTH)
        long = next((index for index, row in enumerate(rows) if len(row) > length), None)
        if long is not None:
            raise Llama3TokError(
                f"sequences[{long}] has {len(rows[long]):,} ids, more than {called}={length:,}; "
                "cut it first, with truncate() for text or a slice for ids"
            )
    if pad_to_multiple_of is not None:
        multiple = arguments.count(pad_to_multiple_of, "pad_to_multiple_of", 1, _MAX_LENGTH)
        length = -(-length // multiple) * multiple
    # Both are there before either is filled: what does not fit in memory is refused at once.
    input_ids, attention_mask = (np.zeros((len(rows), length), np.int64) for _ in range(2))
    input_ids.fill(filling)
    for index, row in enumerate(rows):
        start = 0 if side == "right" else length - len(row)
        input_ids[index, start : start + len(row)] = row
        attention_mask[index, start : start + len(row)] = 1
    return _tensors(input_ids, attention_mask, return_tensors)


def call(
    definition: Definition,
    text: Text | Iterable[Text],
    add_special_tokens: bool,
    padding: Padding,
    truncation: bool,
    max_length: int | None,
    padding_side: Side,
    pad_to_multiple_of: int | None,
    return_tensors: Tensors | None,
) -> Padded:
    """`Tokenizer.__call__`, which has the description."""
    arguments.flag(add_special_tokens, "add_special_tokens")
    arguments.flag(truncation, "truncation")
    arguments.choice(padding, "padding", (True, False, "longest", "max_length", "do_not_pad"))
    arguments.choice(return_tensors, "return_tensors", (None, "np", "pt"))
    most = None if max_length is None else arguments.count(max_length, "max_length", 0)
    if most is None and (truncation or padding == "max_length"):
        which = "truncation=True" if truncation else 'padding="max_length"'
        raise ValueError(f"{which} needs max_length=")
    if most is not None and not truncation and padding != "max_length":
        raise ValueError(
            'max_length= needs truncation=True, padding="max_length" or both: alone it says neither'
        )
    if pad_to_multiple_of is not None and padding not in (True, "longest", "max_length"):
        raise ValueError("pad_to_multiple_of= needs padding=True")

    is_one = isinstance(text, str | bytes)
    arguments.choice(padding_side, "padding_side", ("left", "right"))
    if not is_one and arguments.is_one(text):
        raise TypeError(
            f"text must be a text or a sequence of texts, not {arguments.kind_of(text)}"
        )
    texts: Iterable[Text] = [text] if isinstance(text, str | bytes) else text
    rows = definition.core.encode_batch(arguments.texts(texts), arguments.threads(None), None)
    if add_special_tokens:
        before, after, _ = definition.around
        rows = [[*before, *row, *after] for row in rows]
    if truncation:
        rows = [row[:most] for row in rows]
    if padding in (True, "longest", "max_length"):
        padded = pad(
            definition,
            rows,
            most if padding == "max_length" else None,
            padding_side,
            None,
            pad_to_multiple_of,
            return_tensors or "np",
            "max_length",
        )
        if return_tensors:
            return padded
        lists = (padded.input_ids.tolist(), padded.attention_mask.tolist())
    else:
        lists = (rows, [[1] * len(row) for row in rows])
        if return_tensors:
            lengths = {len(row) for row in rows}
            if len(lengths) > 1:
                raise Llama3TokError(
                    f"texts of {min(lengths):,} to {max(lengths):,} ids can't be one tensor; "
                    "give padding=True, or truncation=True with max_length="
                )
            import numpy as np

            shape = (len(rows), max(lengths, default=0))
            ids, mask = (np.array(part, np.int64).reshape(shape) for part in lists)
            return _tensors(ids, mask, return_tensors)
    return Padded(*(part[0] for part in lists)) if is_one else Padded(*lists)


def checked_pad_id(definition: Definition, given: int | None) -> int:
    size, roles = definition.core.vocab_size, definition.roles
    reserved = reserved_id(definition)
    if given is None:
        if roles.pad is not None:
            return roles.pad
        line = "" if reserved is None else _RESERVED.format(reserved=reserved)
        message = _NO_PAD.format(
            profile=definition.profile, reserved=line, added=size, eos=roles.eos
        )
        raise Llama3TokError(message)
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise TypeError(f"pad_id must be an int or None, not {type(given).__name__}")
    id = arguments.count(given, "pad_id", -(1 << 63), (1 << 63) - 1)
    if id < 0:
        why = "no id is negative, and an embedding would take another row for it or fail"
    elif id in roles.stops:
        why = "it ends generation: a model trained where padding is left out learns not to stop"
    elif id == roles.bos:
        why = "it begins a text"
    elif id < size and id not in definition.core.special_tokens.values():
        why = f"it is a token of text, {definition.name(id)!r}"
    else:
        return id
    choice = next(one for one in (roles.pad, reserved, size) if one is not None)
    raise Llama3TokError(f"pad_id={id} can't be padding, since {why}; {choice} can")


def reserved_id(definition: Definition) -> int | None:
    """A special token that nothing uses; None if there is none."""
    special = definition.core.special_tokens.items()
    return next((id for name, id in special if name.startswith(RESERVED)), None)


def _tensors(
    input_ids: "npt.NDArray[np.int64]",
    attention_mask: "npt.NDArray[np.int64]",
    kind: Tensors,
) -> Padded:
    if kind == "np":
        return Padded(input_ids, attention_mask)
    try:
        import torch  # type: ignore[import-not-found, unused-ignore] # an extra
    except ImportError:
        raise Llama3TokError(
            'return_tensors="pt" needs torch, which is not installed: pip install torch'
        ) from None
    return Padded(torch.from_numpy(input_ids), torch.from_numpy(attention_mask))
