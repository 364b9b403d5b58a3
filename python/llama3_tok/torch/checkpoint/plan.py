"""What each file of a conversion will hold, planned from names and shapes before anything is read.

`for_transformers` and `for_meta` are the two directions.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from llama3_tok.errors import CheckpointError
from llama3_tok.extras import require
from llama3_tok.folder import usual
from llama3_tok.folder.reading import release_of
from llama3_tok.formats import save, whole_files
from llama3_tok.formats.hugging_face import generation_config
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.torch.checkpoint.cast import cast
from llama3_tok.torch.checkpoint.hugging_face import CONFIG, INDEX, HuggingFaceFolder
from llama3_tok.torch.checkpoint.job import Target
from llama3_tok.torch.checkpoint.meta import PARAMS, TOKENIZER, MetaFolder, rank_name
from llama3_tok.torch.checkpoint.sizes import Sizes, to_config, to_params
from llama3_tok.torch.checkpoint.stored import Array, Info, refuse
from llama3_tok.torch.checkpoint.tensors import EMBEDDING, OUTPUT, tensors
from llama3_tok.torch.checkpoint.writing import Out, write_safetensors, write_torch


class Plan(NamedTuple):
    """A conversion before it runs."""

    source: MetaFolder | HuggingFaceFolder
    targets: list[Target]
    wishes: dict[str, object]
    """What was asked for, as far as the result depends on it."""
    dtype: str
    ranks: int
    others: list[str]
    """The names of what `finish` writes."""
    finish: Callable[[str], None]
    """Writes all but the weights to the output folder, last what makes it loadable."""


def for_transformers(folder: str, dtype: str | None, shard_size: int | str) -> Plan:
    """From Meta's folder: files of up to `shard_size`, the tensors in the order of their use."""
    source = MetaFolder(folder)
    sizes, wanted, most = source.sizes, dtype or source.dtype, bytes_of(shard_size)
    tokenizer = _tokenizer(folder, TOKENIZER, sizes)
    shards: list[list[Out]] = [[]]
    room = most
    for tensor in tensors(sizes):
        if sizes.tied and tensor.meta == OUTPUT:
            continue
        blocks = partial(source.blocks, tensor)
        out = _out(tensor.hf, tensor.shape, blocks, source.dtype, wanted, folder)
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
        {"to": "transformers", "dtype": wanted, "shard_size": most},
        wanted,
        source.ranks,
        [*save.names(tokenizer.definition), CONFIG, INDEX],
        finish,
    )


def for_meta(folder: str, dtype: str | None, ranks: int) -> Plan:
    """From a folder of transformers: a file for each of `ranks` ranks.

    The row of a padding token that `add_pad_token` added is left out: Meta's code has no token for
    it, and pads with no row at all.
    """
    source = HuggingFaceFolder(folder)
    wanted = dtype or source.dtype
    tokenizer, sizes = _without_padding(_tokenizer(folder, "", source.sizes), source.sizes)
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
            blocks = partial(source.blocks, tensor, rank, ranks, copies)
            outs.append(_out(tensor.meta, shape, blocks, source.dtype, wanted, folder))
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
        {"to": "meta", "dtype": wanted, "ranks": ranks},
        wanted,
        ranks,
        [*([TOKENIZER] if is_known else save.names(tokenizer.definition)), PARAMS],
        finish,
    )


def _out(
    name: str,
    shape: tuple[int, ...],
    blocks: Callable[[], Iterator[Array]],
    given: str,
    wanted: str,
    folder: str,
) -> Out:
    if wanted != given:
        require("torch", "torch")
        blocks = partial(cast, blocks, name, given, wanted, folder)
    return Out(name, Info(wanted, shape), blocks)


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


def _tokenizer(folder: str, name: str, sizes: Sizes) -> Tokenizer:
    path = os.path.join(folder, name) if name else folder
    if not os.path.exists(path):
        refuse(path, "there is no such file; the tokenizer belongs to the checkpoint")
    # A rank file by itself does not tell the release; the weights' sizes do.
    says_more = any(os.path.isfile(os.path.join(folder, one)) for one in _SAYS_MORE)
    tokenizer = Tokenizer(path, profile=None if says_more else sizes.profile)
    # A model may have rows that no token has.
    if tokenizer.vocab_size > sizes.vocabulary:
        refuse(
            path,
            f"the tokenizer has {tokenizer.vocab_size:,} ids, and the weights are for "
            f"{sizes.vocabulary:,}",
        )
    return tokenizer


def _without_padding(tokenizer: Tokenizer, sizes: Sizes) -> tuple[Tokenizer, Sizes]:
    """A release's tokenizer in place of one that has a padding token besides, in the last row."""
    *others, last = tokenizer.added_tokens.values()
    release = release_of(others, (), others[0].id) if others else None
    if last.id != tokenizer.pad_id or last.id != sizes.vocabulary - 1 or release is None:
        return tokenizer, sizes
    tokenizer = tokenizer.with_folder(usual(release, tokenizer.rank_count))
    return tokenizer, replace(sizes, vocabulary=last.id)


_SAYS_MORE = ("tokenizer.json", "tokenizer_config.json")

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
