"""Checkpoints of small random models in Meta's layout, with the real vocabulary.

Weights are made whole and spread over ranks here, by torch's own chunks and copies: no code of the
converter takes part.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from llama3_tok import vocabulary

VOCABULARY = 128256


def has_torch():
    """Whether torch is there; a folder of this name, as beside the tests, is not enough."""
    found = importlib.util.find_spec("torch")
    return found is not None and found.origin is not None


def weights(
    *,
    dim=64,
    layers=2,
    heads=8,
    kv_heads=2,
    wide=192,
    tied=False,
    dtype="float32",
    seed=0,
    vocabulary=VOCABULARY,
):
    """All tensors of a model by Meta's names, whole; a tied model has the embedding twice."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    kv = dim // heads * kv_heads

    def matrix(rows, columns):
        return torch.randn(rows, columns, generator=generator) / columns**0.5

    def norm():
        return 1 + torch.randn(dim, generator=generator) / 10

    state = {"tok_embeddings.weight": matrix(vocabulary, dim) * dim**0.5}
    for layer in range(layers):
        state |= {
            f"layers.{layer}.attention.wq.weight": matrix(dim, dim),
            f"layers.{layer}.attention.wk.weight": matrix(kv, dim),
            f"layers.{layer}.attention.wv.weight": matrix(kv, dim),
            f"layers.{layer}.attention.wo.weight": matrix(dim, dim),
            f"layers.{layer}.feed_forward.w1.weight": matrix(wide, dim),
            f"layers.{layer}.feed_forward.w2.weight": matrix(dim, wide),
            f"layers.{layer}.feed_forward.w3.weight": matrix(wide, dim),
            f"layers.{layer}.attention_norm.weight": norm(),
            f"layers.{layer}.ffn_norm.weight": norm(),
        }
    state["norm.weight"] = norm()
    if not tied:
        state["output.weight"] = matrix(vocabulary, dim)
    state = {name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()}
    if tied:
        state["output.weight"] = state["tok_embeddings.weight"]
    return state


def part(name, tensor, rank, ranks, head_dim):
    """What a rank holds."""
    if name.endswith("norm.weight"):
        return tensor
    if name.endswith(("wo.weight", "w2.weight")):
        return tensor.chunk(ranks, dim=1)[rank]
    if name.endswith(("wk.weight", "wv.weight")):
        heads = tensor.reshape(-1, head_dim, tensor.shape[1])
        copies = max(ranks // len(heads), 1)
        return heads.repeat_interleave(copies, dim=0).chunk(ranks)[rank].flatten(0, 1)
    return tensor.chunk(ranks, dim=0)[rank]


def params(*, dim=64, layers=2, heads=8, kv_heads=2, scaled=False, **others):
    """A `params.json` for `weights` of the same sizes; 192 wide for 64 dimensions."""
    return {
        "dim": dim,
        "n_layers": layers,
        "n_heads": heads,
        "n_kv_heads": kv_heads,
        "vocab_size": VOCABULARY,
        "multiple_of": 64,
        "ffn_dim_multiplier": 1.1,
        "norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "use_scaled_rope": scaled,
        **others,
    }


def write(folder, state, fields, ranks=1):
    """Writes a folder as Meta has it, and gives it."""
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    head_dim = fields["dim"] // fields["n_heads"]
    for rank in range(ranks):
        mine = {}
        for name, tensor in state.items():
            if name == "output.weight" and tensor is state["tok_embeddings.weight"]:
                mine[name] = mine["tok_embeddings.weight"]
            else:
                mine[name] = part(name, tensor, rank, ranks, head_dim).clone()
        torch.save(mine, folder / f"consolidated.{rank:02d}.pth")
    (folder / "params.json").write_text(json.dumps(fields))
    shutil.copy(vocabulary.find(), folder / "tokenizer.model")
    return folder


def make(folder, *, ranks=1, scaled=False, fields=None, **sizes):
    """`write` of a random model. Where ranks outnumber KV heads, `n_kv_heads` counts the copies.

    So Meta's code needs it.
    """
    shared = {name: sizes[name] for name in ("dim", "layers", "heads") if name in sizes}
    kv_heads = max(sizes.get("kv_heads", 2), ranks)
    made = params(**shared, kv_heads=kv_heads, scaled=scaled, **(fields or {}))
    return write(folder, weights(**sizes), made, ranks)


def meta_logits(folders, tokens):
    """Runs Meta's model code on checkpoints; each folder gets `logits.npy`."""
    for folder in folders:
        (folder / "tokens.json").write_text(json.dumps(tokens))
    script = Path(__file__).with_name("meta_reference.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    subprocess.run([sys.executable, script, *folders], check=True, env=environment, timeout=600)
