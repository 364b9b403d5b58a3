"""The characters of texts whose bytes need not be UTF-8: each other byte is one, a surrogate.

That is how `surrogateescape` decodes, and how both tokenizers count.
"""

import re

from llama3_tok.lazy import np, npt

__all__ = ["INVALID", "code_points", "sizes_of"]

INVALID = re.compile("[\udc80-\udcff]")
"""Characters that stand for a byte that is not UTF-8."""


def code_points(text: str) -> "npt.NDArray[np.uint32]":
    """The code point of each character, `uint32[len(text)]`."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def sizes_of(text: str) -> "npt.NDArray[np.int64]":
    """How many bytes each character is, `int64[len(text)]`."""
    import numpy as np

    points = code_points(text)
    sizes = np.ones(len(points), np.int64)
    for limit in (0x80, 0x800, 0x10000):
        sizes += points >= limit
    sizes[(points >= 0xDC80) & (points <= 0xDCFF)] = 1
    return sizes
