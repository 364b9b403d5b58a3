"""Reading the files of a folder."""

import os
from collections.abc import Mapping
from typing import NoReturn, TypeAlias

from llama3_tok.errors import VocabularyError
from llama3_tok.folder.says import CONFIG, TEMPLATE, TEMPLATES, Json, Templates
from llama3_tok.regular_files import IrregularFile, parse_json, read_regular

__all__ = ["Files", "default_first", "read_json", "refuse", "stop_ids", "templates"]

# The objects of JSON files by their names; None where there is no such file.
Files: TypeAlias = Mapping[str, Json | None]


def stop_ids(folder: str | None, files: Files, size: int) -> list[int] | None:
    """What ends generation, as transformers takes it; None if no file says it."""
    for name in ("generation_config.json", "config.json"):
        values = (files.get(name) or {}).get("eos_token_id")
        if values is None:
            continue
        ids = values if isinstance(values, list) else [values]
        for id in ids:
            if type(id) is not int or not 0 <= id < size:
                reason = f"its eos_token_id has {repr(id)[:100]}, and there are {size:,} ids"
                refuse(os.path.join(folder or "", name), reason)
        return sorted(set(ids))
    return None


def templates(folder: str | None, config: Json) -> Templates:
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
        found = _configured(os.path.join(folder, CONFIG), config.get("chat_template"))
    return tuple(sorted(found.items(), key=default_first))


def _configured(path: str, given: object) -> dict[str, str]:
    """The templates of a configuration: a text, or several as a list or by their names."""
    if given is None:
        return {}
    if isinstance(given, str):
        return {"default": given}
    pairs: list[tuple[object, object]] = []
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list) and all(isinstance(one, dict) for one in given):
        pairs = [(one.get("name"), one.get("template")) for one in given]
    else:
        refuse(path, "its chat_template is neither a text nor several")
    found = {}
    for name, text in pairs:
        if not isinstance(name, str) or not isinstance(text, str):
            refuse(path, "its chat_template is neither a text nor several")
        found[name] = text
    return found


def default_first(pair: tuple[str, str]) -> tuple[bool, str]:
    """The order of templates, by their names."""
    return pair[0] != "default", pair[0]


def read_json(folder: str | None, name: str) -> Json | None:
    """The object of a JSON file; None if there is no such file."""
    path = os.path.join(folder or "", name)
    text = None if folder is None else _text(path)
    if text is None:
        return None
    try:
        value = parse_json(text)
    except ValueError as error:
        refuse(path, f"it is not valid JSON: {error}")
    if not isinstance(value, dict):
        refuse(path, "it is not a JSON object")
    return value


def _text(path: str) -> str | None:
    if not os.path.isfile(path):
        return None
    try:
        data = read_regular(path)
    except IrregularFile as error:
        refuse(path, str(error))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        refuse(path, f"it is not UTF-8: {error}")


def refuse(path: str, reason: str) -> NoReturn:
    """Raises VocabularyError for a file."""
    raise VocabularyError(f"{path}: {reason}", file=path, reason=reason)
