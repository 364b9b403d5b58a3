"""What a folder would say: of a release, of another file, with more special tokens."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llama3_tok import _core
from llama3_tok.errors import Llama3TokError
from llama3_tok.folder.added import AddedToken
from llama3_tok.folder.around import post_processor
from llama3_tok.folder.files import default_first
from llama3_tok.folder.reading import release_of
from llama3_tok.folder.says import (
    RESERVED,
    USUAL,
    Folder,
    Json,
    Roles,
    canonical,
    ids_of,
)
from llama3_tok.profiles import chat_template, find, usual_config

__all__ = ["described", "named", "usual", "with_special"]


def usual(release: str, first: int) -> Folder:
    """What a folder says that `Tokenizer.save` wrote of a release; special ids from `first` on."""
    known = find(release)
    added = tuple(AddedToken(id, name) for name, id in known.special_tokens(first).items())
    roles = Roles(
        first + known.bos,
        first + known.eos,
        first + known.eot,
        None if known.pad is None else first + known.pad,
        tuple(first + at for at in known.stops),
    )
    around = post_processor(
        added, roles.bos if known.adds_bos else None, roles.eos if known.adds_eos else None
    )
    return Folder(
        added,
        roles,
        canonical(around),
        (("default", chat_template(release)),),
        json.dumps(usual_config(release), ensure_ascii=False),
        release,
    )


def described(
    ranks: _core.Ranks,
    added: Iterable[AddedToken],
    roles: Roles,
    around: Mapping[str, int | None],
    templates: Mapping[str, str],
) -> Folder:
    """What another file says as well as a folder does; `around` are the BOS and EOS of a text."""
    added = tuple(sorted(added))
    pairs = tuple(sorted(templates.items(), key=default_first))
    release = release_of(added, pairs, ranks.size)
    config = json.dumps(usual_config(release), ensure_ascii=False) if release else ""
    put = post_processor(added, around["bos"], around["eos"])
    return Folder(added, roles, canonical(put), pairs, config, release)


def named(ranks: _core.Ranks, names: Mapping[str, int]) -> Folder:
    """Special tokens alone; those with names of the releases mean what they mean there."""
    ids = {role: names.get(name) for role, name in USUAL.items()}
    roles = Roles(
        ids["bos"], ids["eos"], ids["eot"], ids["pad"], tuple(ids_of(ids["eos"], ids["eot"]))
    )
    added = [AddedToken(id, name) for name, id in names.items()]
    return described(ranks, added, roles, {"bos": roles.bos, "eos": None}, {})


def with_special(
    folder: Folder,
    ranks: _core.Ranks,
    tokens: Mapping[str, int],
    *,
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
    stop_ids: Iterable[int] | None = None,
    chat_template: str | None = None,
) -> Folder:
    """The same with more special tokens, or other roles: see `Tokenizer.with_special_tokens`."""
    of_name = {token.content: token for token in folder.added}
    of_id = {token.id: token for token in folder.added}
    for name, id in tokens.items():
        other = of_id.get(id)
        if other is not None and other.content != name:
            if not other.content.startswith(RESERVED):
                raise Llama3TokError(
                    f"special_tokens: {name!r} can't have the id {id}, which is "
                    f"{other.content!r}; only reserved ids and those from {max(of_id) + 1} on are "
                    "free"
                )
            del of_name[other.content]
        known = of_name[name].id if name in of_name else ranks.id_written(name)
        if known is not None and known != id:
            raise Llama3TokError(
                f"special_tokens: {name!r} is a token already, with the id {known}"
            )
        if known is None and id < ranks.size:
            raise Llama3TokError(
                f"special_tokens: {name!r} can't have the id {id}, which is a token of text"
            )
        flags = of_name[name]._replace(special=True) if name in of_name else None
        of_name[name] = of_id[id] = flags or AddedToken(id, name)
    ids: dict[str, Any] = {}
    for role, content in (("bos", bos), ("eos", eos), ("pad", pad)):
        if content is not None:
            if content not in of_name:
                raise Llama3TokError(f"{role}={content!r} is not an added token of this tokenizer")
            ids[role] = of_name[content].id
    roles = folder.roles._replace(**ids)
    if stop_ids is not None:
        roles = roles._replace(stops=tuple(sorted(set(stop_ids))))
    elif eos is not None and roles.eos is not None:
        roles = roles._replace(stops=tuple(sorted({*roles.stops, roles.eos})))
    added = tuple(sorted(of_name.values()))
    around = folder.post_processor
    if bos is not None:
        around = canonical(post_processor(added, roles.bos, None))
    templates = folder.templates
    if chat_template is not None:
        others = (pair for pair in templates if pair[0] != "default")
        templates = (("default", chat_template), *others)
    release = folder.release if added == folder.added else None
    config: Json = json.loads(folder.config) if folder.config else {}
    config |= {
        f"{role}_token": content
        for role, content in (("bos", bos), ("eos", eos), ("pad", pad))
        if content is not None
    }
    return Folder(added, roles, around, templates, json.dumps(config, ensure_ascii=False), release)
