"""Fixtures for checkpoints."""

import shutil

import pytest

from llama3_tok import Tokenizer


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """What `Tokenizer.save` writes, by profile, filled as it is asked for."""
    return tmp_path_factory.mktemp("saved")


@pytest.fixture
def tokenizer_saved_once(saved, monkeypatch):
    """Copies of what `Tokenizer.save` wrote once: it takes longer than converting a small model."""
    save = Tokenizer.save

    def copy(self, folder):
        if not (saved / self.profile).exists():
            save(self, saved / self.profile)
        shutil.copytree(saved / self.profile, folder, dirs_exist_ok=True)

    monkeypatch.setattr(Tokenizer, "save", copy)
