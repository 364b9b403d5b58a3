"""Checkpoints of small random models that read images, made by Meta's own classes.

They are split over ranks by the shapes that Meta's classes have in that many ranks: no code of the
converter takes part.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from llama3_tok import vocabulary

VOCABULARY = 128256
IMAGE = VOCABULARY

# An image encoder of another size than Meta's, with as many tiles: 3 x 3 patches in each.
ENCODER = {
    "width": 32,
    "layers": 4,
    "global_layers": 2,
    "heads": 8,
    "patch": 14,
    "taken": (1, 3),
}
SIDE = 42
PARAMS = {
    "dim": 64,
    "n_layers": 5,
    "n_heads": 8,
    "n_kv_heads": 4,
    "vocab_size": VOCABULARY,
    "multiple_of": 64,
    "ffn_dim_multiplier": 1.1,
    "norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "use_scaled_rope": True,
    "vision_chunk_size": SIDE,
    "vision_max_num_chunks": 4,
    "vision_num_cross_attention_layers": 2,
}
RATIOS = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1)]


def reference(*arguments):
    """Runs Meta's code in a process of its own."""
    script = Path(__file__).with_name("meta_vision_reference.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    command = [sys.executable, script, *map(str, arguments)]
    subprocess.run(command, check=True, env=environment, timeout=600)


def write_about(folder, fields=PARAMS):
    """Writes what a folder of Meta's has besides weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(fields))
    (folder / "encoder.json").write_text(json.dumps(ENCODER))
    shutil.copy(vocabulary.find(), folder / "tokenizer.model")


def make(folder, *ranks):
    """Writes a checkpoint of one rank, with the shapes of other numbers of ranks beside it."""
    write_about(folder)
    reference("make", folder, *ranks)
    return folder


def split(whole, folder, ranks):
    """Spreads a checkpoint of one rank over several, by the shapes that Meta's classes have."""
    import torch

    copies = max(ranks // PARAMS["n_kv_heads"], 1)
    fields = json.loads((whole / "params.json").read_text())
    write_about(folder, fields | {"n_kv_heads": copies * fields["n_kv_heads"]})
    shapes = json.loads((whole / f"shapes-{ranks}.json").read_text())
    state = torch.load(whole / "consolidated.00.pth", weights_only=True)
    assert state.keys() == shapes.keys()
    head = PARAMS["dim"] // PARAMS["n_heads"]
    for rank in range(ranks):
        mine = {}
        for name, tensor in state.items():
            shape = shapes[name]
            if copies > 1 and name.endswith(("wk.weight", "wv.weight")) and "text" in name:
                heads = tensor.reshape(-1, head, tensor.shape[1])
                tensor = heads.repeat_interleave(copies, dim=0).flatten(0, 1)
            for axis, size in enumerate(tensor.shape):
                if size != shape[axis]:
                    tensor = tensor.chunk(ranks, axis)[rank]
            assert list(tensor.shape) == shape, name
            mine[name] = tensor.clone()
        torch.save(mine, folder / f"consolidated.{rank:02d}.pth")
    return folder


def cases():
    """Texts with images: one of each ratio, two at once, and none."""
    import torch

    generator = torch.Generator().manual_seed(5)

    def text(length):
        return torch.randint(0, 128000, (length,), generator=generator).tolist()

    def image(height, width):
        tiles = torch.randn(height * width, 3, SIDE, SIDE, generator=generator)
        return tiles, (height, width)

    made = {
        f"{height}x{width}": {
            "tokens": [128000, IMAGE, *text(20)],
            "images": [image(height, width)],
            "spans": [(0, -1)],
        }
        for height, width in RATIOS
    }
    made["two"] = {
        "tokens": [128000, *text(3), IMAGE, *text(8), IMAGE, *text(8)],
        "images": [image(2, 1), image(1, 3)],
        "spans": [(0, 13), (13, -1)],
    }
    made["blind"] = made["1x2"] | {"spans": [(1, -1)]}  # the first token sees no image
    made["text"] = {"tokens": [128000, *text(40)], "images": [], "spans": []}
    return made


def logits(*folders):
    """Runs Meta's code on checkpoints; each folder gets `logits.npz`."""
    import torch

    for folder in folders:
        torch.save(cases(), folder / "cases.pt")
    reference("run", *folders)
