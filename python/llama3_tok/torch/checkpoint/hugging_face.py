"""A folder as transformers has it: `config.json` and files of weights, to read from.

These are safetensors files, or the `pytorch_model.bin` of older checkpoints, whose tables are read
without running what their pickles may say.
"""

import os
from collections.abc import Iterator, Mapping

from llama3_tok.errors import CheckpointError
from llama3_tok.torch.checkpoint.cases import (
    Wanted,
    check_adapter,
    check_plain,
    kind_of_tensor,
    no_weights,
)
from llama3_tok.torch.checkpoint.elements import Tensor, part
from llama3_tok.torch.checkpoint.fields import Json
from llama3_tok.torch.checkpoint.sizes import Sizes, described, from_config
from llama3_tok.torch.checkpoint.stored import (
    Array,
    Safetensors,
    Stored,
    equal,
    read_json,
    refuse,
)
from llama3_tok.torch.checkpoint.tensors import as_published, tensors
from llama3_tok.torch.checkpoint.tiles import difference
from llama3_tok.torch.checkpoint.torch_file import TorchFile

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
SINGLE = "model.safetensors"
BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_TOKENIZERS = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")

# Rotary frequencies, which older files have: they follow from the configuration.
COMPUTED = "rotary_emb.inv_freq"

INPUT, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class HuggingFaceFolder:
    """A checkpoint of transformers, to read from."""

    def __init__(self, folder: str, *, adapter_is_merged: bool = False) -> None:
        self.folder = folder
        path = os.path.join(folder, CONFIG)
        if not os.path.exists(path):
            no_weights(folder, "there is no such file", Wanted.TO_META, path)
        if not adapter_is_merged:
            check_adapter(folder, "pass merge_adapter=True to merge it into the weights")
        self.config: Json = read_json(path)
        check_plain(self.config, path, plain_types(folder, self.config))
        # What it is comes before what is wrong with its files.
        is_vision = described(self.config, path).vision is not None
        self.files: list[Stored] = [open_weights(path) for path in weight_paths(folder)]
        self._home: Mapping[str, Stored] = homes(self.files)
        self._stored: Mapping[str, str] = {}
        """What a tensor is called in its file, where that is another name."""
        if is_vision:
            self._home, self._stored = _published(self._home)
        self.unties = ""
        """Why the output layer is written by itself, in spite of what the configuration says."""
        if self._has_head_of_its_own():
            self.unties = (
                f"{path} says that the output layer is the embedding, and the stored {HEAD} is "
                "another: it is written, as transformers 5 uses it"
            )
        self.sizes: Sizes = from_config(self.config, path, untied=bool(self.unties))
        self._check()

    @property
    def file_names(self) -> list[str]:
        """The files whose content makes the result."""
        index = index_of(self.folder)
        tokenizer = [n for n in _TOKENIZERS if os.path.exists(os.path.join(self.folder, n))]
        weights = [os.path.basename(file.path) for file in self.files]
        return [*weights, *([index] if index else []), CONFIG, *tokenizer]

    def dtype_of(self, tensor: Tensor) -> str:
        """A tensor's type."""
        file, name = self._at(tensor.hf)
        return file.tensors[name].dtype

    def types(self) -> dict[str, tuple[str, str]]:
        """The types that there are, each with the file and the name of the first tensor of it."""
        found = dict[str, tuple[str, str]]()
        for name in sorted(self._needed()):
            file, stored = self._at(name)
            found.setdefault(file.tensors[stored].dtype, (file.path, stored))
        return found

    def blocks(
        self, tensor: Tensor, rank: int = 0, ranks: int = 1, copies: int = 1
    ) -> Iterator[Array]:
        """The elements of what rank `rank` of `ranks` holds of a tensor, in Meta's layout.

        Of a tensor with more rows than there are those that there are.
        """
        file, name = self._home[tensor.hf], self._stored.get(tensor.hf, tensor.hf)
        yield from part(file.array(name), tensor, rank, ranks, copies, self.sizes.head_dim)
        file.check(name)

    def remap(self) -> None:
        """Gives back what reading took."""
        for file in self.files:
            file.remap()

    def _at(self, name: str) -> tuple[Stored, str]:
        """The file of a tensor, and its name there."""
        return self._home[name], self._stored.get(name, name)

    def _has_head_of_its_own(self) -> bool:
        """Whether the weights have an output layer that differs from a tied embedding.

        Some writers store it twice, and torch's `.bin` files name it twice. If it differs, it is
        what transformers uses since version 5, whatever the configuration says.
        """
        if not self.config.get("tie_word_embeddings") or not {INPUT, HEAD} <= self._home.keys():
            return False
        one, other = self._home[INPUT], self._home[HEAD]
        if isinstance(one, TorchFile) and one is other and one.shares(INPUT, HEAD):
            return False
        if one.tensors[INPUT] != other.tensors[HEAD]:
            return True
        is_same = equal(one.array(INPUT), other.array(HEAD))
        one.remap()
        other.remap()
        return not is_same

    def _needed(self) -> dict[str, Tensor]:
        """The tensors of the model; a tied output layer is not one of them."""
        needed = {tensor.hf: tensor for tensor in tensors(self.sizes)}
        if self.sizes.tied:
            needed.pop(HEAD)
        return needed

    def _check(self) -> None:
        """The tensors must be those of the model, no more and no fewer."""
        needed = self._needed()
        for name, tensor in needed.items():
            if name not in self._home:
                refuse(self.folder, "no file here has this tensor", name)
            file, stored = self._home[name], self._stored.get(name, name)
            shape = file.tensors[stored].shape
            if shape != tensor.there:
                refuse(
                    file.path,
                    f"its shape is {list(shape)}, and {CONFIG} makes it {list(tensor.there)}",
                    stored,
                )
            if tensor.tiles and (reason := difference(file.array(stored), tensor.shape[2])):
                refuse(file.path, reason, stored)
        allowed = {*needed, HEAD}  # the same bytes as the embedding's, if it is tied
        unknown = [n for n in self._home if n not in allowed and not n.endswith(COMPUTED)]
        if unknown:
            name = min(unknown)
            clause = kind_of_tensor(name, reads_images=self.sizes.vision is not None)
            refuse(
                self._home[name].path,
                f"no {self.sizes.kind} of {self.sizes.layers} layers has such a tensor; "
                f"{len(unknown)} are unknown{clause}",
                name,
            )


def _published(home: Mapping[str, Stored]) -> tuple[dict[str, Stored], dict[str, str]]:
    """The files of a vision model's tensors by the published names, and what these are there."""
    found, stored = dict[str, Stored](), dict[str, str]()
    for name, file in home.items():
        known = as_published(name)
        if known in found:
            refuse(file.path, f"{found[known].path} has it too, as {stored[known]}", name)
        found[known], stored[known] = file, name
    return found, stored


def plain_types(folder: str, config: Json) -> set[str]:
    """The types of all tensors, if they are plain and the configuration calls them quantised."""
    if not config.get("quantization_config"):
        return set()
    try:
        files = [open_weights(path) for path in weight_paths(folder)]
    except (CheckpointError, OSError):
        return set()
    if any(kind_of_tensor(name) for file in files for name in file.tensors):
        return set()
    return {info.dtype for file in files for info in file.tensors.values()}


def open_weights(path: str) -> Stored:
    """Opens a file of weights, of either kind."""
    return TorchFile(path) if path.endswith(".bin") else Safetensors(path)


def homes(files: list[Stored]) -> dict[str, Stored]:
    """The file of each tensor."""
    found: dict[str, Stored] = {}
    for file in files:
        for name in file.tensors:
            if name in found:
                refuse(file.path, f"{found[name].path} has it too", name)
            found[name] = file
    return found


def index_of(folder: str) -> str | None:
    """The name of the index that is read; None for a single file."""
    for index, single in ((INDEX, SINGLE), (BIN_INDEX, BIN)):
        if os.path.exists(os.path.join(folder, index)):
            return index
        if os.path.exists(os.path.join(folder, single)):
            return None
    return None


def weight_paths(folder: str, wanted: Wanted = Wanted.TO_META) -> list[str]:
    """The files that the index names, or the only one; safetensors before torch's own."""
    name = index_of(folder)
    if name is None:
        for single in (SINGLE, BIN):
            if os.path.exists(os.path.join(folder, single)):
                return [os.path.join(folder, single)]
        no_weights(
            folder,
            f"there is neither {INDEX} nor {SINGLE} here, and no {BIN_INDEX} or {BIN} either",
            wanted,
        )
    index = os.path.join(folder, name)
    single = os.path.join(folder, SINGLE if name == INDEX else BIN)
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        refuse(index, "its 'weight_map' does not name the file of each tensor")
    paths = [os.path.join(folder, name) for name in sorted(set(named.values()))]
    if os.path.exists(single) and single not in paths:
        other = os.path.basename(single)
        refuse(folder, f"there are {name} and {other}, and only one can be right")
    for path in paths:
        if not os.path.exists(path):
            refuse(path, f"there is no such file, and {name} names it")
        if not path.endswith(os.path.splitext(single)[1]):
            refuse(path, f"{name} names it, and it is not a file of that kind")
    return paths
