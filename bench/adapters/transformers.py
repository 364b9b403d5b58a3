"""Llama 3 through the interface of transformers: this project's class, and `AutoTokenizer`."""

from pathlib import Path
from typing import Any

from peer import Assets, Peer, Way


class Transformers(Peer):
    """What both have in common: each way is measured beside the other's same way."""

    alone = False
    tokenizer: Any

    def ways(self, case: str) -> list[Way]:
        """A call, `encode` and `decode`, as people write them; without BOS, as all peers."""
        tokenizer = self.tokenizer

        def call(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False)["input_ids"]

        def encode(text: str) -> list[int]:
            return tokenizer.encode(text, add_special_tokens=False)

        def call_of_all(texts: list[str]) -> list[list[int]]:
            return tokenizer(texts, add_special_tokens=False)["input_ids"]

        match case:
            case "small, transformers":
                return [Way("__call__", call), Way("encode", encode)]
            case "batch, transformers":
                return [Way("__call__", call_of_all, many=True)]
            case "decode one, transformers" | "decode, transformers":
                return [Way("decode", tokenizer.decode, wants="list")]
        return []


class Compat(Transformers):
    """`llama3_tok.compat.transformers`."""

    distribution = "llama3_tok"
    module = "llama3_tok.compat.transformers"

    def __init__(self, assets: Assets) -> None:
        from llama3_tok.compat.transformers import Llama3Tokenizer

        self.tokenizer = Llama3Tokenizer(assets.vocabulary)


class Auto(Transformers):
    """`AutoTokenizer` on a folder with the same vocabulary, which gives it a fast tokenizer."""

    distribution = module = "transformers"

    def __init__(self, assets: Assets) -> None:
        from transformers import AutoTokenizer

        folder = Path(assets.tokenizer_json).parent
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if not self.tokenizer.is_fast:
            raise RuntimeError("AutoTokenizer gave a slow tokenizer")
