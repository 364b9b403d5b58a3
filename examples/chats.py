"""From a file of conversations to a batch, and a tiny random Llama that is trained on it.

    pip install 'llama3_tok[torch,vocab]'
    python examples/chats.py [FILE.jsonl]

Each line of the file is a conversation, `{"messages": [...]}`. They are encoded on all cores, with
labels for what the assistant writes, and packed into rows of one length: no padding is computed,
and with positions that begin anew, no conversation sees another. Without a file, one is made.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llama3_tok import Tokenizer
from llama3_tok.data import PackedRow, encode_chats, pack
from llama3_tok.torch import precision

LENGTH = 256


def write(path: Path) -> None:
    """Makes a file, with lines as there are in real ones."""
    rows = []
    for number in range(60):
        question = {"role": "user", "content": f"What is {number} plus one?"}
        answer = {"role": "assistant", "content": f"{number + 1}."}
        rows.append({"messages": [question, answer], "id": number})
    # An answer that is not to be learned, and a line whose second message has no content.
    rows[3]["messages"][1:1] = [{"role": "assistant", "content": "No idea.", "weight": 0}, question]
    del rows[7]["messages"][1]["content"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


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
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.stop_ids,
        use_cache=False,  # with a cache, transformers does not see where positions begin anew
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def batch(row: PackedRow) -> dict[str, torch.Tensor]:
    """A row as the model takes it: the positions say where each conversation begins."""
    columns = {
        "input_ids": row.input_ids,
        "position_ids": row.position_ids,
        "labels": row.labels,
    }
    return {name: torch.from_numpy(column).long()[None] for name, column in columns.items()}


def main(path: Path, epochs: int = 12) -> list[float]:
    """Trains, and gives the loss of each step."""
    tokenizer = Tokenizer()
    chats = encode_chats(
        path, tokenizer=tokenizer, max_tokens=LENGTH, overflow="fit", on_error="skip"
    )
    print(chats)
    for one in chats.skipped:
        print(f"line {one.line}: {one.reason}")
    packed = pack(chats.ids, LENGTH, strategy="best-fit", labels=chats.labels)
    print(packed)

    model = tiny(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    model.train()
    for epoch in range(epochs):
        for row in packed:
            with precision(model):
                loss = model(**batch(row)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise ArithmeticError(f"the loss of step {len(losses)} is {losses[-1]}")
        print(f"epoch {epoch:>2}: loss {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    if sys.argv[1:]:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "chats.jsonl"))
            main(Path(folder, "chats.jsonl"))
