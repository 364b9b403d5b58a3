"""Every code point, in every place where the pattern looks at it: equal to tiktoken.

And every character beside an added token: equal to tokenizers.
"""

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import folders
import oracle
from code_paths import code_paths
from llama3_tok import Tokenizer

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


BESIDE = {
    # What is beside a name, `{}` for the character.
    "single_word": ("{}<x>", "<x>{}"),
    "lstrip": ("a{}<x>",),
    "rstrip": ("<x>{}a",),
}


@pytest.mark.long
@pytest.mark.parametrize("flag", BESIDE)
def test_every_character_beside_an_added_token_is_what_tokenizers_takes_it_for(tmp_path, flag):
    """Whether it belongs to a word, and whether it is white space."""
    tokenizers = pytest.importorskip("tokenizers")
    path = folders.write(tmp_path / "one", more=[folders.token(128256, "<x>", flag)])
    ours = Tokenizer(path)
    theirs = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    # What later versions of Unicode added, not every version of tokenizers knows.
    characters = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")
    ]
    for form in BESIDE[flag]:
        found = names = 0
        for start in range(0, len(characters), 0x400):
            some = characters[start : start + 0x400]
            text = "".join(form.format(character) + "." for character in some)
            ids = ours.encode(text, allowed_special="all")
            expected = theirs.encode(text, add_special_tokens=False).ids
            assert ids == expected, f"{form} for one from U+{ord(some[0]):04X} on"
            found += ids.count(128256)
            names += len(ours.decode(ids).split("<x>")) - 1
        assert names == len(characters)
        if flag == "single_word":
            assert 0 < found < names


@pytest.mark.long
@pytest.mark.parametrize("script", ["unicode_tables.py", "meta_splits.py"])
def test_generated_files_are_what_their_script_writes(script):
    path = Path(__file__).parent.parent / "scripts" / script
    command = [sys.executable, str(path), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
