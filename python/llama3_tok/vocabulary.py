"""Finding and reading the vocabulary file, and sharing it within the process.

A vocabulary is looked for in this order: the argument; the environment variable LLAMA3_TOK_VOCAB;
the installed package llama-models, which is located but never imported. A file is read once: every
tokenizer of the process with the same content and profile has the same core.
"""

import hashlib
import os
import stat
import weakref
from collections.abc import Iterator
from typing import NamedTuple

from llama3_tok._core import PROFILES, Core, not_a_vocabulary, special_names
from llama3_tok.errors import VocabularyError, VocabularyNotFound

ENVIRONMENT = "LLAMA3_TOK_VOCAB"

# The SHA-256 of the rank file that Meta publishes with every Llama 3 model.
META_SHA256 = "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55"

# What is meant where neither the caller nor a folder says which.
DEFAULT_PROFILE = "llama3.1"

# Where a model folder has its vocabulary, the best first: a rank file needs no conversion.
IN_FOLDER = ("tokenizer.model", "tokenizer.json", "original/tokenizer.model")

WAYS = f"""Give one in any of these ways:
  - pip install 'llama3_tok[vocab]'   installs llama-models, which brings Meta's file
  - {ENVIRONMENT}=PATH              names a tokenizer.model, a tokenizer.json or a model folder
  - Tokenizer(PATH), --vocabulary PATH   does the same for one tokenizer or one command"""


class Place(NamedTuple):
    """One place where a vocabulary is looked for."""

    way: str
    path: str | None
    """What the place names; None if it names nothing."""


class Loaded(NamedTuple):
    """A vocabulary in use."""

    core: Core
    path: str
    """The file, absolute."""
    sha256: str
    """Of the file's content, in hexadecimal."""
    profile: str


def places(vocabulary: str | os.PathLike[str] | None = None) -> list[Place]:
    """Every place in the order in which they are tried; the first that names a path is used."""
    return list(_places(vocabulary))


def _places(vocabulary: str | os.PathLike[str] | None) -> Iterator[Place]:
    yield Place("the argument", None if vocabulary is None else _as_path(vocabulary))
    yield Place(f"the environment variable {ENVIRONMENT}", os.environ.get(ENVIRONMENT) or None)
    yield Place("the package llama-models", _packaged())


def _as_path(vocabulary: object) -> str:
    if not isinstance(vocabulary, str | os.PathLike):
        raise TypeError(
            f"vocabulary must be a path (str or PathLike), not {type(vocabulary).__name__}"
        )
    return os.fsdecode(vocabulary)


def _packaged() -> str | None:
    """The rank file inside llama-models, if that is installed."""
    from importlib.util import find_spec

    try:
        spec = find_spec("llama_models")
    except ValueError:  # something that is no package has that name
        return None
    for location in (spec and spec.submodule_search_locations) or ():
        file = os.path.join(location, "llama3", "tokenizer.model")
        if os.path.isfile(file):
            return file
    return None


def find(vocabulary: str | os.PathLike[str] | None = None) -> str:
    """The path of the vocabulary file, absolute.

    Raises VocabularyNotFound if no place names one, or the place that does names nothing that is
    there; VocabularyError for a folder without a tokenizer.
    """
    for place in _places(vocabulary):
        if place.path is not None:
            return _resolve(place)
    raise VocabularyNotFound(f"no Llama 3 vocabulary was found. {WAYS}")


def _resolve(place: Place) -> str:
    if not place.path:
        raise VocabularyNotFound(f"{place.way} names no vocabulary: the path is empty. {WAYS}")
    # Unlike os.path.abspath, this leaves `..` behind a link to the system.
    path = os.path.join(os.getcwd(), os.path.expanduser(place.path))
    if os.path.isdir(path):
        for name in IN_FOLDER:
            file = os.path.join(path, name)
            if os.path.isfile(file):
                return file
        reason = "the folder has no tokenizer: none of " + ", ".join(IN_FOLDER) + " is in it"
        raise _refused(path, reason)
    if not os.path.exists(path):
        raise VocabularyNotFound(
            f"{place.way} names the vocabulary {path}, which does not exist. {WAYS}"
        )
    return path


# A vocabulary may have a million tokens of a kilobyte, in base64.
MOST_BYTES = 2 << 30

_cores: weakref.WeakValueDictionary[tuple[str, str], Core] = weakref.WeakValueDictionary()


def load(vocabulary: str | os.PathLike[str] | None, profile: str | None) -> Loaded:
    """Finds and reads a vocabulary.

    Without a profile it is the one that `Tokenizer.save` noted beside the file, else the default.

    Raises what `find` raises, OSError if the file can't be read, VocabularyError if it is no
    vocabulary of Llama 3, and Llama3TokError for an unknown profile.
    """
    path = find(vocabulary)
    noted = _noted_beside(path)
    if profile is None:
        profile = noted or DEFAULT_PROFILE
    elif noted is not None:
        _check_profile(path, noted, profile)
    return loaded(_read(path), path, profile)


def _noted_beside(path: str) -> str | None:
    """The profile that `Tokenizer.save` noted in the folder of a file that it wrote."""
    beside = os.path.join(os.path.dirname(path), "tokenizer_config.json")
    if os.path.basename(path) not in IN_FOLDER[:2] or not os.path.isfile(beside):
        return None
    import json

    try:
        with open(beside, encoding="utf-8") as file:
            return noted_profile(json.load(file))
    except (OSError, ValueError):  # it is another's file, and not what was asked for
        return None


def noted_profile(config: object) -> str | None:
    """The profile that a `tokenizer_config.json` notes: None for one that `save` did not write."""
    noted = config.get("profile") if isinstance(config, dict) else None
    return noted if noted in PROFILES else None


def _check_profile(path: str, noted: str, profile: str) -> None:
    """Refuses the rank file of a folder that was saved with other special tokens.

    A rank file can't say which they are; a `tokenizer.json` does, and is asked when it is read.
    """
    is_rank_file = os.path.basename(path) == IN_FOLDER[0]
    if is_rank_file and profile in PROFILES and special_names(noted) != special_names(profile):
        raise _refused(
            path,
            f"it was saved with the special tokens of profile {noted!r}, not of {profile!r}; pass "
            f"profile={noted!r}",
        )


def loaded(data: bytes, path: str, profile: str) -> Loaded:
    """The vocabulary that a file's content is; `path` is its name. Raises what `load` does."""
    sha256 = hashlib.sha256(data).hexdigest()
    return Loaded(_core(data, path, sha256, profile), path, sha256, profile)


def _read(path: str) -> bytes:
    """The file's content; a wrong file, which may be huge, is told by its beginning."""
    # Without a buffer, since what is in one would be joined with the rest: another copy of it all.
    with open(path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "this is not a regular file")
        if reason := not_a_vocabulary(file.read(1024)):
            raise _refused(path, reason)
        if status.st_size > MOST_BYTES:
            raise _refused(path, f"the file has {status.st_size:,} bytes, more than any vocabulary")
        file.seek(0)
        return file.read()


def _refused(path: str, reason: str) -> VocabularyError:
    return VocabularyError(f"{path}: {reason}", file=path, reason=reason)


def _core(data: bytes, path: str, sha256: str, profile: str) -> Core:
    """The core of a content and profile.

    No lock is held, so that a fork or a signal handler at any moment finds none locked. Of two
    threads that load the same at once, one does so in vain.
    """
    core = _cores.get((sha256, profile))
    if core is not None:
        return core
    # The core needs the names for messages only, where they may be approximate.
    name = os.fsencode(path).decode("utf-8", "replace")
    profile = profile.encode("utf-8", "replace").decode()
    # A copy, since other threads may add to it.
    same = next((core for key, core in list(_cores.items()) if key[0] == sha256), None)
    if same is not None:
        core = same.with_profile(name, profile)
    else:
        core = Core(data, name, profile, sha256 == META_SHA256)
    return _cores.setdefault((sha256, profile), core)


def load_again(path: str, sha256: str, profile: str) -> Loaded:
    """The vocabulary with this hash: already in the process, at `path`, or where one is looked for.

    This is how a pickled tokenizer finds its vocabulary, perhaps on another machine. Raises
    VocabularyNotFound if none of them has that hash.
    """
    core = _cores.get((sha256, profile))
    if core is not None:
        return Loaded(core, path, sha256, profile)
    tried = []
    for candidate in dict.fromkeys([path, *(place.path for place in places())]):
        if candidate is None:
            continue
        try:
            loaded = load(candidate, profile)
        except (VocabularyNotFound, VocabularyError, OSError) as error:
            tried.append(f"  - {error}")
            continue
        if loaded.sha256 == sha256:
            return loaded
        tried.append(f"  - {loaded.path}: another vocabulary, SHA-256 {loaded.sha256}")
    raise VocabularyNotFound(
        "\n".join([f"the vocabulary with SHA-256 {sha256} was not found again:", *tried, WAYS])
    )
