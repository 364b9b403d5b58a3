"""Fixtures, and how much the property tests try."""

import inspect
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import llama3_tok
from releases import Releases
from small_vocabulary import SINGLE_BYTES, small

# Examples for each main property. The default is the small profile, with which all tests end in
# minutes. With more of them, tests that take seconds or minutes run too; `make large` has most.
EXAMPLES = int(os.environ.get("LLAMA3_TOK_EXAMPLES", "200"))
LONG, LARGE = 500, 2000

settings.register_profile(
    "llama3_tok",
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("llama3_tok")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what tries more with more examples, and leaves out what only the large profile has."""
    for item in items:
        function = getattr(item, "function", None)
        if hasattr(function, "hypothesis") or _asks_for_examples(function):
            item.add_marker("property")
        for marker, least in (("long", LONG), ("large", LARGE)):
            if item.get_closest_marker(marker) and least > EXAMPLES:
                reason = f"takes long: LLAMA3_TOK_EXAMPLES={least} has it"
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_make_parametrize_id(val: object) -> str | None:
    """A short name for a long value; pytest before 9 takes all of it.

    The name of a test is in the environment of the processes that it starts, which has little room.
    """
    if isinstance(val, str | bytes) and len(val) > 100:
        return f"{val[:40]!a} and so on, {len(val)}"
    return None


def _asks_for_examples(function: object) -> bool:
    return inspect.isfunction(function) and "EXAMPLES" in function.__code__.co_names


# What a shell runs in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tokenizer() -> llama3_tok.Tokenizer:
    return llama3_tok.Tokenizer()


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """What `Tokenizer.save` writes of each release."""
    return Releases(tmp_path_factory)


@pytest.fixture(scope="session")
def saved_folder(releases: Releases) -> Path:
    """What `Tokenizer.save` writes; it is only read."""
    return releases.folder()


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> llama3_tok.Tokenizer:
    """A tokenizer that is saved in no time, where the vocabulary says nothing."""
    return small(tmp_path_factory.mktemp("tiny") / "tiny.model", SINGLE_BYTES)


@pytest.fixture(scope="module")
def ours(saved_folder: Path):
    """The `Llama3Tokenizer` of that folder."""
    from llama3_tok.compat.transformers import Llama3Tokenizer

    return Llama3Tokenizer.from_pretrained(saved_folder)


@pytest.fixture(scope="module")
def theirs(saved_folder: Path):
    """The tokenizer that transformers makes of that folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(saved_folder)


@pytest.fixture(params=["english.txt", "code.txt", "multilingual.txt", "cjk.txt"])
def corpus(request: pytest.FixtureRequest) -> str:
    """A real text of several megabytes, as it stands in its file."""
    folder = os.environ.get("LLAMA3_TOK_CORPORA")
    if not folder:
        pytest.skip("LLAMA3_TOK_CORPORA does not name the folder of the corpora")
    path = Path(folder, request.param)
    if not path.exists():
        pytest.skip(f"the folder LLAMA3_TOK_CORPORA has no {request.param}")
    return path.read_bytes().decode("utf-8")


def _needs_report() -> None:
    """Skips where the extra `report` is not installed, as with the lowest NumPy of the core."""
    for library in ("sentencepiece", "py3langid"):
        pytest.importorskip(library, reason=f"{library}, of the extra `report`, is not installed")


@pytest.fixture(scope="session")
def llama2_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Llama 2's model where LLAMA3_TOK_LLAMA2 names it, else a small one of its kind."""
    import llama2_model

    _needs_report()
    return llama2_model.real_path() or str(llama2_model.write(tmp_path_factory.mktemp("llama2")))


@pytest.fixture(scope="session", params=["small", "real"])
def llama2(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Llama 2's tokenizer, its own model and a small one of its kind."""
    _needs_report()
    import llama2_model
    from llama3_tok.report.llama2 import load

    if request.param == "small":
        return load(llama2_model.write(tmp_path_factory.mktemp("small")))
    if not llama2_model.real_path():
        pytest.skip("LLAMA3_TOK_LLAMA2 does not name Llama 2's tokenizer.model")
    return load(llama2_model.real_path())
