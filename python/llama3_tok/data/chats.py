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

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NoReturn, TypeAlias, Unpack, cast

from llama3_tok import arguments
from llama3_tok.arguments import FilePath
from llama3_tok.chat import conversations as chat
from llama3_tok.chat.messages import ChatOptions, several
from llama3_tok.data import rows as reading
from llama3_tok.data.chat_batches import Encoded, Job, Overflow, Prepared, encode, prepared
from llama3_tok.data.encoded_chats import CountedChats, EncodedChats, Skipped
from llama3_tok.data.overflow import shortened
from llama3_tok.data.rows import Form, Learn
from llama3_tok.data.sources import Batch, batches
from llama3_tok.errors import InputError
from llama3_tok.text.ragged import Ragged
from llama3_tok.tokenizer import Tokenizer

__all__ = ["OnError", "count_chats", "encode_chats"]

OnError: TypeAlias = Literal["stop", "skip"]


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
) -> Job:
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
    job = Job(
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


def _given(job: Job, conversations: object) -> Iterator[Batch]:
    return batches(conversations, job.definition.core, job.path)


def _encoded(job: Job, given: Iterator[Batch]) -> Iterator[Encoded]:
    """The batches, each encoded while the next is prepared.

    The core works on the calling thread, which signals like Ctrl-C reach.
    """
    first, ready = 0, None
    with ThreadPoolExecutor(1, "llama3_tok-chats") as other:  # which starts with its first task
        for rows in given:
            if ready is None or job.threads == 1:
                if ready is not None:
                    yield _encode(job, ready)
                ready = prepared(job, rows, first)
            else:
                ahead = other.submit(prepared, job, rows, first)
                yield _encode(job, ready)
                ready = ahead.result()
            first += len(rows)
        if ready is not None:
            yield _encode(job, ready)


def _stop(job: Job, skipped: list[Skipped]) -> NoReturn:
    """Raises for the first row that could not be encoded."""
    first = min(skipped, key=lambda one: one.row)
    if job.path is None:
        raise first.error
    message = f"{job.path}, line {first.line}: {first.reason}"
    raise InputError(message, job.path, first.line, first.reason) from first.error


def _encode(job: Job, batch: Prepared) -> Encoded:
    part = encode(job, batch)
    if job.max_tokens is not None:
        part = shortened(job, batch, part, job.max_tokens)
    if part.skipped and job.stops:
        _stop(job, part.skipped)
    return part


def _joined(job: Job, parts: list[Encoded]) -> EncodedChats:
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
