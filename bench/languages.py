"""Texts in many languages that need no download: messages that programs bring in translation.

Catalogues of `/usr/share/locale`, and of the packages that are installed in the environment, by
language; what a program left in English is left out. A machine with few of them gets made-up words
in many scripts in their stead, which are called so.
"""

import sysconfig
from collections.abc import Iterator
from pathlib import Path

from corpora import catalogue, cut, made_up

LEAST = 20_000
"""Bytes of text without which a language is left out."""
ENOUGH = 20
"""Languages that there must be; made-up ones are added up to so many."""
SYSTEM = Path("/usr/share/locale")

LANGUAGES = {
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt_BR": "Portuguese",
    "nl": "Dutch",
    "sv": "Swedish",
    "da": "Danish",
    "fi": "Finnish",
    "hu": "Hungarian",
    "pl": "Polish",
    "cs": "Czech",
    "ro": "Romanian",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "id": "Indonesian",
    "ru": "Russian",
    "uk": "Ukrainian",
    "bg": "Bulgarian",
    "sr": "Serbian",
    "el": "Greek",
    "he": "Hebrew",
    "ar": "Arabic",
    "fa": "Persian",
    "hi": "Hindi",
    "bn": "Bengali",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "ka": "Georgian",
    "hy": "Armenian",
    "am": "Amharic",
    "ja": "Japanese",
    "ko": "Korean",
    "zh_CN": "Chinese",
    "zh_TW": "Chinese (Taiwan)",
}
"""By the names of the folders that catalogues stand in."""

SCRIPTS = {
    "Latin": range(0x61, 0x7B),
    "Latin with accents": range(0xE0, 0x100),
    "Greek": range(0x3B1, 0x3CA),
    "Cyrillic": range(0x430, 0x450),
    "Armenian": range(0x561, 0x587),
    "Hebrew": range(0x5D0, 0x5EB),
    "Arabic": range(0x627, 0x64B),
    "Devanagari": range(0x905, 0x940),
    "Bengali": range(0x995, 0x9B1),
    "Gujarati": range(0xA95, 0xAB1),
    "Tamil": range(0xBAE, 0xBBA),
    "Telugu": range(0xC15, 0xC29),
    "Kannada": range(0xC95, 0xCA9),
    "Malayalam": range(0xD15, 0xD29),
    "Sinhala": range(0xD9A, 0xDB2),
    "Thai": range(0xE01, 0xE2F),
    "Tibetan": range(0xF40, 0xF48),
    "Burmese": range(0x1000, 0x1022),
    "Georgian": range(0x10D0, 0x10F1),
    "Ethiopic": range(0x1200, 0x1247),
    "Khmer": range(0x1780, 0x17A3),
    "Hiragana": range(0x3041, 0x3097),
    "Chinese characters": range(0x4E00, 0x5200),
    "Hangul": range(0xAC00, 0xAE00),
}


def languages(limit: int, system: Path = SYSTEM) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes (at most `limit`) and source of each language."""
    found = 0
    # One walk through all packages, which takes longer than all else.
    folders = [system, *Path(sysconfig.get_path("purelib")).glob("**/locale")]
    for code, name in LANGUAGES.items():
        files = [file for one in folders for file in one.glob(f"{code}/LC_MESSAGES/*.mo")]
        data = _messages(sorted(files), limit)
        if len(data) >= LEAST:
            found += 1
            yield name, data, f"{len(files)} message catalogues"
    for seed, (name, letters) in enumerate(SCRIPTS.items()):
        if found + seed >= ENOUGH:
            break
        parts = (made_up(number, letters=letters) for number in range(1 + limit // 3_000))
        text = "\n".join(parts).encode()
        yield f"made up, {name}", cut(text, limit), "words of random letters"


def _messages(files: list[Path], limit: int) -> bytes:
    """Translated messages, each once."""
    chosen: dict[str, None] = {}
    size = 0
    for file in files:
        for original, text in catalogue(file):
            if text != original and text not in chosen:
                chosen[text] = None
                size += len(text.encode("utf-8", "replace")) + 1
        if size > limit:
            break
    return cut("\n".join(chosen).encode("utf-8", "replace"), limit)
