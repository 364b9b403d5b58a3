"""A model folder of transformers: what it says about the model, and the network with its weights.

What is wrong with a folder is found before a weight is read, from the configuration and the tables
of the files: another kind of model, a vocabulary that does not fit, files or tensors that are
missing, of another shape or cut. transformers would fill in random numbers for some of that.
"""

import os
import warnings
from typing import Any, Literal, TypeAlias

from llama3_tok.errors import Llama3TokError
from llama3_tok.extras import require
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.torch.checkpoint.cases import (
    Wanted,
    check_adapter,
    check_plain,
    kind_of_tensor,
    kind_to_run,
    no_weights,
)
from llama3_tok.torch.checkpoint.hugging_face import (
    COMPUTED,
    CONFIG,
    HEAD,
    INPUT,
    homes,
    open_weights,
    plain_types,
    weight_paths,
)
from llama3_tok.torch.checkpoint.meta import PARAMS
from llama3_tok.torch.checkpoint.stored import read_json, refuse
from llama3_tok.torch.memory import explained, written

__all__ = ["Attention", "ModelFolder"]

Attention: TypeAlias = Literal["sdpa", "eager", "flash_attention_2"]

ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
DTYPES = ("bfloat16", "float16", "float32")


class ModelFolder:
    """A folder with `config.json`, files of weights and a tokenizer."""

    def __init__(self, folder: str) -> None:
        if not os.path.isdir(folder):
            refuse(folder, "there is no such folder")
        path = os.path.join(folder, CONFIG)
        params = os.path.join(folder, PARAMS)
        if not os.path.exists(path) and os.path.exists(params):
            if read_json(params).get("vision_chunk_size") not in (None, -1):
                refuse(
                    folder,
                    "this is a Llama 3.2 Vision model in Meta's layout, and llama3_tok.torch runs "
                    "text models alone; `llama3-tok convert-checkpoint` makes a folder of it that "
                    "transformers runs, as MllamaForConditionalGeneration",
                )
            refuse(
                folder,
                "this is a checkpoint in Meta's layout; `llama3-tok convert-checkpoint` makes a "
                "folder for transformers of it",
            )
        if not os.path.exists(path):
            no_weights(folder, "there is no such file", Wanted.LOADING, path)
        check_adapter(folder, "merge it with PEFT, save the result and load that")
        self.folder, self.path = folder, path
        self.config = read_json(path)
        kind = self.config.get("model_type")
        if kind != "llama":
            refuse(
                path,
                f"its model_type is {kind!r}, and a text model of Llama 3 has 'llama'"
                f"{kind_to_run(self.config)}",
            )
        check_plain(self.config, path, plain_types(folder, self.config))
        self.config.pop("quantization_config", None)  # an empty one, which transformers refuses

    # The tokenizer

    def tokenizer(self, given: Tokenizer | None) -> Tokenizer:
        """The tokenizer of the folder, or the given one, checked against the model's rows."""
        tokenizer = given or Tokenizer(self.folder)
        rows = self.config.get("vocab_size")
        if type(rows) is not int or rows < tokenizer.vocab_size:
            refuse(
                self.path,
                f"its vocab_size is {rows}, and the tokenizer {tokenizer.vocabulary} has "
                f"{tokenizer.vocab_size:,} ids: they are not of the same model",
            )
        return tokenizer

    def stop_ids(self, tokenizer: Tokenizer) -> list[int]:
        """The ids that end generation: those that the folder lists, else the tokenizer's.

        As transformers takes them: those of the generation configuration, or the model's.
        """
        for name in ("generation_config.json", CONFIG):
            values = (self.config if name == CONFIG else self._optional(name)).get("eos_token_id")
            if values is None:
                continue
            listed = values if isinstance(values, list) else [values]
            for id in listed:
                if type(id) is not int or not 0 <= id < tokenizer.vocab_size:
                    refuse(
                        os.path.join(self.folder, name),
                        f"its eos_token_id has {id!r}, and there are {tokenizer.vocab_size:,} ids",
                    )
            return sorted(set(listed))
        return tokenizer.stop_ids

    def _optional(self, name: str) -> dict[str, Any]:
        path = os.path.join(self.folder, name)
        return read_json(path) if os.path.exists(path) else {}

    # The weights

    def network(self, dtype: str, device: str, attention: Attention) -> Any:  # noqa: ANN401
        """transformers' `LlamaForCausalLM` with the weights, on a device."""
        torch = require("torch", "torch")
        transformers = require("transformers", "torch")
        require("safetensors", "torch")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        _check_device(device)
        try:
            config = transformers.LlamaConfig.from_dict(self.config)
            with torch.device("meta"):
                needed = transformers.LlamaForCausalLM(config).state_dict()
        except MemoryError:
            raise
        except Exception as error:  # whatever transformers finds wrong, of many types
            refuse(self.path, f"transformers can make no model of it: {error}")
        stored, size, is_safe = self._check_weights(config, needed)
        kind = _dtype(dtype, stored, device)
        check_attention(attention, kind, device)
        needs = f"the weights need {written(size)} as they are stored ({stored})"

        def describe() -> str:
            if not device.startswith("cuda"):
                return needs
            free, whole = torch.cuda.mem_get_info(torch.device(device))
            return f"{needs}, and {device} has {written(free)} free of {written(whole)}"

        with explained(describe):
            network = transformers.LlamaForCausalLM.from_pretrained(
                self.folder,
                config=config,
                dtype=getattr(torch, kind),
                attn_implementation=attention,
                local_files_only=True,
                use_safetensors=is_safe,
            )
            return network.to(device).eval()

    def _check_weights(self, config: Any, needed: dict[str, Any]) -> tuple[str, int, bool]:  # noqa: ANN401
        """That the files have the model's tensors.

        Gives the type of the embedding, the bytes, and whether they are safetensors files. Others
        have had their tables read here, so they hold nothing but tensors.
        """
        files = [open_weights(path) for path in weight_paths(self.folder, Wanted.LOADING)]
        found = homes(files)
        if config.tie_word_embeddings and HEAD not in found:
            needed.pop(HEAD, None)
        missing = [name for name in needed if name not in found]
        if missing:
            reason = f"no file here has this tensor; {len(missing)} of {len(needed)} are missing"
            refuse(self.folder, reason, missing[0])
        for name, file in found.items():
            if name not in needed:
                if not name.endswith(COMPUTED):
                    reason = f"a model of {config.num_hidden_layers} layers has no such tensor"
                    refuse(file.path, f"{reason}{kind_of_tensor(name)}", name)
                continue
            shape, wanted = list(file.tensors[name].shape), list(needed[name].shape)
            if shape != wanted:
                refuse(file.path, f"its shape is {shape}, and {CONFIG} makes it {wanted}", name)
        size = sum(found[name].tensors[name].bytes for name in needed)
        is_safe = not any(file.path.endswith(".bin") for file in files)
        return found[INPUT].tensors[INPUT].dtype, size, is_safe


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch has no CUDA
        reason = str(error).splitlines()[0]
        raise Llama3TokError(f"the device {device!r} can't be used: {reason}") from None


def _dtype(asked: str, stored: str, device: str) -> str:
    """The type to compute in, by torch's name."""
    dtype = str(asked).removeprefix("torch.")
    if dtype not in ("auto", *DTYPES):
        raise ValueError(f"dtype must be one of auto, {', '.join(DTYPES)}, not {asked!r}")
    if dtype == "auto":
        dtype = stored
    if dtype == "float16" and device == "cpu":
        note = "float16 becomes float32: processors compute it slowly, and in part not at all"
        warnings.warn(note, stacklevel=4)
        return "float32"
    return dtype


def check_attention(attention: str, dtype: str, device: str) -> None:
    """Refuses an implementation of attention that can't compute in a type, or on a device."""
    if attention not in ATTENTIONS:
        raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, not {attention!r}")
    if attention != "flash_attention_2":
        return
    if dtype == "float32":
        raise Llama3TokError(
            "flash attention computes in bfloat16 and float16 only, and the weights are float32: "
            "pass dtype='bfloat16', or attention='sdpa' to compute in float32"
        )
    if not device.startswith("cuda"):
        raise Llama3TokError(
            f"flash attention runs on CUDA devices only, and this is {device!r}: pass "
            "attention='sdpa'"
        )
    try:
        import flash_attn  # noqa: F401
    except ImportError:
        raise Llama3TokError(
            "flash attention needs the package flash-attn, which is not installed: pip install "
            "flash-attn, or pass attention='sdpa'"
        ) from None
