"""Meta's own model code for images, with an image encoder of other sizes: weights, shapes, logits.

    python meta_vision_reference.py make FOLDER RANKS...
    python meta_vision_reference.py run FOLDER...

`make` writes random weights into a folder with `params.json` and `encoder.json`, as one rank;
`shapes-N.json`, what each of N ranks holds of a tensor, by Meta's classes; and `schedules.json`,
where Meta's code has layers of cross-attention, by numbers of layers. `run` loads checkpoints,
each rank in a process of its own, and writes `logits.npz`: for each case of the folder's `cases.pt`
float32[ids, vocabulary].

Meta's code has the sizes of the image encoder written into it. They are replaced in the source of
the one class, and are arguments of the other.
"""

import inspect
import json
import multiprocessing
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np

warnings.simplefilter("ignore")

import fairscale.nn.model_parallel.initialize as parallel  # noqa: E402
import torch  # noqa: E402

# What Meta's module imports to prepare images, which come prepared here.
for module in ("torchvision", "torchvision.transforms"):
    sys.modules[module] = MagicMock()

from llama_models.llama3.args import ModelArgs  # noqa: E402
from llama_models.llama3.multimodal import model as meta  # noqa: E402


def resize(sizes):
    """Gives Meta's classes an image encoder of these sizes."""
    original = meta.VisionEncoder
    source = inspect.getsource(meta.CrossAttentionTransformerVision)
    taken = ",".join(map(str, sizes["taken"]))
    for old, new in (
        ('"3,7,15,23,30"', f'"{taken}"'),
        ("self.vision_input_dim = 1280", f"self.vision_input_dim = {sizes['width']}"),
        ("n_global_layers=8", f"n_global_layers={sizes['global_layers']}"),
        ("self.patch_size = 14", f"self.patch_size = {sizes['patch']}"),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)

    class Resized(original):
        def __init__(self, **arguments):
            own = {name: sizes[name] for name in ("width", "layers", "heads")}
            super().__init__(**arguments, **own)

    meta.VisionEncoder = Resized
    exec(source, vars(meta))


def built(folder, ranks, length):
    params = json.loads((folder / "params.json").read_text())
    params["n_kv_heads"] = max(params["n_kv_heads"], ranks)  # each has one, and so copies
    resize(json.loads((folder / "encoder.json").read_text()))
    return meta.CrossAttentionTransformer(ModelArgs(max_seq_len=length, max_batch_size=1, **params))


def random_weights(state):
    generator = torch.Generator().manual_seed(11)
    for name, tensor in state.items():
        noise = torch.randn(tensor.shape, generator=generator)
        if "gate" in name and tensor.numel() == 1:
            noise = 0.6 + noise / 5
        elif name.endswith(".bias"):
            noise = noise / 10
        elif "norm" in name or ".ln_" in name:
            noise = 1 + noise / 10
        elif "embed" not in name:
            noise = noise / tensor.shape[-1] ** 0.5
        tensor.copy_(noise)


def make(rank, ranks, folder):
    model = built(folder, ranks, 8)
    state = model.state_dict()
    if ranks == 1:
        random_weights(state)
        torch.save(state, folder / "consolidated.00.pth")
        (folder / "schedules.json").write_text(json.dumps(schedules()))
    elif rank == 0:
        shapes = {name: list(tensor.shape) for name, tensor in state.items()}
        (folder / f"shapes-{ranks}.json").write_text(json.dumps(shapes))


def schedules():
    """For `layers`/`cross`, the text layers before which there is one of cross-attention."""
    where = meta.CrossAttentionTransformerText._init_fusion_schedule
    return {
        f"{layers}/{cross}": where(SimpleNamespace(n_llama_layers=layers), cross)
        for layers in (*range(1, 21), 32, 80)
        for cross in range(1, layers + 1)
    }


def run(rank, ranks, folder):
    cases = torch.load(folder / "cases.pt")
    model = built(folder, ranks, max(len(case["tokens"]) for case in cases.values()))
    state = torch.load(folder / f"consolidated.{rank:02d}.pth", mmap=True, weights_only=True)
    model.load_state_dict(state, strict=True)
    model.image_transform = lambda prepared: prepared
    logits = {name: logits_of(model, **case).numpy() for name, case in cases.items()}
    if rank == 0:
        np.savez(folder / "logits.npz", **logits)


@torch.inference_mode()
def logits_of(model, tokens, images, spans):
    """Of the ids of a text, whose tokens in `spans` look at the images."""
    model.setup_cache(1, torch.device("cpu"), torch.float32)
    length = len(tokens)
    if images:
        seen = model.compute_vision_tokens_masks(
            [images], [[list(span) for span in spans]], length, torch.device("cpu")
        )
    else:
        nothing = torch.zeros(1, 1, length, 1)
        seen = (torch.zeros(1), nothing, nothing)
    caches, masks, rows = seen
    places = torch.arange(length)
    return model(places, torch.tensor([tokens]), masks, rows, caches, not images)[0]


def start(rank, ranks, job, folder, meeting):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks
    )
    parallel.initialize_model_parallel(ranks)
    job(rank, ranks, folder)


def in_ranks(job, folder, ranks):
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as place:
        arguments = (ranks, job, folder, f"{place}/meeting")
        processes = [
            context.Process(target=start, args=(rank, *arguments)) for rank in range(ranks)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            sys.exit(f"{folder}: a rank failed")


def main(verb, *arguments):
    if verb == "make":
        for ranks in (1, *map(int, arguments[1:])):
            in_ranks(make, Path(arguments[0]), ranks)
    else:
        for folder in map(Path, arguments):
            in_ranks(run, folder, len(list(folder.glob("consolidated.*.pth"))))


if __name__ == "__main__":
    main(*sys.argv[1:])
