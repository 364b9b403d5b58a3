"""`parity`: items, references with their files, and facts are made ready; then the run."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from llama3_tok import arguments
from llama3_tok.about import META_SHA256, PATTERN, UNICODE_VERSION, __version__, cpu_count
from llama3_tok.errors import Llama3TokError, VocabularyError
from llama3_tok.report.battery import battery
from llama3_tok.report.client import Client, Limits, Unusable
from llama3_tok.report.engine import Asked, Run
from llama3_tok.report.items import Inputs, Item
from llama3_tok.report.outcome import ReferenceOutcome
from llama3_tok.report.parity_report import Parity
from llama3_tok.report.references import KNOWN, Reference, absent, by_name, by_path
from llama3_tok.tokenizer import FilePath, Text, Tokenizer

__all__ = ["parity"]


def parity(
    paths: Iterable[FilePath] = (),
    *,
    texts: Iterable[Text] = (),
    field: str | None = None,
    chat: bool = False,
    references: Iterable[str] | None = None,
    against: Iterable[FilePath] = (),
    template: str | None = None,
    tokenizer: Tokenizer | None = None,
    seed: int = 0,
    seconds: float = 60.0,
    memory: int = 4 << 30,
    command: str | None = None,
    progress: Callable[[int, int | None], object] | None = None,
) -> Parity:
    """Compares the ids of texts with those that references give, each in a process of its own.

    `paths` are files and folders, read as `count_files` reads them; with `field` they are JSONL,
    each record's field being a text, or with `chat` a conversation (a list of messages; the default
    field is then "messages"). `texts` are compared as well. Without either a built-in battery is:
    tokens that merging never gives, contractions, white space, digits, scripts, emoji, long runs,
    special tokens (and others that a folder adds), conversations, and 2,000 random strings made
    from `seed`. A file of more than 8 MiB is cut where the pattern always cuts.

    `references` are names: "tiktoken", "tokenizers", "meta" (the class of llama-models),
    "transformers" (conversations, by `apply_chat_template` with our template, or with `template`;
    for the tokenizer of a folder also texts, all as `AutoTokenizer` of the folder has them),
    or "MODULE:NAME" for a function from `str` to ids. The default is the first four, as far as they
    are installed. `against` are files to compare with: a `tokenizer.json` or a rank file.

    A reference may take `seconds` and `memory` bytes for one item. If it hangs, takes more, raises
    or dies, that is one of its `failures`, and the next item goes to it all the same. Where ids
    differ the item is shrunk to a small text, known causes are tried by experiment, and all
    references vote. `command` is noted in the report. `progress` gets the bytes read and, if that
    is known, of how many.

    Raises OSError and InputError for files that can't be read, and Llama3TokError for references
    that are named but can't be used.

    >>> from llama3_tok.report import parity
    >>> report = parity(texts=["Hello world", " Việt"], references=["tiktoken"])
    >>> report.ok, report.verdict
    (True, '2 comparisons; all equal')
    """
    arguments.flag(chat, "chat")
    tokenizer = Tokenizer() if tokenizer is None else tokenizer
    inputs = Inputs(tokenizer, [os.fsdecode(path) for path in paths], field=field, chat=chat)
    given = list(_texts(texts))
    uses_battery = not inputs and not given
    made = list(battery(tokenizer, seed)) if uses_battery else given
    # Of files what is stored counts, which is known beforehand.
    total = inputs.size if inputs else 0
    if total is not None:
        total += sum(len(item.text) for item in made)
    if progress is not None:
        progress(0, total)
    names = list(KNOWN) if references is None else list(dict.fromkeys(references))
    wanted = [_fitting(by_name(name), tokenizer) for name in names]
    for path in against:
        one = by_path(os.fsdecode(path))
        same = sum(other.name.startswith(one.name) for other in wanted)
        wanted.append(one._replace(name=f"{one.name} ({same + 1})") if same else one)
    required = {one for one in wanted if references is not None or one.path is not None}
    kinds = {"text", "chat"} if uses_battery else {"chat" if inputs and chat else "text"}
    if given:
        kinds.add("text")
    limits = Limits(seconds, memory)
    with tempfile.TemporaryDirectory(prefix="llama3-tok-") as folder:
        shared = _shared(tokenizer, folder, template, wanted)
        asked: list[Asked] = []
        try:
            for reference in wanted:
                is_required = reference in required
                asked.append(_asked(reference, shared, limits, kinds, is_required))
            run = Run(tokenizer, asked)
            done = 0
            for item in chain(inputs, made):
                run.compare(item)
                done += len(item.text) if inputs.is_read else 0
                if progress is not None:
                    progress(inputs.read + done, total)
        finally:
            for part in asked:
                part.close()
    facts = _facts(tokenizer, seed if uses_battery else None, template, limits, command)
    return Parity(facts, inputs.inputs, run.outcome, [part.outcome for part in asked])


def _texts(texts: Iterable[Text]) -> Iterator[Item]:
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be a sequence, not one {type(texts).__name__}")
    for number, text in enumerate(texts):
        yield Item(f"texts[{number}]", "texts", arguments.utf8(text, f"texts[{number}]"))


def _fitting(reference: Reference, tokenizer: Tokenizer) -> Reference:
    """A reference with what it can be asked for where the tokenizer is a folder's."""
    folder = tokenizer.folder
    if folder is None:
        return reference
    if reference.kind == "transformers":
        return reference._replace(
            items=frozenset({"text", "chat"} if folder.templates else {"text"})
        )
    # The class of llama-models has the format of Meta alone.
    return (
        reference
        if tokenizer.chat_profile
        else reference._replace(items=reference.items - {"chat"})
    )


def _shared(
    tokenizer: Tokenizer, folder: str, template: str | None, wanted: Iterable[Reference]
) -> dict[str, Any]:
    """The tokenizer as the libraries load it: files in `folder`, and what is beside them."""
    from llama3_tok.formats.save import rank_file, tokenizer_json
    from llama3_tok.profiles import chat_template

    rank_path = os.path.join(folder, "tokenizer.model")
    rank_file(tokenizer.definition).write(rank_path)
    json_path = _own_json(tokenizer)
    # Writing one takes longer than loading it: only for those who have no other file.
    if json_path is None and any(
        one.kind in ("tokenizers", "transformers") and one.path is None for one in wanted
    ):
        json_path = os.path.join(folder, "tokenizer.json")
        tokenizer_json(tokenizer.definition).write(json_path)
    whole = None
    if tokenizer.folder is not None and any(one.kind == "transformers" for one in wanted):
        whole = _own_folder(tokenizer)
        if whole is None:
            whole = os.path.join(folder, "folder")
            tokenizer.save(whole)
    if template is None and tokenizer.folder is None:
        template = chat_template(tokenizer.profile)
    return {
        "rank_file": rank_path,
        "tokenizer_json": json_path,
        "folder": whole,
        "pattern": PATTERN,
        "special_tokens": tokenizer.special_tokens,
        "template": template,
    }


def _own_json(tokenizer: Tokenizer) -> str | None:
    """The user's own `tokenizer.json`, unless other files say more than it of added tokens."""
    import json

    from llama3_tok.formats.hugging_face import added_token

    with open(tokenizer.vocabulary, "rb") as file:
        if file.read(64).lstrip()[:1] != b"{":
            return None
        if tokenizer.folder is None:
            return tokenizer.vocabulary
        file.seek(0)
        value = json.load(file)
    ours = map(added_token, tokenizer.added_tokens.values())
    return tokenizer.vocabulary if value.get("added_tokens") == list(ours) else None


def _own_folder(tokenizer: Tokenizer) -> str | None:
    """The user's own folder, unless the tokenizer has been given other tokens since."""
    folder = os.path.dirname(tokenizer.vocabulary)
    if os.path.basename(folder) == "original":
        folder = os.path.dirname(folder)
    if not os.path.isfile(os.path.join(folder, "tokenizer.json")):
        return None
    try:
        is_same = Tokenizer(folder).folder == tokenizer.folder
    except VocabularyError:  # it has changed, and is not to be hidden by what it was
        is_same = True
    return folder if is_same else None


def _asked(
    reference: Reference,
    shared: dict[str, Any],
    limits: Limits,
    kinds: set[str],
    is_required: bool,
) -> Asked:
    """A reference, its process started. Raises Llama3TokError if it is required and can't be."""
    name, version = reference.name, reference.version
    outcome = ReferenceOutcome(name, version, named=is_required, sha256=reference.sha256)
    if hint := absent(reference):
        outcome.status, outcome.reason = "absent", hint
    elif not kinds & reference.items:
        takes = " and ".join(sorted(reference.items)).replace("chat", "conversations")
        outcome.status, outcome.reason = "nothing to compare", f"it is for {takes}"
    else:
        client = Client({"kind": reference.kind, "path": reference.path, **shared}, limits)
        try:
            outcome.load_seconds = client.load_seconds
            return Asked(reference, client, outcome)
        except Unusable as error:
            client.close()
            outcome.status, outcome.reason = "unusable", str(error)
        except BaseException:
            client.close()
            raise
    if is_required:
        raise Llama3TokError(f"reference {reference.name}: {outcome.status}, {outcome.reason}")
    return Asked(reference, None, outcome)


def _facts(
    tokenizer: Tokenizer,
    seed: int | None,
    template: str | None,
    limits: Limits,
    command: str | None,
) -> dict[str, str | int | float | None]:
    import hashlib

    is_meta = tokenizer.vocabulary_sha256 == META_SHA256
    given = None if template is None else hashlib.sha256(template.encode()).hexdigest()
    return {
        "llama3_tok": __version__,
        "unicode": UNICODE_VERSION,
        "profile": tokenizer.profile,
        "vocabulary": "Meta's rank file" if is_meta else "not Meta's rank file",
        "vocabulary_sha256": tokenizer.vocabulary_sha256,
        "ids": tokenizer.vocab_size,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": cpu_count(),
        "seed": seed,
        "template_sha256": given,
        "seconds_per_item": limits.seconds,
        "memory_per_reference": limits.memory,
        "command": command,
    }
