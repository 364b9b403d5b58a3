"""`llama3-tok convert-checkpoint`: Meta's weights for transformers, and back."""

import argparse

from llama3_tok.cli.progress import Bar, progress_bar
from llama3_tok.cli.terminal import UsageError, write
from llama3_tok.errors import CheckpointError
from llama3_tok.text.visible import escaped

PURPOSE = "Convert a Llama 3 checkpoint from Meta's layout to that of transformers, or back."
EXAMPLES = """\
  llama3-tok convert-checkpoint --input-dir Llama3.1-8B --output-dir Llama-3.1-8B-hf
  llama3-tok convert-checkpoint --input-dir Llama3.3-70B --output-dir out --dtype float16 --verify
  llama3-tok convert-checkpoint --to-meta --ranks 8 --input-dir Llama-3.3-70B-hf --output-dir meta
  llama3-tok convert-checkpoint --verify --output-dir Llama-3.1-8B-hf

A run that was cut goes on when it is started again. Only --dtype needs torch:
pip install 'llama3_tok[torch]'.

exit codes: 0; 2 if a checkpoint can't be read, written or verified; 130 after Ctrl-C"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "--input-dir",
        metavar="DIR",
        help="Meta's folder: consolidated.NN.pth, params.json, tokenizer.model; with --to-meta one "
        "of transformers",
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", required=True, help="where the other is written"
    )
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float16", "float32"),
        help="convert the weights (default: they stay as they are, bit for bit)",
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
        raise UsageError("--ranks goes with --to-meta; how many Meta's folder has is told from it")
    if arguments.shard_size is not None and arguments.to_meta:
        raise UsageError("--shard-size is for safetensors; with --to-meta there is a file a rank")
    with progress_bar(delay=0) as bar:
        summary = (
            _verify(arguments, bar) if arguments.input_dir is None else _convert(arguments, bar)
        )
    if arguments.json:
        import json

        write(json.dumps(summary).encode() + b"\n")
    else:
        write(_text(summary).encode())
    return 0


def _convert(arguments: argparse.Namespace, bar: Bar | None) -> dict[str, object]:
    from llama3_tok.torch.checkpoint import convert_checkpoint
    from llama3_tok.torch.checkpoint.plan import bytes_of

    try:
        shard_size = bytes_of(arguments.shard_size or "5GB")
    except CheckpointError as error:
        raise UsageError(f"--shard-size: {error}") from None
    converted = convert_checkpoint(
        arguments.input_dir,
        arguments.output_dir,
        dtype=arguments.dtype,
        shard_size=shard_size,
        to_meta=arguments.to_meta,
        ranks=1 if arguments.ranks is None else arguments.ranks,
        verify=arguments.verify,
        progress=bar,
    )
    return converted._asdict()


def _verify(arguments: argparse.Namespace, bar: Bar | None) -> dict[str, object]:
    from llama3_tok.torch.checkpoint import verify_checkpoint

    size = verify_checkpoint(arguments.output_dir, progress=bar)
    return {"folder": arguments.output_dir, "bytes": size, "verified": True}


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
