"""The core does not go on with nothing where a part of a text, or of its ids, should be."""

import re
from pathlib import Path

RUST = Path(__file__).resolve().parent.parent / "rust"
# A range of something, and nothing if it is not inside: `error::slice` is an error then.
_LOSS = re.compile(r"\.get(?:_mut)?\([^()]*\.\.[^()]*\)\s*\.unwrap_or_default\(\)")
# At the end of a text there are no bytes that belong to a character before it.
_RIGHT = {"text/cuts.rs": 1}


def test_a_range_that_is_not_inside_is_an_error():
    found = {}
    for path in sorted(RUST.rglob("*.rs")):
        text = path.read_text().split("#[cfg(test)]\nmod tests {")[0]
        if path.stem not in ("reference", "tests") and (losses := _LOSS.findall(text)):
            found[str(path.relative_to(RUST))] = len(losses)
    assert found == _RIGHT


def test_such_a_range_is_seen():
    for line in (
        "ids.get(before..).unwrap_or_default()",
        "text.get(start..end)\n            .unwrap_or_default()",
    ):
        assert _LOSS.search(line)
