"""Weights as another type."""

from collections.abc import Callable, Iterator
from typing import Any

from llama3_tok.torch.checkpoint.stored import Array, refuse


def cast(
    blocks: Callable[[], Iterator[Array]], name: str, given: str, wanted: str, file: str
) -> Iterator[Array]:
    """Elements as another type, rounded to the nearest, ties to even.

    Raises CheckpointError for a finite number that is too large for it.
    """
    import torch

    kinds: dict[str, Any] = {kind: getattr(torch, kind) for kind in (given, wanted)}
    limits = torch.finfo(kinds[wanted])
    for block in blocks():
        # A copy, since torch takes no memory that may not be written to, as the pages of a file.
        elements = torch.from_numpy(block.astype(f"i{block.itemsize}")).view(kinds[given])
        result = elements.to(kinds[wanted])
        if lost := int((result.isinf() & ~elements.isinf()).sum()):
            refuse(
                file,
                f"{lost:,} of its numbers are too large for {wanted}, which ends at "
                f"{limits.max:g}; bfloat16 and float32 go further",
                name,
            )
        yield result.view(getattr(torch, f"int{limits.bits}")).numpy().view(f"u{limits.bits // 8}")
