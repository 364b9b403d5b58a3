"""Checkpoints between Meta's layout and that of transformers, in memory that does not grow.

In reading order: `sizes` is the model in numbers, and `vision` what one that reads images has
besides; `elements` is how the two layouts differ, with `tiles` for images, `tensors` which tensors
there are. `stored`, `torch_file` and `writing` are the files, `meta` and `hugging_face` the
folders, `adapter` one of them with what LoRA learned, `cases` what is neither, `tokenizers` what
goes with the weights. `job` is how a folder is written whole; `plan` says what goes where, for
either direction.
"""

import os
import shutil
import warnings
from functools import partial
from typing import NamedTuple

from llama3_tok import arguments
from llama3_tok.errors import CheckpointError
from llama3_tok.formats import whole_files
from llama3_tok.torch.checkpoint.job import Job, Progress, verify_hashes
from llama3_tok.torch.checkpoint.plan import Plan, Wishes, for_meta, for_transformers, memory_of
from llama3_tok.torch.checkpoint.stored import DTYPES, refuse

__all__ = [
    "Converted",
    "Planned",
    "PlannedFile",
    "convert_checkpoint",
    "plan_checkpoint",
    "verify_checkpoint",
]


class Converted(NamedTuple):
    """What a conversion did."""

    folder: str
    files: list[str]
    """The names of the files of weights."""
    tensors: int
    """How many tensors they hold."""
    bytes: int
    """Of the tensors."""
    dtype: str
    """That of all weights."""
    ranks: int
    """Of Meta's folder, whichever side it was."""
    kept: int
    """How many files an earlier run had finished."""
    verified: bool


class PlannedFile(NamedTuple):
    """A file of weights that a conversion would write."""

    name: str
    tensors: int
    """How many tensors it would hold."""
    bytes: int
    """Of the tensors."""


class Planned(NamedTuple):
    """What a conversion would do."""

    folder: str
    files: list[PlannedFile]
    tensors: int
    """How many tensors they would hold."""
    bytes: int
    """Of the tensors."""
    input_bytes: int
    """Of the input's files of weights."""
    dtype: str
    """That of all weights."""
    ranks: int
    """Of Meta's folder, whichever side it is."""
    layers: int
    """Without those of cross-attention to images."""
    vocab_rows: int
    """Of the embedding and of the output layer, without those for images."""
    tied: bool
    """Whether the output layer is the embedding."""
    profile: str
    """The tokenizer's."""
    kept: int
    """How many files an earlier run has finished."""
    needed: int
    """The bytes that are still to be written."""
    free: int
    """The bytes that are free on the disk."""
    memory: int
    """The private memory that it takes, at most, in bytes."""


def convert_checkpoint(
    input_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    shard_size: int | str = "5GB",
    to_meta: bool = False,
    ranks: int = 1,
    profile: str | None = None,
    vocab_rows: int | None = None,
    merge_adapter: bool | str | os.PathLike[str] = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Converts a Llama 3 checkpoint of Meta's for transformers, or back.

    `input_dir` is Meta's folder: `consolidated.NN.pth` for any number of model-parallel ranks,
    `params.json` and `tokenizer.model`. They say what the model is, be it 1B or 405B. `output_dir`
    gets safetensors files of up to `shard_size` (bytes, or as "5GB", "500MB", "2GiB"; a larger
    tensor has a file of its own) with an index, `config.json`, `generation_config.json`, and the
    files of `Tokenizer.save`. With `to_meta` it is the other way: a folder of transformers, with
    safetensors files or `pytorch_model.bin`, becomes Meta's, of `ranks` files. Weights stay as they
    are, bit for bit, unless `dtype` ("bfloat16", "float16", "float32") asks for another type; a
    checkpoint whose tensors have several types needs it.

    `profile` is the release whose special tokens and scaling the model has, where the folder does
    not say it. `vocab_rows` cuts rows after the tokenizer's ids off the embedding and the output
    layer, or adds some: zero in the embedding, and in the output layer, or where the two are one,
    the mean of the others, whose logit is never the largest. With `to_meta`, `merge_adapter` merges
    an adapter, as of LoRA, by PEFT (extra `adapters`): that in `input_dir`, or in another folder.

    A few megabytes of weights are in memory at a time, whatever the model's size; merging has all
    of them in memory. The output is written once, file by file, each under another name until it is
    whole, and what makes the folder loadable comes last. A run that was cut goes on where it was
    when it is called again, with the same input or a copy of it. `conversion.json` has what the
    input was and the SHA-256 of each tensor's bytes. `verify` reads everything again and compares:
    with these hashes, and byte by byte with what the input gives. `progress` gets the bytes done
    and their total.

    Llama 3.2 Vision is converted as the others are, in 1 to 8 ranks, and `preprocessor_config.json`
    is written besides; `vocab_rows` and `merge_adapter` are for text models. On the way to Meta's
    layout, embeddings of tiles that no image reaches become zero.

    Raises CheckpointError for input that is damaged, incomplete, contradictory, quantised or no
    Llama 3 model, for an adapter that would be left out, for an output folder that has
    something else, and for a disk too small; MissingExtra without PEFT where it is needed; OSError
    where the system fails.

    >>> convert_checkpoint("Llama3.1-8B", "Llama-3.1-8B-hf")  # doctest: +SKIP
    Converted(folder='Llama-3.1-8B-hf', files=['model-00001-of-00004.safetensors', ...

    Names, parts and order are those of llama-models' `llama3/model.py` and `multimodal/model.py`,
    and of transformers' Llama and Mllama; the fields are those of `ModelArgs`, `LlamaConfig` and
    `MllamaConfig`.
    """
    arguments.flag(to_meta, "to_meta")
    arguments.flag(verify, "verify")
    source, output = os.fspath(input_dir), os.fspath(output_dir)
    wishes = _wishes(source, dtype, profile, vocab_rows, merge_adapter)
    plan = _planned(source, output, wishes, to_meta, shard_size, ranks)
    if plan.dtype == "float16" and (others := sorted(plan.source.types().keys() - {"float16"})):
        warnings.warn(
            f"float16 has less range than {' and '.join(others)}: numbers below 6e-8 become 0, and "
            "above 65504 there are none",
            stacklevel=2,
        )
    job = Job(plan.source, output, plan.targets, plan.wishes, progress)
    kept = job.run(plan.others, partial(plan.finish, output))
    if verify:
        job.verify()
    return Converted(
        output,
        [target.name for target in plan.targets],
        sum(len(target.outs) for target in plan.targets),
        sum(target.bytes for target in plan.targets),
        plan.dtype,
        plan.ranks,
        kept,
        verify,
    )


def plan_checkpoint(
    input_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    shard_size: int | str = "5GB",
    to_meta: bool = False,
    ranks: int = 1,
    profile: str | None = None,
    vocab_rows: int | None = None,
    merge_adapter: bool | str | os.PathLike[str] = False,
) -> Planned:
    """What `convert_checkpoint` would do with the same arguments; nothing is written or merged.

    The tables of all files are read and checked, so that it raises what the conversion would raise
    before it writes, but for a disk that is too small: `needed` and `free` tell that.

    >>> plan_checkpoint("Llama3.1-8B", "Llama-3.1-8B-hf").memory  # doctest: +SKIP
    200000000
    """
    arguments.flag(to_meta, "to_meta")
    source, output = os.fspath(input_dir), os.fspath(output_dir)
    wishes = _wishes(source, dtype, profile, vocab_rows, merge_adapter)
    plan = _planned(source, output, wishes, to_meta, shard_size, ranks)
    kept, needed = Job(plan.source, output, plan.targets, plan.wishes, None).examine(plan.others)
    files = [PlannedFile(one.name, len(one.outs), one.bytes) for one in plan.targets]
    return Planned(
        output,
        files,
        sum(file.tensors for file in files),
        sum(file.bytes for file in files),
        sum(os.path.getsize(file.path) for file in plan.source.files),
        plan.dtype,
        plan.ranks,
        plan.sizes.layers,
        plan.sizes.vocabulary,
        plan.sizes.tied,
        plan.profile,
        kept,
        needed,
        shutil.disk_usage(_existing(output)).free,
        memory_of(plan),
    )


def _wishes(
    source: str,
    dtype: str | None,
    profile: str | None,
    vocab_rows: int | None,
    merge_adapter: bool | str | os.PathLike[str],
) -> Wishes:
    """The arguments that both directions have, checked."""
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"dtype is {dtype!r}, and must be one of {', '.join(DTYPES)}")
    if vocab_rows is not None:
        vocab_rows = arguments.count(vocab_rows, "vocab_rows", 1)
    adapter = source if merge_adapter is True else None
    if not isinstance(merge_adapter, bool):
        adapter = arguments.path(merge_adapter, "merge_adapter")
    return Wishes(dtype, profile, vocab_rows, adapter)


def _planned(
    source: str, output: str, wishes: Wishes, to_meta: bool, shard_size: int | str, ranks: int
) -> Plan:
    """The conversion, planned from the tables of the files."""
    if os.path.exists(output) and os.path.samefile(source, output):
        refuse(output, "input and output must be different folders")
    if to_meta:
        return for_meta(source, wishes, ranks)
    return for_transformers(source, wishes, shard_size)


def _existing(folder: str) -> str:
    """The folder, or the first above it that exists."""
    path = whole_files.absolute(folder)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def verify_checkpoint(folder: str | os.PathLike[str], *, progress: Progress | None = None) -> int:
    """Reads what a conversion wrote, compares each tensor with its SHA-256, gives the bytes read.

    It needs only the folder, with its `conversion.json`; `convert_checkpoint(..., verify=True)` on
    a finished conversion also compares with the input. `progress` gets the bytes done and their
    total. Raises CheckpointError if the conversion was not finished, or anything is not as it was.

    >>> verify_checkpoint("Llama-3.1-8B-hf")  # doctest: +SKIP
    16060522496
    """
    return verify_hashes(os.fspath(folder), progress)
