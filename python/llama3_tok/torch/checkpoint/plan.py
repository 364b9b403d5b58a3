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
from typing import NamedTuple

import numpy as np

from llama3_tok.errors import CheckpointError
from llama3_tok.folder import usual
from llama3_tok.folder.reading import release_of
from llama3_tok.formats import save, whole_files
from llama3_tok.formats.hugging_face import generation_config
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.torch.checkpoint.adapter import MergedFolder, adapter_sha256
from llama3_tok.torch.checkpoint.cast import cast, mean_row
from llama3_tok.torch.checkpoint.hugging_face import CONFIG, INDEX, HuggingFaceFolder
from llama3_tok.torch.checkpoint.job import Target
from llama3_tok.torch.checkpoint.meta import PARAMS, TOKENIZER, MetaFolder, rank_name
from llama3_tok.torch.checkpoint.sizes import Sizes, to_config, to_params
from llama3_tok.torch.checkpoint.stored import Array, Info, read_json, refuse, unsigned
from llama3_tok.torch.checkpoint.tensors import EMBEDDING, OUTPUT, Tensor, resized, tensors
from llama3_tok.torch.checkpoint.writing import Out, write_safetensors, write_torch
from llama3_tok.vocabulary import MAX_BYTES


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
    tokenizer = _tokenizer(folder, TOKENIZER, sizes, wishes.profile)
    sizes = _with_rows(sizes, tokenizer, wishes.vocab_rows)
    rows = _Rows(source, source.sizes.vocabulary, sizes)
    shards: list[list[Out]] = [[]]
    room = most
    for tensor in tensors(sizes):
        if sizes.tied and tensor.meta == OUTPUT:
            continue
        blocks = rows.of(tensor, partial(source.blocks, tensor), 0, tensor.shape[0])
        out = _out(tensor.hf, tensor.shape, blocks, source.dtype_of(tensor), wanted, folder)
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
        [*save.names(tokenizer.definition), CONFIG, INDEX],
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
    tokenizer = _tokenizer(folder, "", source.sizes, wishes.profile)
    tokenizer, sizes = _without_padding(tokenizer, source.sizes)
    kept = sizes.vocabulary
    sizes = _with_rows(sizes, tokenizer, wishes.vocab_rows)
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
            outs.append(_out(tensor.meta, shape, blocks, source.dtype_of(tensor), wanted, folder))
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


def _out(
    name: str, shape: tuple[int, ...], blocks: Blocks, given: str, wanted: str, folder: str
) -> Out:
    if wanted != given:
        blocks = partial(cast, blocks, name, given, wanted, folder)
    return Out(name, Info(wanted, shape), blocks)


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
    kv = sizes.kv_heads
    for what, count in (
        ("heads", sizes.heads),
        ("feed-forward rows", sizes.intermediate),
        ("tokens", sizes.vocabulary),
        ("heads for keys and values", max(kv, ranks) if ranks % kv == 0 else kv),
    ):
        if ranks < 1 or count % ranks:
            refuse(folder, f"its {count:,} {what} can't be spread over {ranks} ranks evenly")


def _tokenizer(folder: str, name: str, sizes: Sizes, profile: str | None) -> Tokenizer:
    """The folder's tokenizer, of the profile that was named or that is told."""
    path = os.path.join(folder, name) if name else folder
    if not os.path.exists(path):
        refuse(path, "there is no such file; the tokenizer belongs to the checkpoint")
    ranks = os.path.join(folder, TOKENIZER)
    is_alone = os.path.isfile(ranks) and os.path.getsize(ranks) <= MAX_BYTES
    if not is_alone or (_says_ids(folder) if profile else _says_more(folder)):
        tokenizer = Tokenizer(path, profile=profile)
    else:
        # A rank file by itself does not tell the release; the weights' sizes do, or the caller.
        with open(ranks, "rb") as file:
            content = file.read()
        tokenizer = Tokenizer.from_bytes(content, profile=profile or sizes.profile, name=ranks)
        _check_names(folder, tokenizer)
    # A model may have rows that no token has.
    if tokenizer.vocab_size > sizes.vocabulary:
        hint = ""
        if profile is None and not _says_ids(folder):
            hint = "; its files do not say which release it is of: profile='llama3.1', as one, does"
        refuse(
            path,
            f"the tokenizer has {tokenizer.vocab_size:,} ids, and the weights are for "
            f"{sizes.vocabulary:,}{hint}",
        )
    return tokenizer


# What says more of the tokens than a rank file does, but not which ids the special ones have.
_NAMES = ("special_tokens_map.json", "chat_template.jinja", "additional_chat_templates")


def _says_ids(folder: str) -> bool:
    """Whether the files beside a rank file say which special tokens there are."""
    if any(os.path.exists(os.path.join(folder, one)) for one in ("tokenizer.json", _ADDED)):
        return True
    config = os.path.join(folder, _TOKENIZER_CONFIG)
    return os.path.exists(config) and any(
        read_json(config).get(name) for name in ("added_tokens_decoder", "profile")
    )


def _says_more(folder: str) -> bool:
    """Whether they say more than which model it is."""
    names = (_TOKENIZER_CONFIG, *_NAMES)
    return _says_ids(folder) or any(os.path.exists(os.path.join(folder, one)) for one in names)


def _check_names(folder: str, tokenizer: Tokenizer) -> None:
    """Refuses a release that has not the special tokens which the folder names."""
    for file in (_TOKENIZER_CONFIG, "special_tokens_map.json"):
        path = os.path.join(folder, file)
        for role, value in (read_json(path) if os.path.exists(path) else {}).items():
            name = value.get("content") if isinstance(value, dict) else value
            if not role.endswith("_token") or not isinstance(name, str):
                continue
            if name not in tokenizer.special_tokens:
                refuse(
                    path,
                    f"its {role} is {name[:100]!r}, which is not a special token of profile "
                    f"{tokenizer.profile}",
                )


def _with_rows(sizes: Sizes, tokenizer: Tokenizer, rows: int | None) -> Sizes:
    """The sizes with as many rows as were asked for; each id must keep its own."""
    if rows is None:
        return sizes
    if rows < tokenizer.vocab_size:
        raise CheckpointError(
            f"vocab_rows must be at least {tokenizer.vocab_size:,}, one for each id of the "
            f"tokenizer, not {rows:,}"
        )
    return replace(sizes, vocabulary=rows)


def _without_padding(tokenizer: Tokenizer, sizes: Sizes) -> tuple[Tokenizer, Sizes]:
    """A release's tokenizer in place of one that has a padding token besides, in the last row."""
    *others, last = tokenizer.added_tokens.values()
    release = release_of(others, (), others[0].id) if others else None
    if last.id != tokenizer.pad_id or last.id != sizes.vocabulary - 1 or release is None:
        return tokenizer, sizes
    tokenizer = tokenizer.with_folder(usual(release, tokenizer.rank_count))
    return tokenizer, replace(sizes, vocabulary=last.id)


_TOKENIZER_CONFIG, _ADDED = "tokenizer_config.json", "added_tokens.json"

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
