"""`llama3-tok convert-checkpoint`: Meta's weights for transformers, and back."""

import argparse
from typing import Any

from llama3_tok.cli.progress import Bar, progress_bar
from llama3_tok.cli.terminal import UsageError, write
from llama3_tok.errors import CheckpointError
from llama3_tok.profiles import PROFILES
from llama3_tok.text.visible import escaped

PURPOSE = "Convert a Llama 3 checkpoint from Meta's layout to that of transformers, or back."
EXAMPLES = """\
  llama3-tok convert-checkpoint --input-dir Llama3.1-8B --output-dir Llama-3.1-8B-hf
  llama3-tok convert-checkpoint --input-dir Llama3.3-70B --output-dir out --dtype float16 --verify
  llama3-tok convert-checkpoint --to-meta --ranks 8 --input-dir Llama-3.3-70B-hf --output-dir meta
  llama3-tok convert-checkpoint --dry-run --input-dir Llama3.1-8B --output-dir Llama-3.1-8B-hf
  llama3-tok convert-checkpoint --verify --output-dir Llama-3.1-8B-hf

Text models and Llama 3.2 Vision are converted; text models alone are run.
A run that was cut goes on when it is started again, with the same input or a copy of it.
Only --merge-adapter needs more packages: pip install 'llama3_tok[adapters]'.

exit codes: 0; 2 if a checkpoint can't be read, written or verified; 130 after Ctrl-C"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "--input-dir",
        metavar="DIR",
        help="Meta's folder: consolidated.NN.pth, params.json, tokenizer.model; with --to-meta one "
        "of transformers, with safetensors files or pytorch_model.bin",
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", required=True, help="where the other is written"
    )
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float16", "float32"),
        help="convert the weights (default: they stay as they are, bit for bit; those of several "
        "types need it)",
    )
    parser.add_argument(
        "--shard-size",
        metavar="SIZE",
        help="the most that a safetensors file has, as 5GB or 512MiB (default: 5GB)",
    )
    parser.add_argument("--to-meta", action="store_true", help="the way back")
    parser.add_argument(
        "--ranks",
        metavar="N",
        type=int,
        help="with --to-meta: model-parallel files to write (default: 1)",
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="the release whose special tokens and scaling the model has (default: what the folder "
        "says, else what the weights tell)",
    )
    parser.add_argument(
        "--vocab-rows",
        metavar="N",
        type=int,
        help="cut the embedding and the output layer to N rows, or add rows up to N: zero in the "
        "embedding, the mean of the others in the output layer (default: as many as there are)",
    )
    parser.add_argument(
        "--merge-adapter",
        metavar="DIR",
        nargs="?",
        const=True,
        default=False,
        help="with --to-meta: merge an adapter, as of LoRA, into the weights, by PEFT and with all "
        "of them in memory; that in DIR (default: in --input-dir)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be written, how large it is and how much memory that takes, and write "
        "nothing",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read the result again and compare it with its hashes, and with what the input gives; "
        "without --input-dir with the hashes alone",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object about what was done")


def run(arguments: argparse.Namespace) -> int:
    """Converts, verifies, and says what was done."""
    if arguments.input_dir is None and not arguments.verify:
        raise UsageError("give --input-dir, or --verify to check what is in --output-dir")
    if arguments.ranks is not None and not arguments.to_meta:
        raise UsageError("--ranks goes with --to-meta; Meta's own folder shows how many it has")
    if arguments.shard_size is not None and arguments.to_meta:
        raise UsageError("--shard-size is for safetensors; --to-meta writes one file for each rank")
    if arguments.merge_adapter is not False and not arguments.to_meta:
        raise UsageError("--merge-adapter goes with --to-meta, which reads that layout")
    if arguments.vocab_rows is not None and arguments.vocab_rows < 1:
        raise UsageError(f"--vocab-rows must be at least 1, not {arguments.vocab_rows}")
    if arguments.dry_run and (arguments.verify or arguments.input_dir is None):
        raise UsageError("--dry-run writes nothing, so there is nothing to --verify")
    if arguments.dry_run:
        summary = _plan(arguments)
    else:
        with progress_bar(delay=0) as bar:
            summary = (
                _verify(arguments, bar) if arguments.input_dir is None else _convert(arguments, bar)
            )
    if arguments.json:
        import json

        write(json.dumps(summary).encode() + b"\n")
    else:
        write((_plan_text(summary) if arguments.dry_run else _text(summary)).encode())
    return 0


def _wishes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a conversion and a plan of one take besides the folders."""
    from llama3_tok.torch.checkpoint.plan import bytes_of

    try:
        shard_size = bytes_of(arguments.shard_size or "5GB")
    except CheckpointError as error:
        raise UsageError(f"--shard-size: {error}") from None
    return {
        "dtype": arguments.dtype,
        "shard_size": shard_size,
        "to_meta": arguments.to_meta,
        "ranks": 1 if arguments.ranks is None else arguments.ranks,
        "profile": arguments.profile,
        "vocab_rows": arguments.vocab_rows,
        "merge_adapter": arguments.merge_adapter,
    }


def _convert(arguments: argparse.Namespace, bar: Bar | None) -> dict[str, object]:
    from llama3_tok.torch.checkpoint import convert_checkpoint

    converted = convert_checkpoint(
        arguments.input_dir,
        arguments.output_dir,
        verify=arguments.verify,
        progress=bar,
        **_wishes(arguments),
    )
    return converted._asdict()


def _plan(arguments: argparse.Namespace) -> dict[str, object]:
    from llama3_tok.torch.checkpoint import plan_checkpoint

    planned = plan_checkpoint(arguments.input_dir, arguments.output_dir, **_wishes(arguments))
    return planned._asdict() | {"files": [file._asdict() for file in planned.files]}


def _verify(arguments: argparse.Namespace, bar: Bar | None) -> dict[str, object]:
    from llama3_tok.torch.checkpoint import verify_checkpoint

    size = verify_checkpoint(arguments.output_dir, progress=bar)
    return {"folder": arguments.output_dir, "bytes": size, "verified": True}


def _plan_text(plan: dict[str, Any]) -> str:
    """What would be done, for people."""
    files = plan["files"]
    widest = max(len(f"{file['bytes']:,}") for file in files)
    lines = [
        f"{file['name']}  {file['bytes']:>{widest},} bytes, {file['tensors']:,} "
        f"tensor{'s' * (file['tensors'] != 1)}"
        for file in files
    ]
    lines += [
        f"{len(files)} file{'s' * (len(files) != 1)} would be in {escaped(str(plan['folder']))}: "
        f"{plan['tensors']:,} tensors, {plan['bytes']:,} bytes of {plan['dtype']}, "
        f"from {plan['input_bytes']:,} bytes in the input",
        f"{plan['layers']} layers, {plan['vocab_rows']:,} rows, output layer "
        f"{'tied to the embedding' if plan['tied'] else 'by itself'}, tokenizer of profile "
        f"{plan['profile']}, {plan['ranks']} rank{'s' * (plan['ranks'] != 1)}",
    ]
    if plan["kept"]:
        lines.append(f"{plan['kept']} of the files are there from an earlier run")
    lacking = plan["needed"] - plan["free"]
    lines.append(
        f"{plan['needed']:,} bytes are to be written, and the disk has {plan['free']:,} free"
        + (f": {lacking:,} too few" if lacking > 0 else "")
    )
    lines.append(f"at most {plan['memory'] / 1e6:,.0f} MB of memory; nothing was written")
    return "".join(f"{line}\n" for line in lines)


def _text(summary: dict[str, object]) -> str:
    """For people."""
    files = summary.get("files")
    if not isinstance(files, list):
        return f"{summary['bytes']:,} bytes are as they were written\n"
    lines = [
        f"{summary['tensors']:,} tensors, {summary['bytes']:,} bytes of {summary['dtype']}, "
        f"{len(files)} file{'s' * (len(files) != 1)} in {escaped(str(summary['folder']))}"
    ]
    if summary["kept"]:
        lines.append(f"{summary['kept']} of the files were there from an earlier run")
    if summary["verified"]:
        lines.append("read back: the same bytes as the input gives, and as their SHA-256 says")
    return "".join(f"{line}\n" for line in lines)
