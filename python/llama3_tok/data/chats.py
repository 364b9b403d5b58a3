"""Conversations in bulk: `encode_chats`.

```text
rows      a list, Arrow, or lines of JSON
  -> rows.py       messages, and which of them are learned           holds the interpreter
  -> Format        checked, and as the core takes them               holds the interpreter
  -> the core      ids, mask, and where each message ends            on all cores, detached
  -> learned       the mask less the messages that are not learned
  -> overflow      what is longer than max_tokens
```

Rows are taken in batches. While the core works on one, another thread prepares the next. What a
batch gives does not depend on the others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import index as integer
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias, Unpack, cast

from llama3_tok import _core, arguments
from llama3_tok.arguments import FilePath
from llama3_tok.chat import conversations as chat
from llama3_tok.chat.messages import ChatOptions, Format, several
from llama3_tok.data import rows as reading
from llama3_tok.data.packing import IGNORED
from llama3_tok.data.rows import Form, Learn, Row
from llama3_tok.data.sources import Batch, Line, batches, parsed
from llama3_tok.definition import Definition
from llama3_tok.errors import ChatFormatError, InputError
from llama3_tok.lazy import np, npt
from llama3_tok.text.ragged import Ragged
from llama3_tok.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llama3_tok._core import CoreParts

__all__ = [
    "CountedChats",
    "EncodedChat",
    "EncodedChats",
    "OnError",
    "Overflow",
    "Skipped",
    "count_chats",
    "encode_chats",
]

Overflow: TypeAlias = Literal["error", "drop", "cut", "fit"]
OnError: TypeAlias = Literal["stop", "skip"]


class Skipped(NamedTuple):
    """A row that was left out since something is wrong with it.

    `row` is its index, from 0, `line` the line of its file, from 1, or None; `reason` says what is
    wrong and where in the row. `error` is the same as an exception.
    """

    row: int
    line: int | None
    reason: str
    error: ChatFormatError


@dataclass(frozen=True)
class EncodedChat:
    """One conversation: its row, ids, mask and labels; the last two are None without masks."""

    row: int
    ids: "npt.NDArray[np.uint32]"
    mask: "npt.NDArray[np.uint8] | None"
    labels: "npt.NDArray[np.int32] | None"


@dataclass(frozen=True, eq=False)
class EncodedChats:
    """What `encode_chats` gives: the ids of conversations end to end, and what is learned of them.

    `ids` has them; conversation `i` is `chats[i]`, an `EncodedChat`. `mask` is `uint8[n]`, one
    number for each id: 1 for what is learned. It is None with `return_mask=False`. `rows`,
    `int64[len]`, says which row each conversation is. `columns` has the columns that `carry` names,
    with one value for each conversation.

    The others are rows by their index: `skipped` could not be encoded; `dropped`, `cut` and
    `fitted` were longer than `max_tokens`; in `unlearned` nothing is learned.
    """

    ids: Ragged
    mask: "npt.NDArray[np.uint8] | None"
    rows: "npt.NDArray[np.int64]"
    columns: dict[str, list[Any]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    fitted: list[int] = field(default_factory=list)
    unlearned: list[int] = field(default_factory=list)

    @property
    def labels(self) -> "npt.NDArray[np.int32]":
        """The ids that are learned, and -100 for the others: `int32[n]`.

        Raises ValueError if there is no mask.
        """
        if self.mask is None:
            raise ValueError("there are no labels: encode_chats was called with return_mask=False")
        return _labels(self.ids.ids, self.mask)

    @property
    def learned_tokens(self) -> int:
        """How many tokens are learned; 0 without a mask."""
        return 0 if self.mask is None else int(self.mask.sum())

    @property
    def counts(self) -> dict[str, int]:
        """How many conversations and tokens there are, and how many rows went another way."""
        return {
            "conversations": len(self),
            "tokens": len(self.ids.ids),
            "learned_tokens": self.learned_tokens,
            "unlearned": len(self.unlearned),
            "skipped": len(self.skipped),
            "dropped": len(self.dropped),
            "cut": len(self.cut),
            "fitted": len(self.fitted),
        }

    def __repr__(self) -> str:
        """For people: all counts that are not 0."""
        counts = (f"{count:,} {name}" for name, count in self.counts.items() if count)
        return f"EncodedChats({', '.join(counts).replace('_', ' ') or 'nothing'})"

    def __len__(self) -> int:
        """How many conversations there are."""
        return len(self.ids)

    def __getitem__(self, index: int) -> EncodedChat:
        """One conversation; negative indices count from the end."""
        count, index = len(self), integer(index)
        if not -count <= index < count:
            raise IndexError(f"index {index} is out of range for {count} conversations")
        at = index % count
        here = slice(self.ids.offsets[at], self.ids.offsets[at + 1])
        ids = self.ids.ids[here]
        mask = None if self.mask is None else self.mask[here]
        labels = None if mask is None else _labels(ids, mask)
        return EncodedChat(int(self.rows[at]), ids, mask, labels)

    def __iter__(self) -> Iterator[EncodedChat]:
        """The conversations."""
        return (self[index] for index in range(len(self)))


def _labels(
    ids: "npt.NDArray[np.uint32]", mask: "npt.NDArray[np.uint8]"
) -> "npt.NDArray[np.int32]":
    import numpy as np

    labels = ids.astype(np.int32)
    labels[mask == 0] = IGNORED
    return labels


def encode_chats(
    conversations: object,
    *,
    tokenizer: Tokenizer | None = None,
    form: Form = "messages",
    column: str | None = None,
    carry: Iterable[str] = (),
    learn: Learn = "assistant",
    return_mask: bool = True,
    max_tokens: int | None = None,
    overflow: Overflow = "error",
    on_error: OnError = "stop",
    threads: int | None = None,
    **options: Unpack[ChatOptions],
) -> EncodedChats:
    """The ids of many conversations on all cores, each as `Tokenizer.encode_chat` gives them.

    `conversations` is a list or an iterator of rows; a column or a table of Arrow, from whatever
    library (extra `data`); or the path of a file with a JSON value on each line, which `.gz` and
    `.zst` may pack. A row is a list of messages, or a dictionary that has one under "messages", and
    perhaps `tools`, a list or the same as JSON, `documents`, and `system`, the text of a system
    message. `carry` names other columns whose values come along. `form="sharegpt"` reads
    "conversations" with `from` and `value`, as in ShareGPT; `column` is the name of the column with
    the messages if it is another one.

    Of messages, `tool_calls` that are null or empty are none, and so are all fields that are null,
    as Arrow fills them; in Arrow also those within `tool_calls` and `tools`, whose fields are in
    the order of the schema. The arguments of a call may be a JSON string of an object.

    `learn` says what is learned: "assistant", what the assistant writes and what ends it, as in
    `encode_chat(..., return_mask=True)`; "last", of that its last message alone; "all", every
    token, the headers of messages among them. A message with `"weight": 0` (as OpenAI has it) or
    `"train": false` (as axolotl) is not learned in any case, with "all" with its header; `"weight":
    1` and `"train": true` add nothing. Other fields that look like such a mark are an error.

    `overflow` is for conversations of more than `max_tokens`: "error"; "drop" leaves them out;
    "cut" keeps the first `max_tokens` ids and their mask; "fit" leaves out the oldest turns, as
    `fit_chat`, and what then still is too long is an error. With `on_error="stop"` the first row
    that can't be encoded raises; with "skip" such rows are listed in `skipped`.

    `options` are those of `Tokenizer.encode_chat`, for all rows; `add_generation_prompt` is False
    unless it is given, and `tools` are for rows without their own. `tokenizer` is by default that
    of the installed vocabulary. `threads` is how many threads encode, by default one for each
    processor. A chat template of a folder is run for one conversation after another.

    Raises ChatFormatError with `row`, `index` and `field` as `encode_chat` does, or InputError with
    `path` and `line` for a row of a file; OSError for a file that can't be read; MissingExtra for
    Arrow without pyarrow.

    >>> from llama3_tok.data import encode_chats
    >>> chats = encode_chats(
    ...     [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]]
    ... )
    >>> chats.ids.offsets.tolist(), chats.learned_tokens, chats[0].labels[-3:].tolist()
    ([0, 39], 3, [9906, 13, 128009])
    """
    arguments.choice(learn, "learn", ("assistant", "last", "all"))
    arguments.choice(overflow, "overflow", ("error", "drop", "cut", "fit"))
    arguments.flag(return_mask, "return_mask")
    if max_tokens is not None:
        max_tokens = arguments.count(max_tokens, "max_tokens", 1)
    elif overflow != "error":
        raise ValueError(f"overflow={overflow!r} needs max_tokens=")
    arguments.refuse_text(carry, "carry")
    job = _job(conversations, tokenizer, form, column, on_error, threads, options, "encode_chats")
    job.carry, job.learn, job.masks = list(carry), learn, return_mask
    job.max_tokens, job.overflow = max_tokens, overflow
    return _joined(job, list(_encoded(job, _given(job, conversations))))


class CountedChats(NamedTuple):
    """How many tokens conversations have.

    `tokens` is `int64[n]`, and `rows`, `int64[n]`, says which row each conversation is. `lines` are
    their lines in a file, `int64[n]`, from 1; None for what is no file. `skipped` could not be
    encoded.
    """

    tokens: "npt.NDArray[np.int64]"
    rows: "npt.NDArray[np.int64]"
    lines: "npt.NDArray[np.int64] | None"
    skipped: list[Skipped]


def count_chats(
    conversations: object,
    *,
    tokenizer: Tokenizer | None = None,
    form: Form = "messages",
    column: str | None = None,
    on_error: OnError = "stop",
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Unpack[ChatOptions],
) -> CountedChats:
    """How many tokens each of many conversations has, on all cores, as `encode_chats` encodes them.

    Memory does not depend on how many there are, but for one number for each. `progress` is called
    with the number of conversations that are done. The other parameters and all errors are those of
    `encode_chats`.

    >>> from llama3_tok.data import count_chats
    >>> count_chats([[{"role": "user", "content": "Hi"}]]).tokens.tolist()
    [32]
    """
    import numpy as np

    job = _job(conversations, tokenizer, form, column, on_error, threads, options, "count_chats")
    sizes, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    lines: list[int | None] = []
    done = 0
    skipped: list[Skipped] = []
    for part in _encoded(job, _given(job, conversations)):
        sizes.append(part.sizes)
        rows.append(np.array(part.rows, np.int64))
        lines += part.lines
        skipped += part.skipped
        done += len(part.rows)
        if progress is not None:
            progress(done)
    return CountedChats(
        np.concatenate(sizes),
        np.concatenate(rows),
        None if job.path is None else np.array(lines, np.int64),
        sorted(skipped, key=lambda one: one.row),
    )


def _job(
    conversations: object,
    tokenizer: Tokenizer | None,
    form: Form,
    column: str | None,
    on_error: OnError,
    threads: int | None,
    options: ChatOptions,
    call: str,
) -> "_Job":
    """What the calls have in common, checked."""
    arguments.choice(form, "form", tuple(reading.FORMS))
    arguments.choice(on_error, "on_error", ("stop", "skip"))
    if not isinstance(column, str | None):
        raise TypeError(f"column must be a str or None, not {type(column).__name__}")
    if not isinstance(tokenizer, Tokenizer | None):
        raise TypeError(f"tokenizer must be a Tokenizer or None, not {type(tokenizer).__name__}")
    for name in ("tools", "builtin_tools", "documents"):
        if options.get(name) is not None:  # iterators would be empty in the second conversation
            options[name] = list(several(options[name], name))
    options.setdefault("add_generation_prompt", False)
    definition = (Tokenizer() if tokenizer is None else tokenizer).definition
    template = chat.template_of(definition, options, call)
    job = _Job(
        definition=definition,
        options=options,
        format=chat.release_format(definition, options) if template is None else None,
        form=form,
        column=column,
        stops=on_error == "stop",
        threads=arguments.threads(threads),
    )
    if isinstance(conversations, str) or hasattr(conversations, "__fspath__"):
        job.path = arguments.path(cast(FilePath, conversations), "conversations")
    return job


def _given(job: "_Job", conversations: object) -> Iterator[Batch]:
    return batches(conversations, job.definition.core, job.path)


@dataclass
class _Job:
    """What the batches of one call have in common."""

    definition: "Definition"
    options: ChatOptions
    format: "Format | None"
    form: Form
    column: str | None
    stops: bool
    threads: int
    carry: list[str] = field(default_factory=list)
    learn: Learn = "assistant"
    masks: bool = False
    max_tokens: int | None = None
    overflow: Overflow = "error"
    path: str | None = None


@dataclass
class _Batch:
    """Conversations that are ready for the core, and what becomes of the others."""

    rows: list[int] = field(default_factory=list)
    lines: list[int | None] = field(default_factory=list)
    read: list[Row] = field(default_factory=list)
    keep: list[list[bool] | None] = field(default_factory=list)
    chats: "list[CoreParts]" = field(default_factory=list)
    carried: list[list[Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass
class _Part:
    """What the conversations of a batch are, `sizes` being how many ids each has."""

    ids: "npt.NDArray[np.uint32]"
    mask: "npt.NDArray[np.uint8]"
    sizes: "npt.NDArray[np.int64]"
    rows: list[int]
    carried: list[list[Any]]
    skipped: list[Skipped]
    lines: Sequence[int | None] = ()
    dropped: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    fitted: list[int] = field(default_factory=list)


def _encoded(job: _Job, given: Iterator[Batch]) -> Iterator[_Part]:
    """The batches, each encoded while the next is prepared.

    The core works on the calling thread, which signals like Ctrl-C reach.
    """
    first, ready = 0, None
    with ThreadPoolExecutor(1, "llama3_tok-chats") as other:  # which starts with its first task
        for rows in given:
            if ready is None or job.threads == 1:
                if ready is not None:
                    yield _encode(job, ready)
                ready = _prepared(job, rows, first)
            else:
                ahead = other.submit(_prepared, job, rows, first)
                yield _encode(job, ready)
                ready = ahead.result()
            first += len(rows)
        if ready is not None:
            yield _encode(job, ready)


def _prepared(job: _Job, rows: Batch, first: int) -> _Batch:
    batch = _Batch()
    for row, given in enumerate(rows, first):
        line, value = None, given
        try:
            if type(given) is Line:
                line = given.number
                value = parsed(given)
            read = reading.read(value, job.form, job.column)
            keep = reading.learned(read, job.learn) if job.masks else None
            if job.format is not None:
                if read.documents is not None:
                    reason = "the format of this conversation has no place for them"
                    raise ChatFormatError(reason, None, "documents")
                batch.chats.append(job.format.parts(read.messages, read.tools))
        except ChatFormatError as error:
            batch.skipped.append(_skipped(row, line, error))
            continue
        batch.rows.append(row)
        batch.lines.append(line)
        batch.read.append(read)
        batch.keep.append(keep)
        if job.carry:
            has = value if isinstance(value, Mapping) else {}
            batch.carried.append([has.get(name) for name in job.carry])
    return batch


def _skipped(row: int, line: int | None, error: ChatFormatError) -> Skipped:
    return Skipped(row, line, error.without_row, error.in_row(row))


def _stop(job: _Job, skipped: list[Skipped]) -> NoReturn:
    """Raises for the first row that could not be encoded."""
    first = min(skipped, key=lambda one: one.row)
    if job.path is None:
        raise first.error
    message = f"{job.path}, line {first.line}: {first.reason}"
    raise InputError(message, job.path, first.line, first.reason) from first.error


def _encode(job: _Job, batch: _Batch) -> _Part:
    part = _by_core(job, batch, job.format) if job.format else _by_template(job, batch)
    if job.max_tokens is not None:
        part = _overflowed(job, batch, part, job.max_tokens)
    if part.skipped and job.stops:
        _stop(job, part.skipped)
    return part


def _without(batch: _Batch, failed: set[int]) -> None:
    """Leaves out conversations, by their index in the batch."""
    for name in ("rows", "lines", "read", "keep", "chats", "carried"):
        values = getattr(batch, name)
        if values:
            setattr(batch, name, [one for at, one in enumerate(values) if at not in failed])


def _by_core(job: _Job, batch: _Batch, format: "Format") -> _Part:
    """By the core, in the format of a release."""
    import numpy as np

    wants_mask = job.masks and job.learn != "all"
    ids, mask, offsets, ends, errors = _core.encode_chats(
        job.definition.core, format.written, batch.chats, wants_mask, job.threads
    )
    sizes = np.diff(offsets)
    for at, error in errors:
        fault = cast(ChatFormatError, error)
        batch.skipped.append(_skipped(batch.rows[at], batch.lines[at], fault))
    if errors:
        failed = {at for at, _ in errors}
        sizes = np.delete(sizes, list(failed))
        _without(batch, failed)
    if job.masks and not wants_mask:
        mask = np.ones(len(ids), np.uint8)
    if any(keep is not None for keep in batch.keep):
        # What is before the first message, each message, and what is after the last.
        flags: list[bool] = []
        for read, keep in zip(batch.read, batch.keep, strict=True):
            kept = [True] * len(read.messages) if keep is None else keep
            flags += [True, *kept, True]
        mask &= np.repeat(np.array(flags, np.uint8), np.diff(ends, prepend=0))
    return _Part(ids, mask, sizes, batch.rows, batch.carried, batch.skipped, batch.lines)


def _by_template(job: _Job, batch: _Batch) -> _Part:
    """By a chat template that is run, one conversation after the other."""
    import numpy as np

    ids, masks, failed = [], [], set()
    for at, (read, keep) in enumerate(zip(batch.read, batch.keep, strict=True)):
        try:
            found, mask = _one(job, read, keep)
        except ChatFormatError as error:
            batch.skipped.append(_skipped(batch.rows[at], batch.lines[at], error))
            failed.add(at)
            continue
        ids.append(found)
        masks.append(mask)
    _without(batch, failed)
    return _Part(
        ids=np.concatenate([np.empty(0, np.uint32), *ids]),
        mask=np.concatenate([np.empty(0, np.uint8), *masks]),
        sizes=np.array([len(one) for one in ids], np.int64),
        rows=batch.rows,
        carried=batch.carried,
        skipped=batch.skipped,
        lines=batch.lines,
    )


def _one(
    job: _Job, read: Row, keep: list[bool] | None
) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]":
    """One conversation by a template."""
    import numpy as np

    options = _options(job, read)
    if not job.masks:
        ids = chat.encode_array(job.definition, read.messages, options, "encode_chats")
        return ids, np.empty(0, np.uint8)
    learns_all = job.learn == "all"
    return chat.encode_learned(job.definition, read.messages, options, learns_all, keep)


def _options(job: _Job, read: Row) -> ChatOptions:
    """The options of a call for one conversation."""
    options = job.options.copy()
    if read.tools is not None:
        options["tools"] = read.tools
    if read.documents is not None:
        options["documents"] = read.documents
    return options


# Too long


def _overflowed(job: _Job, batch: _Batch, part: _Part, most: int) -> _Part:
    """The same with nothing that is longer than `most`."""
    import numpy as np

    long = np.flatnonzero(part.sizes > most).tolist()
    if not long:
        return part
    if job.overflow == "fit":
        return _fitted(job, batch, part, long, most)
    rows = [part.rows[at] for at in long]
    if job.overflow == "cut":
        sizes = np.minimum(part.sizes, most)
        return _kept(part, sizes, None, cut=rows)
    if job.overflow == "error":
        for at in long:
            batch.skipped.append(
                _skipped(batch.rows[at], batch.lines[at], _too_long(part, at, most))
            )
    dropped = rows if job.overflow == "drop" else []
    return _kept(part, part.sizes, set(long), dropped=dropped)


def _too_long(part: _Part, at: int, most: int) -> ChatFormatError:
    reason = (
        f"the conversation has {part.sizes[at]:,} tokens, more than {most:,}; "
        'overflow="drop", "cut" or "fit" takes the others'
    )
    return ChatFormatError(reason, None, "max_tokens")


def _kept(
    part: _Part, sizes: "npt.NDArray[np.int64]", without: set[int] | None, **rows: list[int]
) -> _Part:
    """The first `sizes` ids of each conversation, `without` some."""
    import numpy as np

    ends = np.cumsum(part.sizes)
    left = [at for at in range(len(sizes)) if without is None or at not in without]
    places = [
        slice(int(ends[at] - part.sizes[at]), int(ends[at] - part.sizes[at] + sizes[at]))
        for at in left
    ]
    mask = part.mask
    return _Part(
        ids=np.concatenate([part.ids[:0], *(part.ids[place] for place in places)]),
        mask=np.concatenate([mask[:0], *(mask[place] for place in places)]),
        sizes=sizes[left],
        rows=[part.rows[at] for at in left],
        carried=[part.carried[at] for at in left] if part.carried else [],
        skipped=part.skipped,
        **rows,
    )


def _fitted(job: _Job, batch: _Batch, part: _Part, long: list[int], most: int) -> _Part:
    """With the conversations that are too long less their oldest turns."""
    import numpy as np

    shorter = _Batch(skipped=batch.skipped)
    failed: set[int] = set()
    for at in long:
        read, keep = batch.read[at], batch.keep[at]
        try:
            options = _options(job, read)
            fitted = chat.fitted(job.definition, read.messages, most, 0, options)
        except ChatFormatError as error:
            batch.skipped.append(_skipped(batch.rows[at], batch.lines[at], error))
            failed.add(at)
            continue
        dropped = set(fitted.dropped)
        shorter.rows.append(batch.rows[at])
        shorter.lines.append(batch.lines[at])
        shorter.read.append(read._replace(messages=fitted.messages))
        left = keep and [one for index, one in enumerate(keep) if index not in dropped]
        shorter.keep.append(left)
        if job.format is not None:
            shorter.chats.append(job.format.parts(fitted.messages, read.tools))
    made = _by_core(job, shorter, job.format) if job.format else _by_template(job, shorter)
    by_row = dict(zip(made.rows, np.split(made.ids, np.cumsum(made.sizes)[:-1]), strict=True))
    masks = np.split(made.mask, np.cumsum(made.sizes)[:-1]) if job.masks else []
    mask_by_row = dict(zip(made.rows, masks, strict=True)) if masks else {}
    ends = np.cumsum(part.sizes)
    left_at = [at for at in range(len(part.sizes)) if at not in failed]
    ids, new_masks = [part.ids[:0]], [part.mask[:0]]
    for at in left_at:
        row, here = part.rows[at], slice(int(ends[at] - part.sizes[at]), int(ends[at]))
        ids.append(by_row.get(row, part.ids[here]))
        if job.masks:
            new_masks.append(mask_by_row.get(row, part.mask[here]))
    return _Part(
        ids=np.concatenate(ids),
        mask=np.concatenate(new_masks),
        sizes=np.array([len(one) for one in ids[1:]], np.int64),
        rows=[part.rows[at] for at in left_at],
        carried=[part.carried[at] for at in left_at] if part.carried else [],
        skipped=part.skipped,
        fitted=made.rows,
    )


def _joined(job: _Job, parts: list[_Part]) -> EncodedChats:
    import numpy as np

    sizes = np.concatenate([np.empty(0, np.int64), *(part.sizes for part in parts)])
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    rows = [row for part in parts for row in part.rows]
    mask, unlearned = None, []
    if job.masks:
        mask = np.concatenate([np.empty(0, np.uint8), *(part.mask for part in parts)])
        before = np.concatenate((np.zeros(1, np.int64), np.cumsum(mask, dtype=np.int64)))
        learned = before[offsets[1:]] - before[offsets[:-1]]
        unlearned = [rows[at] for at in np.flatnonzero(learned == 0).tolist()]
    carried = [values for part in parts for values in part.carried]
    return EncodedChats(
        ids=Ragged(
            np.concatenate([np.empty(0, np.uint32), *(part.ids for part in parts)]), offsets
        ),
        mask=mask,
        rows=np.array(rows, np.int64),
        columns={name: [values[at] for values in carried] for at, name in enumerate(job.carry)},
        skipped=sorted((one for part in parts for one in part.skipped), key=lambda one: one.row),
        dropped=[row for part in parts for row in part.dropped],
        cut=[row for part in parts for row in part.cut],
        fitted=[row for part in parts for row in part.fitted],
        unlearned=unlearned,
    )
