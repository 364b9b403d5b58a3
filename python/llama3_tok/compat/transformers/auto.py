"""`register`: `AutoTokenizer` gives this package's class for folders of Llama 3."""

import json
import re
import warnings
from typing import Any

from llama3_tok.about import PATTERN
from llama3_tok.compat.transformers.tokenizer import Llama3Tokenizer
from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require

require("transformers", "transformers")

from transformers import AutoTokenizer  # noqa: E402 - whether it is there was asked first
from transformers.utils import cached_file  # noqa: E402

__all__ = ["register", "unregister"]

# What asks for another class or format than this one reads.
_ELSEWHERE = ("gguf_file", "mistral_format", "tokenizer_type")
# What AutoTokenizer takes for itself.
_ITS_OWN = ("code_revision", "config", "trust_remote_code", "use_fast")
# Where a folder may be besides on this machine.
_PLACE = (
    *("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder"),
    "token",
)

_original: Any = None


def register() -> None:
    """Makes `AutoTokenizer.from_pretrained` give `Llama3Tokenizer` for a folder of Llama 3.

    So it does for everything that loads tokenizers by it, as `pipeline` and trainers do, in this
    process. A folder is one of Llama 3 if its `tokenizer.json` has Llama 3's pattern and takes
    tokens before merges; all others are loaded as before, and so is one that this class refuses,
    which a warning says. `unregister` undoes it. Called again it does nothing.

    >>> from llama3_tok.compat.transformers import register, unregister
    >>> register()
    >>> unregister()
    """
    global _original
    if _original is None:
        _original = AutoTokenizer.__dict__["from_pretrained"]
        AutoTokenizer.from_pretrained = classmethod(_from_pretrained)


def unregister() -> None:
    """Undoes `register`; without it, it does nothing."""
    global _original
    if _original is not None:
        AutoTokenizer.from_pretrained = _original
        _original = None


def _from_pretrained(cls: type, name: Any, *inputs: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """In place of `AutoTokenizer.from_pretrained`."""
    elsewhere = any(kwargs.get(option) for option in _ELSEWHERE) or kwargs.get("use_fast") is False
    if not elsewhere and _is_llama3(name, kwargs):
        mine = {option: value for option, value in kwargs.items() if option not in _ITS_OWN}
        try:
            return Llama3Tokenizer.from_pretrained(name, *inputs, **mine)
        except Llama3TokError as error:
            warnings.warn(f"{name} is loaded by transformers' own class: {error}", stacklevel=2)
    return _original.__func__(cls, name, *inputs, **kwargs)


def _is_llama3(name: Any, options: dict[str, Any]) -> bool:  # noqa: ANN401 - a path or a hub's name
    """Whether a folder's `tokenizer.json` says so; not if it has none."""
    place = {option: options[option] for option in _PLACE if options.get(option) is not None}
    try:
        path = cached_file(name, "tokenizer.json", **place)
    except OSError:  # transformers' own class says what is wrong
        return False
    if path is None:
        return False
    with open(path, "rb") as file:
        data = file.read()
    return json.dumps(PATTERN).encode() in data and (
        re.search(rb'"ignore_merges"\s*:\s*true', data) is not None
    )
