#!/usr/bin/env python3
"""Writes THIRD-PARTY.md: the crates that are linked into a wheel, with their licences.

    scripts/third_party.py            # after a change of Cargo.lock
    scripts/third_party.py --check    # exits with 1 if the page is not as it would be written

It asks `cargo` which crates are linked on any platform, and reads the texts of licences that their
sources have. Where a crate may be had under MIT or another licence, MIT is taken, as for the
project itself.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "THIRD-PARTY.md"
HEAD = """# Licences of what is linked

A wheel of llama3_tok has these crates in it. `scripts/third_party.py` writes this page from
Cargo.lock and the sources of the crates.

"""


def linked() -> list[dict]:
    """The crates that become part of the library: not those of tests, builds and macros."""
    tree = ["cargo", "tree", "--locked", "--features", "python", "--target", "all"]
    tree += ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(tree, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    words = [line.split() for line in lines.splitlines() if line]
    names = {(word[0], word[1].removeprefix("v")) for word in words}
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--features", "python"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    packages = json.loads(found)["packages"]
    chosen = [p for p in packages if (p["name"], p["version"]) in names and p["source"]]
    return sorted(chosen, key=lambda package: (package["name"], package["version"]))


def texts(package: dict) -> list[str]:
    """The texts that its licence asks to be passed on."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(
        path
        for path in [*folder.iterdir(), *folder.glob("*/LICENSE*")]
        if path.is_file()
        and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE"))
    )
    mit = [path for path in files if "MIT" in path.name.upper()]
    if mit and " AND " not in package["license"]:
        files = mit
    elif "MIT" in package["license"]:
        files = [path for path in files if "APACHE" not in path.name.upper()] or files
    read = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in read]


def page() -> str:
    """The page as it is to be."""
    packages = linked()
    rows = [f"| {p['name']} | {p['version']} | {p['license']} |" for p in packages]
    table = "\n".join(["| crate | version | licence |", "| --- | --- | --- |", *rows])
    of_text: dict[str, list[str]] = defaultdict(list)
    without = []
    for package in packages:
        found = texts(package)
        for text in dict.fromkeys(found):
            of_text[text].append(package["name"])
        if not found:
            without.append(package["name"])
    parts = [f"## {', '.join(names)}\n\n```text\n{text}\n```\n" for text, names in of_text.items()]
    if without:
        note = "The sources of these crates have no text of their licence; the table names it"
        parts.append(f"## Without a text\n\n{note}: {', '.join(without)}.\n")
    return HEAD + table + "\n\n" + "\n".join(parts)


def main() -> int:
    """Writes or checks the page."""
    wanted = page()
    if sys.argv[1:] == ["--check"]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
        if not same:
            print(
                "THIRD-PARTY.md is not what Cargo.lock has; run scripts/third_party.py",
                file=sys.stderr,
            )
        return 0 if same else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
