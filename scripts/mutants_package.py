#!/usr/bin/env python3
"""Asks whether the package's tests can fail: faults in what decides about special tokens and chats.

    python scripts/mutants_package.py                    # a sample of each room
    python scripts/mutants_package.py folder --each 100 --json record.json

Cosmic Ray lists the faults, the mutants, and a fixed seed draws from its list. They are put into a
copy of the tree, one after the other, and the tests that concern the file have to see each. Exit
status: 0 if at least 90% were caught in each room, 1 if not, 2 if something is missing.

It needs Cosmic Ray (`pip install cosmic-ray`), what the tests need (`pip install '.[test]'`), and
the built extension in python/llama3_tok; it installs nothing. Mutants of `|` are left out: most are
in types, where each fails at the import, and they would only make the share look better.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Which files a room has, and which tests concern them.
ROOMS = {
    "options": (
        ["arguments.py"],
        ["options", "ids", "special_tokens", "tokenizer", "elsewhere", "files", "pad", "messages"],
    ),
    "special": (
        ["folder/tokens.py", "folder/added.py", "profiles.py"],
        ["folders", "profiles", "tokenizer_parts", "folders_tokens", "special_tokens", "save"],
    ),
    "folder": (
        [f"folder/{name}.py" for name in ("around", "changes", "files", "reading", "says")],
        ["folders", "tokenizer_parts", "wrong_json", "folders_tokens", "save", "profiles"],
    ),
    "chat": (
        ["chat/messages.py"],
        ["chat", "chat_meta", "chat_mask", "chat_injection", "wrong_json"],
    ),
}
LEAST = 0.9

CONFIGURATION = """[cosmic-ray]
module-path = {paths}
timeout = {seconds}
excluded-modules = []
test-command = {command}
[cosmic-ray.distributor]
name = "local"
"""


def draw(session: Path, each: int, seed: int) -> int:
    """Leaves `each` mutants in a session, drawn by a seed; gives how many there were."""
    with closing(sqlite3.connect(session)) as database, database:
        rows = database.execute(
            "SELECT job_id FROM mutation_specs WHERE operator_name NOT LIKE '%BitOr%' "
            "ORDER BY module_path, start_pos_row, start_pos_col, operator_name, occurrence"
        )
        jobs = [job for (job,) in rows]
        drawn = jobs if not each or len(jobs) <= each else random.Random(seed).sample(jobs, each)
        marks = ", ".join("?" * len(drawn))
        for table in ("mutation_specs", "work_items"):
            database.execute(f"DELETE FROM {table} WHERE job_id NOT IN ({marks})", drawn)
    return len(jobs)


def outcomes(session: Path) -> list[tuple[str, str, int, str, str]]:
    """Of each mutant: file, function, line, operator, and what became of it."""
    with closing(sqlite3.connect(session)) as database:
        return database.execute(
            "SELECT module_path, coalesce(definition_name, ''), start_pos_row, operator_name, "
            "coalesce(test_outcome, worker_outcome) FROM mutation_specs "
            "JOIN work_results USING (job_id) ORDER BY module_path, start_pos_row, operator_name"
        ).fetchall()


def differences(session: Path) -> dict[str, str]:
    """What each survivor changes: the line as it was, and as it is."""
    with closing(sqlite3.connect(session)) as database:
        rows = database.execute(
            "SELECT module_path, start_pos_row, operator_name, diff FROM mutation_specs "
            "JOIN work_results USING (job_id) WHERE test_outcome = 'SURVIVED'"
        )
        found = {}
        for path, row, operator, diff in rows:
            lines = [line for line in diff.splitlines() if line[:1] in "+-"]
            changed = [line[1:].strip() for line in lines if line[:3] not in ("+++", "---")]
            found[f"{path}:{row}: {operator.partition('/')[2]}"] = " -> ".join(changed)
        return found


def run(room: str, tree: Path, arguments: argparse.Namespace) -> tuple[int, Path]:
    """Runs the tests of a room with each mutant that is drawn."""
    files, tests = ROOMS[room]
    session = tree.parent / f"{room}.sqlite"
    configuration = tree.parent / f"{room}.toml"
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    pytest += ["--numprocesses", "0", *(f"tests/test_{test}.py" for test in tests)]
    configuration.write_text(
        CONFIGURATION.format(
            paths=json.dumps([f"python/llama3_tok/{file}" for file in files]),
            seconds=arguments.seconds,
            command=json.dumps(" ".join(pytest)),
        )
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "python"),
        "LLAMA3_TOK_EXAMPLES": str(arguments.examples),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    cosmic_ray = [sys.executable, "-m", "cosmic_ray.cli"]

    def command(*words: str | Path) -> None:
        subprocess.run([*cosmic_ray, *words], cwd=tree, env=environment, check=True)

    command("init", configuration, session)
    listed = draw(session, arguments.each, arguments.seed)
    command("baseline", configuration)
    command("exec", configuration, session)
    return listed, session


def main() -> int:
    """Draws the mutants, asks the tests, and says what survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rooms", nargs="*", help=f"of {', '.join(ROOMS)}; without any, all")
    parser.add_argument("--each", type=int, default=30, help="mutants of each room; 0: all")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--examples", type=int, default=20, help="for each property")
    parser.add_argument("--seconds", type=float, default=600.0, help="after which the tests hang")
    parser.add_argument("--json", type=Path, help="a file for the outcome")
    arguments = parser.parse_args()
    rooms = arguments.rooms or list(ROOMS)
    if unknown := set(rooms) - set(ROOMS):
        parser.error(f"{min(unknown)!r} is not a room; they are {', '.join(ROOMS)}")
    try:
        import cosmic_ray  # noqa: F401
    except ImportError:
        print("Cosmic Ray is missing: pip install cosmic-ray", file=sys.stderr)
        return 2
    extension = next((ROOT / "python/llama3_tok").glob("_core.*.so"), None)
    if extension is None:
        print("the extension is missing: make develop", file=sys.stderr)
        return 2
    record: dict[str, Any] = {"seed": arguments.seed, "each": arguments.each, "rooms": {}}
    enough = True
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        listing = ["git", "ls-files", "-z"]
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in [*filter(None, names.split("\0")), str(extension.relative_to(ROOT))]:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
        for room in rooms:
            listed, session = run(room, tree, arguments)
            found = outcomes(session)
            survived = sum(outcome == "SURVIVED" for *_, outcome in found)
            caught = sum(outcome == "KILLED" for *_, outcome in found)
            share = caught / len(found)
            enough &= share >= LEAST
            print(f"{room:8} {share:6.1%}  of {len(found)}: {survived} survived", flush=True)
            survivors = differences(session)
            for place, change in survivors.items():
                print(f"  {place}: {change}", flush=True)
            record["rooms"][room] = {
                "listed": listed,
                "drawn": len(found),
                "caught": caught,
                "unviable": len(found) - caught - survived,
                "survived": survived,
                "survivors": survivors,
            }
            if arguments.json:
                arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
