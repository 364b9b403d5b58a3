"""Finding the names of tokens in text."""

import re
from collections.abc import Iterable

__all__ = ["longest"]


def longest(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern of the longest of several words that begin at a place.

    Words are grouped by their first two characters, so that at the `<` of a tag not each of the 256
    names that begin with `<|` is tried.
    """
    groups: dict[str, list[str]] = {}
    for word in sorted(words, key=len, reverse=True):
        groups.setdefault(word[:2], []).append(re.escape(word[2:]))
    # A group's words are longer than the word of one character that it begins with.
    ordered = sorted(groups.items(), key=lambda group: len(group[0]), reverse=True)
    return re.compile(
        "|".join(f"{re.escape(head)}(?:{'|'.join(tails)})" for head, tails in ordered)
    )
