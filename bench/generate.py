"""Tokens per second of `Llama3`, and the share of the time that tokenization takes.

    python bench/generate.py [--shape 8B|1B|tiny] [--batch 1,32] [--new 128] [--json PATH]

makes a model of that shape with random weights in bfloat16 (8B: 16 GB), and generates greedily
behind prompts of 512 tokens, with batches of 1 and 32:

- `sdpa`: `Llama3.generate_batch` as it is, with a cache that grows;
- `compiled`: the same forward, compiled, on transformers' static cache. This is not a part of the
  library: it shows what the device could give, and its ids are compared with those of `sdpa`.

For each, tokens per second of all sequences together (the prompts' reading apart), and for the
first the share of encoding the prompts and decoding the answers, measured alone. Random weights
cost what trained ones do. The record goes to `bench/results/` unless `--json` says otherwise.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from machine import commit, core_hash, describe, now, processors

from llama3_tok import Tokenizer
from llama3_tok.torch import Llama3
from llama3_tok.torch.generation import cache_keyword

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
SENTENCE = "The quick brown fox number {n} jumps over the lazy dog, and so on and on. "


def make(shape: str, device: str) -> Llama3:
    """A model with random weights, made where it is used."""
    tokenizer = Tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.stop_ids,
        initializer_range=0.1,
        **SHAPES[shape],
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            network = transformers.LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return Llama3(network.eval(), tokenizer, stop_ids=[])


def prompts(model: Llama3, batch: int, length: int) -> list[str]:
    """Texts of about that many tokens."""
    text = "".join(SENTENCE.format(n=number) for number in range(length))
    return [model.tokenizer.truncate(f"{number} {text}", length - 1) for number in range(batch)]


def wait(model: Llama3) -> float:
    """The time, once the device has done what it was given."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(model: Llama3, texts: list[str], new: int) -> dict[str, Any]:
    """`generate_batch`: seconds of decoding alone are those of `new` tokens less those of one."""
    start = wait(model)
    model.generate_batch(texts, max_new_tokens=1)
    first = wait(model)
    made = model.generate_batch(texts, max_new_tokens=new)
    end = wait(model)
    decoding = (end - first) - (first - start)
    encode = time.perf_counter()
    for text in texts:
        model.tokenizer.encode(text, bos=True)
    decode = time.perf_counter()
    for one in made:
        decoder = model.tokenizer.stream_decoder(skip_special=True)
        for id in one.ids:
            decoder.push(id)
        decoder.flush()
    done = time.perf_counter()
    return {
        "ids": [one.ids for one in made],
        "seconds": end - first,
        "first_token_seconds": first - start,
        "tokens_per_second": len(texts) * (new - 1) / decoding,
        "tokenization_share": (done - encode) / (end - first),
        "encode_seconds": decode - encode,
        "decode_seconds": done - decode,
    }


def compiled(
    model: Llama3,
    texts: list[str],
    new: int,
    step: Any,  # noqa: ANN401 - a compiled function
) -> dict[str, Any]:
    """The forward that `step` is, on a static cache."""
    rows = [model.tokenizer.encode(text, bos=True) for text in texts]
    padded = model.tokenizer.pad(rows, side="left", return_tensors="pt").to(model.device)
    length = padded.input_ids.shape[1]
    cache = transformers.StaticCache(config=model.network.config, max_cache_len=length + new)
    mask = torch.zeros(len(rows), length + new, dtype=torch.int64, device=model.device)
    mask[:, :length] = padded.attention_mask
    positions = (padded.attention_mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        out = model.network(
            padded.input_ids,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=1,
            **{cache_keyword(model.network): cache},
        )
        ids = out.logits[:, -1].argmax(-1, keepdim=True)
        positions = positions[:, -1:] + 1
        made = [ids]
        start = wait(model)
        for at in range(new - 1):
            mask[:, length + at] = 1
            ids = step(ids, mask, positions, cache)
            positions = positions + 1
            made.append(ids.clone())  # the compiled graph writes to the same place each time
        end = wait(model)
    return {
        "ids": torch.cat(made, 1).tolist(),
        "tokens_per_second": len(rows) * (new - 1) / (end - start),
    }


def compile_step(model: Llama3) -> Any:  # noqa: ANN401
    """One token for each row, compiled: with CUDA graphs where there is CUDA."""
    keyword = cache_keyword(model.network)  # not in `step`: it would be compiled with it

    def step(ids: Any, mask: Any, positions: Any, cache: Any) -> Any:  # noqa: ANN401
        out = model.network(ids, attention_mask=mask, position_ids=positions, **{keyword: cache})
        return out.logits[:, -1].argmax(-1, keepdim=True)

    mode = "reduce-overhead" if model.device.type == "cuda" else "default"
    return torch.compile(step, mode=mode, fullgraph=False)


def agreement(one: list[list[int]], other: list[list[int]]) -> float:
    """The share of rows' beginnings that are the same: bfloat16 lets near ties part."""
    same = [
        next((at for at, (a, b) in enumerate(zip(x, y, strict=True)) if a != b), len(x)) / len(x)
        for x, y in zip(one, other, strict=True)
    ]
    return statistics.mean(same)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All cases."""
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = make(arguments.shape, device)
    cases = []
    for batch in map(int, arguments.batch.split(",")):
        texts = prompts(model, batch, arguments.prompt)
        ours(model, texts, 4)  # warm
        runs = [ours(model, texts, arguments.new) for _ in range(arguments.rounds)]
        reference = runs[0].pop("ids")
        for run in runs[1:]:
            if run.pop("ids") != reference:
                sys.exit("the same greedy run gave other ids")
        median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        cases.append({"way": "sdpa", "batch": batch, **median})
        if not arguments.no_compile:
            step = compile_step(model)
            compiled(model, texts, min(8, arguments.new), step)
            compiled(model, texts, arguments.new, step)
            runs = [compiled(model, texts, arguments.new, step) for _ in range(arguments.rounds)]
            speed = statistics.median(run["tokens_per_second"] for run in runs)
            same = agreement(reference, runs[0]["ids"])
            cases.append(
                {"way": "compiled", "batch": batch, "tokens_per_second": speed, "agreement": same}
            )
        print_case(cases[-1 if arguments.no_compile else -2])
        if not arguments.no_compile:
            print_case(cases[-1])
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    return {
        "made": now(),
        "commit": commit(ROOT),
        "core": core_hash(),
        "machine": describe(processors()),
        "device": name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "shape": arguments.shape,
        "dtype": "bfloat16",
        "prompt_tokens": arguments.prompt,
        "new_tokens": arguments.new,
        "rounds": arguments.rounds,
        "cases": cases,
    }


def print_case(case: dict[str, Any]) -> None:
    """One line."""
    more = f"the same ids as sdpa in the first {case.get('agreement', 1):.0%}"
    if "tokenization_share" in case:
        more = f"tokenization {case['tokenization_share']:.3%} of the time"
    speed = f"{case['tokens_per_second']:>9,.1f} tokens/s"
    print(f"{case['way']:>9} batch {case['batch']:>3}: {speed}, {more}")


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="8B")
    parser.add_argument("--batch", default="1,32", help="sizes, with commas between them")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=128, help="tokens of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", type=Path, metavar="PATH")
    arguments = parser.parse_args(argv)
    if arguments.new < 2:
        parser.error("--new must be at least 2: speed is that of the tokens behind the first")
    record = measure(arguments)
    path = arguments.json
    if path is None:
        path = ROOT / "bench" / "results" / f"{record['made'][:10]}-generate-{arguments.shape}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
