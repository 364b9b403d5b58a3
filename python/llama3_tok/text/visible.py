"""Which characters can be seen, and how the others are written for people."""

__all__ = ["escaped", "is_visible"]

# Printable by their category, yet without a mark of their own: the combining grapheme joiner, the
# fillers of Hangul and Khmer, the Mongolian and other variation selectors, and the empty Braille
# pattern.
_INVISIBLE = frozenset(
    map(
        chr,
        [
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ],
    )
)


def is_visible(character: str) -> bool:
    """Whether a character can be shown as it is: no control, no format, nothing unseen."""
    return character.isprintable() and character not in _INVISIBLE


def escaped(text: str, keep: str = "") -> str:
    r"""Text with what can't be seen as `\n`, `\x1b` or `\u202e`, and bytes outside UTF-8 as `\xNN`.

    The latter are the surrogates of `surrogateescape`. Backslashes stay as they are.
    """
    if text.isprintable() and _INVISIBLE.isdisjoint(text):
        return text
    return "".join(c if c in keep or is_visible(c) else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if short := {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character):
        return short
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
