"""The script of a token: that of its first letter.

Letters and marks have the script that Unicode 16's Scripts.txt gives them; those that belong to no
script of their own (the long-vowel mark of the kana, combining accents) go with the letters about
them. Scripts that are not listed are "other scripts". A token without a letter is a digit token if
it has a digit, a symbol token if it has any other visible character, and else white space. A token
that is a part of a character belongs to the script of that character.
"""

import unicodedata
from bisect import bisect_right
from functools import cache

from llama3_tok.lazy import np, npt
from llama3_tok.report.characters import code_points

__all__ = ["NAMES", "is_letter", "of_characters", "of_tokens"]

OTHER, DIGITS, SYMBOLS, WHITE_SPACE = "other scripts", "digits", "symbols", "white space"

# Ranges from the first to the last letter of a stretch in which no other script has letters.
_RANGES = """
Latin 41-2e4 1d00-1d25 1d2c-1d5c 1d62-1d65 1d6b-1d77 1d79-1dbe 1e00-1eff 2071-209c 212a-2184
  2c60-2c7f a722-a7ff ab30-ab64 ab66-ab69 fb00-fb06 ff21-ff5a 10780-107ba 1df00-1df1e
Greek 370-3e1 3f0-3ff 1d26-1d2a 1d5d-1d61 1d66-1d6a 1dbf 1f00-1ffc 2126 ab65 1d242-1d244
Other 3e2-3ef 7ca-85b 1401-1773 18b0-1c7d 2c00-2c5f 2c80-2cf3 2d30-2d7f a000-a62b a6a0-a6f1
  a800-a8c5 a90a-a953 a980-a9c0 aa00-aa4d aa80-aaf6 abc0-abed 10000-10767 10800-16fe1 16fe4
  17000-18d08 1b170-1bc9e 1da00-1daaf 1e000-1e2ef 1e800-1e94b
Cyrillic 400-52f 1c80-1c88 1d2b 1d78 2de0-2dff a640-a69f fe2e-fe2f
Armenian 531-588 fb13-fb17
Hebrew 591-5f2 fb1d-fb4f
Arabic 610-6ff 750-77f 870-8ff fb50-fdfb fe70-fefc 1ee00-1eebb
Syriac 710-74f 860-86a
Thaana 780-7b1
Devanagari 900-97f a8e0-a8ff
Bengali 980-9fe
Gurmukhi a01-a75
Gujarati a81-aff
Oriya b01-b71
Tamil b82-bd7
Telugu c00-c63
Kannada c80-cf2
Malayalam d00-d7f
Sinhala d81-df3
Thai e01-e4e
Lao e81-edf
Tibetan f00-fc6
Myanmar 1000-109d a9e0-a9fe aa60-aa7f
Georgian 10a0-10ff 1c90-1cbf 2d00-2d2d
Hangul 1100-11ff 302e-302f 3131-318e a960-a97c ac00-d7fb ffa0-ffdc
Ethiopic 1200-138f 2d80-2dde ab01-ab2e 1e7e0-1e7fe
Cherokee 13a0-13fd ab70-abbf
Khmer 1780-17dd
Mongolian 180b-18aa
Han 3005 303b 3400-9fff f900-fad9 16fe3 16ff0-16ff1 20000-3134a
Hiragana 3041-309f 1b001-1b11f 1b150-1b152
Katakana 30a1-30ff 31f0-31ff ff66-ff9d 1aff0-1b000 1b120-1b122 1b164-1b167
Bopomofo 3105-312f 31a0-31bf
"""

_SCRIPTS = tuple(
    line.split()[0] for line in _RANGES.strip().splitlines() if not line.startswith(" ")
)
NAMES = (WHITE_SPACE, SYMBOLS, DIGITS, *(OTHER if name == "Other" else name for name in _SCRIPTS))
"""Every name; a script is its index here."""
_FIRST_SCRIPT = 3
_UNKNOWN = 255


@cache
def _table() -> tuple[list[int], list[int], list[int]]:
    """Starts, ends and scripts of the ranges, ascending."""
    found = []
    script = _FIRST_SCRIPT - 1
    for line in _RANGES.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            script += 1
            words = words[1:]
        for word in words:
            start, _, end = word.partition("-")
            found.append((int(start, 16), int(end or start, 16), script))
    starts, ends, scripts = zip(*sorted(found), strict=True)
    return list(starts), list(ends), list(scripts)


@cache
def of_character(point: int) -> int:
    """The script of one code point, as an index of `NAMES`."""
    char = chr(point)
    category = unicodedata.category(char)
    if category[0] in "LM":
        starts, ends, scripts = _table()
        at = bisect_right(starts, point) - 1
        if at >= 0 and point <= ends[at]:
            return scripts[at]
        return NAMES.index(SYMBOLS)
    if category[0] == "N":
        return NAMES.index(DIGITS)
    return NAMES.index(WHITE_SPACE if char.isspace() else SYMBOLS)


@cache
def _known() -> "npt.NDArray[np.uint8]":
    """The script of each code point that was asked for, else `_UNKNOWN`: a table is quick."""
    import numpy as np

    return np.full(0x110000, _UNKNOWN, np.uint8)


def of_characters(text: str) -> "npt.NDArray[np.uint8]":
    """The script of each character, `uint8[len(text)]`."""
    import numpy as np

    points, known = code_points(text), _known()
    for point in np.unique(points[known[points] == _UNKNOWN]).tolist():
        known[point] = of_character(point)
    return known[points]


def is_letter(found: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.bool_]":
    """Of which of these characters the script is that of a letter."""
    return found >= _FIRST_SCRIPT


def of_tokens(
    characters: "npt.NDArray[np.uint8]", ends: "npt.NDArray[np.int64]"
) -> "npt.NDArray[np.uint8]":
    """The script of each token, `uint8[n]`.

    `characters` has the script of the character that each byte of the text is part of; `ends` is
    where each token ends. A token without bytes is white space.
    """
    import numpy as np

    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    found = np.zeros(len(ends), np.uint8)
    size = len(characters)
    # From the weakest claim to the strongest: any letter goes before a digit, and so on.
    for is_one in (characters == 1, characters == 2, is_letter(characters)):
        at = np.where(is_one, np.arange(size), size)
        following = np.append(np.minimum.accumulate(at[::-1])[::-1], size)
        first = following[starts]
        has = first < ends
        found[has] = characters[first[has]]
    return found
