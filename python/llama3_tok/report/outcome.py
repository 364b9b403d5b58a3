"""What came of a run, as plain data: `Outcome` and what it is made of."""

import os
from dataclasses import dataclass, field

from llama3_tok.page.rows import TokenRow
from llama3_tok.report.client import Failure
from llama3_tok.report.items import Input
from llama3_tok.report.known_causes import Cause

__all__ = ["Mismatch", "Outcome", "ReferenceOutcome", "Tally", "Witness", "vote"]

OURS = "llama3_tok"

BYTES_TO_TIME = 1_000_000
"""Bytes below which no speed is given: it would be that of the first calls and of the clock."""


@dataclass(frozen=True)
class Witness:
    """A text on which a reference differs, and how: the smallest that was found."""

    text: bytes
    """What is shown: all of it, or if it is long what stands about the divergence."""
    bytes: int
    """How long the whole is."""
    minimal: bool
    """Whether no character can be left out without ending the difference."""
    questions: int
    """How many strings the reference was asked for to find it."""
    rows: list[TokenRow]
    """Ours and the reference's tokens."""
    answers: list[list[str]]
    """All references that were asked, and ours: those with the same ids together."""
    verdict: str


@dataclass(frozen=True)
class Mismatch:
    """An item for which a reference gives other ids."""

    item: str
    group: str
    token: int
    """The first token that differs, from 0."""
    byte: int
    """Where in the item's text it begins."""
    causes: tuple[Cause, ...]
    witness: Witness | None
    """None where others of the same kind have one."""

    @property
    def explained(self) -> bool:
        """Whether it is shown to be a known cause that is nobody's fault."""
        return bool(self.causes) and all(cause.excuses for cause in self.causes)


@dataclass
class Tally:
    """Sums over items."""

    items: int = 0
    bytes: int = 0
    tokens: int = 0
    """The reference's own."""
    equal: int = 0
    explained: int = 0
    mismatches: int = 0
    """Those that are not explained."""
    failures: int = 0


@dataclass
class ReferenceOutcome:
    """What came of one reference."""

    name: str
    version: str | None
    status: str = "compared"
    """"compared", "absent", "unusable" or "nothing to compare"."""
    reason: str = ""
    """Why, where it is not "compared"."""
    named: bool = False
    """Whether it was asked for by name or by its file."""
    sha256: str | None = None
    """Of the file that was given as this reference."""
    total: Tally = field(default_factory=Tally)
    groups: dict[str, Tally] = field(default_factory=dict)
    causes: dict[Cause, int] = field(default_factory=dict)
    """How often each cause was shown; an item may have several."""
    mismatches: list[Mismatch] = field(default_factory=list)
    """The first thousand."""
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """Item and failure, the first thousand."""
    seconds: float = 0.0
    """In the reference, on items that it gave ids for."""
    encoded: int = 0
    """Bytes of these items."""
    load_seconds: float = 0.0
    restarts: int = 0

    @property
    def compared(self) -> int:
        """How many of its answers were compared."""
        return self.total.equal + self.total.explained + self.total.mismatches

    @property
    def megabytes_per_second(self) -> float | None:
        """10^6 bytes a second; None where less than `BYTES_TO_TIME` was encoded."""
        if self.encoded < BYTES_TO_TIME or not self.seconds:
            return None
        return self.encoded / self.seconds / 1e6


@dataclass
class Outcome:
    """What came of a run."""

    facts: dict[str, str | int | float | None]
    """Versions, vocabulary, seed, command line: what it takes to do it again."""
    inputs: list[Input]
    ours: ReferenceOutcome
    """Our own sums and speed, on the same items."""
    references: list[ReferenceOutcome]

    @property
    def title(self) -> str:
        """What was compared, and with what."""
        beside = [one.name for one in self.references if one.total.items]
        with_them = f" beside {_listed(beside)}" if beside else ""
        return f"{self._what}: the ids of {OURS}{with_them}"

    @property
    def _what(self) -> str:
        if self.facts["seed"] is not None:
            return "The built-in battery"
        count = self.ours.total.items
        if not self.inputs:
            return "1 text" if count == 1 else f"{count:,} texts"
        names = [os.path.basename(one.name) or one.name for one in self.inputs]
        files = names[0] if len(names) == 1 else f"{len(names):,} files"
        if len(names) <= 3:
            files = _listed(names)
        others = self.ours.groups.keys() - {one.name for one in self.inputs}
        return f"{files} and texts" if others else files

    @property
    def without_speed(self) -> str | None:
        """Why no speed is shown; None if one is."""
        if self.facts["seed"] is not None:
            return (
                "No speed is shown: the battery is made of odd strings, most of them short, and no "
                "text is like it"
            )
        measured = [self.ours, *self.references]
        if any(one.megabytes_per_second is not None for one in measured):
            return None
        size = "1 byte" if self.ours.encoded == 1 else f"{self.ours.encoded:,} bytes"
        return (
            f"No speed is shown for {size}: below {BYTES_TO_TIME:,} it would be that of the first "
            "calls, and not of the tokenizers"
        )

    @property
    def mismatches(self) -> int:
        """How many differences are unexplained."""
        return sum(one.total.mismatches for one in self.references)

    @property
    def explained(self) -> int:
        """How many differences are explained."""
        return sum(one.total.explained for one in self.references)

    @property
    def compared(self) -> int:
        """How many answers of references were compared."""
        return sum(one.compared for one in self.references)

    @property
    def failures(self) -> int:
        """How often a reference gave no ids."""
        return sum(one.total.failures for one in self.references)

    @property
    def unusable(self) -> list[ReferenceOutcome]:
        """The references that were asked for and gave nothing to compare with; all, if none did."""
        return [
            one for one in self.references if (one.named or not self.compared) and not one.compared
        ]

    @property
    def ok(self) -> bool:
        """Whether all that was asked for was compared, and all is equal or explained."""
        return self.compared > 0 and not self.unusable and self.mismatches == 0

    @property
    def verdict(self) -> str:
        """One line for people."""
        if not self.compared:
            return "nothing was compared"
        parts = ["1 comparison" if self.compared == 1 else f"{self.compared:,} comparisons"]
        if self.mismatches:
            verb = "differs" if self.mismatches == 1 else "differ"
            parts.append(f"{self.mismatches:,} {verb}, and nothing excuses it")
        elif self.explained:
            parts.append(f"all equal but {self.explained:,}, each shown to have a known cause")
        else:
            parts.append("all equal")
        if self.failures:
            times = "once" if self.failures == 1 else f"{self.failures:,} times"
            parts.append(f"references gave no ids {times}")
        return "; ".join(parts)


def vote(answers: list[tuple[str, bytes]]) -> tuple[list[list[str]], str]:
    """Who gives the same, the most first, and what the majority says of the others.

    `answers` are labels, ours among them, each with what it gave.
    """
    groups: dict[bytes, list[str]] = {}
    for label, given in answers:
        groups.setdefault(given, []).append(label)
    ordered = sorted(groups.values(), key=len, reverse=True)
    if len(ordered) == 1:
        return ordered, "all agree"
    if 2 * len(ordered[0]) <= len(answers):
        sides = " against ".join(_listed(group) for group in ordered)
        return ordered, f"no majority: {sides}"
    others = [label for group in ordered[1:] for label in group]
    agree = f"{_listed(ordered[0])} agree"
    if len(others) == 1:
        return ordered, f"{others[0]} is alone; {agree}"
    return ordered, f"{_listed(others)} differ from the majority; {agree}"


def _listed(labels: list[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    return f"{', '.join(labels[:-1])} and {labels[-1]}"
