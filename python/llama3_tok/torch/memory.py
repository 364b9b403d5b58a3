"""Out of memory, with the numbers that say what to change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llama3_tok.lazy import torch, transformers

__all__ = ["cache_bytes", "explained", "written"]


@contextmanager
def explained(describe: Callable[[], str]) -> Iterator[None]:
    """Makes torch's errors MemoryError, whose message ends with what `describe` says.

    Torch's error is the cause, without its traceback, whose frames would keep the tensors alive
    that filled the memory.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError(f"out of memory: {describe()}") from error.with_traceback(None)


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    # On a CPU it is a RuntimeError like others, from c10's allocator.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def cache_bytes(config: "transformers.LlamaConfig", dtype: "torch.dtype") -> int:
    """What the keys and values of one token take."""
    width = config.num_key_value_heads * config.head_dim
    return int(2 * config.num_hidden_layers * width * dtype.itemsize)


def written(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 // 10 else f"{size / 2**20:,.1f} MiB"
