"""Finding and reading the vocabulary file, and sharing it within the process.

A vocabulary is looked for in this order: the argument; the environment variable LLAMA3_TOK_VOCAB;
the installed package llama-models, which is located but never imported. A file is read once: every
tokenizer of the process with the same content and the same added tokens has the same core.
"""

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from llama3_tok import arguments, profiles
from llama3_tok._core import Content, Core, Ranks, not_a_vocabulary
from llama3_tok.definition import Definition
from llama3_tok.errors import Llama3TokError, VocabularyError, VocabularyNotFound
from llama3_tok.lazy import LazyModule
from llama3_tok.regular_files import IrregularFile, open_regular

# Most vocabularies are rank files by themselves, for which this is not needed.
if TYPE_CHECKING:
    from llama3_tok import folder as folders
else:
    folders = LazyModule("llama3_tok.folder")

ENVIRONMENT = "LLAMA3_TOK_VOCAB"


# The profile of a folder whose added tokens are those of no release.
FOLDER = "folder"

# Where a model folder has its vocabulary, the best first: a rank file needs no conversion.
IN_FOLDER = ("tokenizer.model", "tokenizer.json", "original/tokenizer.model")

# What may say more of it than its ranks: see `llama3_tok.folder`, which is imported where it does.
COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "config.json",
    "chat_template.jinja",
    "additional_chat_templates",
)

WAYS = f"""Give one in any of these ways:
  - pip install 'llama3_tok[vocab]'   installs llama-models, which brings Meta's file
  - {ENVIRONMENT}=PATH              names a tokenizer.model, a tokenizer.json or a model folder
  - Tokenizer(PATH), --vocabulary PATH   does the same for one tokenizer or one command"""


class Candidate(NamedTuple):
    """One place where a vocabulary is looked for."""

    way: str
    path: str | None
    """What the place names; None if it names nothing."""


def candidates(vocabulary: str | os.PathLike[str] | None = None) -> list[Candidate]:
    """Every place in the order in which they are tried; the first that names a path is used."""
    return list(_candidates(vocabulary))


def _candidates(vocabulary: str | os.PathLike[str] | None) -> Iterator[Candidate]:
    yield Candidate("the argument", None if vocabulary is None else _as_path(vocabulary))
    yield Candidate(f"the environment variable {ENVIRONMENT}", os.environ.get(ENVIRONMENT) or None)
    yield Candidate("the package llama-models", _packaged())


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
    except ValueError:  # something that is not a package has that name
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
    for candidate in _candidates(vocabulary):
        if candidate.path is not None:
            return _resolve(candidate)
    raise VocabularyNotFound(f"no Llama 3 vocabulary was found. {WAYS}")


def _resolve(candidate: Candidate) -> str:
    if not candidate.path:
        raise VocabularyNotFound(f"{candidate.way} names no vocabulary: the path is empty. {WAYS}")
    path = _absolute(candidate.way, candidate.path)
    if os.path.isdir(path):
        for name in IN_FOLDER:
            file = os.path.join(path, name)
            if os.path.isfile(file):
                return file
        reason = "the folder has no tokenizer: none of " + ", ".join(IN_FOLDER) + " is in it"
        raise _refused(path, reason)
    if not os.path.exists(path):
        raise VocabularyNotFound(
            f"{candidate.way} names the vocabulary {path}, which does not exist"
            f"{_meant(candidate.path)}"
        )
    return path


def _absolute(way: str, path: str) -> str:
    path = os.path.expanduser(path)
    # A worker may have outlived the folder that it was started in, which only these need.
    if os.path.isabs(path):
        return path
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise VocabularyNotFound(
            f"{way} names the vocabulary {path}, a path from the current folder, "
            "which has been removed: give an absolute path"
        ) from None
    # Unlike os.path.abspath, this leaves `..` behind a link to the system.
    return os.path.join(folder, path)


def _meant(path: str) -> str:
    """What a path that does not exist may have been meant as, or nothing."""
    if path in profiles.PROFILES:
        return f". {path!r} is a profile: pass it as profile={path!r}"
    owner, _, name = path.partition("/")
    if owner and name and "/" not in name and "." not in owner and not os.path.exists(owner):
        return (
            f". If {path!r} is a model of a hub: nothing is downloaded; pass the path of its folder"
        )
    return ""


# A vocabulary may have a million tokens of a kilobyte, in base64.
MAX_BYTES = 2 << 30

# What a core is made from: the hash of the file, the profile, and what a folder says.
_Key: TypeAlias = "tuple[str, str, folders.Folder | None]"

_cores: weakref.WeakValueDictionary[_Key, Core] = weakref.WeakValueDictionary()


def load(vocabulary: str | os.PathLike[str] | None, profile: str | None) -> Definition:
    """Finds and reads a vocabulary, and what its folder says of it.

    With a profile the special tokens and all else are those of that release, and the folder must
    not say otherwise. Without one they are the folder's own; a rank file by itself has the
    default's.

    Raises what `find` raises, OSError if the file can't be read, VocabularyError if it is no
    vocabulary of Llama 3 or files contradict each other, and Llama3TokError for an unknown profile.
    """
    path = find(vocabulary)
    ranks, sha256 = _ranks(path)
    directory = _folder_of(path)
    described, said_by = ranks, path
    if directory is not None:
        beside = os.path.join(directory, "tokenizer.json")
        if beside != path and os.path.isfile(beside):
            described, said_by = _ranks(beside)[0], beside
            _check_agreement(ranks, path, described, beside)
    if profile is None:
        return of_ranks(ranks, path, sha256, _said(directory, described, said_by))
    if described is not ranks:
        Core(described, beside, as_text(profile))
    elif directory is not None and ranks.added is None:
        _check_profile(directory, path, ranks, profile)
    return Definition(_core(ranks, path, (sha256, profile, None)), path, sha256, profile, None)


def _said(directory: str | None, ranks: Ranks, path: str) -> "folders.Folder | None":
    """What the files beside a vocabulary say; None if there are none."""
    beside = () if directory is None else (os.path.join(directory, name) for name in COMPANIONS)
    if ranks.added is None and not any(map(os.path.exists, beside)):
        return None
    return folders.read(directory, ranks, path)


def of_ranks(ranks: Ranks, path: str, sha256: str, folder: "folders.Folder | None") -> Definition:
    """A vocabulary with what a folder says of it, perhaps nothing but what is usual."""
    profile = profiles.DEFAULT_PROFILE
    if folder is not None:
        profile = folder.release or FOLDER
        if folder.release and folder == folders.usual(profile, ranks.size):
            folder = None
    core = _core(ranks, path, (sha256, profile, folder))
    return Definition(core, path, sha256, profile, folder)


def with_folder(definition: Definition, folder: "folders.Folder") -> Definition:
    """The same ranks with other added tokens, or what else a folder says."""
    ranks = Ranks.of(definition.core)
    return of_ranks(ranks, definition.path, definition.sha256, folder)


def with_special(
    definition: Definition,
    special_tokens: Mapping[str, int],
    *,
    stop_ids: Iterable[int] | None = None,
    chat_template: str | None = None,
    **roles: str | None,
) -> Definition:
    """The same with more special tokens: see `Tokenizer.with_special_tokens`."""
    tokens = checked_names(special_tokens, "special_tokens")
    if "" in tokens:
        raise TypeError("special_tokens: '' is not a name")
    if not isinstance(chat_template, str | None):
        kind = type(chat_template).__name__
        raise TypeError(f"chat_template must be a str or None, not {kind}")
    stops = None
    if stop_ids is not None:
        arguments.refuse_text(stop_ids, "stop_ids")
        stops = [arguments.count(id, f"stop_ids[{at}]", 0) for at, id in enumerate(stop_ids)]
    ranks = Ranks.of(definition.core)
    base = definition.folder or folders.usual(definition.profile, ranks.size)
    folder = folders.with_special(
        base, ranks, tokens, stop_ids=stops, chat_template=chat_template, **roles
    )
    size = max([ranks.size, *(token.id + 1 for token in folder.added)])
    for at, id in enumerate(stops or ()):
        if id >= size:
            raise Llama3TokError(
                f"stop_ids[{at}]: {id} is not a token id of this tokenizer; "
                f"ids run from 0 to {size - 1}"
            )
    return with_folder(definition, folder)


def checked_names(names: Mapping[str, int], argument: str) -> dict[str, int]:
    """Names of special tokens with their ids. Raises TypeError and ValueError for anything else."""
    if not isinstance(names, Mapping):
        kind = type(names).__name__
        raise TypeError(f"{argument} must be a dictionary of names and ids, not {kind}")
    checked = {}
    for name, id in names.items():
        if not isinstance(name, str):
            raise TypeError(f"{argument}: {repr(name)[:100]} is not a name")
        if any("\ud800" <= c <= "\udfff" for c in name):
            raise ValueError(
                f"{argument}: {name[:100]!r} has half a surrogate pair, which is not text"
            )
        checked[name] = arguments.count(id, f"{argument}[{name[:100]!r}]", 0, (1 << 32) - 1)
    return checked


def _folder_of(path: str) -> str | None:
    """The folder whose files say more about a vocabulary; None for a file by itself."""
    directory, name = os.path.split(path)
    if name not in IN_FOLDER[:2]:
        return None
    # Meta's files are beside the converted ones in repositories.
    parent, last = os.path.split(directory)
    return (
        parent
        if last == "original" and os.path.isfile(os.path.join(parent, "config.json"))
        else directory
    )


def _check_agreement(ranks: Ranks, path: str, described: Ranks, beside: str) -> None:
    id = ranks.differs_from(described)
    if id is not None:
        raise _refused(
            path,
            f"token {id} is {ranks.token(id)!r} in it, and {described.token(id)!r} in {beside}: "
            "the two files are of different tokenizers; remove the wrong one",
        )


def _check_profile(directory: str, path: str, ranks: Ranks, profile: str) -> None:
    """Refuses the rank file of a folder that has other special tokens than a release's.

    A rank file can't say which they are; a `tokenizer.json` does, and is asked when it is read.
    """
    folder = _said(directory, ranks, path)
    if folder is None or profile not in profiles.PROFILES:
        return
    expected = dict(enumerate(profiles.find(profile).special_names, ranks.size))
    differs = [token for token in folder.added if expected.get(token.id) != token.content]
    if differs:
        token, noted = differs[0], folder.release
        hint = f"pass profile={noted!r}" if noted else "leave the profile out"
        raise _refused(
            path,
            f"its folder says that {token.id} is {token.content!r}, which it is not in profile "
            f"{profile!r}; {hint}",
        )


def of_bytes(
    vocabulary: bytes,
    name: str,
    profile: str | None,
    all_special_tokens: Mapping[str, int] | None,
) -> Definition:
    """The vocabulary that is the content of a file: see `Tokenizer.from_bytes`."""
    if not isinstance(vocabulary, bytes):
        raise TypeError(f"vocabulary must be bytes, not {type(vocabulary).__name__}")
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    arguments.profile(profile)
    content = Content(vocabulary)
    if all_special_tokens is None:
        return loaded(content, name, profiles.DEFAULT_PROFILE if profile is None else profile)
    if profile is not None:
        raise ValueError("give a profile or all_special_tokens, not both")
    return with_names(content, name, checked_names(all_special_tokens, "all_special_tokens"))


def loaded(content: Content, path: str, profile: str) -> Definition:
    """The vocabulary that a file's content is; `path` is its name. Raises what `load` does."""
    ranks, sha256 = _ranks_of(content, path), content.sha256
    return Definition(_core(ranks, path, (sha256, profile, None)), path, sha256, profile, None)


def with_names(content: Content, path: str, names: Mapping[str, int]) -> Definition:
    """The vocabulary that a file's content is, with special tokens of any names and ids."""
    ranks = _ranks_of(content, path)
    for release in profiles.releases():
        if names == release.special_tokens(ranks.size):
            return loaded(content, path, release.name)
    return of_ranks(ranks, path, content.sha256, folders.named(ranks, names))


def _ranks(path: str) -> tuple[Ranks, str]:
    """What a vocabulary file says, and the SHA-256 of its content."""
    content = _read(path)
    return _ranks_of(content, path), content.sha256


def _ranks_of(content: Content, path: str) -> Ranks:
    same = _with_sha256(content.sha256)
    return Ranks(content, as_text(path)) if same is None else same


def _with_sha256(sha256: str) -> Ranks | None:
    """The ranks of a core of the process that was made from a file with this SHA-256."""
    # A list made at once, since other threads may add to them meanwhile.
    found = (one() for one in _cores.valuerefs() if one.key[0] == sha256)
    return next((Ranks.of(core) for core in found if core is not None), None)


def as_text(name: str) -> str:
    """A path for a message of the core."""
    # Rust needs names for messages only, where they may be approximate.
    return os.fsencode(name).decode("utf-8", "replace")


def _read(path: str) -> Content:
    """The file's content; a wrong file, which may be huge, is told by its beginning."""
    # Without a buffer, since what is in one would be joined with the rest: another copy of it all.
    try:
        opened = open_regular(path)
    except IrregularFile as error:
        raise _refused(path, str(error)) from None
    with opened as file:
        status = os.fstat(file.fileno())
        if reason := not_a_vocabulary(file.read(1024)):
            raise _refused(path, reason)
        if status.st_size > MAX_BYTES:
            raise _refused(path, f"the file has {status.st_size:,} bytes, more than any vocabulary")
        file.seek(0)
        return Content(file.read())


def is_vocabulary(head: bytes) -> bool:
    """Whether a file that begins like this, a kilobyte or all of it, may be a vocabulary."""
    return not_a_vocabulary(head) is None


def _refused(path: str, reason: str) -> VocabularyError:
    return VocabularyError(f"{path}: {reason}", file=path, reason=reason)


def _core(ranks: Ranks, path: str, key: _Key) -> Core:
    """The core of a content, profile and folder.

    No lock is held, so that a fork or a signal handler at any moment finds none locked. Of two
    threads that load the same at once, one does so in vain.
    """
    core = _cores.get(key)
    if core is not None:
        return core
    _, profile, folder = key
    if folder is None:
        core = Core(ranks, as_text(path), profile.encode("utf-8", "replace").decode())
    else:
        release = folder.chat or folder.release
        core = Core.with_added(ranks, as_text(path), list(folder.added), folder.roles, release)
    return _cores.setdefault(key, core)


def load_again(
    path: str, sha256: str, profile: str, folder: "folders.Folder | None" = None
) -> Definition:
    """The vocabulary with this hash: already in the process, at `path`, or where one is looked for.

    This is how a pickled tokenizer finds its vocabulary, perhaps on another machine; what its
    folder said is in the pickle. Raises VocabularyNotFound if none of them has that hash.
    """
    key = sha256, profile, folder
    same = _with_sha256(sha256)
    if same is not None:
        core = _core(same, path, key)
        return Definition(core, path, sha256, profile, folder)
    tried = []
    for candidate in dict.fromkeys([path, *(candidate.path for candidate in candidates())]):
        if candidate is None:
            continue
        try:
            found = find(candidate)
            content = _read(found)
            if content.sha256 == sha256:
                core = _core(_ranks_of(content, found), found, key)
                return Definition(core, found, sha256, profile, folder)
        except (VocabularyNotFound, VocabularyError, OSError) as error:
            tried.append(f"  - {error}")
            continue
        tried.append(f"  - {found}: another vocabulary, SHA-256 {content.sha256}")
    raise VocabularyNotFound(
        "\n".join([f"the vocabulary with SHA-256 {sha256} was not found again:", *tried, WAYS])
    )
