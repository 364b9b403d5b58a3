"""The tables of languages, of threads and of cold starts."""

from result import Results, ratio, speed
from run import OURS, Record
from tables import cell, table

HEADER = ["", "unseen", "peer", "ratio", "again", "peer", "ratio"]
HEADER += ["decode", "peer", "ratio", "memory", "peer", "allocated", "peer"]


def languages(results: Results) -> str:
    """One line for each language: this project, its fastest exact peer, and the ratio."""
    rows = []
    for text in results.texts("language"):
        row = [text]
        for case in ("language", "language again", "language decode"):
            ours, theirs = results.best(case, text, OURS), results.rival(case, text)
            times = f"{ratio(ours, theirs):.2f}" if ours and theirs else "-"
            row += [cell(ours), named(theirs), times]
        for case in ("language memory", "language allocated"):
            peers = [record for record in results.of(case, text) if "value" in record]
            ours = next((record for record in peers if record["peer"] == OURS), None)
            theirs = next((record for record in peers if record["peer"] != OURS), None)
            row += [speed(ours) if ours else "-", speed(theirs) if theirs else "-"]
        rows.append(row)
    if not rows:
        return ""
    told = "MB/s of one thread, in a process that serves all of them; the fastest exact peer; what "
    told += "stays in memory after one language alone, and what malloc has handed out for its ids."
    parts = ["## Languages", told, table(HEADER, rows), languages_by_threads(results)]
    return "\n\n".join([*filter(None, parts), sources(results)])


def languages_by_threads(results: Results) -> str:
    """One line for each language, one column for each number of threads: MB/s of this project."""
    speeds: dict[str, dict[str, str]] = {}
    for text in results.texts("language threads"):
        language, _, number = text.rpartition(", ")
        speeds.setdefault(language, {})[number] = cell(results.best("language threads", text, OURS))
    numbers = list(dict.fromkeys(number for found in speeds.values() for number in found))
    rows = [
        [language, *(found.get(number, "-") for number in numbers)]
        for language, found in speeds.items()
    ]
    return table(["a batch of documents, MB/s", *numbers], rows) if rows else ""


def sources(results: Results) -> str:
    """Where the texts of the languages are from."""
    kinds: dict[str, int] = {}
    for corpus in results.stored.get("languages", []):
        kind = corpus["source"].lstrip("0123456789 ")
        kinds[kind] = kinds.get(kind, 0) + 1
    return "Texts: " + ", ".join(f"{number} of {kind}" for kind, number in kinds.items()) + "."


def named(record: Record | None) -> str:
    """A speed and whose it is."""
    return "-" if record is None else f"{cell(record)} {record['peer']}"


def by_peer(results: Results, case: str) -> str:
    """One line for each text, one column for each peer's fastest way."""
    names = [name for name in results.names if results.of(case, peer=name)]
    rows = [
        [text, *(cell(results.best(case, text, name, delivered=False)) for name in names)]
        for text in results.texts(case)
    ]
    return table(["", *names], rows)


def scaling(results: Results) -> str:
    """How many times as fast more threads are than one."""
    names = [name for name in results.names if results.of("threads", peer=name)]
    rows = []
    for text in results.texts("threads"):
        corpus, _, number = text.rpartition(", ")
        if number == "1 thread":
            continue
        row = [text]
        for name in names:
            one = results.best("threads", f"{corpus}, 1 thread", name)
            more = results.best("threads", text, name)
            row.append(f"{ratio(more, one):.2f}" if one and more else "-")
        rows.append(row)
    return table(["times one thread", *names], rows) if rows else ""
