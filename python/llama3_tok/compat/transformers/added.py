"""Finding tokens in text that were added to those of the release.

The rules are those of the library tokenizers, which `AutoTokenizer` follows: of the tokens that
begin first the longest counts; those that are not `normalized`, as special ones, are looked for in
the text, and the others in what is left between them. A token with `single_word` counts only where
no word character is beside it; one with `lstrip` or `rstrip` takes the white space on that side.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from unicodedata import category

from transformers import AddedToken

__all__ = ["Finder"]

# What Unicode has as word characters (UTS 18, of the version that Python knows): by category, the
# joiners, and letters in circles and squares. And its white space.
_WORD = ("L", "M", "Nd", "Nl", "Pc")
_MORE_OF_WORD = frozenset(
    map(
        chr,
        [
            *(0x200C, 0x200D),
            *range(0x24B6, 0x24EA),
            *range(0x1F130, 0x1F14A),
            *range(0x1F150, 0x1F16A),
            *range(0x1F170, 0x1F18A),
        ],
    )
)
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class Finder:
    """The added tokens of a tokenizer by id, those of the release among them."""

    def __init__(self, added: Mapping[int, AddedToken]) -> None:
        self._tokens = {token.content: (id, token) for id, token in added.items()}
        kinds = [
            [token.content for token in added.values() if token.normalized is normalized]
            for normalized in (False, True)
        ]
        self._patterns = [_longest(words) for words in kinds if words]

    def parts(self, text: str) -> list[str | int]:
        """A text as the ids of added tokens and the texts between them."""
        parts: list[str | int] = [text] if text else []
        for pattern in self._patterns:
            parts = [found for part in parts for found in self._cut(part, pattern)]
        return parts

    def _cut(self, part: str | int, pattern: re.Pattern[str]) -> Iterator[str | int]:
        if isinstance(part, int):
            yield part
            return
        done = 0
        for match in pattern.finditer(part):
            id, token = self._tokens[match[0]]
            start, end = match.span()
            if token.single_word and (
                _is_word(part[start - 1 : start]) or _is_word(part[end : end + 1])
            ):
                continue
            if token.lstrip:
                start = max(done, len(part[:start].rstrip(_SPACE)))
            if token.rstrip:
                end = len(part) - len(part[end:].lstrip(_SPACE))
            if done < start:
                yield part[done:start]
            yield id
            done = end
        if done < len(part):
            yield part[done:]


def _is_word(character: str) -> bool:
    """Whether a character, or nothing, is one of a word."""
    return bool(character) and (category(character).startswith(_WORD) or character in _MORE_OF_WORD)


def _longest(words: Iterable[str]) -> re.Pattern[str]:
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
