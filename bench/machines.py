"""Several results side by side: one column for each machine."""

from collections.abc import Sequence

from goals import REACHED, TOLD, UNKNOWN, verdicts
from result import Results, ratio, speed
from run import OURS
from tables import cell, left_table, table

PASSES = {"unseen": "unseen", "again": "again"}


def names(results: Sequence[Results]) -> list[str]:
    """What each machine is called: its processor; with the date where two have the same."""
    found = [name_of(one) for one in results]
    return [
        f"{name}, {one.stored['date'][:10]}" if found.count(name) > 1 else name
        for name, one in zip(found, results, strict=True)
    ]


def name_of(one: Results) -> str:
    """The processor and how many of its cores there are."""
    machine = one.stored["machine"]
    return f"{machine['processor']}, {machine['cores']} cores"


def full(results: Sequence[Results]) -> str:
    """Where each result was made, the goals, and the guide's table."""
    return "\n\n".join(
        [
            "\n".join(made(results)),
            "## What this project must reach\n\n" + goals_table(results),
            "## Speed\n\n" + summary(results),
        ]
    )


def made(results: Sequence[Results]) -> list[str]:
    """A line for each machine: when, of which commit, by which command, beside whom."""
    lines = []
    for name, one in zip(names(results), results, strict=True):
        stored = one.stored
        peers = ", ".join(f"{peer} {about['version']}" for peer, about in stored["peers"].items())
        lines.append(
            f"- {name}: {stored['date'][:10]}, commit {stored['commit'][:7]}, Python "
            f"{stored['machine']['python']}, `{stored['command']}`; {peers}"
        )
    return lines


def goals_table(results: Sequence[Results]) -> str:
    """Each row of the goals, what was measured on each machine, and whether it is enough."""
    rows: dict[tuple[str, str], list[str]] = {}
    for at, one in enumerate(results):
        for verdict in verdicts(one):
            row = rows.setdefault((verdict.what, verdict.must), ["-"] * len(results))
            state = verdict.state
            if state == UNKNOWN:
                row[at] = f"{verdict.measured}; {state}" if verdict.measured else state
            elif state in (REACHED, TOLD):
                row[at] = verdict.measured
            else:
                row[at] = f"{verdict.measured}, **{state}**"
    header = ["what", "must be", *names(results)]
    return left_table(header, [[*key, *row] for key, row in rows.items()])


def summary(results: Sequence[Results]) -> str:
    """The table of docs/encoding.md: MB/s on each text, beside the fastest exact peer."""
    texts = dict.fromkeys(text for one in results for text in one.corpora)
    rows = [
        [f"{text}, {word}", *(_beside(one, case, text) for one in results)]
        for case, word in PASSES.items()
        for text in texts
    ]
    loads = [one.best("load", "", OURS) for one in results]
    rows.append(["load", *(speed(record) if record else "-" for record in loads)])
    header = ["MB/s, one thread, ids as NumPy; x the fastest exact peer", *names(results)]
    return table(header, rows)


def _beside(one: Results, case: str, text: str) -> str:
    ours, theirs = one.best(case, text, OURS), one.rival(case, text)
    if ours is None:
        return "-"
    if theirs is None:
        return cell(ours)
    return f"{cell(ours)}, {ratio(ours, theirs):.2f}x {theirs['peer']}"
