"""Peak memory and speed of converting checkpoints, each conversion in a process of its own.

    python bench/checkpoint.py [--gb 4] [--ranks 8] [--folder DIR] [--hollow 405B]

makes a random bfloat16 checkpoint of Meta's of that size, converts it with `verify`, and back, and
prints private memory (RssAnon), page tables (VmPTE) and time. `--hollow` makes files of the sizes
of a published model, which take no room on the disk since nothing is in them, and converts their
first gigabytes: what grows with the number of tensors and ranks is measured so, up to 405B. Linux
only.
"""

import argparse
import json
import mmap
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from llama3_tok import vocabulary
from llama3_tok.torch.checkpoint.sizes import Sizes, from_params
from llama3_tok.torch.checkpoint.tensors import tensors

# (params.json, ranks) as published; a KV head is in two of 16 ranks.
PUBLISHED = {
    "8B": ({"dim": 4096, "n_layers": 32, "n_heads": 32, "multiple_of": 1024}, 1.3, 1),
    "70B": ({"dim": 8192, "n_layers": 80, "n_heads": 64, "multiple_of": 4096}, 1.3, 8),
    "405B": ({"dim": 16384, "n_layers": 126, "n_heads": 128, "multiple_of": 4096}, 1.2, 16),
    "90B-Vision": (
        {
            **{"dim": 8192, "n_layers": 80, "n_heads": 64, "multiple_of": 4096},
            **{"vision_chunk_size": 560, "vision_num_cross_attention_layers": 20},
        },
        1.3,
        8,
    ),
}
SHARED = {
    "n_kv_heads": 8,
    "vocab_size": 128256,
    "norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "use_scaled_rope": True,
}

CONVERT = """
import shutil, sys
from llama3_tok.torch import convert_checkpoint
source, output, to_meta, ranks, stop, dtype = sys.argv[1:]
class Stop(Exception): pass
def progress(done, total):
    if done > int(stop): raise Stop
if int(stop) < 1 << 60:  # of a hollow checkpoint only a part is written
    shutil.disk_usage = lambda path: type("Usage", (), {"free": 1 << 60})
try:
    convert_checkpoint(source, output, to_meta=to_meta == "1", ranks=int(ranks), progress=progress,
                       dtype=dtype or None, verify=to_meta == "0" and int(stop) == 1 << 60)
except Stop:
    pass
"""


def sizes_of(fields: dict, kv_heads: int = 8) -> Sizes:
    params = from_params(fields, "params.json")
    return Sizes(
        params.dim, params.layers, params.heads, kv_heads, params.intermediate, 128256,
        params.norm_eps, params.rope_theta, params.scaled, tied=False, vision=params.vision,
    )  # fmt: skip


def untie(path: Path) -> None:
    """Makes the first elements of the output layer differ from the embedding's."""
    with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):  # what is set is written
        torch.load(path, mmap=True, weights_only=True)["output.weight"][0] = 1


def make(folder: Path, fields: dict, ranks: int, hollow: bool) -> int:
    """Writes a checkpoint, and gives the bytes of its tensors."""
    folder.mkdir(parents=True)
    sizes, total = sizes_of(fields), 0
    generator = torch.Generator().manual_seed(0)
    for rank in range(ranks):
        path = folder / f"consolidated.{rank:02d}.pth"
        shapes = {t.meta: t.part(ranks, max(ranks // 8, 1)) for t in tensors(sizes)}
        if hollow:
            # Memory that nobody touches, into a file with holes.
            state = {name: torch.empty(s, dtype=torch.bfloat16) for name, s in shapes.items()}
            with torch.serialization.skip_data():
                torch.save(state, path)
            if sizes.vision is None:
                untie(path)
        else:
            state = {
                name: torch.ones(s, dtype=torch.bfloat16)
                if len(s) == 1
                else torch.randn(s, generator=generator).to(torch.bfloat16)
                for name, s in shapes.items()
            }
            torch.save(state, path)
        total += sum(t.nbytes for t in state.values())
    (folder / "params.json").write_text(json.dumps(fields))
    shutil.copy(vocabulary.find(), folder / "tokenizer.model")
    return total


def measured(
    source: Path, output: Path, to_meta: int, ranks: int, stop: int, dtype: str = ""
) -> dict[str, float]:
    """Runs a conversion: seconds, and peaks of its memory in MB (millions of bytes)."""
    arguments = (source, output, to_meta, ranks, stop, dtype)
    peaks = {"RssAnon": 0, "VmPTE": 0, "RssFile": 0}
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", CONVERT, *map(str, arguments)])
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]))
        time.sleep(0.005)
    if process.returncode:
        sys.exit("the conversion failed")
    seconds = time.monotonic() - begin
    return {"seconds": seconds} | {name: kib * 1024 / 1e6 for name, kib in peaks.items()}


def report(what: str, size: float, result: dict[str, float]) -> None:
    print(
        f"{what}: {size / 1e9:.1f} GB in {result['seconds']:.0f} s; private memory "
        f"{result['RssAnon']:.0f} MB, page tables {result['VmPTE']:.1f} MB, mapped file pages "
        f"{result['RssFile']:.0f} MB at most",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gb", type=float, default=4)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--folder", help="where there is room (default: the system's temporary)")
    parser.add_argument("--hollow", choices=PUBLISHED)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder = Path(place)
        if arguments.hollow:
            fields, multiplier, ranks = PUBLISHED[arguments.hollow]
            fields = fields | SHARED | {"ffn_dim_multiplier": multiplier}
            total = make(folder / "meta", fields, ranks, hollow=True)
            print(f"{arguments.hollow}, {ranks} ranks, {total / 1e9:.0f} GB, hollow")
            stop = int(min(arguments.gb * 1e9, total / 2))
            result = measured(folder / "meta", folder / "hf", 0, ranks, stop)
            report("to transformers, the first", stop, result)
            return
        # A layer of this width has 113 million weights, and the embedding and output 525 million.
        layers = max(1, round((arguments.gb * 1e9 / 2 - 525.3e6) / 113.2e6))
        fields = {"dim": 2048, "n_layers": layers, "n_heads": 16, "multiple_of": 1024}
        fields = fields | SHARED | {"ffn_dim_multiplier": 3.0}
        total = make(folder / "meta", fields, arguments.ranks, hollow=False)
        print(f"{arguments.ranks} ranks, {layers} layers, {total:,} bytes")
        result = measured(folder / "meta", folder / "hf", 0, 1, 1 << 60)
        report("to transformers, read again and compared", total, result)
        result = measured(folder / "hf", folder / "back", 1, arguments.ranks, 1 << 60)
        report("back", total, result)
        shutil.rmtree(folder / "back")
        for dtype in ("float16", "float32"):
            result = measured(folder / "hf", folder / dtype, 1, arguments.ranks, 1 << 60, dtype)
            report(f"back, to {dtype}", total, result)
            shutil.rmtree(folder / dtype)


if __name__ == "__main__":
    main()
