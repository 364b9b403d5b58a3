"""Every code point, in every place where the pattern looks at it: equal to tiktoken."""

import subprocess
import sys
from pathlib import Path

import pytest

import oracle
from code_paths import code_paths

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


@pytest.mark.large
def test_every_code_point_gives_the_ids_of_tiktoken_in_every_context():
    encode = oracle.encoding().encode_ordinary
    assert {"scalar", "portable"} <= set(code_paths())
    compared = 0
    for context, (before, behind) in CONTEXTS.items():
        for start in range(0, 0x110000, 0x1000):
            texts = [before + chr(code) + behind for code in range(start, start + 0x1000)]
            expected = [encode(text) for text in texts]
            compared += len(texts)
            for name, path in code_paths().items():
                found = path.encode_batch(texts)
                if found != expected:
                    wrong = next(at for at in range(0x1000) if found[at] != expected[at])
                    where = f"U+{start + wrong:04X} {context}, path {name}"
                    pytest.fail(f"{where}: {found[wrong]}, tiktoken {expected[wrong]}")
    assert compared == 12 * 1_114_112


@pytest.mark.long
@pytest.mark.parametrize("script", ["unicode_tables.py", "meta_splits.py"])
def test_generated_files_are_what_their_script_writes(script):
    path = Path(__file__).parent.parent / "scripts" / script
    command = [sys.executable, str(path), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
