"""What a corpus is made of, and how: all that decides its bytes, and nothing else."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from llama3_tok import arguments
from llama3_tok.errors import Llama3TokError

__all__ = ["Form", "Job", "Kind"]

Form: TypeAlias = Literal["file", "line", "separator"]
Kind: TypeAlias = Literal["file", "line", "separator", "jsonl", "messages", "parquet"]
"""How a file is read: by its name, and by what the job says."""

_JSONL = (".jsonl", ".ndjson", ".json")
_MAX_TOKENS = 1 << 40


@dataclass(frozen=True)
class Job:
    """The input, the form of documents in it, and the form of what is written.

    Two jobs that are equal, with the same input and the same versions, write the same bytes.
    """

    inputs: tuple[str, ...]
    format: str
    sha256: str
    """Of the vocabulary's file."""
    documents: Form = "file"
    separator: str = ""
    field: str | None = None
    id_field: str | None = None
    messages: bool = False
    chats: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The options of `encode_chats`, for conversations."""
    bos: bool = False
    eos: bool = False
    allowed_special: "Literal['all'] | tuple[str, ...]" = ()
    shard_tokens: int = 1 << 26
    compression: str | None = None
    pack: int | None = None
    strategy: Literal["concatenate", "best-fit"] = "concatenate"
    shuffle: int | None = None
    sample: float | None = None
    splits: tuple[tuple[str, float], ...] = ()
    on_error: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        """Raises ValueError, TypeError and Llama3TokError for what makes no sense."""
        if not self.inputs:
            raise ValueError("inputs has no file, folder or pattern")
        arguments.choice(self.documents, "documents", ("file", "line", "separator"))
        arguments.choice(self.on_error, "on_error", ("stop", "skip"))
        arguments.choice(self.strategy, "strategy", ("concatenate", "best-fit"))
        arguments.count(self.shard_tokens, "shard_tokens", 1, _MAX_TOKENS)
        if (self.documents == "separator") != bool(self.separator):
            raise ValueError('documents="separator" and separator= go together')
        if self.messages and self.field is not None:
            raise ValueError("messages=True and field= exclude each other")
        if self.documents != "file" and (self.messages or self.field is not None):
            raise ValueError("documents is for text; records are documents by themselves")
        if self.id_field is not None and self.field is None:
            raise ValueError("id_field= is for the records of field=")
        if self.messages and (self.bos or self.eos or self.allowed_special):
            raise ValueError(
                "bos, eos and allowed_special are for text; a conversation has its own special "
                "tokens"
            )
        if self.chats and not self.messages:
            raise ValueError("chats= is for messages=True")
        if self.pack is not None:
            arguments.count(self.pack, "pack", 1, _MAX_TOKENS)
        if self.shuffle is not None:
            arguments.count(self.shuffle, "shuffle", 0, (1 << 64) - 1)
        for name, part in (("sample", self.sample or 1.0), *self.splits):
            if not (isinstance(part, float) and 0 < part <= 1 and math.isfinite(part)):
                raise ValueError(f"{name} must be more than 0 and at most 1, not {part!r}")
        if sum(part for _, part in self.splits) >= 1:
            raise ValueError("the splits have all documents, and nothing is left for train")
        for name, _ in self.splits:
            if not name.isidentifier() or name == "train":
                raise ValueError(f"{name!r} can't be the name of a split, which is a folder")

    def kind_of(self, path: str) -> Kind:
        """How a file is read. Raises Llama3TokError if the job does not say."""
        name = path.lower()
        for packed in (".gz", ".zst"):
            name = name.removesuffix(packed)
        if name.endswith(".parquet"):
            if self.field is None and not self.messages:
                raise Llama3TokError(f"{path}: give field=, the column that has the texts")
            return "parquet"
        if self.messages:
            return "messages"
        if self.field is not None:
            return "jsonl"
        if name.endswith(_JSONL) and self.documents == "file":
            raise Llama3TokError(
                f"{path}: give field=, the name of the text in each record, or messages=True for "
                'conversations; documents="line" takes each line as it is'
            )
        return self.documents

    def as_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        given = dataclasses.asdict(self)
        # The same whether it was read from JSON or not.
        described: dict[str, Any] = json.loads(json.dumps(given, default=str))
        return described
