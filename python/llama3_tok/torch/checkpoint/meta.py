"""Meta's folder: one file for each model-parallel rank, `params.json`, `tokenizer.model`.

Everything is checked before a byte is written, from the files' tables alone: the numbering, names,
shapes and types in every rank, and that they make the model that `params.json` describes.
"""

import os
import re
from collections.abc import Iterator

import numpy as np

from llama3_tok.torch.checkpoint.cases import Wanted, check_adapter, kind_of_tensor, no_weights
from llama3_tok.torch.checkpoint.sizes import Params, Sizes, from_params
from llama3_tok.torch.checkpoint.stored import Array, Info, equal, read_json, refuse
from llama3_tok.torch.checkpoint.tensors import (
    EMBEDDING,
    OUTPUT,
    Split,
    Tensor,
    joined,
    tensors,
)
from llama3_tok.torch.checkpoint.torch_file import TorchFile

PARAMS, TOKENIZER = "params.json", "tokenizer.model"

# Rotary frequencies, which older files have too: they follow from rope_theta.
_COMPUTED = "rope.freqs"

_RANK = re.compile(r"consolidated\.(\d{2,})\.pth")


def rank_name(rank: int) -> str:
    """The name of a rank's file."""
    return f"consolidated.{rank:02d}.pth"


class MetaFolder:
    """A checkpoint of Meta's, to read from."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        paths = _rank_paths(folder)
        check_adapter(
            folder,
            "an adapter of PEFT goes with the layout of transformers: convert without it, and then "
            "merge it there",
        )
        self.files = [TorchFile(path) for path in paths]
        self._params = from_params(
            read_json(os.path.join(folder, PARAMS)), os.path.join(folder, PARAMS)
        )
        self._check_alike()
        self.copies = 1
        self.sizes = self._sizes()
        self._check_shapes()
        self.dtype = self.files[0].tensors[EMBEDDING].dtype
        self.remap()

    @property
    def ranks(self) -> int:
        """How many files there are."""
        return len(self.files)

    @property
    def file_names(self) -> list[str]:
        """The files whose content makes the result."""
        ranks = [os.path.basename(file.path) for file in self.files]
        return [*ranks, PARAMS, TOKENIZER]

    def dtype_of(self, tensor: Tensor) -> str:
        """A tensor's type."""
        return self.files[0].tensors[tensor.meta].dtype

    def types(self) -> dict[str, tuple[str, str]]:
        """The types that there are, each with the file and the name of the first tensor of it."""
        file, found = self.files[0], dict[str, tuple[str, str]]()
        for name in sorted(self._names()):
            found.setdefault(file.tensors[name].dtype, (file.path, name))
        return found

    def blocks(self, tensor: Tensor) -> Iterator[Array]:
        """The elements of a whole tensor, in transformers' layout."""
        files = self.files
        if tensor.split is Split.WHOLE:
            self._check_copies(tensor, files)
            files = files[:1]
        elif tensor.kv and self.copies > 1:
            for start in range(0, self.ranks, self.copies):
                self._check_copies(tensor, files[start : start + self.copies])
            files = files[:: self.copies]
        parts = [file.array(tensor.meta) for file in files]
        yield from joined(parts, tensor, self.sizes.head_dim)
        for file in files:
            file.check(tensor.meta)

    def remap(self) -> None:
        """Gives back what reading took."""
        for file in self.files:
            file.remap()

    # What is checked

    def _names(self) -> set[str]:
        return {name for name in self.files[0].tensors if name != _COMPUTED}

    def _check_alike(self) -> None:
        """All ranks must have the same tensors, with the same shapes and types."""
        first = self.files[0]
        for file in self.files[1:]:
            if odd := sorted(first.tensors.keys() ^ file.tensors.keys()):
                having, lacking = (first, file) if odd[0] in first.tensors else (file, first)
                refuse(
                    lacking.path,
                    f"there is no such tensor, and {having.path} has it; {len(odd)} differ",
                    odd[0],
                )
            for name, info in file.tensors.items():
                if info != first.tensors[name]:
                    refuse(
                        file.path,
                        f"it is {_written(info)}, and {_written(first.tensors[name])} in "
                        f"{first.path}",
                        name,
                    )

    def _sizes(self) -> Sizes:
        """The model, from `params.json` and the shapes."""
        params, file = self._params, self.files[0]
        if params.heads % self.ranks:
            refuse(
                self.folder, f"{self.ranks} ranks can't share the {params.heads} heads of {PARAMS}"
            )
        rows = self._rows(EMBEDDING) * self.ranks
        if params.vocabulary not in (None, rows):
            refuse(
                file.path,
                f"{self.ranks} ranks with {rows // self.ranks:,} rows make a vocabulary of "
                f"{rows:,}, and {PARAMS} says {params.vocabulary:,}",
                EMBEDDING,
            )
        wide = self._rows("layers.0.feed_forward.w1.weight") * self.ranks
        if params.intermediate not in (None, wide):
            refuse(
                file.path,
                f"{self.ranks} ranks with {wide // self.ranks:,} rows make {wide:,}, and "
                f"multiple_of and ffn_dim_multiplier in {PARAMS} give {params.intermediate:,}",
                "layers.0.feed_forward.w1.weight",
            )
        return Sizes(
            dim=params.dim,
            layers=params.layers,
            heads=params.heads,
            kv_heads=self._kv_heads(params),
            intermediate=wide,
            vocabulary=rows,
            norm_eps=params.norm_eps,
            rope_theta=params.rope_theta,
            scaled=params.scaled,
            tied=self._is_tied(),
        )

    def _rows(self, name: str) -> int:
        info = self.files[0].tensors.get(name)
        if info is None:
            refuse(self.files[0].path, "there is no such tensor", name)
        return info.shape[0] if info.shape else 0

    def _kv_heads(self, params: Params) -> int:
        """How many differ; sets `copies`, the ranks that hold each.

        Where ranks outnumber the heads, `n_kv_heads` may count the heads, or their copies, which is
        what Meta's code needs to run: `n_kv_heads // ranks` must not be 0. Then the copies
        themselves tell.
        """
        name, head_dim = "layers.0.attention.wk.weight", params.dim // params.heads
        rows = self._rows(name)
        held = rows // head_dim * self.ranks
        copied = held > params.kv_heads
        if rows % head_dim or not held or held % params.kv_heads or (copied and rows != head_dim):
            refuse(
                self.files[0].path,
                f"{self.ranks} ranks with {rows:,} rows make {rows * self.ranks / head_dim:g} heads"
                f" of {head_dim}, and {PARAMS} says {params.kv_heads}",
                name,
            )
        self.copies = held // params.kv_heads
        if self.copies == 1 and rows == head_dim:
            self.copies = self._copies_found()
        return held // self.copies

    def _copies_found(self) -> int:
        """How many neighbouring ranks have the same head, in every layer, by its first rows."""
        for copies in range(self.ranks, 1, -1):
            if self.ranks % copies == 0 and all(
                self._same_heads(f"layers.{layer}.attention.{name}.weight", copies)
                for layer in range(self._params.layers)
                for name in ("wk", "wv")
            ):
                return copies
        return 1

    def _same_heads(self, name: str, copies: int) -> bool:
        if name not in self.files[0].tensors:
            return False
        rows = [file.array(name)[:1] for file in self.files]
        return all(
            np.array_equal(row, rows[rank // copies * copies]) for rank, row in enumerate(rows)
        )

    def _is_tied(self) -> bool:
        """Whether the output layer is the embedding: left out, stored once, or equal."""
        known = self.files[0].tensors
        if OUTPUT not in known:
            return True
        if known[OUTPUT] != known[EMBEDDING]:
            return False
        return all(
            file.shares(OUTPUT, EMBEDDING) or equal(file.array(OUTPUT), file.array(EMBEDDING))
            for file in self.files
        )

    def _check_shapes(self) -> None:
        """The tensors must be those of the model, no more and no fewer."""
        file, expected = self.files[0], set()
        for tensor in tensors(self.sizes):
            expected.add(tensor.meta)
            if tensor.meta == OUTPUT and OUTPUT not in file.tensors:
                continue
            if tensor.meta not in file.tensors:
                refuse(file.path, "there is no such tensor", tensor.meta)
            shape, needed = file.tensors[tensor.meta].shape, tensor.part(self.ranks, self.copies)
            whole = tensor.shape
            if tensor.split is not Split.WHOLE and not tensor.kv:
                whole = tuple(
                    size * (self.ranks if axis == tensor.split.value else 1)
                    for axis, size in enumerate(needed)
                )
            if shape != needed or whole != tensor.shape:
                refuse(
                    file.path,
                    f"its shape is {list(shape)}; each of {self.ranks} ranks must have a part of "
                    f"{list(tensor.shape)}",
                    tensor.meta,
                )
        if unknown := sorted(self._names() - expected):
            refuse(
                file.path,
                f"no Llama 3 text model of {self.sizes.layers} layers has such a tensor; "
                f"{len(unknown)} are unknown{kind_of_tensor(unknown[0])}",
                unknown[0],
            )

    def _check_copies(self, tensor: Tensor, files: list[TorchFile]) -> None:
        """Ranks that hold the same thing must hold the same bytes."""
        first = files[0].array(tensor.meta)
        for file in files[1:]:
            other = file.array(tensor.meta)
            if not equal(first, other):
                refuse(
                    file.path,
                    f"ranks hold copies of it, and {int(np.sum(first != other)):,} of its "
                    f"{first.size:,} elements differ from {files[0].path}",
                    tensor.meta,
                )


def _written(info: Info) -> str:
    return f"{list(info.shape)} of {info.dtype}"


def _rank_paths(folder: str) -> list[str]:
    """The files of the ranks, in their order, none missing."""
    found = {int(match[1]): name for name in os.listdir(folder) if (match := _RANK.fullmatch(name))}
    if not found:
        no_weights(
            folder,
            "there is no consolidated.00.pth here; this must be the folder as Meta has it, with "
            f"{PARAMS} and {TOKENIZER}",
            Wanted.TO_TRANSFORMERS,
        )
    if missing := sorted(set(range(max(found) + 1)) - found.keys()):
        names = ", ".join(map(rank_name, missing))
        refuse(folder, f"{len(found)} ranks are here, up to {max(found)}, but not {names}")
    return [os.path.join(folder, found[rank]) for rank in sorted(found)]
