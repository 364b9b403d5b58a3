"""What was written: all files of a corpus compared with its manifest, and single documents."""

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from llama3_tok import arguments
from llama3_tok.data.corpora.manifest import MANIFEST, PROGRESS, ManifestError, lines_of, of_file
from llama3_tok.data.corpora.summary import Summary, of_counts
from llama3_tok.data.places import Local, Place, place_of
from llama3_tok.data.sinks import FORMATS, Document, Format, Shard

__all__ = ["Found", "inspect", "verify"]

_Read = TypeVar("_Read")


class Found(NamedTuple):
    """A document of a corpus: its ids, its mask where there is one, and where it is."""

    ids: npt.NDArray[np.uint32]
    mask: npt.NDArray[np.uint8] | None
    shard: str
    number: int
    """Its number in the shard, from 0."""


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
    return of_counts(folder, header, end, is_new=False)


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
