"""Fixtures for checkpoints."""

from pathlib import Path

import pytest

from llama3_tok import Tokenizer
from llama3_tok._core import META_SHA256


@pytest.fixture
def tokenizer_saved_once(releases, monkeypatch):
    """Copies of what `Tokenizer.save` wrote once: it takes longer than converting a small model."""
    save = Tokenizer.save

    def copy(self, folder):
        if self.folder is None and self.vocabulary_sha256 == META_SHA256:
            releases.copy(Path(folder), self.profile)
        else:
            save(self, folder)

    monkeypatch.setattr(Tokenizer, "save", copy)
