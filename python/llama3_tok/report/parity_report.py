"""`Parity`: what came of a run, as data, as JSON and as a page.

`Parity.to_json` gives the same as dictionaries, lists, strings and numbers, under the same names.
"""

import dataclasses
from typing import Any

from llama3_tok.report.outcome import Mismatch, Outcome, ReferenceOutcome
from llama3_tok.report.parity_page import page

__all__ = ["Parity"]


class Parity(Outcome):
    """A parity report."""

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "ok": self.ok,
            "compared": self.compared,
            "explained": self.explained,
            "mismatches": self.mismatches,
            "failures": self.failures,
            "facts": self.facts,
            "without_speed": self.without_speed,
            "inputs": [dataclasses.asdict(one) for one in self.inputs],
            "ours": _ours(self.ours) | self._speed(self.ours),
            "references": [_outcome(one) | self._speed(one) for one in self.references],
        }

    def _speed(self, one: ReferenceOutcome) -> dict[str, float | None]:
        speed = one.megabytes_per_second if self.without_speed is None else None
        return {"megabytes_per_second": speed}

    def to_html(self) -> str:
        """The report as one HTML page that needs nothing else."""
        return page(self)


def _outcome(one: ReferenceOutcome) -> dict[str, Any]:
    value = {
        entry.name: getattr(one, entry.name)
        for entry in dataclasses.fields(one)
        if entry.name not in ("groups", "causes", "mismatches", "failures", "total")
    }
    value["total"] = dataclasses.asdict(one.total)
    value["groups"] = {name: dataclasses.asdict(tally) for name, tally in one.groups.items()}
    value["causes"] = [
        {**dataclasses.asdict(cause), "items": count} for cause, count in one.causes.items()
    ]
    value["mismatches"] = [_mismatch(mismatch) for mismatch in one.mismatches]
    value["failures"] = [
        {"item": item, **dataclasses.asdict(failure)} for item, failure in one.failures
    ]
    return value


def _ours(one: ReferenceOutcome) -> dict[str, Any]:
    total = one.total
    return {
        "items": total.items,
        "bytes": total.bytes,
        "tokens": total.tokens,
        "seconds": one.seconds,
    }


def _mismatch(mismatch: Mismatch) -> dict[str, Any]:
    value = dataclasses.asdict(mismatch) | {"explained": mismatch.explained}
    value["causes"] = [cause.name for cause in mismatch.causes]
    if mismatch.witness is not None:
        text = mismatch.witness.text
        value["witness"]["text"] = text.decode("utf-8", "replace")
        value["witness"]["hex"] = text.hex()
    return value
