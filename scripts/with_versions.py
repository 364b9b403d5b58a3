#!/usr/bin/env python3
"""Runs the tests, or another command, in a new environment with chosen versions of dependencies.

    scripts/with_versions.py newest         # the newest version of each
    scripts/with_versions.py lowest         # the lowest that pyproject.toml allows of each
    scripts/with_versions.py lowest-core    # those of the core at their lowest, without `report`

The bounds are those of pyproject.toml, of all extras and of what the tests need. An extra may need
more of a dependency of the core than the core does; `lowest` has that version then, and
`lowest-core` leaves such extras out, and torch, which is large. What the dependencies need
themselves is the newest that fits.

Without COMMAND the package, its extras and the tools for tests are installed, and all tests run.
COMMAND runs in their place, with the same installed; with --empty nothing is, and `pip install`
takes the chosen versions.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
_OWN = "llama3_tok"
# The extras with all that the tests use.
_EVERYTHING = "test-data,test-torch"
_DEPENDENCY = re.compile(
    r"(?P<name>[\w.-]+)(?P<extras>\[[\w,-]+\])?(?:(?:>=|==)(?P<version>[\d.]+))?"
)


class Dependency(NamedTuple):
    """One line of pyproject.toml."""

    name: str
    version: tuple[int, ...]
    """The lowest that is allowed."""

    @property
    def pinned(self) -> str:
        """The same with exactly that version."""
        return f"{self.name}=={'.'.join(map(str, self.version))}"


class Project:
    """What pyproject.toml says of dependencies."""

    def __init__(self, path: Path) -> None:
        table = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        self.core = list(self._read(table["dependencies"]))
        self.extras: dict[str, list[Dependency]] = {}
        self.includes: dict[str, list[str]] = {}
        for extra, lines in table["optional-dependencies"].items():
            self.extras[extra] = list(self._read(lines))
            self.includes[extra] = list(_included(lines))

    def _read(self, lines: list[str]) -> Iterator[Dependency]:
        for line in lines:
            match = _DEPENDENCY.fullmatch(line.replace(" ", ""))
            if match is None:
                raise SystemExit(f"pyproject.toml: {line!r} is not NAME>=VERSION or NAME==VERSION")
            if match["name"] == _OWN:
                continue
            if match["version"] is None:
                raise SystemExit(
                    f"pyproject.toml: {line!r} has no lower bound; write NAME>=VERSION"
                )
            yield Dependency(match["name"], tuple(map(int, match["version"].split("."))))

    def everything(self) -> list[Dependency]:
        """Each at the lowest version that all allow."""
        return _joined([*self.core, *(one for own in self.extras.values() for one in own)])

    def with_core(self) -> list[Dependency]:
        """The core's at its own bounds, and what tests without torch use, where it allows these."""
        bounds = {one.name: one.version for one in self.core}
        kept = list(self.core)
        for extra in self.included("test-data"):
            own = self.extras[extra]
            if all(one.version <= bounds.get(one.name, one.version) for one in own):
                kept += own
        return _joined(kept)

    def included(self, extra: str) -> set[str]:
        """An extra and those that it includes."""
        return {extra}.union(*map(self.included, self.includes[extra]))


def _included(lines: list[str]) -> Iterator[str]:
    """The project's own extras that an extra names."""
    for line in lines:
        match = _DEPENDENCY.fullmatch(line.replace(" ", ""))
        if match and match["name"] == _OWN and match["extras"]:
            yield from match["extras"][1:-1].split(",")


def _joined(dependencies: list[Dependency]) -> list[Dependency]:
    """One of each name, with the highest of its bounds."""
    highest: dict[str, Dependency] = {}
    for one in dependencies:
        if one.name not in highest or one.version > highest[one.name].version:
            highest[one.name] = one
    return list(highest.values())


def commands(kind: str) -> list[list[str]]:
    """All tests of an environment."""
    usual = ["pytest", "--ignore=tests/with_torch"]
    # One at a time: torch takes all processors for each.
    with_torch = ["pytest", "--numprocesses", "0", "tests/with_torch"]
    return [usual] if kind == "lowest-core" else [usual, with_torch]


def run(command: list[str], environment: dict[str, str]) -> None:
    """Runs a command in the project's folder; its failure ends this program."""
    print("\n==", shlex.join(command), flush=True)
    status = subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def main() -> None:
    """Makes the environment, and runs what was asked for in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--empty", action="store_true", help="install nothing beforehand")
    parser.add_argument("kind", choices=["newest", "lowest", "lowest-core"])
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    arguments = parser.parse_args()
    project = Project(PROJECT / "pyproject.toml")
    pinned = {
        "newest": [],
        "lowest": project.everything(),
        "lowest-core": project.with_core(),
    }[arguments.kind]
    with tempfile.TemporaryDirectory(prefix="llama3_tok-") as folder:
        place = Path(folder) / arguments.kind
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        environment = dict(os.environ)
        for name in ("PYTHONHOME", "PYTHONPATH", "PIP_CONSTRAINT"):
            environment.pop(name, None)
        environment["VIRTUAL_ENV"] = str(place)
        environment["PATH"] = os.pathsep.join([str(place / "bin"), os.environ["PATH"]])
        if pinned:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text("".join(f"{one.pinned}\n" for one in pinned), encoding="utf-8")
            environment["PIP_CONSTRAINT"] = str(constraints)
            print(*(one.pinned for one in pinned), sep="\n", flush=True)
        if not arguments.empty:
            whole = [f".[{_EVERYTHING}]"]
            wanted = [".", *(one.name for one in pinned)] if "core" in arguments.kind else whole
            run(["pip", "install", "--quiet", *wanted], environment)
        for command in [arguments.command] if arguments.command else commands(arguments.kind):
            run(command, environment)


if __name__ == "__main__":
    main()
