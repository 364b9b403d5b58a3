"""Trains a tiny random Llama on chats of different lengths, as one would a real one.

    pip install 'llama3_tok[torch,vocab]'
    python examples/finetune.py

It shows what is easy to get wrong: the padding token, which tokens are learned, and the type to
compute in. The model has random weights and 6 million of them, almost all in the embedding; with
`LlamaForCausalLM.from_pretrained(folder, dtype="bfloat16")` the rest stays as it is.
"""

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llama3_tok import Tokenizer
from llama3_tok.torch import Llama3, add_pad_token, collate, precision

CHATS = [
    [
        {"role": "user", "content": f"What is {number} plus one?"},
        {"role": "assistant", "content": f"{number + 1}." + " That is all." * (number % 3)},
    ]
    for number in range(24)
]


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
        dtype="bfloat16",
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def main(profile: str = "llama3", steps: int = 50) -> list[float]:
    """Trains, and gives the loss of each step."""
    tokenizer = Tokenizer(profile=profile)
    model = tiny(tokenizer)
    pad_id = add_pad_token(model, tokenizer)  # 128256, a new row; from 3.1 on the reserved 128004
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    model.train()
    for step in range(steps):
        chats = [CHATS[(step * 4 + place) % len(CHATS)] for place in range(4)]
        # Labels are -100 but where the assistant writes: its words, and that it stops.
        batch = collate(tokenizer, chats, pad_id=pad_id)
        with precision(model):  # bfloat16; float16 would be refused
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ArithmeticError(f"the loss of step {step} is {losses[-1]}")
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step:>3}: loss {losses[-1]:.3f}")
    model.eval()
    answer = Llama3(model, tokenizer).generate(CHATS[4][:1], max_new_tokens=20)
    print(f"{CHATS[4][0]['content']} -> {answer.text!r} ({answer.finish_reason})")
    return losses


if __name__ == "__main__":
    main()
