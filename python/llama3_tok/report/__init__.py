"""Reports: evidence about ids that people can look at.

`parity` compares ids with those of other tokenizers. What it needs beyond the core is in the extra
`report`; a reference that is not installed is a line of the report.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.report.outcome import Parity
    from llama3_tok.tokenizer import FilePath, Text, Tokenizer

__all__ = ["parity"]


def parity(
    paths: "Iterable[FilePath]" = (),
    *,
    texts: "Iterable[Text]" = (),
    field: str | None = None,
    chat: bool = False,
    references: Iterable[str] | None = None,
    against: "Iterable[FilePath]" = (),
    template: str | None = None,
    tokenizer: "Tokenizer | None" = None,
    seed: int = 0,
    seconds: float = 60.0,
    memory: int = 4 << 30,
    command: str | None = None,
    progress: Callable[[int, int | None], object] | None = None,
) -> "Parity":
    """Compares the ids of texts with those that references give, each in a process of its own.

    `paths` are files and folders, read as `count_files` reads them; with `field` they are JSONL,
    each record's field being a text, or with `chat` a conversation (a list of messages; the default
    field is then "messages"). `texts` are compared as well. Without either a built-in battery is:
    tokens that merging never gives, contractions, white space, digits, scripts, emoji, long runs,
    special tokens, conversations, and 2,000 random strings made from `seed`. A file of more than 8
    MiB is cut where the pattern always cuts.

    `references` are names: "tiktoken", "tokenizers", "meta" (the class of llama-models),
    "transformers" (conversations, by `apply_chat_template` with our template, or with `template`),
    or "MODULE:NAME" for a function from `str` to ids. The default is the first four, as far as they
    are installed. `against` are files to compare with: a `tokenizer.json` or a rank file.

    A reference may take `seconds` and `memory` bytes for one item. If it hangs, takes more, raises
    or dies, that is one of its `failures`, and the next item goes to it all the same. Where ids
    differ the item is shrunk to a small text, known causes are tried by experiment, and all
    references vote. `command` is noted in the report. `progress` gets the bytes read and, if that is
    known, of how many.

    Raises OSError and InputError for files that can't be read, and Llama3TokError for references
    that are named but can't be used.

    >>> report = llama3_tok.report.parity(texts=["Hello world", " Việt"], references=["tiktoken"])
    >>> report.ok, report.verdict
    (True, '2 comparisons; all equal')
    """
    from llama3_tok.report.start import start

    return start(
        paths,
        texts=texts,
        field=field,
        chat=chat,
        references=references,
        against=against,
        template=template,
        tokenizer=tokenizer,
        seed=seed,
        seconds=seconds,
        memory=memory,
        command=command,
        progress=progress,
    )
