"""What `llama3-tok count` is given in tests, and what it prints."""

import json

TEXT = "Count me: 12345 naïve cafés, 日本語 and 🦙.\n\n  Don't stop!\n"
OTHER = "Another text, a shorter one.\n"
RECORDS = [
    {"text": TEXT, "id": 1},
    {"id": 2, "text": OTHER, "meta": {"text": "not this one"}},
    {"text": ""},
    {"text": 'escaped \u2028 "quotes" \\ \ud83e\udd99 日本'},
]


def write_texts(folder):
    (folder / "a.txt").write_text(TEXT, encoding="utf-8")
    (folder / "b.txt").write_text(OTHER, encoding="utf-8")
    return folder


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def rows(printed):
    """Path to count, in a table of counts and paths."""
    return {path: int(count) for count, path in (line.split() for line in printed.splitlines())}
