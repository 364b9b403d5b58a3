"""Every public way in: what of it `attacks` calls with texts, and why the rest is left out.

The names are those of the reference (`docs/api`), of which `test_site` sees that they are all; the
methods are those that the package's own classes have; then the verbs of the command, and the
questions that the page of `serve` asks. A new one needs an entry that covers it, or a line here.
"""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import attack_chats  # noqa: F401 - adds its entries
import attack_pages  # noqa: F401
from attack_entries import ENTRIES, T, _encoding
from llama3_tok.cli import VERBS
from llama3_tok.playground.views import Playground

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "api"

NO_TEXT = "takes no text"
IDS = "takes ids, and gives text or ids of what they are"
LOOKUP = "looks a token up by its name, which is to ask for it"
FILES = "reads or writes files of tokenizers, weights or ids, and no text"
RESULT = "makes another form of a result"
ADAPTER = "is part of what `__call__` of huggingface.Encode does, which all three classes share"
ELSEWHERE = {
    "ray": "tests/test_data_ray.py; the ids are those of encode_arrow",
    "spark": "tests/test_data_spark.py; the ids are those of encode_arrow",
    "guides": "tests/with_torch/test_guides.py",
    "vllm": "tests/with_torch/test_vllm.py",
    "torch": "tests/with_torch/test_special_text.py: what a model reads is what `Tokenizer` gives",
}
TRANSFORMERS = "llama3_tok.compat.transformers.Llama3Tokenizer"

LEFT_OUT = {
    **{f"llama3_tok.about.{name}": NO_TEXT for name in ("code_path", "code_paths")},
    **{f"llama3_tok.about.{name}": NO_TEXT for name in ("cpu_count", "cpu_features")},
    "llama3_tok.AssistantMessage.to_message": RESULT,
    **{f"llama3_tok.AssistantStream.{name}": RESULT for name in ("choices", "finish")},
    "llama3_tok.Renderer.get_stop_token_ids": NO_TEXT,
    **{
        _encoding(name): IDS
        for name in (
            *("decode", "decode_batch", "decode_bytes", "decode_bytes_batch"),
            *("decode_single_token_bytes", "decode_tokens_bytes", "decode_with_offsets"),
            *("is_special_token", "token_byte_values"),
        )
    },
    _encoding("encode_single_token"): LOOKUP,
    **{
        f"llama3_tok.compat.tiktoken.{name}": NO_TEXT
        for name in (
            *("get_encoding", "list_encoding_names", "encoding_for_model"),
            "encoding_name_for_model",
        )
    },
    **{f"llama3_tok.compat.transformers.{name}": NO_TEXT for name in ("register", "unregister")},
    **{
        f"{TRANSFORMERS}.{name}": IDS
        for name in (
            *("build_inputs_with_special_tokens", "convert_tokens_to_string", "decode"),
            *("get_special_tokens_mask", "get_vocab"),
        )
    },
    f"{TRANSFORMERS}.save_vocabulary": FILES,
    f"{TRANSFORMERS}.set_truncation_and_padding": NO_TEXT,
    f"{TRANSFORMERS}.train_new_from_iterator": "trains another tokenizer, by transformers",
    **{
        f"llama3_tok.data.huggingface.Encode.{name}": ADAPTER
        for name in ("column_of", "counts_of", "ids_of", "threads_here", "with_column")
    },
    **{f"llama3_tok.data.Packed.{name}": RESULT for name in ("columns", "padded")},
    "llama3_tok.data.verify": FILES,
    "llama3_tok.ChatFormatError.in_row": RESULT,
    **{
        f"llama3_tok.report.{name}.{form}": f"{RESULT}; pages_of_comparisons, pages_of_parity"
        for name in ("Parity", "Comparison")
        for form in ("to_html", "to_json")
    },
    **{f"llama3_tok.serving.PrefixCache.{name}": NO_TEXT for name in ("clear", "info")},
    **{f"{T}.{name}": IDS for name in ("decode_batch", "decode_bytes", "token_bytes")},
    **{f"{T}.{name}": NO_TEXT for name in ("cache_info", "of", "tokens", "written_tokens")},
    **{f"{T}.{name}": FILES for name in ("from_bytes", "rank_file", "save", "with_folder")},
    f"{T}.token_id": LOOKUP,
    f"{T}.with_special_tokens": "is told which names are special",
    "llama3_tok.Encoding.token_at": RESULT,
    **{f"llama3_tok.Explanation.{name}": RESULT for name in ("as_json", "at")},
    **{f"llama3_tok.Pretoken.{name}": RESULT for name in ("as_json", "tree")},
    **{f"llama3_tok.AddedPiece.{name}": RESULT for name in ("as_json", "tree")},
    "llama3_tok.Padded.to": RESULT,
    "llama3_tok.TokenIndex.count": RESULT,
    **{f"llama3_tok.StreamDecoder.{name}": IDS for name in ("flush", "push")},
    "llama3_tok.IncrementalEncoder.finish": f"{RESULT}; text_in_pieces",
    **{f"llama3-tok {verb}": FILES for verb in ("convert", "convert-checkpoint")},
    **{f"llama3-tok {verb}": ELSEWHERE["torch"] for verb in ("generate", "chat-with")},
    **{f"llama3-tok {verb}": NO_TEXT for verb in ("doctor", "completion")},
    "serve /about": NO_TEXT,
}
"""Why it is left out, by what is left out."""


def ways_in() -> Iterator[str]:
    """Every public function and method, verb and question."""
    for page in sorted(REFERENCE.glob("*.md")):
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield from _of_name(name)
    yield from (f"llama3-tok {verb}" for verb in VERBS)
    yield "serve /about"
    yield from (f"serve /{name}" for name in Playground({}).views)


def _of_name(name: str) -> Iterator[str]:
    module, _, last = name.rpartition(".")
    if _elsewhere(name):
        yield name  # as a whole: what it needs may not be installed
        return
    value = getattr(import_module(module), last)
    # A function, or an object of the package that can be called.
    is_ours = type(value).__module__.startswith("llama3_tok") and callable(value)
    if isinstance(value, type):
        yield from (f"{name}.{method}" for method in _methods(value))
    elif inspect.isroutine(value) or is_ours:
        yield name


def _methods(kind: type) -> list[str]:
    """The methods of a class that are the package's own, in the order of their names."""
    return sorted(
        {
            name
            for base in kind.__mro__
            if base.__module__.startswith("llama3_tok")
            for name, value in vars(base).items()
            if (not name.startswith("_") or name == "__call__")
            and (inspect.isfunction(value) or isinstance(value, classmethod | staticmethod))
        }
    )


def _elsewhere(name: str) -> str | None:
    parts = name.split(".")
    return next((reason for key, reason in ELSEWHERE.items() if key in parts[1:3]), None)


def reason(name: str) -> str | None:
    """Why a way in is not attacked; None if it is, or if nobody has decided."""
    return LEFT_OUT.get(name) or _elsewhere(name)


def covered() -> set[str]:
    """The ways in that entries call with texts."""
    return {name for entry in ENTRIES.values() for name in entry.covers}
