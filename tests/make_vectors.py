"""Writes vectors/golden.jsonl: texts and ids that the Python and the Rust tests share.

And vectors/unreachable.json: the ids of Meta's tokens that merging never gives.

    python tests/make_vectors.py

Ids marked with a source of their own are as published there; all others are tiktoken's. The script
refuses to write one that tiktoken does not give.
"""

import json
from pathlib import Path

import oracle

TARGET = Path(__file__).parent / "vectors" / "golden.jsonl"

# (text, ids or None, bos and eos, allowed special tokens, source)
PUBLISHED = [
    (
        "This is a test sentence.",
        [128000, 2028, 374, 264, 1296, 11914, 13, 128001],
        True,
        False,
        "llama-models 0.3.0, llama3/tests/api/test_tokenizer.py",
    ),
    (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        [128000, 128006, 882, 128007, 271, 6151, 128009, 128006, 78191, 128007, 271],
        False,
        True,
        "llama-models 0.3.0, ChatFormat.encode_dialog_prompt",
    ),
    (" Việt", [101798], False, False, "vocab-first; merging alone gives 11655, 26298, 83"),
]
TEXTS = [
    *("", " ", "\n", "\r\n", "\t", "a", "Hello world", "hello  world   ", "  leading"),
    *("I'm you're WE'LL it's don'T they'VE I'd itſ 'ſ x'ſy ’s", "1234567890", "3.14159e-10"),
    *("a\n\n\nb \n \n  c", "x   \r\n  y", "tabs\t\tand spaces \t mixed", "trailing \n", "a\u3000b"),
    *(
        "漢字かな交じり文。",
        "한국어 텍스트",
        "Привет, мир!",
        "مرحبا بالعالم",
        "नमस्ते दुनिया",
        "ภาษาไทย",
    ),
    *("👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️", "e\u0301 n\u0303", "½ Ⅷ ٣٤ 𝟘𝟙", "\x00\x01\x7f", "\ufeffBOM", "\ufffd"),
    *("https://example.org/a?b=c&d=%20#e", "def f(x):\n    return x**2\n", "{{}}[]()<>;;::"),
    *("<|eot_id|>", "<|begin_of_text|> as text <|", "maktadır maktadır", " hợp nhiều điều ektedir"),
    *("=" * 100, "a" * 300, " " * 500, "1" * 50, "\n" * 200, "ab" * 150, "漢" * 100),
]


def main() -> None:
    cases = [*PUBLISHED, *((text, None, False, False, "tiktoken 0.14.0") for text in TEXTS)]
    lines = []
    for text, published, both, special, source in cases:
        allowed = "all" if special else set()
        ids = oracle.encoding().encode(text, allowed_special=allowed, disallowed_special=())
        ids = [128000, *ids, 128001] if both else ids
        if published not in (None, ids):
            raise SystemExit(f"{text!r}: tiktoken gives {ids}, not {published} of {source}")
        case = {"text": text, "ids": ids, "bos": both, "eos": both, "special": special}
        lines.append(json.dumps(case | {"source": source}, ensure_ascii=True) + "\n")
    TARGET.write_text("".join(lines), encoding="utf-8")
    oracle.UNREACHABLE.write_text(oracle.written_unreachable(), encoding="ascii")


if __name__ == "__main__":
    main()
