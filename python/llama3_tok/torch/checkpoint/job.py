"""Writing a checkpoint whole or not at all, and going on where a run was cut.

Each file is written under another name, synced, renamed, and its folder synced; then one record of
it goes to `conversion.json`, in the same way. That file says what the input was, what was asked
for, which files are finished, and the SHA-256 of every tensor's bytes, taken as they were written.
A second run finds it, compares input and wishes, and writes what is missing: the result is byte for
byte that of a run never cut. What makes the folder loadable comes last.

The input is told by its content, never by its times: a copy of it is the same input. Meta's files
have a checksum of all their bytes in their tables. Safetensors files have none, so a second run
reads what the finished files were made from again, and compares with the SHA-256 of each tensor.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from llama3_tok.formats import whole_files
from llama3_tok.torch.checkpoint.stored import Array, Safetensors, Stored, read_json, refuse
from llama3_tok.torch.checkpoint.torch_file import TorchFile
from llama3_tok.torch.checkpoint.writing import Out, raw

RECORD = "conversion.json"
_FORMAT = 1

# Bytes that are moved before the input is mapped anew: its page tables take 2 MB for each GB.
_REMAP = 1 << 30

# What the small files take, generously: a tokenizer.json has 17 MB.
_SMALL_FILES = 64 << 20

_WEIGHTS = (".safetensors", ".pth", ".bin", ".gguf")

Progress = Callable[[int, int], object]
Json = dict[str, Any]


class Target(NamedTuple):
    """A file of weights to be."""

    name: str
    outs: Sequence[Out]
    write: Callable[[IO[bytes], Sequence[Out]], None]

    @property
    def bytes(self) -> int:
        """Of its tensors."""
        return sum(out.info.bytes for out in self.outs if out.alias is None)


class Source(Protocol):
    """Where the elements come from."""

    folder: str

    @property
    def files(self) -> Sequence[Stored]:
        """Those of the weights."""

    @property
    def file_names(self) -> list[str]:
        """The files whose content makes the result."""

    def remap(self) -> None:
        """Gives back what reading took."""


class Job:
    """One conversion: from a source to the targets in a folder."""

    def __init__(
        self,
        source: Source,
        folder: str,
        targets: Sequence[Target],
        wishes: Json,
        progress: Progress | None,
    ) -> None:
        self._source = source
        self._folder = folder
        self._targets = targets
        self._wishes = wishes
        self._progress = progress
        self._done = 0
        self._total = sum(target.bytes for target in targets)
        self._mapped = 0

    # Writing

    def run(self, others: Sequence[str], finish: Callable[[], None]) -> int:
        """Writes what is missing, and gives how many files were there already.

        `others` are the names of what `finish` writes, after the weights.
        """
        whole_files.make_folder(self._folder)
        with whole_files.locked(self._folder) as is_free:
            if not is_free:
                refuse(self._folder, "another conversion is writing here")
            names = [*(target.name for target in self._targets), *others]
            record = self._found_record(names)
            kept = [target for target in self._targets if self._is_finished(target, record)]
            for target in kept:
                self._confirm(target, record)
            self._sweep((*names, RECORD))
            if not os.path.exists(os.path.join(self._folder, RECORD)):
                self._save(record)
            self._check_space([target for target in self._targets if target not in kept])
            for target in self._targets:
                if target not in kept:
                    record["files"][target.name] = self._write(target)
                    self._save(record)
            if not record["complete"]:
                finish()
                whole_files.sync_folder(self._folder)
                record["complete"] = True
                self._save(record)
        return len(kept)

    def examine(self, others: Sequence[str]) -> tuple[int, int]:
        """How many files an earlier run has finished, and the bytes that are still to be written.

        Nothing is written, and what `run` would refuse at its beginning is refused, but for a disk
        that is too small.
        """
        if not os.path.isdir(self._folder):
            return 0, self._total
        record = self._found_record([*(target.name for target in self._targets), *others])
        kept = [target for target in self._targets if self._is_finished(target, record)]
        return len(kept), self._total - sum(target.bytes for target in kept)

    def _found_record(self, names: Sequence[str]) -> Json:
        """The record of an earlier run that was to do the same, or a new one."""
        path = os.path.join(self._folder, RECORD)
        fresh: Json = {
            "format": _FORMAT,
            "input": identity(self._source),
            "options": self._wishes,
            "complete": False,
            "files": {},
        }
        if not os.path.exists(path):
            self._check_free(names)
            return fresh
        record = read_record(self._folder)
        for part in ("options", "input"):
            _compare(record[part], fresh[part], part, path)
        return record

    def _confirm(self, target: Target, record: Json) -> None:
        """That a finished file is what this input gives, where the input's tables do not say it."""
        if all(file.has_checksums for file in self._source.files):
            self._advance(target.bytes)
            return
        known = record["files"][target.name]["sha256"]
        for out in target.outs:
            if out.alias is None and self._digest_of(out) != known.get(out.name):
                refuse(
                    os.path.join(self._folder, RECORD),
                    f"an earlier run began here with another input, which had other bytes for "
                    f"{target.name}; name an empty folder",
                    out.name,
                )

    def _digest_of(self, out: Out) -> str:
        digest = sha256()
        for block in out.blocks():
            digest.update(raw(block))
            self._advance(block.nbytes)
        return digest.hexdigest()

    def _sweep(self, names: Sequence[str]) -> None:
        """Removes what an earlier run was about to write when it was killed."""
        for name in os.listdir(self._folder):
            if whole_files.is_partial(name, names):
                os.remove(os.path.join(self._folder, name))

    def _check_free(self, names: Sequence[str]) -> None:
        """Nothing that is there may be replaced, or be taken for a part of the result."""
        for name in sorted(os.listdir(self._folder)):
            if name in names or name.endswith(_WEIGHTS):
                refuse(
                    os.path.join(self._folder, name),
                    f"it already exists, and is not from this conversion (no {RECORD}); name an "
                    "empty folder",
                )

    def _is_finished(self, target: Target, record: Json) -> bool:
        known = record["files"].get(target.name)
        try:
            size = os.path.getsize(os.path.join(self._folder, target.name))
        except FileNotFoundError:
            size = -1
        return known is not None and bool(known["bytes"] == size)

    def _check_space(self, targets: Sequence[Target]) -> None:
        needed = sum(target.bytes for target in targets) + _SMALL_FILES * bool(targets)
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            refuse(
                self._folder,
                f"the disk has {free:,} bytes free, and {needed:,} are needed: "
                f"{needed - free:,} too few",
            )

    def _write(self, target: Target) -> Json:
        digests: dict[str, str] = {}
        outs = [self._watched(out, digests) for out in target.outs]
        path = os.path.join(self._folder, target.name)
        whole_files.write({path: whole_files.streamed(lambda file: target.write(file, outs))})
        for out in target.outs:
            if out.alias is not None:
                digests[out.name] = digests[out.alias]
        return {"bytes": os.path.getsize(path), "sha256": digests}

    def _watched(self, out: Out, digests: dict[str, str]) -> Out:
        """The same tensor, its bytes hashed and counted as they pass."""

        def blocks() -> Iterator[Array]:
            digest = sha256()
            for block in out.blocks():
                digest.update(raw(block))
                yield block
                self._advance(block.nbytes)
            digests[out.name] = digest.hexdigest()

        return out._replace(blocks=blocks)

    def _advance(self, size: int) -> None:
        self._done += size
        self._mapped += size
        if self._mapped >= _REMAP:
            self._mapped = 0
            self._source.remap()
        if self._progress:
            self._progress(self._done, self._total)

    def _save(self, record: Json) -> None:
        text = json.dumps(record, indent=1).encode() + b"\n"
        whole_files.write({os.path.join(self._folder, RECORD): whole_files.of_data(text)})

    # Verifying

    def verify(self) -> None:
        """Reads the written files, makes the tensors anew from the input, and compares all bytes.

        The hashes on record are compared with what was read, too.
        """
        record = _complete(self._folder)
        _compare(record["input"], identity(self._source), "input", self._folder)
        self._done, self._total = 0, 2 * self._total
        verify_hashes(self._folder, lambda done, _: self._advance(done - self._done))
        for target in self._targets:
            stored = open_stored(os.path.join(self._folder, target.name))
            for out in target.outs:
                if out.alias is None:
                    self._compare_tensor(stored, out)
                    stored.remap()

    def _compare_tensor(self, stored: Stored, out: Out) -> None:
        if stored.tensors.get(out.name) != out.info:
            refuse(stored.path, f"it should be {out.info}", out.name)
        there = flat(stored.array(out.name))
        start = 0
        for block in out.blocks():
            end = start + block.size
            if not np.array_equal(there[start:end], flat(block)):
                wrong = int(np.sum(there[start:end] != flat(block)))
                refuse(
                    stored.path,
                    f"{wrong:,} of the elements {start:,} to {end:,} are not those of the input",
                    out.name,
                )
            start = end
            self._advance(block.nbytes)


def flat(array: Array) -> Array:
    """All elements of an array in one dimension, without a copy."""
    return array.reshape(-1)


def identity(source: Source) -> Json:
    """What tells the input from another: of weights size and table, of others the content."""
    weights: dict[str, Json] = {os.path.basename(f.path): f.identity() for f in source.files}
    for name in source.file_names:
        if name not in weights:
            with open(os.path.join(source.folder, name), "rb") as file:
                weights[name] = {"sha256": sha256(file.read()).hexdigest()}
    return weights


def read_record(folder: str) -> Json:
    """The `conversion.json` of a folder."""
    path = os.path.join(folder, RECORD)
    record = read_json(path)
    parts = {"input": dict, "options": dict, "files": dict, "complete": bool}
    if (
        type(record.get("format")) is not int
        or record["format"] != _FORMAT
        or any(not isinstance(record.get(part), kind) for part, kind in parts.items())
    ):
        refuse(path, "it is not the record of a conversion that this version can continue")
    for name, entry in record["files"].items():
        if not isinstance(entry, dict) or not (
            type(entry.get("bytes")) is int
            and isinstance(entry.get("sha256"), dict)
            and all(isinstance(digest, str) for digest in entry["sha256"].values())
        ):
            refuse(path, f"it has no size and hashes of the file {name[:100]!r}; it is damaged")
    for entry in record["input"].values():
        if isinstance(entry, dict):
            entry.pop("modified_ns", None)  # which was noted once, and tells nothing
    return record


def _complete(folder: str) -> Json:
    record = read_record(folder)
    if not record["complete"]:
        refuse(folder, "the conversion is not finished; run it again, and it goes on")
    return record


def _compare(before: Json, now: Json, what: str, path: str) -> None:
    """Raises CheckpointError where an earlier run had another input, or was to do another thing."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            refuse(
                path,
                f"an earlier run began here with another {what}: {name} was "
                f"{_short(before.get(name))}, and is {_short(now.get(name))}; name an empty folder",
            )


def _short(value: object) -> str:
    return "not there" if value is None else json.dumps(value)


def verify_hashes(folder: str, progress: Progress | None = None) -> int:
    """Reads all tensors of a finished conversion, and compares with the hashes on record.

    Gives the bytes read.
    """
    files = _complete(folder)["files"]
    total, done = sum(entry["bytes"] for entry in files.values()), 0
    for name, entry in files.items():
        stored = open_stored(os.path.join(folder, name))
        if odd := sorted(stored.tensors.keys() ^ entry["sha256"].keys()):
            refuse(stored.path, f"the file or {RECORD} does not have it", odd[0])
        for tensor, digest in entry["sha256"].items():
            size = stored.tensors[tensor].bytes
            if _digest(stored, tensor) != digest:
                refuse(
                    stored.path,
                    f"its {size:,} bytes do not have the SHA-256 that {RECORD} says; the file was "
                    "damaged or changed after it was written",
                    tensor,
                )
            stored.remap()
            done += size
            if progress:
                progress(done, total)
    return done


def _digest(stored: Stored, tensor: str) -> str:
    digest = sha256()
    elements = flat(stored.array(tensor))
    for start in range(0, elements.size, 1 << 22):
        digest.update(np.ascontiguousarray(elements[start : start + (1 << 22)]).data)
    return digest.hexdigest()


def open_stored(path: str) -> Stored:
    """Opens a file of tensors, of either kind."""
    return TorchFile(path) if path.endswith(".pth") else Safetensors(path)
