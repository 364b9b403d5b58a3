"""A plug-in for vLLM: `--tokenizer-mode llama3_tok`.

vLLM finds it by the entry point `vllm.general_plugins` and calls `register` in each of its
processes. Prompts are then encoded by this tokenizer, and conversations by `encode_chat`: what a
message says never becomes a special token. It is the tokenizer class for transformers
(`llama3_tok.compat.transformers`) under vLLM's own renderer, so it takes any Llama 3 folder, and
all else is as without it.
"""

import os
from typing import TYPE_CHECKING, Any

from llama3_tok.lazy import LazyModule

if TYPE_CHECKING:
    from llama3_tok.compat import transformers
else:
    transformers = LazyModule("llama3_tok.compat.transformers")

__all__ = ["MODE", "VllmTokenizer", "register"]

MODE = "llama3_tok"


def register() -> None:
    """Tells vLLM of the mode; to do so again changes nothing."""
    from vllm.tokenizers import TokenizerRegistry

    if MODE not in TokenizerRegistry.tokenizers:
        TokenizerRegistry.register(MODE, __name__, VllmTokenizer.__name__)
    try:
        from vllm.renderers.registry import RENDERER_REGISTRY
    except ImportError:  # before it had renderers, conversations went to the tokenizer
        return
    if MODE not in RENDERER_REGISTRY.renderers:
        RENDERER_REGISTRY.register(MODE, "vllm.renderers.hf", "HfRenderer")


class VllmTokenizer:
    """What vLLM asks for a tokenizer of this mode."""

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo_id: "str | os.PathLike[str]",
        *args: Any,  # noqa: ANN401 - vLLM hands them through
        trust_remote_code: bool = False,
        revision: str | None = None,
        download_dir: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> "transformers.Llama3Tokenizer":
        """The tokenizer of a folder, or of a repository on the hub. No code of it is ever run."""
        from vllm.tokenizers.hf import get_cached_tokenizer

        tokenizer = transformers.Llama3Tokenizer.from_pretrained(
            path_or_repo_id, *args, revision=revision, cache_dir=download_dir, **options
        )
        cached: transformers.Llama3Tokenizer = get_cached_tokenizer(tokenizer)
        return cached
