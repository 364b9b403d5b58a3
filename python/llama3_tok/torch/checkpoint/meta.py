"""Meta's folder: one file for each model-parallel rank, `params.json`, `tokenizer.model`.

Everything is checked before a byte is written, from the files' tables alone: the numbering, names,
shapes and types in every rank, and that they make the model that `params.json` describes.
"""

import os
import re
from collections.abc import Iterator

import numpy as np

from llama3_tok.torch.checkpoint.cases import Wanted, check_adapter, kind_of_tensor, no_weights
from llama3_tok.torch.checkpoint.elements import Split, Tensor, joined
from llama3_tok.torch.checkpoint.sizes import Params, Sizes, from_params
from llama3_tok.torch.checkpoint.stored import Array, Info, equal, read_json, refuse
from llama3_tok.torch.checkpoint.tensors import EMBEDDING, OUTPUT, TEXT, tensors, text_prefix
from llama3_tok.torch.checkpoint.torch_file import TorchFile
from llama3_tok.torch.checkpoint.vision import NEW_ROWS

PARAMS, TOKENIZER = "params.json", "tokenizer.model"

# Rotary frequencies, which older files have too: they follow from rope_theta.
_COMPUTED = "rope.freqs"

_RANK = re.compile(r"consolidated\.(\d{2,})\.pth")

# What a file that is alone is called in some published repositories.
_ALONE = "consolidated.pth"


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
        self._check_kind()
        self.copies = 1
        self.sizes = self._sizes()
        self._check_shapes()
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
        if tensor.gate:
            parts = [self._one_number(tensor, parts[0])]
        yield from joined(parts, tensor, self.sizes.head_dim)
        for file in files:
            file.check(tensor.meta)

    def remap(self) -> None:
        """Gives back what reading took."""
        for file in self.files:
            file.remap()

    # What is checked

    def _names(self) -> set[str]:
        names = self.files[0].tensors
        return {name for name in names if name.removeprefix(TEXT) != _COMPUTED}

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

    def _check_kind(self) -> None:
        """What `params.json` says of images must be true of the tensors."""
        file, has = self.files[0], TEXT + EMBEDDING in self.files[0].tensors
        if has and self._params.vision is None:
            refuse(
                os.path.join(self.folder, PARAMS),
                f"it describes a text model, and {file.path} has the tensors of one of Llama 3.2 "
                "Vision: then it has vision_chunk_size and vision_num_cross_attention_layers",
            )
        if not has and self._params.vision is not None and EMBEDDING in file.tensors:
            refuse(
                file.path,
                f"its tensors are those of a text model, and {PARAMS} describes one that reads "
                "images: it has vision_chunk_size",
            )
        if self._params.vision is not None and self.ranks > NEW_ROWS:
            refuse(
                self.folder,
                f"{self.ranks} ranks are here, and a Llama 3.2 Vision model has {NEW_ROWS} at most",
            )

    def _sizes(self) -> Sizes:
        """The model, from `params.json` and the shapes."""
        params, file = self._params, self.files[0]
        text = "" if params.vision is None else TEXT
        embedding, first = text + EMBEDDING, f"{text}layers.0.feed_forward.w1.weight"
        if params.heads % self.ranks:
            refuse(
                self.folder, f"{self.ranks} ranks can't share the {params.heads} heads of {PARAMS}"
            )
        rows = self._rows(embedding) * self.ranks
        if params.vocabulary not in (None, rows):
            refuse(
                file.path,
                f"{self.ranks} ranks with {rows // self.ranks:,} rows make a vocabulary of "
                f"{rows:,}, and {PARAMS} says {params.vocabulary:,}",
                embedding,
            )
        wide = self._rows(first) * self.ranks
        if params.intermediate not in (None, wide):
            refuse(
                file.path,
                f"{self.ranks} ranks with {wide // self.ranks:,} rows make {wide:,}, and "
                f"multiple_of and ffn_dim_multiplier in {PARAMS} give {params.intermediate:,}",
                first,
            )
        return Sizes(
            dim=params.dim,
            layers=params.layers,
            heads=params.heads,
            kv_heads=self._kv_heads(params, text),
            intermediate=wide,
            vocabulary=rows,
            norm_eps=params.norm_eps,
            rope_theta=params.rope_theta,
            scaled=params.scaled,
            tied=params.vision is None and self._is_tied(),
            vision=params.vision,
        )

    def _rows(self, name: str) -> int:
        info = self.files[0].tensors.get(name)
        if info is None:
            refuse(self.files[0].path, "there is no such tensor", name)
        return info.shape[0] if info.shape else 0

    def _kv_heads(self, params: Params, text: str) -> int:
        """How many differ; sets `copies`, the ranks that hold each.

        Where ranks outnumber the heads, `n_kv_heads` may count the heads, or their copies, which is
        what Meta's code needs to run: `n_kv_heads // ranks` must not be 0. Then the copies
        themselves tell.
        """
        name, head_dim = f"{text}layers.0.attention.wk.weight", params.dim // params.heads
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
            self.copies = self._copies_found(text)
        return held // self.copies

    def _copies_found(self, text: str) -> int:
        """How many neighbouring ranks have the same head, in every layer, by its first rows."""
        for copies in range(self.ranks, 1, -1):
            if self.ranks % copies == 0 and all(
                self._same_heads(f"{text}layers.{layer}.attention.{name}.weight", copies)
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
        output = text_prefix(self.sizes) + OUTPUT
        for tensor in tensors(self.sizes):
            expected.add(tensor.meta)
            if self.sizes.tied and tensor.meta == output and output not in file.tensors:
                continue
            if tensor.meta not in file.tensors:
                refuse(file.path, "there is no such tensor", tensor.meta)
            shape, needed = file.tensors[tensor.meta].shape, tensor.part(self.ranks, self.copies)
            if tensor.gate:
                continue  # files may repeat its number
            whole = tensor.shape
            if tensor.split is not Split.WHOLE and not tensor.kv:
                whole = tuple(
                    size * (self.ranks if axis == tensor.split.value else 1)
                    for axis, size in enumerate(needed)
                )
            if shape != needed and tensor.meta.endswith("positional_embedding"):
                refuse(
                    file.path,
                    f"its shape is {list(shape)}, and vision_chunk_size in {PARAMS} makes it "
                    f"{list(needed)}; Meta's code would resize it each time it loads it, and that "
                    "is not done here",
                    tensor.meta,
                )
            if shape != needed or whole != tensor.shape:
                refuse(
                    file.path,
                    f"its shape is {list(shape)}; each of {self.ranks} ranks must have a part of "
                    f"{list(tensor.shape)}",
                    tensor.meta,
                )
        if unknown := sorted(self._names() - expected):
            clause = kind_of_tensor(unknown[0], reads_images=self.sizes.vision is not None)
            refuse(
                file.path,
                f"no {self.sizes.kind} of {self.sizes.layers} layers has such a tensor; "
                f"{len(unknown)} are unknown{clause}",
                unknown[0],
            )

    def _check_copies(self, tensor: Tensor, files: list[TorchFile]) -> None:
        """Ranks that hold the same thing must hold the same bytes."""
        first = _rows_of(files[0].array(tensor.meta))
        for file in files[1:]:
            other = _rows_of(file.array(tensor.meta))
            if not equal(first, other):
                refuse(
                    file.path,
                    f"ranks hold copies of it, and {int(np.sum(first != other)):,} of its "
                    f"{first.size:,} elements differ from {files[0].path}",
                    tensor.meta,
                )

    def _one_number(self, tensor: Tensor, elements: Array) -> Array:
        """What all elements of a gate are."""
        flat = elements.reshape(-1)
        if odd := int(np.count_nonzero(flat != flat[0])):
            refuse(
                self.files[0].path,
                f"it is one number, which files may repeat, and {odd:,} of its {flat.size:,} "
                "elements differ from the first",
                tensor.meta,
            )
        return flat[:1]


def _rows_of(elements: Array) -> Array:
    """A grid of tiles as rows, so that it is compared in pieces; others as they are."""
    return elements.reshape(-1, elements.shape[-1]) if elements.ndim > 2 else elements


def _written(info: Info) -> str:
    return f"{list(info.shape)} of {info.dtype}"


def _rank_paths(folder: str) -> list[str]:
    """The files of the ranks, in their order, none missing."""
    found = {int(match[1]): name for name in os.listdir(folder) if (match := _RANK.fullmatch(name))}
    if _ALONE in os.listdir(folder):
        if found:
            refuse(
                folder,
                f"there are {_ALONE} and {found[min(found)]}, and only one can be the first rank",
            )
        return [os.path.join(folder, _ALONE)]
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
