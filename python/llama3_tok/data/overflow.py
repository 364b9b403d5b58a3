"""Conversations that are longer than `max_tokens`: left out, cut, or without their oldest turns."""

from typing import TYPE_CHECKING

from llama3_tok.chat import conversations as chat
from llama3_tok.data.chat_batches import Encoded, Job, Prepared, encode, options_of, skipped_row
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import np, npt

if TYPE_CHECKING:
    pass

__all__ = ["shortened"]


def shortened(job: Job, batch: Prepared, part: Encoded, most: int) -> Encoded:
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
                skipped_row(batch.rows[at], batch.lines[at], _too_long(part, at, most))
            )
    dropped = rows if job.overflow == "drop" else []
    return _kept(part, part.sizes, set(long), dropped=dropped)


def _too_long(part: Encoded, at: int, most: int) -> ChatFormatError:
    reason = (
        f"the conversation has {part.sizes[at]:,} tokens, more than {most:,}; "
        'overflow="drop", "cut" or "fit" takes the others'
    )
    return ChatFormatError(reason, None, "max_tokens")


def _kept(
    part: Encoded, sizes: "npt.NDArray[np.int64]", without: set[int] | None, **rows: list[int]
) -> Encoded:
    """The first `sizes` ids of each conversation, `without` some."""
    import numpy as np

    ends = np.cumsum(part.sizes)
    left = [at for at in range(len(sizes)) if without is None or at not in without]
    places = [
        slice(int(ends[at] - part.sizes[at]), int(ends[at] - part.sizes[at] + sizes[at]))
        for at in left
    ]
    mask = part.mask
    return Encoded(
        ids=np.concatenate([part.ids[:0], *(part.ids[place] for place in places)]),
        mask=np.concatenate([mask[:0], *(mask[place] for place in places)]),
        sizes=sizes[left],
        rows=[part.rows[at] for at in left],
        carried=[part.carried[at] for at in left] if part.carried else [],
        skipped=part.skipped,
        **rows,
    )


def _fitted(job: Job, batch: Prepared, part: Encoded, long: list[int], most: int) -> Encoded:
    """With the conversations that are too long less their oldest turns."""
    import numpy as np

    shorter = Prepared(skipped=batch.skipped)
    failed: set[int] = set()
    for at in long:
        read, keep = batch.read[at], batch.keep[at]
        try:
            options = options_of(job, read)
            fitted = chat.fitted(job.definition, read.messages, most, 0, options)
        except ChatFormatError as error:
            batch.skipped.append(skipped_row(batch.rows[at], batch.lines[at], error))
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
    made = encode(job, shorter)
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
    return Encoded(
        ids=np.concatenate(ids),
        mask=np.concatenate(new_masks),
        sizes=np.array([len(one) for one in ids[1:]], np.int64),
        rows=[part.rows[at] for at in left_at],
        carried=[part.carried[at] for at in left_at] if part.carried else [],
        skipped=part.skipped,
        fitted=made.rows,
    )
