"""Folders that are no Llama 3 checkpoint of plain weights, each called what it is.

Whoever has one of these has a right to more than the name of a tensor: what the folder is, why it
is not converted, and what to do. No advice here overwrites anything.
"""

import os
import re
from collections.abc import Collection, Iterator
from enum import Enum
from typing import Any, NoReturn

from llama3_tok.torch.checkpoint.stored import check_pointer, read_json, refuse

ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

_WEIGHTS = re.compile(r"(model|pytorch_model|consolidated)\b.*\.(safetensors|bin|pth|index\.json)")
_RANK = re.compile(r"consolidated(\.\d{2,})?\.pth")


# Adapters


def adapter_in(folder: str) -> str | None:
    """The name of a file of an adapter that is in a folder."""
    found = (name for name in (*ADAPTER_WEIGHTS, ADAPTER) if _is_file(folder, name))
    return next(found, None)


def adapter_kind(folder: str) -> str:
    """What an adapter is called: "a LoRA adapter for Llama-3.1-8B"."""
    path = os.path.join(folder, ADAPTER)
    says = read_json(path) if os.path.exists(path) else {}
    kind, base = says.get("peft_type"), says.get("base_model_name_or_path")
    name = "a LoRA adapter" if kind in (None, "LORA") else f"an adapter ({str(kind)[:50]})"
    return f"{name} for {base[:100]}" if isinstance(base, str) and base else name


def check_adapter(folder: str, advice: str) -> None:
    """Refuses a folder with an adapter beside the model: the weights alone are another model."""
    if name := adapter_in(folder):
        check_pointer(os.path.join(folder, name))
        refuse(
            folder,
            f"{adapter_kind(folder)} is here ({name}), and what it changes is not in the model's "
            f"own files; {advice}, or move {name} out of the folder to leave it out",
        )


# Quantised weights, and models with images


def check_plain(values: dict[str, Any], file: str, types: Collection[str]) -> None:
    """Refuses a `config.json` that says the weights are quantised.

    `types` are those of the tensors, if all of them are plain. An empty `quantization_config` says
    that nothing is quantised.
    """
    says = values.get("quantization_config")
    if not says:
        return
    method = says.get("quant_method") if isinstance(says, dict) else None
    how = f" by {method[:50]!r}" if isinstance(method, str) else ""
    if types:
        refuse(
            file,
            f"its quantization_config says that the weights are quantised{how}, and the tensors "
            f"are all plain {' and '.join(sorted(types))}, so one of the two is wrong. If they "
            "were dequantised, convert a copy of the folder whose config.json has no "
            "quantization_config; else take the checkpoint that was quantised",
        )
    refuse(
        file,
        f"the weights are quantised{how}, and only bfloat16, float16 and float32 are read; take "
        "the checkpoint that was quantised",
    )


def kind_of_config(values: dict[str, Any]) -> str:
    """What a model is whose `model_type` is not "llama": a clause, or nothing."""
    kind = values.get("model_type")
    if kind == "mllama_text_model":
        return (
            "; this is the text part of a Llama 3.2 Vision model, and whole models alone are "
            "converted and run"
        )
    return _NOT_MLLAMA if "vision_config" in values else ""


def kind_to_run(values: dict[str, Any]) -> str:
    """The same for a model that is to be run: those that read images are not run here."""
    if values.get("model_type") == "mllama":
        return (
            "; this is a Llama 3.2 Vision model, and llama3_tok.torch runs text models alone: "
            "transformers runs it, as MllamaForConditionalGeneration"
        )
    return kind_of_config(values)


def kind_of_field(name: str) -> str:
    """What a checkpoint is whose `params.json` has a field that no text model has."""
    if name.startswith("vision"):
        return (
            "; it is of a model that reads images, and those of Llama 3.2 Vision have "
            "vision_chunk_size, vision_max_num_chunks and vision_num_cross_attention_layers"
        )
    if name.startswith("quantization"):
        return "; its weights are quantised: take the checkpoint that was quantised, in bfloat16"
    if name.startswith("lora"):
        return (
            "; it was trained with LoRA, whose tensors change the weights: take the checkpoint "
            "without it, or one that it was merged into"
        )
    return "; if it does not change the model, convert a copy of the folder without it"


def kind_of_tensor(name: str, *, reads_images: bool = False) -> str:
    """What a checkpoint is that has a tensor which the model has not: a clause, or nothing."""
    if re.search(r"lora_|\bdora|lora_magnitude", name):
        return "; it is of a LoRA adapter, which has to be merged into the weights first"
    of_images = r"vision|cross_attn|cross_attention|multi_modal|language_model|text_model"
    if not reads_images and re.search(of_images, name):
        return "; it is of a Llama 3.2 Vision model, and the configuration is of a text model"
    if re.search(r"scale|zero|quant|qweight|g_idx|absmax|SCB", name):
        return "; it is of quantised weights: take the checkpoint that was quantised, in bfloat16"
    return ""


_NOT_MLLAMA = (
    "; this is a model that reads images, and of those Llama 3.2 Vision alone is converted, whose "
    "model_type is 'mllama'"
)


# Folders without the files


class Wanted(Enum):
    """What a folder was given for."""

    TO_META = "its weights in the layout of transformers"
    TO_TRANSFORMERS = "its weights in Meta's layout"
    LOADING = "a model to run"


def no_weights(folder: str, reason: str, wanted: Wanted, file: str | None = None) -> NoReturn:
    """Refuses a folder without the files that were looked for, and says what it has instead."""
    refuse(file or folder, f"{reason}{next(_instead(folder, wanted), '')}")


_CONVERT = "`llama3-tok convert-checkpoint` makes a folder for transformers of"


def _instead(folder: str, wanted: Wanted) -> Iterator[str]:
    """What the folder has, and what to do with it: the first is the most likely."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    has_ranks = any(map(_RANK.fullmatch, names))
    if has_ranks and wanted is Wanted.TO_META:
        yield "; this folder has Meta's layout, which is converted without to_meta=True"
    if has_ranks and wanted is Wanted.LOADING:
        yield f"; this folder has Meta's layout: {_CONVERT} it"
    if (
        wanted is Wanted.TO_TRANSFORMERS
        and "config.json" in names
        and any(map(_WEIGHTS.fullmatch, names))
    ):
        yield "; this folder has the layout of transformers, and to_meta=True converts it to Meta's"
    if places := list(_originals(folder, names)):
        where = f"; Meta's files are in {' and in '.join(places)}"
        if wanted is Wanted.LOADING:
            yield f"{where}: {_CONVERT} that"
        elif wanted is Wanted.TO_META:
            yield f"{where}: give that folder, without to_meta=True"
        else:
            yield f"{where}: give that folder"
    if adapter_in(folder):
        alone = f"; this folder has {adapter_kind(folder)} alone, without the model"
        if wanted is Wanted.LOADING:
            yield f"{alone}: merge it into that with PEFT, save the result and load that"
        else:
            yield (
                f"{alone}: give the model's own folder, with to_meta=True and "
                f"merge_adapter={folder!r}"
            )
    if files := [name for name in names if name.endswith(".gguf")]:
        yield f"; {files[0]} is GGUF, which is not read: take the checkpoint that it was made from"


def _originals(folder: str, names: list[str]) -> Iterator[str]:
    """Folders below that have Meta's files, as `original` has in published repositories."""
    for name in names:
        below = os.path.join(folder, name)
        if not os.path.isdir(below):
            continue
        inside = sorted(os.listdir(below))
        if any(map(_RANK.fullmatch, inside)):
            yield below
        elif name == "original":
            for one in inside:  # as mp8 and mp16 of the largest model
                deeper = os.path.join(below, one)
                if os.path.isdir(deeper) and any(map(_RANK.fullmatch, os.listdir(deeper))):
                    yield deeper


def _is_file(folder: str, name: str) -> bool:
    return os.path.isfile(os.path.join(folder, name))
