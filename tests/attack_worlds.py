"""The tokenizers that are attacked: of every release, and of folders with tokens of their own."""

import tempfile
from functools import cached_property
from pathlib import Path

import folders
import llama3_tok
from attack_texts import Attacker
from llama3_tok import Tokenizer

# The shapes of folders whose tokens have names and flags that no release has.
FOLDERS = ("added", "reasoning", "overlapping", "chatml", "embedding", "old", "words")


class World:
    """A tokenizer, the names that are attacked with, and the ids that no text may become."""

    def __init__(self, name: str, tokenizer: Tokenizer, folder: str) -> None:
        self.name, self.tokenizer, self.folder = name, tokenizer, Path(folder)
        special = tokenizer.special_tokens
        # A token of text may have been made special as well; its id is text's.
        self.special = frozenset(id for id in special.values() if id >= tokenizer.rank_count)
        other = [name for name in tokenizer.added_tokens if name not in special]
        self.attacker = Attacker([*special, *other], name)
        self.is_release = name in llama3_tok.PROFILES
        self._numbers = 0

    def path(self, suffix: str) -> Path:
        """The path of a new file."""
        self._numbers += 1
        return self.folder / f"{self.name}-{self._numbers}{suffix}"

    def special_of(self, ids) -> list[int]:
        """The special ids among ids."""
        special = self.special
        return [id for id in ids if id in special]

    @cached_property
    def encoding(self):
        """This tokenizer with the interface of tiktoken."""
        from llama3_tok.compat.tiktoken import Encoding

        return Encoding._of(self.name, self.tokenizer)

    @cached_property
    def prefixes(self):
        """A cache of prefixes, which stays."""
        from llama3_tok.serving import PrefixCache

        return PrefixCache(self.tokenizer, max_bytes=1 << 20)

    @cached_property
    def theirs(self):
        """The tokenizer for transformers."""
        from llama3_tok.compat.transformers import Llama3Tokenizer

        return Llama3Tokenizer(profile=self.name)


def worlds(folder: str, names: tuple[str, ...] = (*llama3_tok.PROFILES, *FOLDERS)) -> list[World]:
    """The worlds of these names, with files in a folder."""
    made = []
    for name in names:
        if name in llama3_tok.PROFILES:
            tokenizer = Tokenizer(profile=name)
        else:
            folders.SHAPES[name](Path(folder, name))
            tokenizer = Tokenizer(Path(folder, name))
        made.append(World(name, tokenizer, folder))
    return made


def temporary() -> "tempfile.TemporaryDirectory[str]":
    """A folder for what entry points read and write."""
    return tempfile.TemporaryDirectory(prefix="attacks-")
