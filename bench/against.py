"""Two commits of this project side by side: one row for each way that both were measured in."""

import statistics
from collections.abc import Iterator

from result import Results, ratio, speed
from run import Record
from tables import DIFFERS, table

HEADER = ["case", "text", "way", "now", "then", "now / then", "rounds"]


def sections(results: Results) -> Iterator[str]:
    """One table for each other commit."""
    for name in results.names:
        base, at, _ = name.partition("@")
        rows = list(_rows(results, base, name)) if at else []
        if rows:
            title = f"## {base} beside {name}"
            yield "\n\n".join([title, _told(results, base, name), table(HEADER, rows)])


def _told(results: Results, base: str, name: str) -> str:
    now, then = results.stored["peers"].get(base, {}), results.stored["peers"][name]
    cores = now.get("core"), then.get("core")
    same = " The compiled cores are the same." if cores[0] and cores[0] == cores[1] else ""
    return (
        f"Then: commit {then.get('commit', '?')}. Above 1 is faster or smaller now; the ratio is "
        f"the median of the rounds' own, the last column their least and most.{same}"
    )


def _rows(results: Results, base: str, name: str) -> Iterator[list[str]]:
    theirs = {_key(record): record for record in results.records if record["peer"] == name}
    for ours in results.records:
        then = theirs.get(_key(ours))
        if ours["peer"] == base and then and "value" in ours and "value" in then:
            times, spread = compared(ours, then)
            yield [ours["case"], ours["text"], ours["way"], _cell(ours), _cell(then), times, spread]


def _key(record: Record) -> tuple[str, str, str]:
    return record["case"], record["text"], record["way"]


def _cell(record: Record) -> str:
    return speed(record) + (f" {DIFFERS}" if record["equal"] is False else "")


def compared(ours: Record, then: Record) -> tuple[str, str]:
    """How many times as fast or as small it is now; the least and the most of the rounds."""
    if not ours["samples"] or not then["samples"]:
        return (f"{then['value'] / ours['value']:.3f}" if ours["value"] > 0 else "-"), ""
    pairs = zip(ours["samples"], then["samples"], strict=False)
    rounds = [their / our for our, their in pairs]
    median = ratio(ours, then) if len(rounds) > 1 else statistics.median(rounds)
    return f"{median:.3f}", f"{min(rounds):.2f} to {max(rounds):.2f}"
