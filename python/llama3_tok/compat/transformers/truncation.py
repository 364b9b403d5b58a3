"""Truncation as the library tokenizers has it, which `AutoTokenizer` follows.

A text of too many tokens is cut in windows: the first one is kept, the others are what overflows.
Each window begins `stride` tokens before the one before it ends. What is kept of a pair depends on
the strategy; a text that has to give up more tokens than it has is refused and not left too long.
"""

from typing import TypeAlias

__all__ = ["Window", "check_room", "windows", "windows_of_inputs"]

Window: TypeAlias = tuple[int, int]
"""Where a window begins and ends, in tokens."""


def check_room(most: int, stride: int, needed: int, around: int) -> None:
    """Raises ValueError if what is put around a text, or the stride, leaves no room for it.

    `needed` tokens are put around it; the stride is compared with what would be left by `around`.
    """
    if most < needed:
        raise ValueError(f"max_length={most} leaves no room for {needed} tokens around a text")
    if stride > most - around >= 0:
        raise ValueError(
            f"stride={stride} must be less than the tokens of a text that max_length={most} has "
            f"room for, which are {most - around}"
        )


def windows(length: int, most: int, stride: int, side: str) -> list[Window]:
    """The windows of a text of `length` tokens; `side` is the side that is cut off.

    Raises ValueError if the stride is not less than a window.

    >>> windows(5, 2, 0, "right")
    [(0, 2), (2, 4), (4, 5)]
    """
    if length <= most:
        return [(0, length)]
    if most == 0:
        return [(0, 0), (0, length)]
    if stride >= most:
        raise ValueError(f"stride={stride} must be less than a window, which is of {most} tokens")
    found: list[Window] = []
    if side == "left":
        for stop in range(length, 0, stride - most):
            found.append((max(0, stop - most), stop))
            if stop <= most:
                break
    else:
        for start in range(0, length, most - stride):
            found.append((start, min(length, start + most)))
            if start + most >= length:
                break
    return found


def windows_of_inputs(
    lengths: list[int], most: int, strategy: str, stride: int, side: str
) -> list[list[Window]]:
    """The windows of a text, or of each of a pair, that have at most `most` tokens together.

    Raises ValueError as `windows`, and if the text that the strategy cuts is too short for that.
    """
    kept = list(lengths)
    rest = sum(lengths) - most
    if rest > 0 and most == 0:
        kept = [0] * len(lengths)
    elif rest > 0 and strategy == "longest_first":
        kept = [most] if len(lengths) == 1 else _shares(lengths, most)
    elif rest > 0:
        place = 0 if strategy == "only_first" else 1
        if place == len(lengths):
            raise ValueError('truncation="only_second" needs a second text')
        if lengths[place] <= rest:
            raise ValueError(
                f"truncation={strategy!r} can't remove {rest} tokens from a text of "
                f'{lengths[place]}; give a greater max_length, or "longest_first"'
            )
        kept[place] -= rest
    return [windows(length, keep, stride, side) for length, keep in zip(lengths, kept, strict=True)]


def _shares(lengths: list[int], most: int) -> list[int]:
    """How many tokens of each are kept: the shorter is cut only if it has more than half."""
    short, long = sorted(lengths)
    long = short if short > most else max(short, most - short)
    if short + long > most:
        short, long = most // 2, most // 2 + most % 2
    return [long, short] if lengths[0] > lengths[1] else [short, long]
