"""Finding tokens in text that were added to those of the release.

The rules are those of the library tokenizers, which `AutoTokenizer` follows: of the tokens that
begin first the longest counts; those that are not `normalized`, as special ones, are looked for in
the text, and the others in what is left between them. A token with `single_word` counts only where
no word character is beside it; one with `lstrip` or `rstrip` takes the white space on that side.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias
from unicodedata import category

from transformers import AddedToken

from llama3_tok.names import longest

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


Place: TypeAlias = tuple[int, int, int | None]
"""Where something begins and ends, and the id if it is an added token."""


class Finder:
    """The added tokens of a tokenizer by id, those of the release among them."""

    def __init__(self, added: Mapping[int, AddedToken]) -> None:
        self._tokens = {token.content: (id, token) for id, token in added.items()}
        kinds = [
            [token.content for token in added.values() if token.normalized is normalized]
            for normalized in (False, True)
        ]
        self._patterns = [longest(words) for words in kinds if words]

    def parts(self, text: str, has_special: bool = True) -> list[str | int]:
        """A text as the ids of added tokens and the texts between them."""
        places = self.places(text, has_special)
        return [text[start:end] if id is None else id for start, end, id in places]

    def places(self, text: str, has_special: bool = True) -> list[Place]:
        """The same with places in the text, in characters, and None for what is between.

        Without `has_special` a special token is text. A token in it is not looked for: what begins
        inside a longer token that was found does not count, whether that is special or not.
        """
        places: list[Place] = [(0, len(text), None)] if text else []
        for pattern in self._patterns:
            places = [
                found for place in places for found in self._cut(text, place, pattern, has_special)
            ]
        return places

    def _cut(
        self, text: str, place: Place, pattern: re.Pattern[str], has_special: bool
    ) -> Iterator[Place]:
        begin, stop, known = place
        if known is not None:
            yield place
            return
        part, done = text[begin:stop], 0
        for match in pattern.finditer(part):
            id, token = self._tokens[match[0]]
            if token.special and not has_special:
                continue
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
                yield begin + done, begin + start, None
            yield begin + start, begin + end, id
            done = end
        if done < len(part):
            yield begin + done, stop, None


def _is_word(character: str) -> bool:
    """Whether a character, or nothing, is one of a word."""
    return bool(character) and (category(character).startswith(_WORD) or character in _MORE_OF_WORD)
