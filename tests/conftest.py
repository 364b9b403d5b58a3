"""Fixtures, and how much the property tests try."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import llama3_tok

# Examples for each main property. CI runs this number; LLAMA3_TOK_EXAMPLES sets another.
EXAMPLES = int(os.environ.get("LLAMA3_TOK_EXAMPLES", "20000"))

settings.register_profile(
    "llama3_tok",
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("llama3_tok")


@pytest.fixture(scope="session")
def tokenizer() -> llama3_tok.Tokenizer:
    return llama3_tok.Tokenizer()


@pytest.fixture(params=["english.txt", "code.txt", "multilingual.txt"])
def corpus(request: pytest.FixtureRequest) -> str:
    """A real text of several megabytes, as it stands in its file."""
    folder = os.environ.get("LLAMA3_TOK_CORPORA")
    if not folder:
        pytest.skip("LLAMA3_TOK_CORPORA does not name the folder of the corpora")
    return Path(folder, request.param).read_bytes().decode("utf-8")
