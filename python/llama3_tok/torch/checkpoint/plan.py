"""What each file of a conversion will hold, planned from names and shapes before anything is read.

`for_transformers` and `for_meta` are the two directions.
"""

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from llama3_tok.errors import CheckpointError
from llama3_tok.formats import save, whole_files
from llama3_tok.formats.hugging_face import generation_config
from llama3_tok.torch.checkpoint.adapter import MergedFolder, adapter_sha256
from llama3_tok.torch.checkpoint.cast import cast, mean_row
from llama3_tok.torch.checkpoint.elements import Tensor, resized
from llama3_tok.torch.checkpoint.hugging_face import CONFIG, INDEX, HuggingFaceFolder
from llama3_tok.torch.checkpoint.job import Target
from llama3_tok.torch.checkpoint.meta import PARAMS, TOKENIZER, MetaFolder, rank_name
from llama3_tok.torch.checkpoint.sizes import Sizes, to_config, to_params
from llama3_tok.torch.checkpoint.stored import Array, Info, refuse, unsigned
from llama3_tok.torch.checkpoint.tensors import EMBEDDING, OUTPUT, tensors
from llama3_tok.torch.checkpoint.tokenizers import tokenizer_of, with_rows, without_padding
from llama3_tok.torch.checkpoint.vision import NEW_ROWS, PREPROCESSOR, preprocessor
from llama3_tok.torch.checkpoint.writing import Out, write_safetensors, write_torch


class Wishes(NamedTuple):
    """What was asked for, in either direction."""

    dtype: str | None = None
    profile: str | None = None
    vocab_rows: int | None = None
    adapter: str | None = None
    """The folder of an adapter that is merged."""

    def noted(self) -> dict[str, object]:
        """Those that were given, as far as the record of a run has them by their own names."""
        given = {"profile": self.profile, "vocab_rows": self.vocab_rows}
        if self.adapter is not None:
            given["adapter"] = adapter_sha256(self.adapter)
        return {name: value for name, value in given.items() if value is not None}


class Plan(NamedTuple):
    """A conversion before it runs."""

    source: MetaFolder | HuggingFaceFolder
    targets: list[Target]
    wishes: dict[str, object]
    """What was asked for, as far as the result depends on it."""
    dtype: str
    ranks: int
    sizes: Sizes
    """Of the result."""
    profile: str
    """The tokenizer's."""
    others: list[str]
    """The names of what `finish` writes."""
    finish: Callable[[str], None]
    """Writes all but the weights to the output folder, last what makes it loadable."""


def for_transformers(folder: str, wishes: Wishes, shard_size: int | str) -> Plan:
    """From Meta's folder: files of up to `shard_size`, the tensors in the order of their use."""
    if wishes.adapter is not None:
        refuse(
            wishes.adapter,
            "an adapter of PEFT goes with the layout of transformers, so merge_adapter is for "
            "to_meta=True alone: convert first, and merge it there",
        )
    source = MetaFolder(folder)
    most, wanted = bytes_of(shard_size), _only_type(source, wishes.dtype)
    sizes = replace(source.sizes, named=wishes.profile)
    tokenizer = tokenizer_of(folder, TOKENIZER, sizes, wishes.profile)
    sizes = with_rows(sizes, tokenizer, wishes.vocab_rows)
    rows = _Rows(source, source.sizes.vocabulary, sizes)
    shards: list[list[Out]] = [[]]
    room = most
    # A tensor of transformers may be made of several of Meta's, one after the other.
    for name, group in groupby(tensors(sizes), attrgetter("hf")):
        parts = list(group)
        if sizes.tied and parts[0].meta == OUTPUT:
            continue
        made = []
        for tensor in parts:
            blocks = rows.of(tensor, partial(source.blocks, tensor), 0, tensor.shape[0])
            made.append(_cast(blocks, name, source.dtype_of(tensor), wanted, folder))
        out = Out(name, Info(wanted, parts[0].there), partial(_chained, made))
        if shards[-1] and out.info.bytes > room:
            shards.append([])
            room = most
        shards[-1].append(out)
        room -= out.info.bytes
    targets = [
        Target(f"model-{number:05d}-of-{len(shards):05d}.safetensors", shard, write_safetensors)
        for number, shard in enumerate(shards, 1)
    ]

    def finish(output: str) -> None:
        tokenizer.save(output)
        _write_json(
            output, CONFIG, to_config(sizes, wanted, generation_config(tokenizer.definition))
        )
        if sizes.vision is not None:
            _write_json(output, PREPROCESSOR, preprocessor(sizes.vision))
        index = {
            "metadata": {"total_size": sum(target.bytes for target in targets)},
            "weight_map": {out.name: target.name for target in targets for out in target.outs},
        }
        _write_json(output, INDEX, index)

    return Plan(
        source,
        targets,
        {"to": "transformers", "dtype": wanted, "shard_size": most, **wishes.noted()},
        wanted,
        source.ranks,
        sizes,
        tokenizer.profile,
        [
            *save.names(tokenizer.definition),
            CONFIG,
            *([PREPROCESSOR] if sizes.vision is not None else []),
            INDEX,
        ],
        finish,
    )


def for_meta(folder: str, wishes: Wishes, ranks: int) -> Plan:
    """From a folder of transformers: a file for each of `ranks` ranks.

    The row of a padding token that `add_pad_token` added is left out: Meta's code has no token for
    it, and pads with no row at all.
    """
    if wishes.adapter is None:
        source = HuggingFaceFolder(folder)
    else:
        source = MergedFolder(folder, wishes.adapter)
    if source.unties:
        warnings.warn(source.unties, stacklevel=4)
    wanted = _only_type(source, wishes.dtype)
    tokenizer = tokenizer_of(folder, "", source.sizes, wishes.profile)
    tokenizer, sizes = without_padding(tokenizer, source.sizes)
    kept = sizes.vocabulary
    sizes = with_rows(sizes, tokenizer, wishes.vocab_rows)
    rows = _Rows(source, kept, sizes)
    _check_ranks(sizes, ranks, folder)
    params = to_params(sizes, ranks, os.path.join(folder, CONFIG))
    copies = max(ranks // sizes.kv_heads, 1)
    targets = []
    for rank in range(ranks):
        outs = []
        for tensor in tensors(sizes):
            shape = tensor.part(ranks, copies)
            if sizes.tied and tensor.meta == OUTPUT:
                # Meta's code loads both; one is stored.
                outs.append(Out(OUTPUT, Info(wanted, shape), lambda: iter(()), EMBEDDING))
                continue
            given = partial(source.blocks, tensor, rank, ranks, copies)
            blocks = rows.of(tensor, given, rank * shape[0], shape[0])
            blocks = _cast(blocks, tensor.meta, source.dtype_of(tensor), wanted, folder)
            outs.append(Out(tensor.meta, Info(wanted, shape), blocks))
        name = rank_name(rank)
        write = partial(write_torch, stem=os.path.splitext(name)[0])
        targets.append(Target(name, outs, write))

    # A rank file has no names of special tokens, and no chat template. Those of the release that
    # the weights tell are known without; others are written beside it.
    is_known = tokenizer.chat_profile is not None and tokenizer.profile == sizes.profile

    def finish(output: str) -> None:
        if is_known:
            rank_file = os.path.join(output, TOKENIZER)
            whole_files.write({rank_file: save.rank_file(tokenizer.definition)})
        else:
            tokenizer.save(output)
        _write_json(output, PARAMS, params)

    return Plan(
        source,
        targets,
        {"to": "meta", "dtype": wanted, "ranks": ranks, **wishes.noted()},
        wanted,
        ranks,
        sizes,
        tokenizer.profile,
        [*([TOKENIZER] if is_known else save.names(tokenizer.definition)), PARAMS],
        finish,
    )


Blocks = Callable[[], Iterator[Array]]


def _cast(blocks: Blocks, name: str, given: str, wanted: str, folder: str) -> Blocks:
    return blocks if wanted == given else partial(cast, blocks, name, given, wanted, folder)


def _chained(made: list[Blocks]) -> Iterator[Array]:
    """The blocks of several, one after the other."""
    for blocks in made:
        yield from blocks()


def _only_type(source: MetaFolder | HuggingFaceFolder, asked: str | None) -> str:
    """The type of the result: that which was asked for, or the one that all tensors have."""
    if asked is not None:
        return asked
    found = source.types()
    if len(found) > 1:
        usual = source.dtype_of(next(tensors(source.sizes)))
        odd, (file, tensor) = next(one for one in sorted(found.items()) if one[0] != usual)
        refuse(
            file,
            f"its type is {odd}, and that of {found[usual][1]} is {usual}; a model has one: pass "
            f"dtype={usual!r} to convert the others to it",
            tensor,
        )
    return next(iter(found))


# Rows of the embedding and of the output layer


class _Rows:
    """The embedding and the output layer with as many rows as the result is to have.

    Padding rows of the output layer are the mean of the others, so that their logit is the mean of
    the logits and never the largest. Those of the embedding are zero, or that mean too where it is
    the output layer: nothing looks them up.
    """

    def __init__(self, source: MetaFolder | HuggingFaceFolder, kept: int, sizes: Sizes) -> None:
        self._source, self._kept, self._sizes = source, kept, sizes
        self._means: dict[str, Array] = {}

    def of(self, tensor: Tensor, blocks: Blocks, start: int, rows: int) -> Blocks:
        """The blocks of the `rows` rows of a tensor from `start` on, padding among them."""
        if tensor.meta not in (EMBEDDING, OUTPUT) or self._kept == self._sizes.vocabulary:
            return blocks
        kept = max(self._kept - start, 0)
        return lambda: resized(blocks(), min(kept, rows), rows, partial(self._filler, tensor))

    def _filler(self, tensor: Tensor) -> Array:
        """A padding row, in the source's type."""
        dtype = self._source.dtype_of(tensor)
        if tensor.meta == EMBEDDING and not self._sizes.tied:
            return np.zeros(self._sizes.dim, unsigned(dtype))
        if tensor.meta not in self._means:
            self._means[tensor.meta] = mean_row(self._source.blocks(tensor), dtype, self._kept)
        return self._means[tensor.meta]


# What the interpreter, NumPy and the tokenizer take, and the blocks that are in memory, of 16 MB
# each: measured, in docs/design/checkpoints.md.
_WITHOUT_TABLES = 200_000_000
_TABLE = 2_000
# torch, transformers and PEFT.
_TORCH = 600_000_000


def memory_of(plan: Plan) -> int:
    """The private memory that a conversion takes, at most."""
    tables = sum(len(file.tensors) for file in plan.source.files)
    tables += sum(len(target.outs) for target in plan.targets)
    size = _WITHOUT_TABLES + _TABLE * tables
    if isinstance(plan.source, MergedFolder):
        size += _TORCH + plan.source.merging
    return size


def _check_ranks(sizes: Sizes, ranks: int, folder: str) -> None:
    """Every rank must have whole heads, and as much as any other."""
    kv, vision = sizes.kv_heads, sizes.vision
    for what, count in (
        ("heads", sizes.heads),
        ("feed-forward rows", sizes.intermediate),
        ("tokens", sizes.vocabulary),
        ("heads for keys and values", max(kv, ranks) if ranks % kv == 0 else kv),
        *([("rows for the image", NEW_ROWS)] if vision else []),
        *([("heads of the image encoder", vision.encoder.heads)] if vision else []),
    ):
        if ranks < 1 or count % ranks:
            refuse(folder, f"its {count:,} {what} can't be spread over {ranks} ranks evenly")


_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def bytes_of(size: int | str) -> int:
    """A size as "5GB" (billions), "512MiB" (binary) or a number, in bytes.

    Raises CheckpointError for anything else.
    """
    word = str(size).strip().upper()
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(I?)(B?)", word, re.ASCII)
    if not match or (match[3] and not match[2]):
        raise CheckpointError(f"{size!r} is not a size such as 5GB, 512MiB or a number of bytes")
    count = int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2]])
    if count < 1:
        raise CheckpointError(f"a size of {size!r} has room for nothing")
    return count


def _write_json(folder: str, name: str, value: dict[str, object]) -> None:
    text = json.dumps(value, indent=2).encode() + b"\n"
    whole_files.write({os.path.join(folder, name): whole_files.of_data(text)})
