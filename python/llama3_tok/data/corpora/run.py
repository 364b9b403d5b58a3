"""A corpus from beginning to end, or from where an earlier run of the same job stopped."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from llama3_tok import arguments
from llama3_tok.about import __version__
from llama3_tok.data.corpora import engines, manifest, plan
from llama3_tok.data.corpora.encode import Progress, Target, scattered
from llama3_tok.data.corpora.job import Form, Job
from llama3_tok.data.corpora.manifest import (
    MANIFEST,
    PROGRESS,
    ManifestError,
    checked,
    committed,
    line_of,
    lines_of,
)
from llama3_tok.data.corpora.summary import Summary, of_counts, of_lines
from llama3_tok.data.places import File, Local, Place, place_of
from llama3_tok.data.sinks import FORMATS
from llama3_tok.errors import Llama3TokError
from llama3_tok.formats import whole_files
from llama3_tok.shared import given
from llama3_tok.tokenizer import Tokenizer

__all__ = ["corpus"]

_JOB, _FILES = "job.json", "files.jsonl"
_INDEX = "index.json"
_VERSION = 1
WAVE = 10_000
"""Sections that are planned at a time."""


def corpus(
    inputs: "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]",
    out: "str | os.PathLike[str]",
    *,
    format: str = "npy",
    tokenizer: Tokenizer | None = None,
    documents: Form = "file",
    separator: str = "",
    field: str | None = None,
    id_field: str | None = None,
    messages: bool = False,
    chats: Mapping[str, Any] | None = None,
    bos: bool = False,
    eos: bool = False,
    allowed_special: Literal["all"] | Iterable[str] | None = None,
    shard_tokens: int = 1 << 26,
    compression: Literal["zstd", "lz4", "none"] | None = None,
    pack: int | None = None,
    strategy: Literal["concatenate", "best-fit"] = "concatenate",
    shuffle: int | None = None,
    sample: float | None = None,
    splits: Mapping[str, float] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    engine: "Literal['threads', 'ray', 'spark'] | engines.Engine" = "threads",
    threads: int | None = None,
    progress: Callable[[int, int, int, int], object] | None = None,
) -> Summary:
    """Makes training files of text files, JSONL, Parquet or conversations.

    `inputs` are files, folders and patterns as `data/*.jsonl.zst`; `.gz` and `.zst` are unpacked,
    and hidden files are left out. Each file is a document, or with `documents="line"` each line
    that is not empty, or with "separator" what is between two `separator`. `field` is the text in
    each record of JSONL, or the column of Parquet; `a.b` is a field inside another. `id_field` is
    what records are called. With `messages` the records are conversations, and `chats` has options
    of `encode_chats`.

    The files are written to the folder `out`, in shards of about `shard_tokens` tokens: a shard is
    closed when it has as many. No document is in two shards. `format` is "npy", "megatron",
    "datatrove", "dolma", "mds", "litdata", "parquet" or "arrow"; docs/corpus.md has who reads what.
    `compression` is that of Parquet: "zstd" (the default, the smallest), "lz4" or "none" (the
    fastest).
    `pack` makes rows of that many tokens, as `llama3_tok.data.pack` with `strategy`. `shuffle` is
    the seed of an order of shards, and of documents within 16 MB of text. `sample` is the part of
    documents that is taken, and `splits` names parts that go to folders of their own, as
    `{"valid": 0.005}`: both by the SHA-256 of a document's first megabyte, so that equal documents
    go the same way.

    The same job, begun again after it was killed, goes on where it was, and the files are those of
    a run that was never interrupted, to the last byte: `out/manifest.jsonl` has their hashes. Done
    again, it does nothing. `engine` runs it on this machine's processors, or on those of a cluster
    that Ray or Spark knows: the files are the same. Memory does not depend on the size of the
    input. `progress` is called with the bytes done, all bytes, tokens and documents.

    Raises ManifestError for a folder that has another corpus, InputError for a file that can't be
    read as it should be or was changed meanwhile, with its line, OSError, and as
    `Tokenizer.encode`. What is finished stays.
    """
    for name, flag in (("messages", messages), ("bos", bos), ("eos", eos)):
        arguments.flag(flag, name)
    tokenizer = given(tokenizer)
    names = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    given_inputs = [place_of(os.fspath(name)) for name in names]
    if len({type(at) for at, _ in given_inputs}) > 1:
        raise Llama3TokError("inputs are on this machine's disks and in a store; give one kind")
    place, folder = place_of(os.fspath(out))
    allowed = allowed_special if allowed_special == "all" else tuple(sorted(allowed_special or ()))
    arguments.choice(format, "format", tuple(FORMATS))
    if compression is not None:
        choices = FORMATS[format].sink.compressions
        if not choices:
            raise ValueError(f'compression= is for format="parquet", not {format!r}')
        arguments.choice(compression, "compression", choices)
    job = Job(
        inputs=tuple(path for _, path in given_inputs),
        format=format,
        sha256=tokenizer.definition.sha256,
        documents=documents,
        separator=separator,
        field=field,
        id_field=id_field,
        messages=messages,
        chats=dict(chats or {}),
        bos=bos,
        eos=eos,
        allowed_special=allowed,
        shard_tokens=arguments.count(shard_tokens, "shard_tokens", 1),
        compression=compression,
        pack=pack,
        strategy=strategy,
        shuffle=shuffle,
        sample=sample,
        splits=tuple((splits or {}).items()),
        on_error=on_error,
    )
    sink = FORMATS[format].sink
    if job.shard_tokens > sink.max_tokens:
        raise ValueError(f"a shard of the format {format} has at most {sink.max_tokens:,} tokens")
    if job.bos:
        tokenizer.count("", bos=True)  # raises where there is no such token
    if job.eos:
        tokenizer.count("", eos=True)
    target = Target(job, tokenizer, given_inputs[0][0], place, folder)
    place.make_folder(folder)
    with _locked(place, folder):
        summary = _done(target)
        if summary is not None:
            return summary
        files = _begin(target)
        numbers = _numbers(target, files)
        count = _work(target, files, numbers, engine, arguments.threads(threads), progress)
        return _end(target, files, count, numbers)


@contextmanager
def _locked(place: Place, folder: str) -> Iterator[None]:
    """Keeps a second run out of a folder on this machine's disks, where the system has locks."""
    if not isinstance(place, Local):
        yield
        return
    with whole_files.locked(folder) as is_free:
        if not is_free:
            raise ManifestError(f"{folder}: another process is writing this corpus", folder)
        yield


# The beginning


def _header(target: Target, files: Sequence[File]) -> dict[str, Any]:
    """The first line of the manifest: what the bytes of a corpus depend on."""
    digest = _sha256(_listed(files))
    return {
        "kind": "job",
        "version": _VERSION,
        "llama3_tok": __version__,
        "profile": target.tokenizer.profile,
        "libraries": FORMATS[target.job.format].sink.libraries(),
        "job": target.job.as_json(),
        "input": {
            "files": len(files),
            "bytes": sum(file.size for file in files),
            "sha256": digest,
        },
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _listed(files: Iterable[File]) -> bytes:
    return b"".join(line_of({"path": f.path, "bytes": f.size, "changed": f.changed}) for f in files)


def _done(target: Target) -> Summary | None:
    """What a finished corpus has; None if it is not finished."""
    try:
        lines = lines_of(target.place, target.folder)
        header = next(lines)
    except FileNotFoundError:
        return None
    _check_same(target, header)
    summary = of_lines(target.folder, header, lines, is_new=False)
    # A run may have been killed between the manifest and this.
    target.place.remove_folder(os.path.join(target.folder, PROGRESS))
    return summary


def _begin(target: Target) -> list[File]:
    """Notes what is to be done, or finds that it was begun; gives the files of the input."""
    place, folder = target.place, os.path.join(target.folder, PROGRESS)
    # What was written may be in a folder that is read.
    written = os.path.join(target.folder, "")
    files = plan.files_of(target.job, target.inputs)
    files = [file for file in files if not file.path.startswith(written)]
    for file in files:
        target.job.kind_of(file.path)
    header = _header(target, files)
    try:
        begun = checked(place.read(os.path.join(folder, _JOB)))
    except FileNotFoundError:
        begun = None
    if begun is None:
        known = {PROGRESS}
        others = [name for name in place.names(target.folder) if name not in known]
        others = [name for name in others if not name.startswith(".")]
        if others:
            raise ManifestError(
                f"{target.folder}: there is something else in this folder, as {others[0]}; a "
                "corpus needs one of its own",
                target.folder,
            )
        place.make_folder(folder)
        place.write(os.path.join(folder, _FILES), _listed(files))
        place.write(os.path.join(folder, _JOB), line_of(header))
    else:
        _check_same(target, begun)
        if begun["input"] != header["input"]:
            _refuse_changed(place.read(os.path.join(folder, _FILES)), files)
        _remove_drafts(target)
    for split in _splits(target.job):
        place.make_folder(target.folder_of(split))
    return files


def _splits(job: Job) -> list[str]:
    return ["train", *(name for name, _ in job.splits)]


def _remove_drafts(target: Target) -> None:
    """Removes what a killed run was writing."""
    for name in target.place.names(target.folder):
        if name.startswith(".drafts-"):
            target.place.remove_folder(os.path.join(target.folder, name))


def _check_same(target: Target, header: Mapping[str, Any]) -> None:
    """Raises ManifestError if a folder has the corpus of another job."""
    wanted = _header(target, ())
    for name, value in wanted["job"].items():
        if header["job"].get(name) != value:
            raise ManifestError(
                f"{target.folder}: the corpus in this folder has "
                f"{name}={header['job'].get(name)!r}, and you ask for {name}={value!r}; take "
                "another folder",
                target.folder,
            )
    for name in ("version", "llama3_tok", "profile", "libraries"):
        if header[name] != wanted[name]:
            raise ManifestError(
                f"{target.folder}: this corpus was begun with {name} {header[name]}, and this is "
                f"{wanted[name]}; go on with the former, or take another folder",
                target.folder,
            )


def _refuse_changed(before: bytes, files: Sequence[File]) -> None:
    old = {}
    for line in before.splitlines(keepends=True):
        content = checked(line)
        if content is not None:
            old[content["path"]] = (content["bytes"], content["changed"])
    new = {file.path: (file.size, file.changed) for file in files}
    names = [path for path in [*old, *new] if old.get(path) != new.get(path)]
    path = names[0] if names else "the input"
    what = "is new" if path not in old else "is gone" if path not in new else "was changed"
    raise ManifestError(
        f"{path} {what} since this corpus was begun; put it back as it was, or take another folder",
        path,
    )


# The middle


def _numbers(target: Target, files: Sequence[File]) -> npt.NDArray[np.int64] | None:
    """The number of the shards of each section if there is a seed; else it is the section's."""
    seed = target.job.shuffle
    if seed is None:
        return None
    count = sum(1 for _ in plan.sections(target.job, files, target.inputs))
    order = np.argsort(scattered(count, seed), kind="stable")
    numbers = np.empty(count, np.int64)
    numbers[order] = np.arange(count)
    return numbers


def _work(
    target: Target,
    files: Sequence[File],
    numbers: npt.NDArray[np.int64] | None,
    engine: "str | engines.Engine",
    threads: int,
    progress: Callable[[int, int, int, int], object] | None,
) -> int:
    """Does what is not done, a wave of sections at a time; gives how many sections there are."""
    run = engines.engine(engine)
    begun = manifest.begun(target.place, target.folder)
    done, total = 0, sum(file.size for file in files)
    tokens = documents = count = 0

    def report(more: Progress) -> None:
        nonlocal done, tokens, documents
        done += more.stored_bytes
        tokens += more.tokens
        documents += more.documents
        if progress is not None:
            progress(min(done, total), total, tokens, documents)

    sections = plan.sections(target.job, files, target.inputs)
    while wave := list(islice(sections, WAVE)):
        left: list[engines.Task] = []
        for section in wave:
            count += 1
            commits = []
            at = int(np.searchsorted(begun, section.number))
            if at < len(begun) and begun[at] == section.number:
                commits = committed(target.place, target.folder, section.number)
            for commit in commits:
                tokens += commit.counts["tokens"]
                documents += commit.counts["documents"]
            if commits and commits[-1].next is None:
                done += section.stored_bytes
            else:
                number = section.number if numbers is None else int(numbers[section.number])
                left.append(engines.Task(section, number))
        run(target, left, threads, report)
    return count


# The end


def _end(
    target: Target, files: Sequence[File], count: int, numbers: npt.NDArray[np.int64] | None
) -> Summary:
    """Makes the manifest of all commits, and removes them."""
    place, folder = target.place, target.folder
    header = _header(target, files)
    total = Counter[str]()
    faults: list[str] = []
    shards: dict[str, list[dict[str, Any]]] = {split: [] for split in _splits(target.job)}
    form = FORMATS[target.job.format]
    drafts = place.drafts(folder)
    draft = os.path.join(drafts, MANIFEST)
    with open(draft, "wb") as file:
        file.write(line_of(header))
        for at in range(count) if numbers is None else map(int, np.argsort(numbers)):
            commits = committed(place, folder, at)
            if not commits or commits[-1].next is not None:
                raise ManifestError(f"{folder}: section {at} of the input was not finished", folder)
            for commit in commits:
                total.update(commit.counts)
                faults += commit.faults[: 100 - len(faults)]
                for shard in commit.shards:
                    file.write(line_of({"kind": "shard"} | shard))
                    if form.listed is not None:
                        shards[shard["split"]].append(shard)
                    total["shards"] += 1
        index = {}
        if form.listed is not None:
            for split, shards_of_split in shards.items():
                if shards_of_split or split == "train":
                    path = os.path.join(target.folder_of(split), _INDEX)
                    data = form.listed(
                        shards_of_split, bool(total["learned"]) or target.job.messages
                    )
                    place.write(path, data)
                    name = os.path.relpath(path, folder)
                    index[name] = {"bytes": len(data), "sha256": _sha256(data)}
        end = {
            "kind": "end",
            "counts": dict(sorted(total.items())),
            "faults": faults,
            "index": index,
        }
        file.write(line_of(end))
    place.put(draft, os.path.join(folder, MANIFEST))
    os.rmdir(drafts)
    _remove_drafts(target)  # of workers that were killed
    place.remove_folder(os.path.join(folder, PROGRESS))
    return of_counts(folder, header, end, is_new=True)


# What was written
