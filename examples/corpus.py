"""From lines of JSON to training files, and from these to a model's batches.

    pip install 'llama3_tok[torch,vocab]'
    python examples/corpus.py [FILE.jsonl FIELD]

It writes a small corpus if none is given, packs it into rows, checks what was written, and trains a
tiny random Llama on it for some steps. Training reads the ids from the disk when it needs them: a
corpus of any size is used in the same way.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llama3_tok import Tokenizer
from llama3_tok.data import corpus, verify

LENGTH, BATCH = 64, 4


def some_texts(path: Path) -> None:
    """Lines of JSON for those who have none at hand."""
    with path.open("w") as file:
        for number in range(400):
            text = f"{number} plus {number + 1} is {2 * number + 1}. " * (1 + number % 5)
            file.write(json.dumps({"text": text}) + "\n")


def batches(folder: Path, seed: int = 0) -> Iterator[torch.Tensor]:
    """Rows of `LENGTH` ids, BATCH at a time, for ever: `int64[BATCH, LENGTH]`."""
    shards = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*[0-9].npy"))]
    # The last row of a shard may be shorter, and is left out.
    rows = [(shard, at) for shard in shards for at in range(0, len(shard) - LENGTH + 1, LENGTH)]
    order = np.random.default_rng(seed)
    while True:
        chosen = [rows[at] for at in order.integers(len(rows), size=BATCH)]
        ids = np.stack([shard[at : at + LENGTH] for shard, at in chosen])
        yield torch.from_numpy(ids.astype(np.int64))


def tiny(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A model of one's own, instead of a downloaded one."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.stop_ids,
    )
    return LlamaForCausalLM(config)


def main(source: str | None = None, field: str = "text", steps: int = 30) -> list[float]:
    """Makes the corpus, trains, and gives the loss of each step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if source is None:
            some_texts(folder / "texts.jsonl")
        path = folder / "texts.jsonl" if source is None else Path(source)
        out = folder / "tokens"
        # Megatron and others put nothing between documents: EOS tells where one ends.
        summary = corpus(path, out, field=field, bos=True, eos=True, pack=LENGTH, shuffle=1)
        print(f"{summary.documents} documents, {summary.tokens} tokens, in {out}")
        verify(out)
        model = tiny(Tokenizer())
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
        losses = []
        model.train()
        given = batches(out)
        for _ in range(steps):
            ids = next(given)
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
    print(f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} after {steps} steps")
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:3])
