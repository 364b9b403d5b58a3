"""One tokenizer file into another: rank file, `tokenizer.json`, GGUF, or a folder of files."""

import os

from llama3_tok import _core, arguments, vocabulary
from llama3_tok._core import Content, Core
from llama3_tok.definition import Definition
from llama3_tok.errors import Llama3TokError
from llama3_tok.folder import Roles
from llama3_tok.formats import gguf as gguf_vocabulary
from llama3_tok.formats import save, whole_files
from llama3_tok.formats.gguf_fields import MAGIC

__all__ = ["convert"]


def convert(
    source: str, destination: str, *, profile: str | None = None, force: bool = False
) -> list[str]:
    """Writes the tokenizer that `source` is to `destination`, and gives the paths that it wrote.

    `source` is a rank file, a `tokenizer.json`, a GGUF file, or a folder that has one of the first
    two; what it is is told by its content. `destination` says by its name what it will be: `.model`
    or `.tiktoken` a rank file, `.json` a `tokenizer.json`, `.gguf` a GGUF file without tensors, and
    a folder, or a name without such an ending, what `Tokenizer.save` writes. `profile` is what
    `Tokenizer` takes. Files that exist are replaced only with `force`. Files are verified before
    they are renamed into place.

    Raises what `Tokenizer` raises for the source, MissingExtra for GGUF without its package, and
    Llama3TokError for a source that does not exist, for a destination that does, and for one whose
    ending says nothing.
    """
    arguments.flag(force, "force")
    if not destination or destination == "-":
        raise Llama3TokError("the destination must be the name of a file or folder")
    destination = os.path.expanduser(destination)
    kind = _kind(destination)
    parent = os.path.dirname(destination)
    if kind != "folder" and parent and not os.path.isdir(parent):
        raise Llama3TokError(f"{destination}: there is no folder {parent}; make it first")
    definition = _read(source, profile)
    if kind == "folder":
        paths = [os.path.join(destination, name) for name in save.names(definition)]
    else:
        paths = [destination]
    there = [path for path in paths if os.path.lexists(path)]
    if there and not force:
        raise Llama3TokError(f"{there[0]} already exists; pass force=True to replace it")
    if kind == "folder":
        save.save(definition, destination)
        return paths
    if kind == "gguf":
        draft = gguf_vocabulary.draft(definition)
    else:
        draft = (save.rank_file if kind == "rank file" else save.tokenizer_json)(definition)
    whole_files.write({destination: draft})
    return paths


_KINDS = {".model": "rank file", ".tiktoken": "rank file", ".json": "json", ".gguf": "gguf"}


def _kind(destination: str) -> str:
    ending = os.path.splitext(destination)[1].lower()
    if os.path.isdir(destination) or destination.endswith(os.sep):
        return "folder"
    if ending in _KINDS:
        return _KINDS[ending]
    if ending[1:].isalpha():  # not so the rest of "Llama-3.1-8B"
        raise Llama3TokError(
            f"{destination}: the ending says what to write, and {ending} is not one of "
            f"{', '.join(_KINDS)}; end the name with {os.sep} for a folder"
        )
    return "folder"


def _read(source: str, profile: str | None) -> Definition:
    path = os.path.expanduser(source)
    if not os.path.exists(path):
        raise Llama3TokError(f"the source {source} does not exist")
    if os.path.isfile(path):
        with open(path, "rb") as file:
            head = file.read(len(MAGIC))
        if head == MAGIC:
            return _of_gguf(path, profile)
    return vocabulary.load(source, profile)


def _of_gguf(path: str, profile: str | None) -> Definition:
    ranks, folder = gguf_vocabulary.read(path)
    if profile is None:
        core = Core.with_added(ranks, path, [], Roles(None, None, None, None, ()), None)
    else:
        core = Core(ranks, path, profile)
    sha256 = Content(_core.rank_file(core)).sha256
    if profile is None:
        return vocabulary.of_ranks(ranks, path, sha256, folder)
    return Definition(core, path, sha256, profile, None)
