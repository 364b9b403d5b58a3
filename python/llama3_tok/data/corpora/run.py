"""A corpus from beginning to end, or from where an earlier run of the same job stopped."""

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar

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
    of_file,
)
from llama3_tok.data.places import File, Local, Place, place_of
from llama3_tok.data.sinks import FORMATS, Document, Format, Shard
from llama3_tok.errors import Llama3TokError
from llama3_tok.formats import whole_files
from llama3_tok.shared import given
from llama3_tok.tokenizer import Tokenizer

__all__ = ["Found", "Summary", "corpus", "inspect", "verify"]

_JOB, _FILES = "job.json", "files.jsonl"
_INDEX = "index.json"
_VERSION = 1
WAVE = 10_000
"""Sections that are planned at a time."""
_LENGTH = "length_"
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Summary:
    """What a corpus has.

    `bytes` are those of the text that was encoded. `lengths` are how many documents have 1 token,
    2 or 3, 4 to 7 and so on, by the least number. `counts` has what else was counted: `skipped`
    records with faults, `left_out` documents that were not in the sample, and of conversations
    `learned` tokens, `without_answer`, `dropped`, `cut` and `fitted` ones.
    """

    folder: str
    format: str
    shards: int
    documents: int
    tokens: int
    bytes: int
    lengths: Mapping[int, int]
    counts: Mapping[str, int]
    faults: Sequence[str] = ()
    is_new: bool = True
    """Whether this run made anything of it."""

    @property
    def bytes_per_token(self) -> float | None:
        """None without tokens."""
        return self.bytes / self.tokens if self.tokens and self.bytes else None


class Found(NamedTuple):
    """A document of a corpus: its ids, its mask where there is one, and where it is."""

    ids: npt.NDArray[np.uint32]
    mask: npt.NDArray[np.uint8] | None
    shard: str
    number: int
    """Its number in the shard, from 0."""


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
        pack=pack,
        strategy=strategy,
        shuffle=shuffle,
        sample=sample,
        splits=tuple((splits or {}).items()),
        on_error=on_error,
    )
    most = FORMATS[format].sink.max_tokens
    if job.shard_tokens > most:
        raise ValueError(f"a shard of the format {format} has at most {most:,} tokens")
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
    summary = _summary(target.folder, header, lines, is_new=False)
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
    return _of_counts(folder, header, end, is_new=True)


def _summary(
    folder: str, header: Mapping[str, Any], lines: Iterator[Mapping[str, Any]], *, is_new: bool
) -> Summary:
    end: Mapping[str, Any] = {}
    for line in lines:
        end = line
    return _of_counts(folder, header, end, is_new=is_new)


def _of_counts(
    folder: str, header: Mapping[str, Any], end: Mapping[str, Any], *, is_new: bool
) -> Summary:
    counts = dict(end["counts"])
    lengths = {
        1 << int(name.removeprefix(_LENGTH)) - 1 if int(name.removeprefix(_LENGTH)) else 0: count
        for name, count in counts.items()
        if name.startswith(_LENGTH)
    }
    main = {name: counts.pop(name, 0) for name in ("shards", "documents", "tokens", "bytes")}
    others = {name: n for name, n in counts.items() if n and not name.startswith(_LENGTH)}
    return Summary(
        folder=folder,
        format=header["job"]["format"],
        **main,
        lengths=lengths,
        counts=others,
        faults=tuple(end["faults"]),
        is_new=is_new,
    )


# What was written


def verify(
    folder: "str | os.PathLike[str]",
    *,
    progress: Callable[[int, int, int, int], object] | None = None,
) -> Summary:
    """Reads all files of a corpus again, and compares them with its manifest.

    Each file has the size and the SHA-256 that are noted, and the shard's own index says as many
    tokens and documents; no file is missing, and none is there besides. `progress` as in `corpus`.

    Raises ManifestError for the first that is wrong, and FileNotFoundError without a manifest.
    """
    place, folder = place_of(os.fspath(folder))
    header, shards, end = _read(place, folder)
    job = header["job"]
    form = _format_of(folder, header)
    total = sum(file["bytes"] for shard in shards for file in shard["files"].values())
    expected = {MANIFEST, *end["index"]}
    counts = Counter[str]()
    for shard in shards:
        at = os.path.join(folder, shard["split"]) if job["splits"] else folder
        for name, noted in shard["files"].items():
            path = os.path.join(at, name)
            expected.add(os.path.relpath(path, folder))
            with _reading(place, path) as local:
                found = of_file(local)
            if found != noted:
                raise ManifestError(
                    f"{path}: it has {found['bytes']:,} bytes with SHA-256 {found['sha256']}, and "
                    f"the manifest says {noted['bytes']:,} with {noted['sha256']}",
                    path,
                )
            counts["done"] += noted["bytes"]
        if isinstance(place, Local):
            said = _of_files(Shard(at, shard["name"], _has_mask(shard)), form.tokens)
            if said != (shard["tokens"], shard["documents"]):
                raise ManifestError(
                    f"{at}/{shard['name']}: its files have {said[0]:,} tokens in {said[1]:,} "
                    f"documents, and the manifest says {shard['tokens']:,} in "
                    f"{shard['documents']:,}",
                    at,
                )
        counts["tokens"] += shard["tokens"]
        counts["documents"] += shard["documents"]
        if progress is not None:
            progress(counts["done"], total, counts["tokens"], counts["documents"])
    for name, noted in end["index"].items():
        with _reading(place, os.path.join(folder, name)) as local:
            if of_file(local) != noted:
                raise ManifestError(f"{folder}/{name}: it is not as it was written", name)
    for found_file in place.files(folder):
        name = os.path.relpath(found_file.path, folder)
        if name not in expected:
            raise ManifestError(f"{found_file.path}: the manifest has no such file", name)
    return _of_counts(folder, header, end, is_new=False)


@contextmanager
def _reading(place: Place, path: str) -> Iterator[str]:
    try:
        with place.local(path) as local:
            os.stat(local)
            yield local
    except FileNotFoundError:
        raise ManifestError(f"{path}: the file is missing", path) from None


def _format_of(folder: str, header: Mapping[str, Any]) -> Format:
    """The format of a corpus."""
    name = header["job"]["format"]
    if name not in FORMATS:
        raise ManifestError(f"{folder}: the manifest has the unknown format {name!r}", folder)
    return FORMATS[name]


def _of_files(shard: Shard, read: Callable[[Shard], _Read]) -> _Read:
    """What `read` takes from the files of a shard."""
    try:
        return read(shard)
    # What a file leads to that is as the manifest says, and not of the format.
    except (OSError, ValueError, KeyError, IndexError, EOFError, struct.error) as error:
        path = os.path.join(shard.folder, shard.name)
        raise ManifestError(f"{path}: its files can't be read: {error}", path) from None


def _document(form: Format, number: int, shard: Shard) -> Document:
    return form.document(shard, number)


def _has_mask(shard: Mapping[str, Any]) -> bool:
    return bool(shard["masked"])


def _read(place: Place, folder: str) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    try:
        header, *shards, end = lines_of(place, folder)
    except FileNotFoundError:
        begun = PROGRESS in place.names(folder)
        why = "is not finished; run the same command again" if begun else "has no manifest"
        raise ManifestError(f"{folder}: this corpus {why}", folder) from None
    return header, shards, end


def inspect(folder: "str | os.PathLike[str]", document: int, *, split: str = "train") -> Found:
    """A document of a corpus, or a row of one that is packed; numbers are from 0, in order.

    Raises IndexError for a number that there is not, and as `verify`.
    """
    place, folder = place_of(os.fspath(folder))
    header, shards, _ = _read(place, folder)
    number = document = arguments.count(document, "document", 0)
    form, at = _format_of(folder, header), folder
    if header["job"]["splits"]:
        at = os.path.join(folder, split)
    chosen = [shard for shard in shards if shard["split"] == split]
    for shard in chosen:
        if number >= shard["documents"]:
            number -= shard["documents"]
            continue
        read = partial(_document, form, number)
        ids, mask = _of_files(Shard(at, shard["name"], _has_mask(shard)), read)
        return Found(np.asarray(ids), mask, shard["name"], number)
    count = sum(shard["documents"] for shard in chosen)
    raise IndexError(f"there is no document {document}; {split} has {count:,}, counted from 0")
