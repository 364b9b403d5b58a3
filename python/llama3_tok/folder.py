"""What a model folder says of its tokenizer besides the ranks.

A fine-tune has special tokens of its own, another end of a turn, a chat template. Where the files of a
folder say it in several ways, what counts is what `AutoTokenizer` of transformers 5 makes of them:

1. `tokenizer.json` has the added tokens, and what is put around a text.
2. `tokenizer_config.json` may give them other flags, and names BOS, EOS, padding and so on; a token
   that it names and that is not there yet is added.
3. Without `added_tokens_decoder` in that file, `special_tokens_map.json` and `added_tokens.json` are
   read as well, as older versions wrote them.
4. Chat templates are files, or in the configuration.
5. `generation_config.json` says what ends generation; without it, `config.json`.

transformers numbers new tokens itself and then passes over an id that a file gives in vain. Here that
is an error, which names both.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from llama3_tok import _core, hugging_face
from llama3_tok.errors import Llama3TokError, VocabularyError

__all__ = ["AddedToken", "Around", "Folder", "Roles", "around", "read", "usual", "with_special"]

Json = dict[str, Any]

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
TEMPLATES = "additional_chat_templates"
# No file of these is larger; the largest have some thousand tokens with their flags.
_MOST_BYTES = 64 << 20

# The tokens that transformers knows by these names, in its order.
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# Of 3.1 and 3.2, which have the same special tokens; the text models of 3.2 have this factor.
_FACTOR_3_2 = 32
_FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")


class AddedToken(NamedTuple):
    """A token that a text has by its name.

    `special`: only if the caller allows it, and decoding may leave it out. `single_word`: only where no
    word goes on before or after it. `lstrip`, `rstrip`: the white space before or after it belongs to
    it. `normalized`: it is searched for in what the others leave.
    """

    id: int
    content: str
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class Roles(NamedTuple):
    """The ids with a meaning of their own."""

    bos: int | None
    eos: int | None
    eot: int | None
    pad: int | None
    stops: tuple[int, ...]


class Around(NamedTuple):
    """The ids that are put around a text, and around two."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    pair: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((),) * 4
    """Before and after the first of two, and before and after the second."""


class Folder(NamedTuple):
    """What a folder says. It never changes, and equal ones give the same ids."""

    added: tuple[AddedToken, ...]
    """Ascending by id."""
    roles: Roles
    post_processor: str
    """What is put around a text, as the JSON of `tokenizer.json`; "" if nothing is."""
    templates: tuple[tuple[str, str], ...]
    """Names and texts of the chat templates; the first is "default" if there is one."""
    config: str
    """`tokenizer_config.json` as JSON, without chat templates; "" if there is none."""
    release: str | None
    """The release whose special tokens these are, else None."""

    @property
    def around(self) -> Around:
        """What is put around a text."""
        return around(self.post_processor)

    @property
    def names(self) -> dict[str, str]:
        """The tokens that have a role in the configuration, as "unk_token"."""
        config = json.loads(self.config) if self.config else {}
        found = {f"{role}_token": _content(config.get(f"{role}_token")) for role in ROLES}
        return {role: content for role, content in found.items() if content}

    @property
    def chat(self) -> str | None:
        """The release whose conversations the core writes for this folder.

        None if its chat template has to be run, or there is none. A published template names tokens: they
        have to be special ones, and BOS the one that it is there.
        """
        if not self.templates:
            return self.release
        name, text = self.templates[0]
        release = hugging_face.profile_of_template(text) if name == "default" else None
        special = {token.content: token.id for token in self.added if token.special}
        if (
            release is None
            or self.roles.bos is None
            or self.roles.bos != special.get(_USUAL["bos"])
            or not hugging_face.named_in_chats(release) <= special.keys()
        ):
            return None
        return release


def read(folder: str | None, ranks: _core.Ranks, file: str) -> Folder | None:
    """What the files of a folder say; `file` is the one that `ranks` were read from.

    None if they say nothing: there is a rank file alone. Without a folder, `file` alone is asked.
    Raises VocabularyError for what can't be read, and for what contradicts itself.
    """
    files = {name: _read(folder, name) for name in _READ}
    templates = _templates(folder, files[CONFIG] or {})
    if ranks.added is None and not templates and not any(files.values()):
        return None
    config = files[CONFIG] or {}
    named = dict(config)
    decoder = config.get("added_tokens_decoder")
    tokens = _Tokens(ranks, file)
    if ranks.added is None and decoder is None:
        tokens.take_release(_guessed(files, templates))
    if decoder is not None:
        tokens.take(os.path.join(folder, CONFIG), _decoder(folder, decoder))
    else:
        named |= {
            role: value
            for role, value in (files["special_tokens_map.json"] or {}).items()
            if value is not None
        }
        special = {_content(value) for _, value in _named(folder, named)}
        older = files["added_tokens.json"] or {}
        path = os.path.join(folder or "", "added_tokens.json")
        tokens.take(path, [_older(path, name, id, special) for name, id in older.items()])
    for role, value in _named(folder, named):
        tokens.name(os.path.join(folder or "", CONFIG), role, value)
    added = tuple(tokens)
    release = _release(files, added, templates, ranks.size)
    post_processor = ranks.post_processor
    roles = _roles(folder, files, named, added, release, ranks.size)
    if ranks.added is None:  # there is no `tokenizer.json`
        before, after = config.get("add_bos_token", True), config.get("add_eos_token", False)
        value = hugging_face.post_processor(
            added, roles.bos if before else None, roles.eos if after else None
        )
        post_processor = json.dumps(value)
    kept = {name: value for name, value in config.items() if name != "chat_template"}
    return Folder(
        added,
        roles,
        _checked_post_processor(file, post_processor),
        templates,
        json.dumps(kept, ensure_ascii=False) if config else "",
        release,
    )


def usual(release: str, first: int) -> Folder:
    """What a folder says that `Tokenizer.save` wrote of a release; its special tokens begin at `first`."""
    added = tuple(
        AddedToken(first + at, name) for at, name in enumerate(_core.special_names(release))
    )
    *named, stops = _core.roles(release, first)
    roles = Roles(*named, tuple(stops))
    return Folder(
        added,
        roles,
        _canonical(hugging_face.post_processor(added, roles.bos, None)),
        (("default", hugging_face.chat_template(release)),),
        json.dumps(hugging_face.usual_config(release), ensure_ascii=False),
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
    pairs = tuple(sorted(templates.items(), key=_default_first))
    release = _release(dict.fromkeys(_READ), added, pairs, ranks.size)
    config = json.dumps(hugging_face.usual_config(release), ensure_ascii=False) if release else ""
    post_processor = hugging_face.post_processor(added, around["bos"], around["eos"])
    return Folder(added, roles, _canonical(post_processor), pairs, config, release)


def named(ranks: _core.Ranks, names: Mapping[str, int]) -> Folder:
    """Special tokens of these names and ids alone; those that releases have mean what they mean there."""
    ids = {role: names.get(name) for role, name in _USUAL.items()}
    roles = Roles(
        ids["bos"], ids["eos"], ids["eot"], ids["pad"], tuple(_ids(ids["eos"], ids["eot"]))
    )
    added = [AddedToken(id, name) for name, id in names.items()]
    return described(ranks, added, roles, {"bos": roles.bos, "eos": None}, {})


_USUAL = {
    "bos": "<|begin_of_text|>",
    "eos": "<|end_of_text|>",
    "eot": "<|eot_id|>",
    "pad": "<|finetune_right_pad_id|>",
}


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
                    f"special_tokens: {name!r} can't have the id {id}, which is {other.content!r}; only "
                    f"reserved ids and those from {max(of_id) + 1} on are free"
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
    roles = folder.roles
    for role, content in (("bos", bos), ("eos", eos), ("pad", pad)):
        if content is not None:
            if content not in of_name:
                raise Llama3TokError(f"{role}={content!r} is not an added token of this tokenizer")
            roles = roles._replace(**{role: of_name[content].id})
    if stop_ids is not None:
        roles = roles._replace(stops=tuple(sorted(set(stop_ids))))
    elif eos is not None and roles.eos is not None:
        roles = roles._replace(stops=tuple(sorted({*roles.stops, roles.eos})))
    added = tuple(sorted(of_name.values()))
    post_processor = folder.post_processor
    if bos is not None:
        post_processor = _canonical(hugging_face.post_processor(added, roles.bos, None))
    templates = folder.templates
    if chat_template is not None:
        others = (pair for pair in templates if pair[0] != "default")
        templates = (("default", chat_template), *others)
    release = folder.release if added == folder.added else None
    config: Json = json.loads(folder.config) if folder.config else {}
    if release is None:
        config.pop("profile", None)
    config |= {
        f"{role}_token": content
        for role, content in (("bos", bos), ("eos", eos), ("pad", pad))
        if content is not None
    }
    return Folder(
        added, roles, post_processor, templates, json.dumps(config, ensure_ascii=False), release
    )


RESERVED = "<|reserved_special_token_"

_READ = (
    CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "config.json",
)


class _Tokens:
    """Added tokens as transformers collects them."""

    def __init__(self, ranks: _core.Ranks, file: str) -> None:
        self._ranks, self._file = ranks, file
        given = (AddedToken(*one) for one in ranks.added or ())
        self._of = {token.content: token for token in given}
        self._is_new = not self._of

    def __iter__(self) -> Iterator[AddedToken]:
        return iter(sorted(self._of.values()))

    def take_release(self, release: str) -> None:
        """Takes the special tokens of a release."""
        for id, name in enumerate(_core.special_names(release), self._ranks.size):
            self._of[name] = AddedToken(id, name)

    def take(self, path: str, tokens: Iterable[AddedToken]) -> None:
        """Takes tokens with their ids from another file; flags count as they are there."""
        for token in sorted(tokens):
            expected = self._id(token.content)
            if token.id != expected and not (self._is_new and token.content not in self._of):
                other = next((one for one in self._of.values() if one.id == token.id), None)
                there = f"{token.content!r} has the id {expected}"
                if other is not None and token.content not in self._of:
                    there = f"the id {token.id} is {other.content!r}"
                _refuse(
                    path,
                    f"it gives {token.content!r} the id {token.id}, and by {self._file} {there}: "
                    "the two files are of different tokenizers; remove the wrong one",
                )
            self._of[token.content] = token

    def name(self, path: str, role: str, value: Any) -> None:  # noqa: ANN401 - of JSON
        """Takes a token that has a role; it is added if it is not there."""
        content = _content(value)
        if content is None:
            _refuse(path, f"its {role} is {value!r}, which is no token")
        if content and content not in self._of:
            flags = _flags(path, value) if isinstance(value, dict) else {}
            token = AddedToken(self._id(content), content, **(flags | {"special": True}))
            self._of[content] = token

    def _id(self, content: str) -> int:
        """The id that transformers gives to a token."""
        if (known := self._of.get(content)) is not None:
            return known.id
        id = self._ranks.id_written(content)
        if id is not None:
            return id
        return max([self._ranks.size, *(token.id + 1 for token in self._of.values())])


def _decoder(folder: str | None, decoder: Any) -> list[AddedToken]:  # noqa: ANN401 - of JSON
    path = os.path.join(folder or "", CONFIG)
    if not isinstance(decoder, dict):
        _refuse(path, "its added_tokens_decoder is not an object")
    tokens = []
    for id, value in decoder.items():
        content = _content(value)
        if not id.isascii() or not id.isdigit() or not content or not isinstance(value, dict):
            _refuse(path, f"its added_tokens_decoder has {id!r}: {value!r}, which is no token")
        flags = {"special": False} | _flags(path, value)
        tokens.append(AddedToken(int(id), content, **flags))
    return tokens


def _older(path: str, name: str, id: Any, special: set[str | None]) -> AddedToken:  # noqa: ANN401
    if not isinstance(id, int) or id < 0 or not name:
        _refuse(path, f"it gives {name!r} the id {id!r}")
    return AddedToken(id, name, special=name in special, normalized=name not in special)


def _flags(path: str, value: Json) -> dict[str, bool]:
    flags = {flag: value[flag] for flag in _FLAGS if value.get(flag) is not None}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        _refuse(path, f"the flags of {value.get('content')!r} are not all true or false")
    flags.setdefault("normalized", not flags.get("special", False))
    return flags


def _named(folder: str | None, config: Json) -> list[tuple[str, Any]]:
    """The tokens that have a role, in the order in which transformers adds them."""
    found = [(f"{role}_token", config.get(f"{role}_token")) for role in ROLES]
    known = {role for role, _ in found}
    more = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    if isinstance(more, dict):
        found += more.items()
        more = []
    if not isinstance(more, list):
        path = os.path.join(folder or "", CONFIG)
        _refuse(path, "its additional special tokens are not a list")
    found += [
        (role, value)
        for role, value in config.items()
        if role.endswith("_token") and role not in known and _content(value) is not None
    ]
    found += [("extra_special_tokens", value) for value in more]
    return [(role, value) for role, value in found if value is not None]


def _content(value: Any) -> str | None:  # noqa: ANN401 - of JSON
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


# What follows from the tokens


def _roles(
    folder: str | None,
    files: Mapping[str, Json | None],
    named: Json,
    added: tuple[AddedToken, ...],
    release: str | None,
    first: int,
) -> Roles:
    special = {token.content: token.id for token in added if token.special}

    def role(name: str) -> int | None:
        content = _content(named.get(f"{name}_token"))
        return next((token.id for token in added if token.content == content), None)

    bos, eos, pad = role("bos"), role("eos"), role("pad")
    if files[CONFIG] is None:
        # The other files name no roles; then the tokens of the releases have theirs.
        bos, eos = special.get(_USUAL["bos"]), special.get(_USUAL["eos"])
    if pad is None:
        pad = special.get(_USUAL["pad"])
    eot = special.get(_USUAL["eot"])
    size = max([first, *(token.id + 1 for token in added)])
    stops = _stops(folder, files, size)
    if stops is None:
        stops = _core.roles(release, first)[4] if release else _ids(eos, eot)
    return Roles(bos, eos, eot, pad, tuple(stops))


def _ids(*ids: int | None) -> list[int]:
    return sorted({id for id in ids if id is not None})


def _release(
    files: Mapping[str, Json | None],
    added: tuple[AddedToken, ...],
    templates: tuple[tuple[str, str], ...],
    first: int,
) -> str | None:
    """The release whose special tokens these are, none more and none less.

    3.1 and 3.2 have the same, and here other things tell which of them is meant.
    """
    plain = [token._replace(normalized=False) for token in added]
    fitting = [
        release
        for release in _core.PROFILES
        if plain
        == [AddedToken(first + at, name) for at, name in enumerate(_core.special_names(release))]
    ]
    told = [*_told(files, templates), "llama3.1", *fitting]
    return next((release for release in told if release in fitting), None)


def _guessed(files: Mapping[str, Json | None], templates: tuple[tuple[str, str], ...]) -> str:
    """The release that is meant where no file has names of special tokens."""
    told = [release for release in _told(files, templates) if release in _core.PROFILES]
    return (told or ["llama3.1"])[0]


def _told(
    files: Mapping[str, Json | None], templates: tuple[tuple[str, str], ...]
) -> Iterator[Any]:
    """What tells the release: what `Tokenizer.save` noted, a published chat template, and the scaling
    of the model's rotary embedding, which 3 does not have and which differs in 3.2.
    """
    yield (files[CONFIG] or {}).get("profile")
    for name, text in templates:
        if name == "default":
            yield hugging_face.profile_of_template(text)
    model = files["config.json"]
    if model is None or model.get("model_type") != "llama":
        return
    rope = model.get("rope_parameters") or model.get("rope_scaling") or {}
    if isinstance(rope, dict):
        scaled = rope.get("rope_type", rope.get("type")) == "llama3"
        later = "llama3.2" if rope.get("factor") == _FACTOR_3_2 else "llama3.1"
        yield later if scaled else "llama3"


def _stops(folder: str | None, files: Mapping[str, Json | None], size: int) -> list[int] | None:
    """What ends generation, as transformers takes it; None if no file says it."""
    for name in ("generation_config.json", "config.json"):
        values = (files[name] or {}).get("eos_token_id")
        if values is None:
            continue
        ids = values if isinstance(values, list) else [values]
        for id in ids:
            if type(id) is not int or not 0 <= id < size:
                reason = f"its eos_token_id has {id!r}, and there are {size:,} ids"
                _refuse(os.path.join(folder or "", name), reason)
        return sorted(set(ids))
    return None


def _templates(folder: str | None, config: Json) -> tuple[tuple[str, str], ...]:
    """The chat templates: those in files if there are any, else those of the configuration."""
    found: dict[str, str] = {}
    if folder is None:
        return ()
    if (text := _text(os.path.join(folder, TEMPLATE))) is not None:
        found["default"] = text
    more = os.path.join(folder, TEMPLATES)
    for name in sorted(os.listdir(more)) if os.path.isdir(more) else []:
        text = _text(os.path.join(more, name)) if name.endswith(".jinja") else None
        if text is not None:
            found[name.removesuffix(".jinja")] = text
    if not found:
        given = config.get("chat_template")
        if isinstance(given, list):
            pairs = [
                (one.get("name"), one.get("template")) for one in given if isinstance(one, dict)
            ]
            given = dict(pairs) if len(pairs) == len(given) else given
        found = {"default": given} if isinstance(given, str) else given or {}
        if not isinstance(found, dict) or not all(
            isinstance(part, str) for pair in found.items() for part in pair
        ):
            _refuse(os.path.join(folder, CONFIG), "its chat_template is neither a text nor several")
    return tuple(sorted(found.items(), key=_default_first))


def _default_first(pair: tuple[str, str]) -> tuple[bool, str]:
    return pair[0] != "default", pair[0]


# What is put around a text


@lru_cache(maxsize=64)
def around(post_processor: str) -> Around:
    """The ids that a post-processor puts around texts; ValueError if it does something else."""
    if not post_processor:
        return Around()
    value = json.loads(post_processor)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    steps = value.get("processors") if value.get("type") == "Sequence" else [value]
    whole = Around()
    for step in steps or ():
        kind = step.get("type")
        if kind == "ByteLevel":
            continue
        whole = _outside(_step(kind, step), whole)
    return whole


def _step(kind: str, step: Json) -> Around:
    if kind == "TemplateProcessing":
        ids = {name: tuple(token["ids"]) for name, token in step["special_tokens"].items()}
        before, after = _parts(step["single"], ids, "A")
        first, *between, last = _parts(step["pair"], ids, "AB")
        return Around(before, after, (first, *between, last))  # type: ignore[arg-type]
    if kind in ("RobertaProcessing", "BertProcessing"):
        start, end = (step["cls"][1],), (step["sep"][1],)
        between = end + end if kind.startswith("Roberta") else end
        return Around(start, end, (start, between, (), end))
    raise ValueError(f"it has a {kind}")


def _parts(template: list[Json], ids: Mapping[str, tuple[int, ...]], texts: str) -> Any:  # noqa: ANN401
    """The ids before and after each text; those between two are the second's by their type."""
    parts: list[tuple[int, ...]] = [()]
    for part in template:
        if "SpecialToken" in part:
            token = part["SpecialToken"]
            if len(parts) == 2 and len(texts) == 2 and token["type_id"] == 1:
                parts.append(())
            parts[-1] += ids[token["id"]]
            continue
        text, seen = part["Sequence"]["id"], len(parts) > 1
        if text != texts[seen : seen + 1]:
            raise ValueError("its texts are in another order")
        if seen and len(parts) == 2:
            parts.append(())
        parts.append(())
    if len(parts) != 2 * len(texts):
        raise ValueError("it leaves a text out")
    return tuple(parts)


def _outside(outer: Around, inner: Around) -> Around:
    pairs = zip(outer.pair, inner.pair, strict=True)
    first, after, second, last = (
        one + two if at % 2 == 0 else two + one for at, (one, two) in enumerate(pairs)
    )
    before = outer.before + inner.before
    return Around(before, inner.after + outer.after, (first, after, second, last))


def _checked_post_processor(file: str, text: str | None) -> str:
    if text is None:
        return ""
    try:
        around(text)
        return _canonical(json.loads(text))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        _refuse(file, f"its post_processor does not only put tokens around texts: {error}")


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# Files


def _read(folder: str | None, name: str) -> Json | None:
    """The object of a JSON file; None if there is no such file."""
    path = os.path.join(folder or "", name)
    text = None if folder is None else _text(path)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"it is not valid JSON: {error}")
    if not isinstance(value, dict):
        _refuse(path, "it is not a JSON object")
    return value


def _text(path: str) -> str | None:
    if not os.path.isfile(path):
        return None
    if os.path.getsize(path) > _MOST_BYTES:
        _refuse(path, f"it has more than {_MOST_BYTES:,} bytes, so it is not such a file")
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        _refuse(path, f"it is not UTF-8: {error}")


def _refuse(path: str, reason: str) -> NoReturn:
    raise VocabularyError(f"{path}: {reason}", file=path, reason=reason)
