"""Weights as another type, rounded to the nearest, ties to even, as torch does it.

NumPy has no bfloat16, whose bits are the upper half of a float32's. What is converted goes through
float32, which holds every number of the two others, a small piece at a time: the results of the
steps between are several times as large as a piece.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from llama3_tok.torch.checkpoint.stored import Array, refuse

# Elements that are converted at once.
_PIECE = 1 << 18

# What a type ends at, its bits less the sign, and those of infinity.
_LARGEST = {"bfloat16": "3.38953e+38", "float16": "65504", "float32": "3.40282e+38"}
_UNSIGNED = {"bfloat16": 0x7FFF, "float16": 0x7FFF, "float32": 0x7FFFFFFF}
_INFINITE = {"bfloat16": 0x7F80, "float16": 0x7C00, "float32": 0x7F800000}

Numbers = npt.NDArray[np.float32]


def cast(
    blocks: Callable[[], Iterator[Array]], name: str, given: str, wanted: str, file: str
) -> Iterator[Array]:
    """The elements as another type, in one dimension.

    Raises CheckpointError for a finite number that is too large for it.
    """
    for block in blocks():
        elements = block.reshape(-1)
        for start in range(0, elements.size, _PIECE):
            piece = elements[start : start + _PIECE]
            result = narrowed(widened(piece, given), wanted)
            # What is infinite stays so; the others became it.
            if lost := _infinite(result, wanted) - _infinite(piece, given):
                refuse(
                    file,
                    f"{lost:,} of its numbers are too large for {wanted}, which ends at "
                    f"{_LARGEST[wanted]}; bfloat16 and float32 go further",
                    name,
                )
            yield result


def _infinite(elements: Array, dtype: str) -> int:
    return int(np.count_nonzero((elements & _UNSIGNED[dtype]) == _INFINITE[dtype]))


def widened(elements: Array, dtype: str) -> Numbers:
    """The numbers that elements are."""
    if dtype == "float32":
        return elements.view(np.float32)
    if dtype == "float16":
        return elements.view(np.float16).astype(np.float32)
    bits = elements.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def narrowed(numbers: Numbers, dtype: str) -> Array:
    """The elements of a type that are nearest to numbers; infinite ones for those beyond it."""
    if dtype == "float32":
        return numbers.view(np.uint32)
    if dtype == "float16":
        with np.errstate(all="ignore"):
            return numbers.astype(np.float16).view(np.uint16)
    bits: npt.NDArray[Any] = numbers.view(np.uint32)
    # Half of the last place that stays is added, less one where that place is even.
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    result = rounded.astype(np.uint16)
    if (nan := np.isnan(numbers)).any():
        # Rounding would carry over into the exponent and the sign.
        result[nan] = (bits[nan] >> 16).astype(np.uint16) | np.uint16(0x40)
    return result


def mean_row(blocks: Iterator[Array], dtype: str, count: int) -> Array:
    """The mean of the first `count` rows, as elements of their type."""
    total, at = np.zeros(1, np.float64), 0
    for block in blocks:
        step = max(_PIECE // block.shape[1], 1)
        for start in range(0, min(len(block), count - at), step):
            rows = block[start : min(start + step, count - at)]
            numbers = widened(rows.reshape(-1), dtype).reshape(rows.shape)
            total = total + numbers.sum(axis=0, dtype=np.float64)
        at += len(block)
    return narrowed((total / count).astype(np.float32), dtype)
