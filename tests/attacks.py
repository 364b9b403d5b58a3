#!/usr/bin/env python3
"""Generated attacks: no text becomes a special token that nobody asked for, wherever it comes in.

    PYTHONPATH=python:tests python tests/attacks.py 1000000 --json attacks.json

Texts are made of names of special tokens, whole, in parts, nested, disguised, with characters
between them that other programs drop, and of markup (`attack_texts`). They are given to everything
that takes text (`attack_entries`, `attack_chats`, `attack_pages`) of the tokenizers of every
release and of folders with tokens of their own (`attack_worlds`). The special ids that come out
have to be those of harmless texts in their place. Each attack follows from its number, and
`--only 'ENTRY WORLD NUMBER'` makes one again. It exits with 1 if one succeeds.
"""

import argparse
import json
import os
import platform
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import attack_chats
import attack_pages
from attack_entries import ENTRIES, Entry
from attack_texts import harmless
from attack_worlds import World, temporary, worlds

EVERYTHING = (attack_chats, attack_pages)
"""Modules that add entries as they are imported."""
ROUND = 500_000
"""Attacks of a round, which is one process's work at a time."""


def attack(entry: Entry, world: World, number: int) -> str | None:
    """Makes an attack: None if it was fended off, "refused" if it was with an error.

    Raises AssertionError where a special id came out, or where a check of the entry failed.
    """
    world.attacker.reseed(number)
    plain = harmless()
    try:
        ids = list(entry.attack(world, world.attacker.text, random.Random(number)))
    except entry.refuses:
        return "refused"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        raise AssertionError(f"{place}: {type(error).__name__}: {error}") from error
    found = world.special_of(ids)
    if found or entry.has_structure:
        try:
            same = list(entry.attack(world, lambda: next(plain), random.Random(number)))
        except entry.refuses:
            same = []
        structure = world.special_of(same)
        assert found == structure, f"special ids {found}, and of harmless texts {structure}"
    return None


def run(count: int, seed: int, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """So many attack texts, on all entries by their weights: what was done, and what succeeded."""
    dice, done = random.Random(seed), Counter[str]()
    made, refused, failed = Counter[str](), Counter[str](), []
    entries = list(ENTRIES.values())
    weights = [entry.weight for entry in entries]
    with temporary() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = worlds(folder, names) if names else worlds(folder)
        releases = [world for world in known if world.is_release]
        # Each entry once with each world, and then as they come.
        pairs = [(e, w) for e in entries for w in (releases if e.releases else known)]
        dice.shuffle(pairs)
        texts = 0
        while pairs or texts < count:
            if pairs:
                entry, world = pairs.pop()
            else:
                (entry,) = dice.choices(entries, weights)
                world = dice.choice(releases if entry.releases else known)
            number, before = dice.getrandbits(40), world.attacker.given
            try:
                refused[entry.name] += attack(entry, world, number) == "refused"
            except AssertionError as error:
                failed.append(f"{entry.name} {world.name} {number}: {error}")
                print(failed[-1][:600], flush=True)
            given = world.attacker.given - before
            done[entry.name] += 1
            made[entry.name] += given
            texts += given
    return {"attacks": texts, "calls": done, "texts": made, "refused": refused, "failed": failed}


def again(what: str) -> None:
    """Makes an attack again that has been printed, with all that it raises."""
    entry, name, number = what.split()
    with temporary() as folder:
        attack(ENTRIES[entry], worlds(folder, (name,))[0], int(number))


def main() -> int:
    """Attacks on all processors, and says whether one succeeded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=ROUND, help="how many attack texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write what was done")
    parser.add_argument("--only", metavar="'ENTRY WORLD NUMBER'", help="one attack again")
    arguments = parser.parse_args()
    if arguments.only:
        again(arguments.only)
        return 0
    began, left, seeds, sizes = time.monotonic(), arguments.count, [], []
    while left > 0:
        sizes.append(min(left, ROUND))
        seeds.append(arguments.seed + len(seeds))
        left -= ROUND
    found = []
    with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
        for one in pool.map(run, sizes, seeds):
            found.append(one)
            print(f"{sum(each['attacks'] for each in found):,} attack texts", flush=True)
    entries = {
        name: {key: sum(one[key][name] for one in found) for key in ("calls", "texts", "refused")}
        for name in ENTRIES
    }
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "python": platform.python_version(),
        "seed": arguments.seed,
        "attack_texts": sum(one["attacks"] for one in found),
        "calls": sum(each["calls"] for each in entries.values()),
        "succeeded": [line for one in found for line in one["failed"]],
        "seconds": round(time.monotonic() - began),
        "entries": entries,
    }
    print(json.dumps({name: record[name] for name in ("attack_texts", "calls", "succeeded")}))
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if record["succeeded"] else 0


if __name__ == "__main__":
    sys.exit(main())
