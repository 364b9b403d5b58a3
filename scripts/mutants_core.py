#!/usr/bin/env python3
"""Asks whether the core's tests can fail: small faults are put into it, and they have to see each.

    python scripts/mutants_core.py                        # a sample of each room, some minutes
    python scripts/mutants_core.py merge chat --each 100
    python scripts/mutants_core.py --each 0 --json record.json    # all of them
    python scripts/mutants_core.py chat --python                  # asks the package's tests, too

cargo-mutants lists the faults, the mutants, and a fixed seed draws from its list. To build the core
for each would take a minute or two, so a copy of it is built once with all that were drawn: a
function that has mutants asks which of its bodies to run. What does not compile in this way is left
out, as *unviable*; so are some mutants of functions that return an `impl`. Those that are `const`
can't ask, and are not among the mutants. The tests then run once for each mutant: those of its
room first, then all with few cases for each property, then all with more. With `--python`, the
extension is built in the same way, and the package's tests of the room are asked as well. With
`--minutes`, what was not settled by then is *open*, and does not count as caught.

Some faults change no answer, only how soon it is there, and no test can see them. Whoever has
found that of a survivor writes the reason into a record, and `--reasons` takes it over from there.
Exit status: 0 if at least 90% were caught in each room, those with a reason aside, 1 if not, 2 if
something is missing.

It needs cargo-mutants (`cargo install --locked cargo-mutants`) and installs nothing. Without
`LLAMA3_TOK_VOCAB` the tests have less to compare, and more mutants survive.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutants_asked import extension, fails, fails_in_python

ROOT = Path(__file__).resolve().parent.parent

# Which files a room has, and which tests are asked first.
ROOMS = {
    "pretokenize": (["text/pretokenize/*"], ["text::"]),
    "pieces": (
        [
            "bpe/boundaries",
            "bpe/split",
            "bpe/certain_merges",
            "bpe/pairs",
            "bpe/token_*",
            "bpe/index",
        ],
        ["bpe::", "vocabulary::"],
    ),
    "merge": (
        ["bpe/merge", "bpe/merge_steps", "bpe/short_merge", "bpe/plain", "bpe/prefixes"],
        ["bpe::", "encode::partial_counts", "encode::truncate"],
    ),
    "cache": (["encode/cache/*"], ["encode::cache"]),
    "special": (["added/*"], ["added::"]),
    "chat": (["chat/*"], ["chat::"]),
}
LEAST = 0.9

# What a function with mutants calls; `MUTANT` says which one is asked for.
CHOICE = """
#[doc(hidden)]
pub mod mutant {
    static CHOSEN: std::sync::LazyLock<Option<u32>> =
        std::sync::LazyLock::new(|| std::env::var("MUTANT").ok()?.parse().ok());
    #[inline]
    pub fn is(number: u32) -> bool {
        *CHOSEN == Some(number)
    }
}
"""


@dataclass
class Mutant:
    """One fault, as cargo-mutants describes it, and what became of it."""

    number: int
    room: str
    name: str
    file: str
    function: tuple[int, int]
    start: int
    end: int
    replacement: str
    outcome: str = ""
    by: str = ""


def listed(room: str, texts: dict[str, str]) -> list[Mutant]:
    """All mutants of a room whose function can ask which one it is."""
    files = [word for glob in ROOMS[room][0] for word in ("-f", f"rust/{glob}.rs")]
    command = ["cargo", "mutants", "--list", "--json", *files]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = []
    for item in json.loads(output):
        if item["file"] not in texts:
            texts[item["file"]] = (ROOT / item["file"]).read_text(encoding="utf-8")
        text = texts[item["file"]]
        lines = [0, *(match.end() for match in re.finditer("\n", text))]
        at = [
            lines[place["line"] - 1] + place["column"] - 1
            for span in (item["span"], (item["function"] or item)["span"])
            for place in (span["start"], span["end"])
        ]
        body = body_of(text, at[2], at[3]) if item["function"] else None
        if body and body[0] < at[0] and at[1] <= body[1]:
            found.append(
                Mutant(0, room, item["name"], item["file"], body, at[0], at[1], item["replacement"])
            )
    return found


def body_of(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where the body of a function is, with its braces; None of one that is `const`."""
    head = re.compile(r"^[^/\n#]*?\bfn\s+\w+", re.MULTILINE).search(text, start, end)
    if head is None or re.search(r"\bconst\b", head.group()):
        return None
    depth = 0
    for at in range(head.end(), end):
        depth += (text[at] in "([") - (text[at] in ")]")
        if text[at] == "{" and depth == 0:
            return at, end
    return None


def write(tree: Path, mutants: Iterable[Mutant], texts: dict[str, str]) -> dict[str, list[Any]]:
    """Writes the files with their mutants; gives for each file which lines are those of which."""
    files: dict[str, dict[tuple[int, int], list[Mutant]]] = {file: {} for file in texts}
    for mutant in mutants:
        files[mutant.file].setdefault(mutant.function, []).append(mutant)
    places: dict[str, list[Any]] = {}
    for file, functions in files.items():
        source, written, done = texts[file], "", 0
        for (start, end), those in sorted(functions.items()):
            if start < done:
                raise SystemExit(f"{file}: functions within functions can't have mutants both")
            written += source[done:start] + "{\n"
            for mutant in those:
                line = written.count("\n") + 1
                body = source[start : mutant.start] + mutant.replacement + source[mutant.end : end]
                written += f"if crate::mutant::is({mutant.number}) {body} else\n"
                places.setdefault(file, []).append((line, written.count("\n") + 1, mutant))
            written += source[start:end] + "\n}"
            done = end
        written += source[done:]
        if (tree / file).read_text(encoding="utf-8") != written:  # else it is not built again
            (tree / file).write_text(written, encoding="utf-8")
    return places


def build(tree: Path, mutants: list[Mutant], texts: dict[str, str], target: str) -> str:
    """Builds the tests with all mutants that compile; gives the program."""
    command = ["cargo", "test", "--no-run", "--lib", "--message-format=json"]
    environment = {**os.environ, "CARGO_TARGET_DIR": target}
    environment["CARGO_PROFILE_TEST_DEBUG"] = "0"
    unviable = tree.parent / "unviable.json"
    known = set(json.loads(unviable.read_text())) if unviable.exists() else set()
    while True:
        for mutant in mutants:
            if mutant.name in known:
                mutant.outcome = "unviable"
        left = [mutant for mutant in mutants if mutant.outcome != "unviable"]
        places = write(tree, left, texts)
        built = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, check=False
        )
        messages = [json.loads(line) for line in built.stdout.splitlines() if line[:1] == "{"]
        if built.returncode == 0:
            return str(next(one["executable"] for one in messages if one.get("executable")))
        wrong = set()
        for message in messages:
            for span in message.get("message", {}).get("spans", []):
                if message["message"]["level"] == "error":
                    while span.get("expansion"):
                        span = span["expansion"]["span"]
                    for first, last, mutant in places.get(span["file_name"], []):
                        if first <= span["line_start"] < last:
                            wrong.add(mutant.number)
        if not wrong:
            raise SystemExit(f"the mutants can't be built:\n{built.stderr[-3000:]}")
        print(f"{len(wrong)} do not compile", file=sys.stderr)
        known |= {mutant.name for mutant in mutants if mutant.number in wrong}
        unviable.write_text(json.dumps(sorted(known)))


# Says which test fails with a mutant, `timeout`, or None if all pass.
Round = Callable[[Mutant], str | None]


def rounds(program: str, package: Path | None, arguments: argparse.Namespace) -> list[Round]:
    """What is run one after the other until a test fails."""

    def core(mutant: Mutant, words: list[str], cases: int) -> str | None:
        return fails(program, words, mutant.number, cases, arguments.seconds)

    found: list[Round] = [
        lambda mutant: core(mutant, ROOMS[mutant.room][1], 30),
        lambda mutant: core(mutant, [], 30),
    ]
    if package is not None:
        found.append(
            lambda mutant: fails_in_python(package, mutant.room, mutant.number, arguments.seconds)
        )
    return [*found, lambda mutant: core(mutant, [], arguments.cases)]


def ask(mutants: list[Mutant], tests: list[Round], arguments: argparse.Namespace) -> None:
    """Runs the tests with each mutant, quick ones with all of them first, until the time is up."""
    end = time.monotonic() + 60 * (arguments.minutes or 1e9)
    # In any order, so that what is left out where the time is limited is drawn, too.
    random.Random(arguments.seed).shuffle(mutants)
    for which in tests:

        def one(mutant: Mutant, which: Round = which) -> None:
            if time.monotonic() > end:
                return
            mutant.by = which(mutant) or ""
            known = {"": "survived" if which is tests[-1] else "open", "timeout": "timeout"}
            mutant.outcome = known.get(mutant.by, "caught")
            print(f"{mutant.outcome:9} {mutant.name}  {mutant.by}", file=sys.stderr, flush=True)

        left = [mutant for mutant in mutants if mutant.outcome in ("", "open")]
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(one, left))


def main() -> int:
    """Draws the mutants, asks the tests, and says what survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rooms", nargs="*", help=f"of {', '.join(ROOMS)}; without any, all")
    parser.add_argument("--each", type=int, default=40, help="mutants of each room; 0: all")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--only", help="a regular expression that names of mutants have to match")
    parser.add_argument(
        "--cases", type=int, default=300, help="for each property, in the last round"
    )
    parser.add_argument("--seconds", type=float, default=100, help="after which the tests hang")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="after which no other mutant is tried")
    parser.add_argument("--work", type=Path, default=ROOT / "target/mutants", help="a folder")
    parser.add_argument("--python", action="store_true", help="ask the package's tests as well")
    parser.add_argument("--reasons", type=Path, help="a record whose reasons are taken over")
    parser.add_argument("--json", type=Path, help="a file for the record")
    arguments = parser.parse_args()
    rooms = arguments.rooms or list(ROOMS)
    if unknown := set(rooms) - set(ROOMS):
        parser.error(f"{min(unknown)!r} is not a room; they are {', '.join(ROOMS)}")
    if not shutil.which("cargo-mutants"):
        print("cargo-mutants is missing: cargo install --locked cargo-mutants", file=sys.stderr)
        return 2
    texts: dict[str, str] = {}
    mutants: list[Mutant] = []
    sizes: dict[str, int] = {}
    for room in rooms:
        those = listed(room, texts)
        sizes[room] = len(those)
        if arguments.each and len(those) > arguments.each:
            those = random.Random(arguments.seed).sample(those, arguments.each)
        mutants += those
    mutants = [one for one in mutants if re.search(arguments.only or "", one.name)]
    for number, mutant in enumerate(mutants):
        mutant.number = number
    tree = arguments.work / "tree"
    copy(tree, texts)
    target = os.environ.get("CARGO_TARGET_DIR", str(arguments.work / "target"))
    program = build(tree, mutants, texts, target)
    if by := fails(program, [], len(mutants), 30, arguments.seconds):
        raise SystemExit(f"without a mutant a test fails: {by}")
    package = extension(tree, target) if arguments.python else None
    for room in rooms:
        if package and (by := fails_in_python(package, room, len(mutants), arguments.seconds)):
            raise SystemExit(f"without a mutant a test of {room} fails: {by}")
    tests = rounds(program, package, arguments)
    ask([mutant for mutant in mutants if not mutant.outcome], tests, arguments)
    return report(rooms, sizes, mutants, arguments)


def copy(tree: Path, mutated: Iterable[str]) -> None:
    """Copies what the core is built of; what has mutants is written by `write`."""
    names = ["Cargo.toml", "Cargo.lock", "tests/vectors.rs"]
    for folder in ("rust", "bench", "tests/vectors"):
        paths = (path for path in (ROOT / folder).rglob("*.*") if path.is_file())
        names += [str(path.relative_to(ROOT)) for path in paths]
    for name in names:
        content = (ROOT / name).read_bytes() + (CHOICE.encode() if name == "rust/lib.rs" else b"")
        place = tree / name
        if not place.exists() or (name not in mutated and place.read_bytes() != content):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def report(
    rooms: list[str], sizes: dict[str, int], mutants: list[Mutant], arguments: argparse.Namespace
) -> int:
    """Prints the counts of each room and what survived, and writes the record."""
    known: dict[str, str] = {}
    if arguments.reasons:
        for room in json.loads(arguments.reasons.read_text(encoding="utf-8"))["rooms"].values():
            known |= room["survivors"]
    record: dict[str, Any] = {"command": " ".join(["scripts/mutants_core.py", *sys.argv[1:]])}
    record |= {"seed": arguments.seed, "rooms": {}}
    enough = True
    for room in rooms:
        those = [mutant for mutant in mutants if mutant.room == room and mutant.outcome]
        counts = {
            outcome: sum(mutant.outcome == outcome for mutant in those)
            for outcome in ("caught", "timeout", "unviable", "survived", "open")
        }
        left = sorted(one.name for one in those if one.outcome == "survived")
        survivors = {name: known.get(name, "") for name in left}
        caught, viable = counts["caught"] + counts["timeout"], len(those) - counts["unviable"]
        fair = viable - sum(map(bool, survivors.values()))
        enough &= caught >= LEAST * fair
        print(f"{room:12} {caught} of {viable}, {fair} without those with a reason: {counts}")
        for name, reason in survivors.items():
            print(f"  {name}: {reason or 'no reason is known'}")
        record["rooms"][room] = {
            "listed": sizes[room],
            "tried": len(those),
            **counts,
            "survivors": survivors,
            "not settled": sorted(one.name for one in those if one.outcome == "open"),
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
