"""Every code point, in every place where the pattern looks at it: equal to tiktoken."""

import subprocess
import sys
from pathlib import Path

import pytest

import oracle

# Before and behind the character.
CONTEXTS = {
    "alone": ("", ""),
    "after a letter": ("a", ""),
    "before a letter": ("", "a"),
    "between letters": ("a", "b"),
    "between digits": ("1", "2"),
    "after a space": (" ", ""),
    "between spaces": (" ", " "),
    "before a newline": ("", "\n"),
    "after a newline": ("\n", "a"),
    "before punctuation": ("", "!"),
    "after punctuation": ("!", "\r\n"),
    "after an apostrophe": ("'", "e"),
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_code_point_gives_the_ids_of_tiktoken(context, tokenizer):
    before, behind = CONTEXTS[context]
    encode = oracle.encoding().encode_ordinary
    for start in range(0, 0x110000, 0x1000):
        texts = [before + chr(code) + behind for code in range(start, start + 0x1000)]
        expected = [encode(text) for text in texts]
        found = tokenizer.encode_batch(texts, threads=1)
        if found != expected:
            wrong = next(at for at in range(0x1000) if found[at] != expected[at])
            pytest.fail(
                f"U+{start + wrong:04X} {context}: {found[wrong]}, tiktoken {expected[wrong]}"
            )


def test_the_unicode_tables_are_what_the_generator_writes():
    root = Path(__file__).parent.parent
    command = [sys.executable, str(root / "scripts" / "unicode_tables.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
