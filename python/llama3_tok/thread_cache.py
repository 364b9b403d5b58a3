"""The memory in which each thread keeps what it merged: how much it may be, and how much it is.

A cache changes speed, never ids. It begins with less than half a megabyte and grows while text
repeats itself, so small processes stay small; whoever has many threads may want it smaller.
"""

import os
from typing import NamedTuple

from llama3_tok.errors import Llama3TokError

__all__ = ["CacheInfo"]

ENVIRONMENT = "LLAMA3_TOK_CACHE_MB"

MAX_MB = 32
"""More would not be used."""

MEGABYTE = 1 << 20


class CacheInfo(NamedTuple):
    """The cache of the calling thread, and those of all threads of the process."""

    used: int
    """Places in use: one for a short pretoken with its ids, two for a long one."""
    entries: int
    """Places that there are, of 32 bytes each; more come as it grows."""
    bytes: int
    """Its memory."""
    limit: int
    """Bytes that it may take: `cache_mb`."""
    threads: int
    """How many threads have a cache."""
    bytes_of_all: int
    """The memory of all of them."""


def limit(cache_mb: float | None) -> int | None:
    """The bytes that a thread's cache may take; None for the default, 24 MB.

    Raises TypeError for what is not a number, ValueError for a number that is not from 0 to 32, and
    Llama3TokError where the environment variable has such a value.
    """
    if cache_mb is None:
        given = os.environ.get(ENVIRONMENT)
        if not given:
            return None
        try:
            return limit(float(given))
        except ValueError as error:
            raise Llama3TokError(
                f"the environment variable {ENVIRONMENT} is {given[:100]!r}; it must be a number "
                f"of megabytes from 0 to {MAX_MB}"
            ) from error
    if isinstance(cache_mb, bool) or not isinstance(cache_mb, int | float):
        raise TypeError(f"cache_mb must be a number or None, not {type(cache_mb).__name__}")
    if not 0 <= cache_mb <= MAX_MB:
        raise ValueError(f"cache_mb must be from 0 to {MAX_MB}, not {cache_mb}")
    return int(cache_mb * MEGABYTE)
