"""A folder of transformers whose weights have an adapter of PEFT merged into them.

PEFT does the merging, on the whole model in memory: what an adapter does to a weight is its own
affair, in many variants. So it is imported for this alone, when the first tensor is asked for.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from hashlib import file_digest, sha256
from typing import Any

import numpy as np

from llama3_tok.errors import CheckpointError
from llama3_tok.extras import require
from llama3_tok.torch.checkpoint.cases import ADAPTER, ADAPTER_WEIGHTS, adapter_kind
from llama3_tok.torch.checkpoint.elements import Tensor, part
from llama3_tok.torch.checkpoint.hugging_face import (
    CONFIG,
    HEAD,
    INPUT,
    HuggingFaceFolder,
    open_weights,
)
from llama3_tok.torch.checkpoint.sizes import from_config
from llama3_tok.torch.checkpoint.stored import (
    WIDTH,
    Array,
    Stored,
    check_pointer,
    read_json,
    refuse,
    unsigned,
)

EXTRA = "adapters"


class MergedFolder(HuggingFaceFolder):
    """A checkpoint of transformers with an adapter, to read from as one."""

    def __init__(self, folder: str, adapter: str) -> None:
        require("torch", EXTRA)
        require("transformers", EXTRA)
        require("peft", EXTRA)
        super().__init__(folder, adapter_is_merged=True)
        if self.sizes.vision is not None:
            refuse(
                folder,
                "an adapter is merged into text models alone, and this is a Llama 3.2 Vision "
                "model: merge it with peft itself, and convert what that saves",
            )
        names = open_weights(_weights_in(adapter)).tensors
        path = os.path.join(adapter, ADAPTER)
        says = read_json(path)
        if self.sizes.tied and any("embed_tokens" in one or "lm_head" in one for one in names):
            if says.get("ensure_weight_tying"):
                refuse(
                    path,
                    "it keeps the embedding and the output layer tied (ensure_weight_tying) and "
                    "changes them, which is not merged here: merge it with peft itself, and "
                    "convert what that saves",
                )
            self.unties = (
                f"{adapter} changes the embedding or the output layer, which are one in {folder}: "
                "both are written, each by itself"
            )
            self.sizes = from_config(self.config, os.path.join(folder, CONFIG), untied=True)
        self._adapter = adapter
        self._state: Mapping[str, Any] | None = None

    @property
    def merging(self) -> int:
        """The bytes of the model's tensors, and of a second embedding, which PEFT has in memory.

        Twice the largest is added: one is merged at a time, in float32.
        """
        sizes = [info.bytes for file in self.files for info in file.tensors.values()]
        return sum(sizes) + 4 * max(sizes)

    def blocks(
        self, tensor: Tensor, rank: int = 0, ranks: int = 1, copies: int = 1
    ) -> Iterator[Array]:
        """The elements of what a rank holds of a tensor, with the adapter."""
        if self._state is None:
            self._state = self._merged()
        dtype = self.dtype_of(tensor)
        whole = self._state[tensor.hf].numpy().view(unsigned(dtype))
        yield from part(whole, tensor, rank, ranks, copies, self.sizes.head_dim)

    def _at(self, name: str) -> tuple[Stored, str]:
        """The file of a tensor, and its name there: an output layer that was tied is made of it."""
        return super()._at(name if name in self._home else INPUT)

    def _merged(self) -> dict[str, Any]:
        """The tensors after merging, by their names."""
        import peft
        import torch
        import transformers

        config = transformers.LlamaConfig.from_dict(self.config)
        config.tie_word_embeddings = False  # each is merged by itself
        state = {}
        for name, file in self._home.items():
            dtype = file.tensors[name].dtype
            copy = np.array(file.array(name)).view(f"i{WIDTH[dtype]}")
            file.check(name)
            state[name] = torch.from_numpy(copy).view(getattr(torch, dtype))
        self.remap()
        state.setdefault(HEAD, state[INPUT].clone())
        with torch.device("meta"):
            network = transformers.LlamaForCausalLM(config)
        needed = network.state_dict().keys()
        network.load_state_dict({n: state[n] for n in needed}, assign=True)
        del state
        try:
            with warnings.catch_warnings():
                # What PEFT only warns of is refused here.
                warnings.simplefilter("ignore")
                model = peft.PeftModel.from_pretrained(network, self._adapter)
                self._check_used(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
                merged: dict[str, Any] = model.merge_and_unload().state_dict()
        except (MemoryError, CheckpointError):
            raise
        except Exception as error:  # whatever PEFT finds wrong, of many types
            reason = " ".join(str(error).split())[:300]
            refuse(self._adapter, f"peft can't merge {adapter_kind(self._adapter)}: {reason}")
        found = {}
        for name, tensor in self._needed().items():
            made, dtype = merged[name], self.dtype_of(tensor)
            if (tuple(made.shape), made.dtype) != (tensor.shape, getattr(torch, dtype)):
                refuse(
                    self._adapter,
                    f"it makes it {list(made.shape)} of {made.dtype}, and the model has "
                    f"{list(tensor.shape)} of {dtype}",
                    name,
                )
            if not made.isfinite().all():
                refuse(self._adapter, "with it there are numbers that are none, or infinite", name)
            integers = {2: torch.int16, 4: torch.int32}[WIDTH[dtype]]
            found[name] = made.detach().contiguous().view(integers)
        return found

    def _check_used(self, used: Mapping[str, Any]) -> None:
        """That PEFT has found a place for each tensor of the adapter, and a tensor for each place.

        It says nothing of the one, and warns of the other. An embedding may be stored besides.
        """
        path = _weights_in(self._adapter)
        given = open_weights(path).tensors.keys()
        unused = [name for name in given - used.keys() if "embed_tokens" not in name]
        unused = [name for name in unused if "lm_head" not in name]
        for names, reason in (
            (unused, "the model has no place for it, so the adapter is of another model"),
            (used.keys() - given, "the adapter does not have it, so it is not whole"),
        ):
            if names:
                refuse(path, f"{reason}; {len(names)} are so", min(names))


def adapter_sha256(folder: str) -> str:
    """The hash of an adapter: of its configuration and its weights."""
    digest = sha256()
    for path in (os.path.join(folder, ADAPTER), _weights_in(folder)):
        with open(path, "rb") as file:
            digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _weights_in(folder: str) -> str:
    """The file of an adapter's weights."""
    paths = [os.path.join(folder, name) for name in ADAPTER_WEIGHTS]
    path = next(filter(os.path.isfile, paths), None)
    if path is None:
        names = " or ".join(ADAPTER_WEIGHTS)
        refuse(folder, f"there is no adapter here, whose weights are in {names}")
    check_pointer(path)
    return path
