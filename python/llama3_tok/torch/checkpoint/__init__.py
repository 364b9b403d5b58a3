"""Checkpoints between Meta's layout and that of transformers, in memory that does not grow.

In reading order: `sizes` is the model in numbers, `tensors` which tensors it has and how the two
layouts differ, `stored`, `torch_file` and `writing` are the files, `meta` and `hugging_face` the
folders, `whole` and `job` how a folder is written whole; `plan` says what goes where, for either
direction.
"""

import os
import warnings
from functools import partial
from typing import NamedTuple

from llama3_tok import arguments
from llama3_tok.errors import CheckpointError
from llama3_tok.torch.checkpoint.job import Job, Progress, verify_hashes
from llama3_tok.torch.checkpoint.plan import for_meta, for_transformers
from llama3_tok.torch.checkpoint.stored import DTYPES, refuse

__all__ = ["Converted", "convert_checkpoint", "verify_checkpoint"]


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


def convert_checkpoint(
    input_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    shard_size: int | str = "5GB",
    to_meta: bool = False,
    ranks: int = 1,
    verify: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Converts a Llama 3 checkpoint of Meta's for transformers, or back.

    `input_dir` is Meta's folder: `consolidated.NN.pth` for any number of model-parallel ranks,
    `params.json` and `tokenizer.model`. They say what the model is, be it 1B or 405B. `output_dir`
    gets safetensors files of up to `shard_size` (bytes, or as "5GB", "500MB", "2GiB"; a larger
    tensor has a file of its own) with an index, `config.json`, `generation_config.json`, and the
    files of `Tokenizer.save`. With `to_meta` it is the other way: a folder of transformers becomes
    Meta's, of `ranks` files. Weights stay as they are, bit for bit, unless `dtype` ("bfloat16",
    "float16", "float32") asks for another type.

    A few megabytes of weights are in memory at a time, whatever the model's size. The output is
    written once, file by file, each under another name until it is whole, and what makes the folder
    loadable comes last. A run that was cut goes on where it was when it is called again.
    `conversion.json` has what the input was and the SHA-256 of each tensor's bytes. `verify` reads
    everything again and compares: with these hashes, and byte by byte with what the input gives.
    `progress` gets the bytes done and their total.

    Raises CheckpointError for input that is damaged, incomplete, contradictory or no Llama 3 text
    model, for an output folder that has something else, and for a disk too small; MissingExtra
    if another `dtype` needs torch and it is not there; OSError where the system fails.

    >>> convert_checkpoint("Llama3.1-8B", "Llama-3.1-8B-hf")  # doctest: +SKIP
    Converted(folder='Llama-3.1-8B-hf', files=['model-00001-of-00004.safetensors', ...

    Names, parts and order are those of llama-models' `llama3/model.py` and of transformers' Llama;
    the fields are those of `ModelArgs` and `LlamaConfig`.
    """
    arguments.flag(to_meta, "to_meta")
    arguments.flag(verify, "verify")
    source, output = os.fspath(input_dir), os.fspath(output_dir)
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"dtype is {dtype!r}, and must be one of {', '.join(DTYPES)}")
    if os.path.exists(output) and os.path.samefile(source, output):
        refuse(output, "input and output must be different folders")
    plan = (
        for_meta(source, dtype, ranks) if to_meta else for_transformers(source, dtype, shard_size)
    )
    if plan.dtype == "float16" != plan.source.dtype:
        warnings.warn(
            f"float16 has less range than {plan.source.dtype}: numbers below 6e-8 become 0, and "
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


def verify_checkpoint(folder: str | os.PathLike[str], *, progress: Progress | None = None) -> int:
    """Reads what a conversion wrote, compares each tensor with its SHA-256, gives the bytes read.

    It needs only the folder, with its `conversion.json`; `convert_checkpoint(..., verify=True)` on
    a finished conversion also compares with the input. `progress` gets the bytes done and their
    total. Raises CheckpointError if the conversion was not finished, or anything is not as it was.

    >>> verify_checkpoint("Llama-3.1-8B-hf")  # doctest: +SKIP
    16060522496
    """
    return verify_hashes(os.fspath(folder), progress)
