"""References in processes of their own: whatever one does is a line of the report, not its end."""

import os
from pathlib import Path

import pytest

from llama3_tok import Llama3TokError
from llama3_tok.report import parity

TEXTS = ["Hello world", "", " Việt Nam", "漢字\n\n  1234567"]


@pytest.fixture(autouse=True)
def bad_references_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def outcome(name, texts, **options):
    report = parity(texts=texts, references=[f"bad_references:{name}"], **options)
    return report, report.references[0]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("hang", "time", "no answer within 2 seconds"),
        ("abort", "died", "killed by SIGABRT: about to abort"),
        ("leave", "died", "exit code 3"),
        ("eat", "memory", "more than 0.5 GiB"),
    ],
)
def test_a_reference_that_loses_its_process_is_reported_and_the_rest_goes_on(name, kind, reason):
    texts = [*TEXTS, f"please {name} now", *TEXTS, f"{name} again", *TEXTS]
    report, one = outcome(name, texts, seconds=2, memory=1 << 29)
    assert [item for item, _ in one.failures] == ["texts[4]", "texts[9]"]
    assert {failure.kind for _, failure in one.failures} == {kind}
    assert all(reason in failure.reason for _, failure in one.failures)
    assert (one.total.equal, one.total.failures) == (3 * len(TEXTS), 2)
    assert one.restarts == 2
    assert report.ok


@pytest.mark.long
def test_tiktokens_real_panic_is_reported_and_the_rest_goes_on():
    texts = [*TEXTS, " " * 1_000_000, *TEXTS]
    report = parity(texts=texts, references=["tiktoken", "tokenizers"])
    tiktoken, tokenizers = report.references
    ((item, failure),) = tiktoken.failures
    assert (item, failure.kind) == ("texts[4]", "panic")
    assert "StackOverflow" in failure.reason
    assert (tiktoken.total.equal, tiktoken.restarts) == (8, 1)
    assert (tokenizers.total.equal, tokenizers.total.failures) == (9, 0)
    assert report.ok


def test_what_a_reference_prints_does_not_disturb_its_answers():
    report, one = outcome("chatter", TEXTS)
    assert one.total.equal == len(TEXTS)
    assert report.ok


@pytest.mark.parametrize(("name", "reason"), [("floats", "float64"), ("negative", "-1")])
def test_what_is_no_id_is_a_failure(name, reason):
    report, one = outcome(name, ["Hello world"])
    assert [failure.kind for _, failure in one.failures] == ["error"]
    assert reason in one.failures[0][1].reason
    assert not report.ok
    assert [unusable.name for unusable in report.unusable] == [f"bad_references:{name}"]


def test_ids_that_are_not_in_the_vocabulary_are_shown():
    report, one = outcome("nothing_known", ["Hello world"])
    assert one.total.mismatches == 1
    theirs = one.mismatches[0].witness.rows[1]
    assert theirs.tokens[0].id == 4_000_000_000
    assert "no id" in theirs.tokens[0].piece
    assert report.to_html()


def test_a_reference_that_dies_again_and_again_is_given_up():
    report, one = outcome("dies_always", [str(number) for number in range(50)])
    assert one.status == "unusable"
    assert "given up" in one.reason
    assert one.total.failures < 20
    assert not report.ok


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nobody", "not a reference"),
        ("no_such_module:encode", "No module named 'no_such_module'"),
        ("bad_references:no_such_function", "no_such_function"),
    ],
)
def test_a_reference_that_is_named_must_be_there(name, reason):
    with pytest.raises(Llama3TokError, match=reason):
        parity(texts=["x"], references=[name])


@pytest.mark.long
def test_a_package_that_is_absent_is_a_line_unless_it_is_named(monkeypatch):
    from llama3_tok.report import references

    changed = references.KNOWN["tokenizers"]._replace(package="no_such_package_at_all")
    monkeypatch.setitem(references.KNOWN, "tokenizers", changed)
    report = parity(texts=["x"])
    statuses = {one.name: (one.status, one.reason) for one in report.references}
    assert statuses["tokenizers"] == ("absent", "pip install 'llama3_tok[report]'")
    assert statuses["tiktoken"] == ("compared", "")
    assert statuses["transformers"][0] == "nothing to compare"
    assert report.ok
    with pytest.raises(Llama3TokError, match=r"tokenizers: absent, pip install"):
        parity(texts=["x"], references=["tokenizers"])


def test_a_file_in_the_current_folder_does_not_stand_for_a_package(tmp_path, monkeypatch):
    (tmp_path / "tiktoken.py").write_text("raise SystemExit('the wrong tiktoken')\n")
    monkeypatch.chdir(tmp_path)
    assert parity(texts=TEXTS, references=["tiktoken"]).ok


def test_no_process_is_left(tmp_path):
    before = set(_children())
    outcome("hang", ["Hello", "hang"], seconds=0.5)
    with pytest.raises(TypeError):
        parity(texts="one text", references=["tiktoken"])
    assert set(_children()) == before


def _children():
    """The processes of this one, which is their parent until they are waited for."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                yield entry.name
