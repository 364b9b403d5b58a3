"""The tokenizers that are compared, each through its fastest own API.

An adapter is a class that loads its tokenizer when made and names, for each case, the *ways* in
which the library does that work. A case with several ways is measured in all of them and the
fastest counts, so no peer is judged by a call that another of its calls beats. Adapters import
their library themselves: this module is imported where none is installed.

A peer may have a folder of its own, which its worker looks in first: two versions of one library
stand side by side so (`Assets.folders`).
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from adapters.arrays import Fastokens, Gigatoken, Quicktok
from adapters.hugging_face import Basetenkenizer, Tokenizers, Tokenizers1
from adapters.lists import Kitoken, Riptoken, Tiktoken, Wordchipper
from adapters.ours import Llama3Tok
from adapters.transformers import Auto, Compat
from peer import Assets, Ids, Peer, Way, as_batch, as_ids

__all__ = ["PEERS", "Assets", "Ids", "Llama3Tok", "Peer", "Way", "as_batch", "as_ids"]

PEERS: dict[str, type[Peer]] = {
    "llama3_tok": Llama3Tok,
    "tiktoken": Tiktoken,
    "tokenizers": Tokenizers,
    "tokenizers-1.0": Tokenizers1,
    "gigatoken": Gigatoken,
    "fastokens": Fastokens,
    "quicktok": Quicktok,
    "riptoken": Riptoken,
    "kitoken": Kitoken,
    "basetenkenizer": Basetenkenizer,
    "wordchipper": Wordchipper,
    "compat.transformers": Compat,
    "AutoTokenizer": Auto,
}

FOLDERS = {"tokenizers-1.0": str(Path(__file__).parent / "rc")}
"""Peers that share a module's name with another, and the folder in which each is installed."""


def find(name: str) -> type[Peer]:
    """The adapter of that name; `module:Class` names one that is not in this module.

    `llama3_tok@1a2b3c4` is this project at another commit, and has the same adapter.
    """
    known = PEERS.get(name.partition("@")[0])
    if known is not None:
        return known
    module, _, attribute = name.partition(":")
    found: type[Peer] = getattr(import_module(module), attribute)
    return found


def installed(name: str, folder: str | None = None) -> str:
    """The version of a peer's distribution, in its own folder if it has one.

    Raises PackageNotFoundError.
    """
    distribution = find(name).distribution
    if not distribution:
        return "?"
    if folder is None:
        return version(distribution)
    for found in distributions(name=distribution, path=[folder]):
        return found.version
    raise PackageNotFoundError(distribution)
