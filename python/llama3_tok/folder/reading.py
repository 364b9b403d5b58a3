"""Reading a folder."""

import json
import os
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Any

from llama3_tok import _core
from llama3_tok.folder.added import AddedToken
from llama3_tok.folder.around import around, post_processor
from llama3_tok.folder.files import Files, read_json, refuse, stop_ids
from llama3_tok.folder.files import templates as templates_of
from llama3_tok.folder.says import (
    CONFIG,
    ROLES,
    USUAL,
    Folder,
    Json,
    Roles,
    Templates,
    canonical,
    content_of,
    ids_of,
)
from llama3_tok.folder.tokens import (
    EXTRA,
    Tokens,
    check_roles,
    of_decoder,
    of_older,
    with_roles,
)
from llama3_tok.profiles import (
    DEFAULT_PROFILE,
    PROFILES,
    ROPE_TYPE,
    chat_template,
    find,
    profile_of_template,
    releases,
    usual_config,
)

__all__ = ["read", "release_of"]

_MAP, _ADDED = "special_tokens_map.json", "added_tokens.json"
_ADDITIONAL = "additional_special_tokens"
# The JSON files that are read besides, the older ones first.
_MODEL = "config.json"
_READ = (_MAP, _ADDED, "generation_config.json", _MODEL)
_OLDER = 2


def read(folder: str | None, ranks: _core.Ranks, file: str) -> Folder | None:
    """What the files of a folder say; `file` is the one that `ranks` were read from.

    None if they say nothing: there is a rank file alone. Without a folder, `file` alone is asked.
    Raises VocabularyError for what can't be read, and for what contradicts itself.
    """
    files = {CONFIG: read_json(folder, CONFIG)}
    config = files[CONFIG] or {}
    decoder = config.get("added_tokens_decoder")
    # transformers reads the older files only where this has no tokens.
    names = _READ if decoder is None else _READ[_OLDER:]
    files |= {name: read_json(folder, name) for name in names}
    templates = templates_of(folder, config)
    if ranks.added is None and not templates and not any(files.values()):
        return None
    named = config
    tokens = Tokens(ranks, file)
    if ranks.added is None and decoder is None:
        tokens.take_release(_guessed(folder, files, templates))
    path = os.path.join(folder or "", CONFIG)
    check_roles(path, config)
    if decoder is not None:
        tokens.take(path, of_decoder(path, decoder))
    else:
        check_roles(os.path.join(folder or "", _MAP), files[_MAP] or {})
        named = _merged(config, files[_MAP] or {})
        special = {content_of(value) for _, value in with_roles(path, named)}
        older = files[_ADDED] or {}
        place = os.path.join(folder or "", _ADDED)
        found = [of_older(place, name, id, special) for name, id in older.items()]
        tokens.take(place, found, flags_count=False)
    for role, value in with_roles(path, named):
        tokens.name(path, role, value)
    added = tuple(tokens)
    release = release_of(added, templates, ranks.size, files, folder)
    processor = ranks.post_processor
    roles = _roles(folder, files, named, added, release, ranks.size)
    if ranks.added is None:  # there is no `tokenizer.json`
        before = _switch(path, config, "add_bos_token", default=True)
        after = _switch(path, config, "add_eos_token", default=False)
        value = post_processor(added, roles.bos if before else None, roles.eos if after else None)
        processor = json.dumps(value)
    kept = {name: value for name, value in named.items() if name != "chat_template"}
    if release and not templates and not kept:
        # No file speaks of conversations or names anything: then all is as the release has it.
        templates = (("default", chat_template(release)),)
        kept = usual_config(release)
    return Folder(
        added,
        roles,
        _checked_post_processor(file, processor, _size(added, ranks.size)),
        templates,
        json.dumps(kept, ensure_ascii=False) if kept else "",
        release,
    )


def _merged(config: Json, older: Json) -> Json:
    """A configuration with what a `special_tokens_map.json` says, as transformers joins them."""
    more = config.get(EXTRA) or config.get(_ADDITIONAL) or []
    merged = config | older
    for name in (EXTRA, _ADDITIONAL):
        merged.pop(name, None)
    if isinstance(more, list) and isinstance(older.get(EXTRA), list):
        more = [*more, *(token for token in older[EXTRA] if token not in more)]
    if more := more or older.get(EXTRA) or older.get(_ADDITIONAL):
        merged[EXTRA] = more
    return merged


def _roles(
    folder: str | None,
    files: Files,
    named: Json,
    added: tuple[AddedToken, ...],
    release: str | None,
    first: int,
) -> Roles:
    special = {token.content: token.id for token in added if token.special}

    def role(name: str) -> int | None:
        content = content_of(named.get(f"{name}_token"))
        return next((token.id for token in added if token.content == content), None)

    bos, eos, pad = role("bos"), role("eos"), role("pad")
    if files.get(CONFIG) is None and not any(f"{role}_token" in named for role in ROLES):
        # No file names roles; then the tokens of the releases have theirs.
        bos, eos = special.get(USUAL["bos"]), special.get(USUAL["eos"])
    if pad is None:
        pad = special.get(USUAL["pad"])
    eot = special.get(USUAL["eot"])
    stops = stop_ids(folder, files, _size(added, first))
    if stops is None:
        stops = [first + at for at in find(release).stops] if release else ids_of(eos, eot)
    return Roles(bos, eos, eot, pad, tuple(stops))


def _size(added: Iterable[AddedToken], first: int) -> int:
    """One more than the largest id."""
    return max([first, *(token.id + 1 for token in added)])


def _switch(path: str, config: Json, name: str, *, default: bool) -> bool:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        refuse(path, f"its {name} is {repr(value)[:100]}, and must be true or false")
    return value


def release_of(
    added: Iterable[AddedToken],
    templates: Templates,
    first: int,
    files: Files = MappingProxyType({}),
    folder: str | None = None,
) -> str | None:
    """The release whose special tokens these are, none more and none less.

    3.1, 3.2 and 3.3 have the same, and here other things tell which of them is meant. What 3.3 has
    3.1 has, too: only what `Tokenizer.save` noted tells it.
    """
    plain = [token._replace(normalized=False) for token in added]
    fitting = [
        release.name
        for release in releases()
        if plain == [AddedToken(id, name) for name, id in release.special_tokens(first).items()]
    ]
    told = [*_told(folder, files, templates), DEFAULT_PROFILE, *fitting]
    return next((release for release in told if release in fitting), None)


def _guessed(folder: str | None, files: Files, templates: Templates) -> str:
    """The release that is meant where no file has names of special tokens."""
    told = [release for release in _told(folder, files, templates) if release in PROFILES]
    return str((told or [DEFAULT_PROFILE])[0])


def _told(folder: str | None, files: Files, templates: Templates) -> Iterator[Any]:
    """What tells the release.

    What `Tokenizer.save` noted, a published chat template, and the scaling of the model's rotary
    embedding, which 3 does not have and which differs in 3.2.
    """
    yield (files.get(CONFIG) or {}).get("profile")
    for name, text in templates:
        if name == "default":
            yield profile_of_template(text)
    model = files.get(_MODEL)
    if model is None:
        return
    place = os.path.join(folder or "", _MODEL)
    if _told_by(place, model, "model_type", str) != "llama":
        return
    rope = _told_by(place, model, "rope_parameters", dict) or (
        _told_by(place, model, "rope_scaling", dict) or {}
    )
    kind = _told_by(place, rope, "rope_type", str) or _told_by(place, rope, "type", str)
    yield _of_rope(kind, _told_by(place, rope, "factor", int, float))


def _of_rope(kind: str | None, factor: float | None) -> str:
    """The release whose models have a rotary embedding that is scaled so.

    A factor that no release has is taken for one of the first that scale at all.
    """
    if kind != ROPE_TYPE:
        return next(release.name for release in releases() if release.scaling is None)
    scaled = {one.name: one.scaling.factor for one in releases() if one.scaling is not None}
    return [*(name for name, known in scaled.items() if known == factor), *scaled][0]


def _told_by(path: str, value: Json, name: str, *kinds: type) -> Any:  # noqa: ANN401 - of JSON
    """A field of the model's configuration, of one of these kinds; None without it."""
    found = value.get(name)
    if found is not None and type(found) not in kinds:
        refuse(path, f"its {name} is {repr(found)[:100]}, which is not what it can be")
    return found


def _checked_post_processor(file: str, text: str | None, size: int) -> str:
    """What is put around texts, as a folder keeps it; `size` ids there are."""
    if text is None:
        return ""
    try:
        both = around(text)
    except ValueError as error:
        refuse(file, f"its post_processor does not only put tokens around texts: {error}")
    for id in {*both.before, *both.after, *(id for part in both.pair for id in part)}:
        if id >= size:
            refuse(file, f"its post_processor puts {id} around texts, and there are {size:,} ids")
    return canonical(json.loads(text))
