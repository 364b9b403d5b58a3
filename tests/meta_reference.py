"""Logits of Meta's own model code, each rank a process that loads its own file, as Meta runs it.

    python meta_reference.py FOLDER...

For each folder, a checkpoint of Meta's with `tokens.json` (ids) and perhaps `factor` (of rope
scaling, other than the 8 that Meta's code has for all models), it writes `logits.npy`:
float32[ids, vocabulary].
A process of its own, because it sets up process groups and forks.
"""

import inspect
import json
import multiprocessing
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import fairscale.nn.model_parallel.initialize as parallel  # noqa: E402
import torch  # noqa: E402
from llama_models.llama3 import model as meta  # noqa: E402
from llama_models.llama3.args import ModelArgs  # noqa: E402


def run_rank(rank, ranks, folder, meeting):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks
    )
    parallel.initialize_model_parallel(ranks)
    if (folder / "factor").exists():
        source = inspect.getsource(meta.apply_scaling)
        changed = source.replace(
            "scale_factor = 8", f"scale_factor = {(folder / 'factor').read_text()}"
        )
        assert changed != source
        exec(changed, vars(meta))
    params = json.loads((folder / "params.json").read_text())
    tokens = torch.tensor([json.loads((folder / "tokens.json").read_text())])
    args = ModelArgs(max_seq_len=tokens.shape[1], max_batch_size=1, **params)
    model = meta.Transformer(args)
    state = torch.load(folder / f"consolidated.{rank:02d}.pth", mmap=True, weights_only=True)
    model.load_state_dict(state, strict=True)
    logits = model(tokens, 0)
    if rank == 0:
        np.save(folder / "logits.npy", logits[0].numpy())


def main(folders):
    context = multiprocessing.get_context("fork")
    for folder in map(Path, folders):
        ranks = len(list(folder.glob("consolidated.*.pth")))
        with tempfile.TemporaryDirectory() as place:
            processes = [
                context.Process(target=run_rank, args=(rank, ranks, folder, f"{place}/meeting"))
                for rank in range(ranks)
            ]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            if any(process.exitcode for process in processes):
                sys.exit(f"{folder}: a rank failed")


if __name__ == "__main__":
    main(sys.argv[1:])
