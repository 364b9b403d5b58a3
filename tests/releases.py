"""The folders that `Tokenizer.save` writes of the releases, written once for all tests.

Saving Meta's vocabulary takes most of a second, and reading it back a third of one: a test of
something else takes a copy.
"""

import shutil
from pathlib import Path

import pytest

from llama3_tok import Tokenizer
from once import made_once

# A test may put a copy of what this writes in its place.
_save = Tokenizer.save


class Releases:
    """A folder for each profile, made when it is asked for."""

    def __init__(self, factory: pytest.TempPathFactory):
        self._factory = factory
        # As long as there is a tokenizer of a file, the process need not read its ranks again.
        self._kept: dict[str, Tokenizer] = {}

    def folder(self, profile: str = "llama3.1") -> Path:
        """What `save` writes for a profile, to be read only."""
        path = made_once(
            self._factory,
            f"release-{profile}",
            lambda folder: _save(Tokenizer(profile=profile), folder),
        )
        if profile not in self._kept:
            self._kept[profile] = Tokenizer(path / "tokenizer.json")
        return path

    def copy(self, path: Path, profile: str = "llama3.1") -> Path:
        """The same files in a folder that may have others, to do anything with."""
        path.mkdir(parents=True, exist_ok=True)
        for file in self.folder(profile).iterdir():
            # One that is there may be another's as well, by a hard link.
            (path / file.name).unlink(missing_ok=True)
            shutil.copy(file, path)
        return path
