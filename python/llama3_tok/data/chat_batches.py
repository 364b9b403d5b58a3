"""Conversations batch by batch: prepared for the core, and encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from llama3_tok import _core
from llama3_tok.chat import conversations as chat
from llama3_tok.chat.messages import ChatOptions, Format
from llama3_tok.data import rows as reading
from llama3_tok.data.encoded_chats import Skipped
from llama3_tok.data.rows import Form, Learn, Row
from llama3_tok.data.sources import Batch, Line, parsed
from llama3_tok.definition import Definition
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import np, npt

if TYPE_CHECKING:
    from llama3_tok._core import CoreParts

__all__ = [
    "Encoded",
    "Job",
    "Overflow",
    "Prepared",
    "encode",
    "options_of",
    "prepared",
    "skipped_row",
]

Overflow: TypeAlias = Literal["error", "drop", "cut", "fit"]


@dataclass
class Job:
    """What the batches of one call have in common."""

    definition: Definition
    options: ChatOptions
    format: Format | None
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
class Prepared:
    """Conversations that are ready for the core, and what becomes of the others."""

    rows: list[int] = field(default_factory=list)
    lines: list[int | None] = field(default_factory=list)
    read: list[Row] = field(default_factory=list)
    keep: list[list[bool] | None] = field(default_factory=list)
    chats: "list[CoreParts]" = field(default_factory=list)
    carried: list[list[Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass
class Encoded:
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


def prepared(job: Job, rows: Batch, first: int) -> Prepared:
    """Reads and checks a batch, whose first row has the number `first`."""
    batch = Prepared()
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
            batch.skipped.append(skipped_row(row, line, error))
            continue
        batch.rows.append(row)
        batch.lines.append(line)
        batch.read.append(read)
        batch.keep.append(keep)
        if job.carry:
            has = value if isinstance(value, Mapping) else {}
            batch.carried.append([has.get(name) for name in job.carry])
    return batch


def skipped_row(row: int, line: int | None, error: ChatFormatError) -> Skipped:
    """The entry of a row that can't be encoded."""
    return Skipped(row, line, error.without_row, error.in_row(row))


def encode(job: Job, batch: Prepared) -> Encoded:
    """Encodes what is ready, and lists what can't be encoded as skipped."""
    return _by_core(job, batch, job.format) if job.format else _by_template(job, batch)


def _without(batch: Prepared, failed: set[int]) -> None:
    """Leaves out conversations, by their index in the batch."""
    for name in ("rows", "lines", "read", "keep", "chats", "carried"):
        values = getattr(batch, name)
        if values:
            setattr(batch, name, [one for at, one in enumerate(values) if at not in failed])


def _by_core(job: Job, batch: Prepared, format: Format) -> Encoded:
    """By the core, in the format of a release."""
    import numpy as np

    wants_mask = job.masks and job.learn != "all"
    ids, mask, offsets, ends, errors = _core.encode_chats(
        job.definition.core, format.written, batch.chats, wants_mask, job.threads
    )
    sizes = np.diff(offsets)
    for at, error in errors:
        fault = cast(ChatFormatError, error)
        batch.skipped.append(skipped_row(batch.rows[at], batch.lines[at], fault))
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
    return Encoded(ids, mask, sizes, batch.rows, batch.carried, batch.skipped, batch.lines)


def _by_template(job: Job, batch: Prepared) -> Encoded:
    """By a chat template that is run, one conversation after the other."""
    import numpy as np

    ids, masks, failed = [], [], set()
    for at, (read, keep) in enumerate(zip(batch.read, batch.keep, strict=True)):
        try:
            found, mask = _one(job, read, keep)
        except ChatFormatError as error:
            batch.skipped.append(skipped_row(batch.rows[at], batch.lines[at], error))
            failed.add(at)
            continue
        ids.append(found)
        masks.append(mask)
    _without(batch, failed)
    return Encoded(
        ids=np.concatenate([np.empty(0, np.uint32), *ids]),
        mask=np.concatenate([np.empty(0, np.uint8), *masks]),
        sizes=np.array([len(one) for one in ids], np.int64),
        rows=batch.rows,
        carried=batch.carried,
        skipped=batch.skipped,
        lines=batch.lines,
    )


def _one(
    job: Job, read: Row, keep: list[bool] | None
) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]":
    """One conversation by a template."""
    import numpy as np

    options = options_of(job, read)
    if not job.masks:
        ids = chat.encode_array(job.definition, read.messages, options, "encode_chats")
        return ids, np.empty(0, np.uint8)
    learns_all = job.learn == "all"
    return chat.encode_learned(job.definition, read.messages, options, learns_all, keep)


def options_of(job: Job, read: Row) -> ChatOptions:
    """The options of a call for one conversation."""
    options = job.options.copy()
    if read.tools is not None:
        options["tools"] = read.tools
    if read.documents is not None:
        options["documents"] = read.documents
    return options
