"""What is encoded: files that were given, or what every machine has, and inputs made to be slow."""

import ast
import base64
import gettext
import hashlib
import itertools
import random
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

DOCUMENT = 3_000
"""Bytes of a document: about a page."""
SHORT = 200
"""Bytes of a short document: a sentence or two."""


class Corpus(NamedTuple):
    """A text on disk, cleaned: UTF-8, without the names of special tokens."""

    name: str
    path: str
    bytes: int
    sha256: str
    special_names: int
    """How many names of special tokens stood in it, whose brackets were taken off."""
    source: str


def write(name: str, data: bytes, source: str, special: Iterable[str], folder: Path) -> Corpus:
    """Cleans a text and writes it to `folder` for the workers.

    Some peers turn the names of special tokens into special ids and can't be told not to. So that
    all encode the same bytes, `<|name|>` becomes `name` for everyone.
    """
    text, found = without_special(data.decode("utf-8", "replace"), special)
    data = text.encode()
    path = folder / f"{name}.corpus"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Corpus(name, str(path), len(data), digest, found, source)


def without_special(text: str, special: Iterable[str]) -> tuple[str, int]:
    """The text without names of special tokens, and how many there were."""
    found = 0
    while "<|" in text:
        before = found
        for token in special:
            found += text.count(token)
            text = text.replace(token, token[2:-2])
        if found == before:
            break
    return text, found


def given(files: Iterable[Path], limit: int) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes (at most `limit`) and source of files; of a folder, its `.txt` files."""
    for path in files:
        for file in sorted(path.rglob("*.txt")) if path.is_dir() else [path]:
            yield file.stem, cut(file.read_bytes(), limit), file.name


def cut(data: bytes, limit: int) -> bytes:
    """The first `limit` bytes or fewer, up to the end of a line or at least of a character."""
    if len(data) <= limit:
        return data
    end = data.rfind(b"\n", limit // 2, limit) + 1 or limit
    while end and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end]


# What every machine has


def standard(limit: int) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and source of four texts that need no download."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = sorted(library.glob("*.py")) + sorted(library.glob("[a-s]*/*.py"))
    sources = [module.read_bytes() for module in modules if "site-packages" not in module.parts]
    yield "english", _joined(_documentation(sources), limit), "the standard library's documentation"
    yield "code", _joined(sources, limit), "the standard library's sources"
    mixed = itertools.chain(_languages(), made_up_parts(SCRIPTS))
    yield "multilingual", _joined(mixed, limit), "message catalogues, scripts in turn"
    cjk = itertools.chain(_languages("zh", "ja"), made_up_parts(CJK_SCRIPTS))
    yield "cjk", _joined(cjk, limit), "message catalogues, Chinese and Japanese in turn"


def _joined(parts: Iterable[bytes], limit: int) -> bytes:
    chosen, size = [], 0
    for part in parts:
        chosen.append(part)
        size += len(part) + 1
        if size > limit:
            break
    return cut(b"\n".join(chosen), limit)


def _documentation(sources: list[bytes]) -> Iterator[bytes]:
    from pydoc_data.topics import topics

    yield from (text.encode() for text in topics.values())
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        documented = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
        yield from (text.encode() for text in documented if text)


def _languages(*prefixes: str) -> Iterator[bytes]:
    """Messages translated into many languages, in turn; only those whose code begins so."""
    catalogues: dict[str, list[Path]] = {}
    for file in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/*.mo")):
        if file.parts[4].startswith(prefixes or ""):
            catalogues.setdefault(file.parts[4], []).append(file)
    for files in itertools.zip_longest(*catalogues.values()):
        for file in filter(None, files):
            yield "\n".join(text for _, text in catalogue(file)).encode("utf-8", "replace")


def catalogue(file: Path) -> list[tuple[str, str]]:
    """The messages of a catalogue and their translations; none if it can't be read."""
    try:
        with file.open("rb") as stream:
            messages = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
    except (OSError, LookupError, ValueError):
        return []
    pairs = ((key[0] if isinstance(key, tuple) else key, text) for key, text in messages.items())
    return [(key, text) for key, text in pairs if key and isinstance(text, str)]


SCRIPTS = [range(0x61, 0x7B), range(0xE0, 0x100), range(0x3B1, 0x3CA), range(0x430, 0x450)]
SCRIPTS += [range(0x5D0, 0x5EB), range(0x627, 0x64B), range(0x905, 0x940), range(0xE01, 0xE2F)]
SCRIPTS += [range(0x3041, 0x3097), range(0x4E00, 0x5200), range(0xAC00, 0xAE00)]
CJK_SCRIPTS = [range(0x3041, 0x3097), range(0x4E00, 0x5200), range(0x5200, 0x9FA6)]


def made_up_parts(scripts: list[range]) -> Iterator[bytes]:
    """Made-up texts without end to speak of, one script after another."""
    for seed in range(1_000):
        yield made_up(seed, letters=scripts[seed % len(scripts)]).encode()


def made_up(seed: int, size: int = 4_000, *, letters: range) -> str:
    """Words of one script, common ones often, so that they repeat as in a language."""
    rng = random.Random(seed)
    known = [chr(code) for code in letters]
    words = ["".join(rng.choices(known, k=rng.randint(1, 9))) for _ in range(300)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    chosen = rng.choices(words, weights, k=size // 8)
    ends = rng.choices([" ", ", ", ". ", "\n"], [16, 2, 1, 1], k=len(chosen))
    return "".join(itertools.chain.from_iterable(zip(chosen, ends, strict=True)))


# Documents


def documents(data: bytes, size: int = DOCUMENT) -> list[str]:
    """Cuts a text at the first end of a line after each `size` bytes, or after twice as many."""
    parts = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + size, start + 2 * size) + 1
        end = end or min(start + 2 * size, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        parts.append(data[start:end].decode())
        start = end
    return parts


# The worst inputs

Maker = Callable[[random.Random, int], str]


def _repeat(text: str) -> Maker:
    """Up to 2% shorter, differently each time: a library may remember a pretoken of any length."""
    size = len(text.encode())

    def make(rng: random.Random, wanted: int) -> str:
        times = wanted // size
        return text * (times - rng.randrange(max(2, times // 50)))

    return make


def _random(letters: Iterable[str]) -> Maker:
    letters = list(letters)
    width = sum(len(letter.encode()) for letter in letters) / len(letters)
    return lambda rng, wanted: "".join(rng.choices(letters, k=int(wanted / width)))


def _characters(*ranges: range) -> list[str]:
    return [chr(code) for span in ranges for code in span]


def _base64(rng: random.Random, wanted: int) -> str:
    return base64.b64encode(rng.randbytes(wanted * 3 // 4)).decode()


def _lines(maker: Maker, width: int) -> Maker:
    def make(rng: random.Random, wanted: int) -> str:
        text = maker(rng, wanted)
        return "\n".join(text[at : at + width] for at in range(0, len(text), width))

    return make


def _long_mark(rng: random.Random, wanted: int) -> str:
    return "e" + _repeat("\u0301")(rng, wanted)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
CJK = range(0x4E00, 0x9FA6)
ANY = _characters(range(0x20, 0xD800), range(0xE000, 0x30000))

WORST: dict[str, Maker] = {
    # The issue's
    "one letter": _repeat("a"),
    "spaces": _repeat(" "),
    "newlines": _repeat("\n"),
    "=": _repeat("="),
    "one digit": _repeat("7"),
    "ab": _repeat("ab"),
    "random letters": _random(LETTERS),
    "base64": _base64,
    "random CJK": _random(_characters(CJK)),
    "random Unicode": _random(ANY),
    # Where peers are slow or fast
    "CRLF": _repeat("\r\n"),
    "tabs and spaces": _random("\t "),
    "apostrophe-s": _repeat("'s"),
    "combining marks": _repeat("e\u0301\u0323"),
    "one letter, marks without end": _long_mark,
    "Thai": _random(_characters(range(0xE01, 0xE3B), range(0xE40, 0xE4F))),
    "emoji with joiners": _repeat("👩‍❤️‍💋‍👨🏳️‍🌈👨‍👩‍👧‍👦"),
    # Long pretokens that merge much, or not at all
    "random capitals": _random(LETTERS.upper()),
    "four letters": _random("acgt"),
    "abc": _repeat("abc"),
    "the": _repeat("the"),
    "one CJK character": _repeat("的"),
    "Hangul": _random(_characters(range(0xAC00, 0xD7A4))),
    "Devanagari": _random(_characters(range(0x905, 0x93A), range(0x93E, 0x94D))),
    "Arabic": _random(_characters(range(0x627, 0x64B))),
    "rare CJK, four bytes": _random(_characters(range(0x20000, 0x2A6D7))),
    "no-break and wide spaces": _random("\u00a0\u3000\u2003\u2028"),
    "random punctuation": _random('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'),
    "NUL": _repeat("\0"),
    # Many short pretokens
    "one-letter words": _random(["a ", "b ", "x "]),
    "letter, digit": _random([letter + digit for letter in LETTERS for digit in DIGITS]),
    "digits": _random(DIGITS),
    "spaces before newlines": _repeat("  \n"),
    "random letters, lines of 76": _lines(_random(LETTERS), 76),
    "hexadecimal, lines of 64": _lines(_random("0123456789abcdef"), 64),
    "long s contractions": _repeat("'\u017f"),
    # Where this project was behind
    "one Cyrillic letter": _repeat("ж"),
    "random Cyrillic": _random(_characters(range(0x430, 0x450))),
    "hexadecimal": _random("0123456789abcdef"),
    "DNA": _random("ACGT"),
    "DNA, lines of 60": _lines(_random("ACGT"), 60),
    "base64, lines of 76": _lines(_base64, 76),
    "rare characters, four bytes": _random(
        _characters(range(0x10300, 0x10320), range(0x12000, 0x12399), range(0x13000, 0x1342E))
    ),
}


def worst(name: str, seed: int, size: int) -> str:
    """One of the worst inputs, of about `size` bytes; another one for each seed."""
    return WORST[name](random.Random(f"{name} {seed}"), size)
