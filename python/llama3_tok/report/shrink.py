"""Delta debugging: the smallest part of something that still shows a fault.

`shrink` takes a sequence of units (characters, messages) and a question, and leaves units out as
long as the answer stays yes: halves, quarters and so on, down to single ones. The number of
questions and the time are bounded. If neither ran out, the result is minimal: no single unit can be
left out.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["Budget", "around", "shrink"]

T = TypeVar("T")
# How far to either side of a divergence is looked first, in units.
_WINDOWS = (4, 16, 64, 256, 1024, 4096, 16384, 65536)


class Budget:
    """What shrinking one thing may cost."""

    def __init__(self, questions: int, seconds: float) -> None:
        self.questions = questions
        self._deadline = time.monotonic() + seconds

    def spend(self) -> bool:
        """Takes one question; False if there is none left."""
        self.questions -= 1
        return self.questions >= 0 and time.monotonic() < self._deadline


def around(
    units: Sequence[T], place: int, fails: Callable[[Sequence[T]], bool], budget: Budget
) -> Sequence[T]:
    """The smallest window about a place that fails; all units if none does."""
    for reach in _WINDOWS:
        start, end = max(0, place - reach), place + reach
        if (start == 0 and end >= len(units)) or not budget.spend():
            break
        if fails(units[start:end]):
            return units[start:end]
    return units


def shrink(
    units: Sequence[T], fails: Callable[[Sequence[T]], bool], budget: Budget
) -> tuple[list[T], bool]:
    """The units that are left of `units`, which must fail, and whether they are minimal."""
    left = list(units)
    size = max(1, len(left) // 2)
    while left:
        removed = False
        start = 0
        while start < len(left):
            if not budget.spend():
                return left, False
            shorter = left[:start] + left[start + size :]
            if shorter and fails(shorter):
                left, removed = shorter, True
            else:
                start += size
        if size == 1 and not removed:
            break
        # Single units are tried until none can go: one that is gone may free another.
        size = max(1, size // 2)
    return left, True
