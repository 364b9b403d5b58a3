"""The tokenizers that are compared, each through its fastest own API.

An adapter is a class that loads its tokenizer when made and names, for each case, the *ways* in
which the library does that work. A case with several ways is measured in all of them and the
fastest counts, so no peer is judged by a call that another of its calls beats. Adapters import
their library themselves: this module is imported where none is installed.

Cases: "documents" (many texts, one after another, one thread), "whole" (one large text), "worst",
"small", "list" (`list[int]`), "count", "batch" (many texts, all cores), "files" (paths, all cores),
"decode bytes" and "decode text".
"""

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint32]


class Assets(NamedTuple):
    """What adapters load from."""

    vocabulary: str
    """Meta's rank file."""
    tokenizer_json: str
    """The same vocabulary as Hugging Face writes it, for libraries that read nothing else."""
    pattern: str
    special: dict[str, int]


class Way(NamedTuple):
    """One call of a library that does the work of a case."""

    label: str
    run: Callable[[Any], Any]
    many: bool = False
    """Takes all texts of the case at once; otherwise it is called once for each."""
    delivers: bool = True
    """Its result gives the ids to Python; a way that leaves them behind is shown, not judged."""
    wants: str = "array"
    """What decoding takes: "array" (`uint32[n]`) or "list"."""


class Peer:
    """One library. Making it loads the tokenizer; nothing else may happen there."""

    distribution = ""
    """The name on PyPI."""
    module = ""
    """What is imported before loading is timed."""

    def __init__(self, assets: Assets) -> None:
        raise NotImplementedError

    def ways(self, case: str) -> list[Way]:
        """How the library does a case; none where it can't."""
        raise NotImplementedError


def lists(label: str, encode: Callable[[str], list[int]], case: str) -> list[Way]:
    """The ways of a library whose one call gives `list[int]` for one text."""
    if case in ("documents", "whole", "worst", "small", "list"):
        return [Way(label, encode)]
    return []


def reading(encode_many: Callable[[list[str]], object]) -> Callable[[list[str]], object]:
    """Encodes files with a library that takes texts alone."""

    def run(paths: list[str]) -> object:
        return encode_many([Path(path).read_bytes().decode() for path in paths])

    return run


class Llama3Tok(Peer):
    """This project."""

    distribution = module = "llama3_tok"

    def __init__(self, assets: Assets) -> None:
        from llama3_tok import Tokenizer

        self.tokenizer = Tokenizer(assets.vocabulary)

    def ways(self, case: str) -> list[Way]:
        """`encode_array` where the goals say so, whatever is fastest elsewhere."""
        tok = self.tokenizer
        match case:
            case "documents" | "whole" | "worst":
                return [Way("encode_array", tok.encode_array)]
            case "small":
                return [Way("encode_array", tok.encode_array), Way("encode", tok.encode)]
            case "list":
                return [Way("encode", tok.encode)]
            case "count":
                return [Way("count", tok.count)]
            case "batch":
                return [Way("encode_ragged", tok.encode_ragged, many=True)]
            case "files":
                return [self._files()]
            case "decode bytes":
                return [Way("decode_bytes", tok.decode_bytes)]
            case "decode text":
                return [Way("decode", tok.decode)]
        return []

    def _files(self) -> Way:
        """`encode_files` once it is there, until then reading here and encoding there."""
        encode_files = getattr(self.tokenizer, "encode_files", None)
        if encode_files is None:
            return Way("encode_ragged of texts", reading(self.tokenizer.encode_ragged), many=True)

        def run(paths: list[str]) -> object:
            result = encode_files(paths)
            return list(result) if isinstance(result, Iterator) else result

        return Way("encode_files", run, many=True)


class Tiktoken(Peer):
    """The reference."""

    distribution = module = "tiktoken"

    def __init__(self, assets: Assets) -> None:
        os.environ["TIKTOKEN_CACHE_DIR"] = ""  # it would copy the file, which is local already
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        ranks = load_tiktoken_bpe(assets.vocabulary)
        self.encoding = tiktoken.Encoding(
            "llama3",
            pat_str=assets.pattern,
            mergeable_ranks=ranks,
            special_tokens=dict(assets.special),
        )

    def ways(self, case: str) -> list[Way]:
        """`encode_to_numpy` beats `encode_ordinary` on long texts."""
        encoding = self.encoding

        def array(text: str) -> Ids:
            return encoding.encode_to_numpy(text, disallowed_special=())

        def batch(texts: list[str]) -> list[list[int]]:
            return encoding.encode_ordinary_batch(texts, num_threads=cores())

        match case:
            case "documents" | "whole" | "worst":
                return [Way("encode_to_numpy", array)]
            case "count":
                return [Way("len(encode_to_numpy)", lambda text: len(array(text)))]
            case "batch":
                return [Way("encode_ordinary_batch", batch, many=True)]
            case "files":
                return [Way("encode_ordinary_batch of texts", reading(batch), many=True)]
            case "decode bytes":
                return [Way("decode_bytes", encoding.decode_bytes, wants="list")]
            case "decode text":
                return [Way("decode", encoding.decode, wants="list")]
        return lists("encode_ordinary", encoding.encode_ordinary, case)


class Tokenizers(Peer):
    """Hugging Face."""

    distribution = module = "tokenizers"

    def __init__(self, assets: Assets) -> None:
        import tokenizers

        self.tokenizer = tokenizers.Tokenizer.from_file(assets.tokenizer_json)
        self.tokenizer.encode_special_tokens = True

    def ways(self, case: str) -> list[Way]:
        """`encode_batch_fast`, which leaves the offsets out, even for one text."""
        tokenizer = self.tokenizer

        def batch(texts: list[str]) -> list[list[int]]:
            encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in encodings]

        def one(text: str) -> list[int]:
            return batch([text])[0]

        def small(text: str) -> list[int]:
            return tokenizer.encode(text, add_special_tokens=False).ids

        def decode(ids: list[int]) -> str:
            return tokenizer.decode(ids, skip_special_tokens=False)

        match case:
            case "documents" | "batch" | "list":
                return [Way("encode_batch_fast", batch, many=True)]
            case "files":
                return [Way("encode_batch_fast of texts", reading(batch), many=True)]
            case "small":
                return [Way("encode", small), Way("encode_batch_fast", one)]
            case "decode text":
                return [Way("decode", decode, wants="list")]
        return lists("encode_batch_fast", one, case)


class Gigatoken(Peer):
    """Ids as NumPy or Awkward arrays."""

    distribution = module = "gigatoken"

    def __init__(self, assets: Assets) -> None:
        import gigatoken

        # Its reader of rank files panics on Meta's, so the JSON it is.
        self.backend = gigatoken.Tokenizer(assets.tokenizer_json).backend

    def ways(self, case: str) -> list[Way]:
        """The Rust object itself: the Python class around it only costs time."""
        backend = self.backend

        def sequential(texts: list[str]) -> object:
            return backend.encode_batch(texts, parallel=False)

        def batch(texts: list[str]) -> object:
            return backend.encode_batch(texts, parallel=True)

        def batch_list(texts: list[str]) -> list[list[int]]:
            return backend.encode_batch_list(texts, parallel=False)

        def files(paths: list[str]) -> object:
            return backend.encode_files(paths, parallel=True)

        encode = Way("encode", backend.encode)
        match case:
            case "documents":
                return [encode, Way("encode_batch", sequential, many=True)]
            case "whole" | "worst" | "small":
                return [encode]
            case "list":
                return [Way("encode_batch_list", batch_list, many=True)]
            case "count":
                return [Way("len(encode)", lambda text: len(backend.encode(text)))]
            case "batch":
                return [Way("encode_batch", batch, many=True)]
            case "files":
                return [Way("encode_files", files, many=True)]
            case "decode bytes":
                return [Way("decode", backend.decode)]
            case "decode text":
                return [Way("decode, then UTF-8", lambda ids: backend.decode(ids).decode())]
        return []


class Fastokens(Peer):
    """Ids as bytes, or in an object that stays in Rust until they are asked for."""

    distribution = module = "fastokens"

    def __init__(self, assets: Assets) -> None:
        import fastokens

        # Its reader of rank files refuses Meta's, so the JSON it is.
        self.tokenizer = fastokens.Tokenizer.from_file(assets.tokenizer_json)

    def ways(self, case: str) -> list[Way]:
        """Special tokens stay text, which is the faster call as well (`encode_ordinary`)."""
        tokenizer = self.tokenizer
        encode = tokenizer.encode_ordinary

        def flat(texts: list[str]) -> tuple[Ids, npt.NDArray[np.uint64]]:
            ids, offsets = tokenizer.encode_batch_flat(texts, split_special_tokens=True)
            return np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64)

        def one(text: str) -> Ids:
            return flat([text])[0]

        def ids(text: str) -> list[int]:
            return encode(text).ids

        match case:
            case "documents":
                return [Way("encode_batch_flat", flat, many=True)]
            case "whole" | "worst":
                return [Way("encode_batch_flat", one)]
            case "small":
                return [
                    Way("encode_ordinary().ids", ids),
                    Way("encode_batch_flat", one),
                    Way("encode_ordinary, ids unread", encode, delivers=False),
                ]
            case "count":
                return [Way("len(encode_ordinary)", lambda text: len(encode(text)))]
            case "batch":
                return [Way("encode_batch_flat", flat, many=True)]
            case "files":
                return [Way("encode_batch_flat of texts", reading(flat), many=True)]
            case "decode text":
                return [Way("decode", tokenizer.decode, wants="list")]
        return lists("encode_ordinary().ids", ids, case)


class Quicktok(Peer):
    """It brings Meta's vocabulary in its own format."""

    distribution, module = "quicktok-v1", "quicktok"

    def __init__(self, assets: Assets) -> None:
        import quicktok

        self.tokenizer = quicktok.get_encoding("llama3")

    def ways(self, case: str) -> list[Way]:
        """`encode_batch` is the call that gives an array, even for one text."""
        tokenizer = self.tokenizer

        def sequential(texts: list[str]) -> object:
            return tokenizer.encode_batch(texts, 1)

        def batch(texts: list[str]) -> object:
            return tokenizer.encode_batch(texts, cores())

        def one(text: str) -> Ids:
            return tokenizer.encode_batch([text], 1)[0]

        match case:
            case "documents":
                return [Way("encode_batch", sequential, many=True)]
            case "whole" | "worst":
                return [Way("encode_batch", one)]
            case "count":
                return [Way("count", tokenizer.count)]
            case "batch":
                return [Way("encode_batch", batch, many=True)]
            case "files":
                return [Way("encode_batch of texts", reading(batch), many=True)]
            case "decode bytes":
                return [Way("decode_bytes", tokenizer.decode_bytes, wants="list")]
            case "decode text":
                return [Way("decode", tokenizer.decode, wants="list")]
        return lists("encode_ordinary", tokenizer.encode_ordinary, case)


class Riptoken(Peer):
    """tiktoken's interface."""

    distribution = module = "riptoken"

    def __init__(self, assets: Assets) -> None:
        import riptoken

        ranks = riptoken.load_tiktoken_bpe(assets.vocabulary)
        self.core = riptoken.CoreBPE(ranks, dict(assets.special), assets.pattern)

    def ways(self, case: str) -> list[Way]:
        """Lists throughout."""
        core = self.core
        match case:
            case "batch":
                return [Way("encode_ordinary_batch", core.encode_ordinary_batch, many=True)]
            case "files":
                run = reading(core.encode_ordinary_batch)
                return [Way("encode_ordinary_batch of texts", run, many=True)]
            case "decode bytes":
                return [Way("decode_bytes", core.decode_bytes, wants="list")]
        return lists("encode_ordinary", core.encode_ordinary, case)


class Kitoken(Peer):
    """Lists; its batches run on one thread."""

    distribution = module = "kitoken"

    def __init__(self, assets: Assets) -> None:
        import kitoken

        # From the JSON it would find special tokens in text differently; the rank file it knows.
        self.tokenizer = kitoken.Kitoken.from_tiktoken_file(assets.vocabulary)

    def ways(self, case: str) -> list[Way]:
        """`encode_all` for many texts, `encode` for one."""
        tokenizer = self.tokenizer
        match case:
            case "documents" | "list":
                return [Way("encode_all", tokenizer.encode_all, many=True)]
            case "batch":
                return [Way("encode_all", tokenizer.encode_all, many=True)]
            case "files":
                return [Way("encode_all of texts", reading(tokenizer.encode_all), many=True)]
            case "decode bytes":
                return [Way("decode", tokenizer.decode, wants="list")]
        return lists("encode", tokenizer.encode, case)


PEERS: dict[str, type[Peer]] = {
    "llama3_tok": Llama3Tok,
    "tiktoken": Tiktoken,
    "tokenizers": Tokenizers,
    "gigatoken": Gigatoken,
    "fastokens": Fastokens,
    "quicktok": Quicktok,
    "riptoken": Riptoken,
    "kitoken": Kitoken,
}


def find(name: str) -> type[Peer]:
    """The adapter of that name; `module:Class` names one that is not in this module."""
    if name in PEERS:
        return PEERS[name]
    module, _, attribute = name.partition(":")
    found: type[Peer] = getattr(import_module(module), attribute)
    return found


def installed(name: str) -> str:
    """The version of a peer's distribution. Raises PackageNotFoundError."""
    distribution = find(name).distribution
    return version(distribution) if distribution else "?"


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_ids(result: Any) -> Ids:  # noqa: ANN401 - whatever a library gives
    """The ids of one text, whatever a library wraps them in."""
    if not isinstance(result, list | np.ndarray) and hasattr(result, "ids"):
        result = result.ids
    if isinstance(result, bytes):
        return np.frombuffer(result, np.uint32)
    return np.asarray(result, dtype=np.uint32)


def as_batch(result: Any) -> list[Ids]:  # noqa: ANN401 - whatever a library gives
    """The ids of each of many texts: a list, or all ids with offsets."""
    if hasattr(result, "ids") and hasattr(result, "offsets"):
        result = (result.ids, result.offsets)
    if isinstance(result, tuple) and len(result) == 2:
        ids, offsets = result[0], [int(offset) for offset in result[1]]
        return [as_ids(ids[a:b]) for a, b in pairwise(offsets)]
    return [as_ids(row) for row in result]
