"""A folder as transformers has it: `config.json` and `.safetensors` files, to read from."""

import os
from collections.abc import Iterator

from llama3_tok.torch.checkpoint.meta import read_json
from llama3_tok.torch.checkpoint.sizes import Sizes, from_config
from llama3_tok.torch.checkpoint.stored import Array, Safetensors, refuse
from llama3_tok.torch.checkpoint.tensors import EMBEDDING, OUTPUT, Tensor, part, tensors

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
SINGLE = "model.safetensors"
_TOKENIZERS = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")


class HuggingFaceFolder:
    """A checkpoint of transformers, to read from."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        path = os.path.join(folder, CONFIG)
        self.sizes: Sizes = from_config(read_json(path), path)
        self.files = [Safetensors(path) for path in weight_paths(folder)]
        self._home = self._homes()
        self._check()

    @property
    def file_names(self) -> list[str]:
        """The files whose content makes the result."""
        index = [INDEX] if os.path.exists(os.path.join(self.folder, INDEX)) else []
        tokenizer = [n for n in _TOKENIZERS if os.path.exists(os.path.join(self.folder, n))]
        weights = [os.path.basename(file.path) for file in self.files]
        return [*weights, *index, CONFIG, *tokenizer]

    def blocks(self, tensor: Tensor, rank: int, ranks: int, copies: int) -> Iterator[Array]:
        """The elements of what rank `rank` of `ranks` holds of a tensor, in Meta's layout."""
        whole = self._home[tensor.hf].array(tensor.hf)
        yield from part(whole, tensor, rank, ranks, copies, self.sizes.head_dim)

    def remap(self) -> None:
        """Gives back what reading took."""
        for file in self.files:
            file.remap()

    def _homes(self) -> dict[str, Safetensors]:
        """The file of each tensor."""
        homes: dict[str, Safetensors] = {}
        for file in self.files:
            for name in file.tensors:
                if name in homes:
                    refuse(file.path, f"{homes[name].path} has it too", name)
                homes[name] = file
        return homes

    def _check(self) -> None:
        """The tensors must be those of the model, no more and no fewer, and of one type."""
        needed = {tensor.hf: tensor for tensor in tensors(self.sizes)}
        if self.sizes.tied:
            # Some writers store it twice. What is stored last is not what transformers uses.
            output = next(tensor for tensor in needed.values() if tensor.meta == OUTPUT)
            needed.pop(output.hf)
            self._home.pop(output.hf, None)
        for name, tensor in needed.items():
            if name not in self._home:
                refuse(self.folder, "no file here has this tensor", name)
            file = self._home[name]
            shape = file.tensors[name].shape
            if shape != tensor.shape:
                refuse(
                    file.path,
                    f"its shape is {list(shape)}, and {CONFIG} makes it {list(tensor.shape)}",
                    name,
                )
        if unknown := sorted(self._home.keys() - needed.keys()):
            refuse(
                self._home[unknown[0]].path,
                f"no Llama 3 text model of {self.sizes.layers} layers has such a tensor; "
                f"{len(unknown)} are unknown",
                unknown[0],
            )
        embedding = next(tensor.hf for tensor in needed.values() if tensor.meta == EMBEDDING)
        self.dtype = self._home[embedding].tensors[embedding].dtype
        for name in sorted(needed):
            if (dtype := self._home[name].tensors[name].dtype) != self.dtype:
                refuse(
                    self._home[name].path,
                    f"its type is {dtype}, and that of {embedding} is {self.dtype}; a model has "
                    "one",
                    name,
                )


def weight_paths(folder: str) -> list[str]:
    """The files that the index names, or the only one."""
    index, single = os.path.join(folder, INDEX), os.path.join(folder, SINGLE)
    if not os.path.exists(index):
        if os.path.exists(single):
            return [single]
        refuse(folder, f"there is neither {INDEX} nor {SINGLE} here; only safetensors are read")
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        refuse(index, "its 'weight_map' does not name the file of each tensor")
    paths = [os.path.join(folder, name) for name in sorted(set(named.values()))]
    if os.path.exists(single) and single not in paths:
        refuse(folder, f"there are {INDEX} and {SINGLE}, and only one can be right")
    for path in paths:
        if not os.path.exists(path):
            refuse(path, f"there is no such file, and {INDEX} names it")
    return paths
