"""Every unsafe block of the core has a reason and a proof, and stands in docs/design/unsafe.md."""

import importlib.util
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SCRIPT = PROJECT / "scripts" / "unsafe_blocks.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("unsafe_blocks", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(script):
    assert script.PAGE.read_text(encoding="utf-8") == script.page()


def test_no_block_is_left_out(script):
    for path in (PROJECT / "rust").rglob("*.rs"):
        source = path.read_text(encoding="utf-8").split("mod tests {")[0]
        code = re.sub(r"//.*", "", source)
        written = len(re.findall(r"\bunsafe\s*\{|\bunsafe\s+impl\b", code))
        assert len(list(script.blocks(source, path.name))) == written, path


PROVEN = """
#[expect(unsafe_code, reason = "none")]
fn f() {
    // SAFETY: nothing is done.
    unsafe { g() }
}
"""


@pytest.mark.parametrize(
    ("of", "to"),
    [
        ("    // SAFETY: nothing is done.\n", ""),
        ("// SAFETY: nothing is done.", "// Nothing is done."),
        ('#[expect(unsafe_code, reason = "none")]\n', ""),
    ],
)
def test_a_block_without_reason_or_proof_is_refused(script, of, to):
    [block] = script.blocks(PROVEN, "f.rs")
    assert block.inside == "f"
    assert (block.reason, block.proof) == ("none", "nothing is done.")
    with pytest.raises(script.UnprovenError, match=r"f\.rs:\d"):
        list(script.blocks(PROVEN.replace(of, to), "f.rs"))
