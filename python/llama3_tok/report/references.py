"""The references that ids are compared with: which there are, and how each is asked.

The first half is the report's side, which imports none of them. `load` and what is below it run in
`worker.py`, in the process of one reference.

Each is asked as its users ask it: tiktoken by `encode_ordinary`, Meta's class by `encode` without
special tokens, tokenizers by `encode`, which takes the names of special tokens in text for them.
Where that alone makes a difference the report shows it (`known_causes.py`). The tokens of a folder
that are not special ones, and flags, are known to tokenizers and transformers alone.

transformers is asked for conversations with our chat template, or if the tokenizer is a folder's
for all that `AutoTokenizer` makes of the folder: texts, and conversations if it has a template.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from llama3_tok.errors import Llama3TokError

__all__ = ["KNOWN", "Engine", "Reference", "absent", "by_name", "by_path", "load"]

TEXT, CHAT = "text", "chat"


class Kind(NamedTuple):
    """A library that the report knows."""

    package: str
    """As it is imported."""
    distribution: str
    extra: str
    items: frozenset[str]
    """Texts, conversations or both."""


KNOWN: dict[str, Kind] = {
    "tiktoken": Kind("tiktoken", "tiktoken", "report", frozenset({TEXT})),
    "tokenizers": Kind("tokenizers", "tokenizers", "report", frozenset({TEXT})),
    "meta": Kind("llama_models", "llama-models", "vocab", frozenset({TEXT, CHAT})),
    "transformers": Kind("transformers", "transformers", "transformers", frozenset({CHAT})),
}


class Reference(NamedTuple):
    """One reference of a report."""

    name: str
    """As the report calls it."""
    kind: str
    """A name in KNOWN, or "python"."""
    items: frozenset[str]
    path: str | None = None
    """A file to use in place of what the tokenizer is written as; for "python" MODULE:NAME."""
    sha256: str | None = None
    """Of that file's content."""

    @property
    def version(self) -> str | None:
        """That of the library, None if there is none."""
        from importlib.metadata import PackageNotFoundError, version

        if self.kind not in KNOWN:
            return None
        try:
            return version(KNOWN[self.kind].distribution)
        except PackageNotFoundError:
            return None


def by_name(name: str) -> Reference:
    """A reference by its name: one of KNOWN, or MODULE:NAME for a function from `str` to ids.

    Raises Llama3TokError for any other.
    """
    if name in KNOWN:
        return Reference(name, name, KNOWN[name].items)
    module, colon, function = name.partition(":")
    if colon and module and function:
        return Reference(name, "python", frozenset({TEXT}), name)
    known = ", ".join(KNOWN)
    raise Llama3TokError(
        f"{name!r} is not a reference; the references are {known}, and MODULE:NAME for a function "
        "that gives the ids of a str"
    )


def by_path(path: str) -> Reference:
    """The reference that a `tokenizer.json` or a rank file is; which it is its content tells."""
    import hashlib
    import os

    with open(path, "rb") as file:
        is_json = file.read(64).lstrip()[:1] == b"{"
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    kind = "tokenizers" if is_json else "tiktoken"
    return Reference(
        f"against {os.path.basename(path)}", kind, KNOWN[kind].items, os.path.abspath(path), sha256
    )


def absent(reference: Reference) -> str | None:
    """How to install the reference's package; None if it is there."""
    from importlib.util import find_spec

    if reference.kind not in KNOWN or find_spec(KNOWN[reference.kind].package) is not None:
        return None
    return f"pip install 'llama3_tok[{KNOWN[reference.kind].extra}]'"


# In the reference's process


class Engine(Protocol):
    """A loaded reference."""

    def text(self, text: str, special: bool) -> Sequence[int]:
        """The ids of a text; `special` allows special tokens in it."""

    def chat(self, messages: list[Any], options: dict[str, Any]) -> Sequence[int]:
        """The ids of a conversation, with the options of `Tokenizer.encode_chat`."""


def load(given: dict[str, Any]) -> Engine:
    """The reference that is asked for: `kind`, `path`, and what `client.py` sends beside them."""
    engines: dict[str, Callable[[dict[str, Any]], Engine]] = {
        "tiktoken": _Tiktoken,
        "tokenizers": _Tokenizers,
        "meta": _Meta,
        "transformers": _Transformers,
        "python": _Function,
    }
    return engines[given["kind"]](given)


class _TextOnly:
    def chat(self, messages: list[Any], options: dict[str, Any]) -> Sequence[int]:
        raise NotImplementedError("this reference has no conversations")


class _Tiktoken(_TextOnly):
    def __init__(self, given: dict[str, Any]) -> None:
        import base64

        import tiktoken

        ranks = {}
        with open(given["path"] or given["rank_file"], "rb") as file:
            for line in file.read().splitlines():
                token, rank = line.split()
                ranks[base64.b64decode(token)] = int(rank)
        self._encoding = tiktoken.Encoding(
            "llama3",
            pat_str=given["pattern"],
            mergeable_ranks=ranks,
            special_tokens=given["special_tokens"],
        )

    def text(self, text: str, special: bool) -> Sequence[int]:
        if special:
            return self._encoding.encode(text, allowed_special="all", disallowed_special=())
        return self._encoding.encode_ordinary(text)


class _Tokenizers(_TextOnly):
    def __init__(self, given: dict[str, Any]) -> None:
        import tokenizers

        self._tokenizer = tokenizers.Tokenizer.from_file(given["path"] or given["tokenizer_json"])
        # A file may ask for either, and then the ids are not those of the text.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def text(self, text: str, special: bool) -> Sequence[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


class _Meta:
    def __init__(self, given: dict[str, Any]) -> None:
        from pathlib import Path

        module = importlib.import_module("llama_models.llama3.tokenizer")
        self._tokenizer = module.Tokenizer(Path(given["rank_file"]))

    def text(self, text: str, special: bool) -> Sequence[int]:
        allowed = "all" if special else None
        ids: list[int] = self._tokenizer.encode(text, bos=False, eos=False, allowed_special=allowed)
        return ids

    def chat(self, messages: list[Any], options: dict[str, Any]) -> Sequence[int]:
        types = importlib.import_module("llama_models.datatypes")
        format = importlib.import_module("llama_models.llama3.chat_format")
        raw = []
        for message in messages:
            calls = []
            for call in message.get("tool_calls", []):
                function = call["function"]
                name, arguments = function["name"], function["arguments"]
                calls.append(types.ToolCall(call_id="", tool_name=name, arguments=arguments))
            made = {"role": message["role"], "content": message.get("content", "")}
            if "stop_reason" in message:
                made["stop_reason"] = types.StopReason(message["stop_reason"])
            raw.append(types.RawMessage(**made, tool_calls=calls))
        encode = format.ChatFormat(self._tokenizer).encode_dialog_prompt
        ids: list[int] = encode(raw, types.ToolPromptFormat.json).tokens
        return ids


class _Transformers:
    def __init__(self, given: dict[str, Any]) -> None:
        transformers = importlib.import_module("transformers")
        transformers.logging.set_verbosity_error()
        if given["folder"] is not None:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                given["folder"], local_files_only=True
            )
        else:
            self._tokenizer = transformers.PreTrainedTokenizerFast(
                tokenizer_file=given["tokenizer_json"],
                bos_token="<|begin_of_text|>",
                clean_up_tokenization_spaces=False,
            )
        self._template = given["template"]

    def text(self, text: str, special: bool) -> Sequence[int]:
        ids: list[int] = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=not special
        )["input_ids"]
        return ids

    def chat(self, messages: list[Any], options: dict[str, Any]) -> Sequence[int]:
        ids: list[int] = self._tokenizer.apply_chat_template(
            messages,
            chat_template=self._template,
            tokenize=True,
            return_dict=False,
            add_generation_prompt=True,
            **options,
        )
        return ids


class _Function(_TextOnly):
    def __init__(self, given: dict[str, Any]) -> None:
        import contextlib
        import os
        import sys

        module, _, name = given["path"].partition(":")
        with contextlib.suppress(FileNotFoundError):  # that folder has been removed
            sys.path.append(os.getcwd())  # where people keep a module that is theirs alone
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        self._function: Callable[[str], Sequence[int]] = found  # type: ignore[assignment]

    def text(self, text: str, special: bool) -> Sequence[int]:
        return self._function(text)
