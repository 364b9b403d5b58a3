"""Tables from a result: the whole of it for the terminal, a short one for docs/encoding.md."""

from collections.abc import Iterator

import against
import matrix
from goals import REACHED, TOLD, verdicts
from result import Results, speed
from run import MEGABYTE, OURS
from tables import DIFFERS, cell, left_table, table

TITLES = {
    "unseen": "Unseen documents, one thread, MB/s",
    "again": "The same documents again, one thread, MB/s",
    "whole": "One whole file, one thread, MB/s",
    "list": "`list[int]`, documents, one thread, MB/s",
    "count": "Counting documents, one thread, MB/s",
    "decode bytes": "Ids to bytes, one thread, MB/s",
    "decode text": "Ids to text, one thread, MB/s",
    "batch": "A batch of short documents, all cores, MB/s",
    "files": "Files, all cores, first pass, MB/s",
    "files again": "Files, all cores, again, MB/s",
    "small": "Small inputs, a call",
    "small, transformers": "Small inputs through the interface of transformers, a call",
    "batch, transformers": "16 texts through the interface of transformers, a call",
    "decode, transformers": "Ids to text through the interface of transformers, a call",
    "decode one": "`decode([id])`, a call",
    "decode one, transformers": "`decode([id])` through the interface of transformers, a call",
}
BY_PEER = {
    "cold": "Cold start: the first text of a fresh process, loading apart",
    "threads": "A batch of documents on one processor, on two, on all, MB/s",
}


MEMORY = {
    "loaded": "resident, loaded",
    "growth, 10 KB": "after 10 KB",
    "growth, one thread": "after all texts",
    "allocated, results held": "malloc, results",
    "allocated, results gone": "malloc, left",
}
ALLOCATED = (
    "Resident memory is what loading adds, then what encoding adds to that. malloc is what glibc's "
    "allocator has handed out (`mallinfo2`) for the results of the first text: arrays, and what C "
    "and Rust hold; not Python's small objects, nor what a library's own allocator has."
)


def full(results: Results) -> str:
    """Everything, in sections."""
    return "\n\n".join(section for section in _sections(results) if section)


def _sections(results: Results) -> Iterator[str]:
    yield heading(results)
    yield from against.sections(results)
    yield "## What this project must reach\n\n" + goals_table(results)
    for case, title in TITLES.items():
        if results.texts(case):
            yield f"## {title}\n\n{case_table(results, case)}"
    for case, title in BY_PEER.items():
        if results.texts(case):
            yield f"## {title}\n\n{matrix.by_peer(results, case)}"
    yield matrix.scaling(results)
    yield matrix.languages(results)
    if results.texts("worst"):
        size = results.of("worst")[0]["bytes"] / MEGABYTE
        title = f"## The worst inputs, {size:g} MB each, one thread, MB/s"
        yield f"{title}\n\n{worst_table(results)}"
    yield load_table(results)
    yield notes(results)


def heading(results: Results) -> str:
    """Machine, versions and corpora."""
    stored = results.stored
    machine = stored["machine"]
    versions = [f"{name} {peer['version']}" for name, peer in stored["peers"].items()]
    absent = [f"{name}: {reason}" for name, reason in stored["absent"].items()]
    sizes = [f"{level} {size}" for level, size in machine.get("caches", {}).items()]
    caches = f" ({', '.join(sizes)})" if sizes else ""
    files = [
        [corpus["name"], f"{corpus['bytes']:,}", f"`{corpus['sha256']}`"]
        for corpus in stored["corpora"]
    ]
    return "\n".join(
        [
            f"{stored['date']}, commit {stored['commit']}, `{stored['command']}`",
            f"{machine['processor']}, {machine['cores']} cores{caches}, Python {machine['python']}",
            ", ".join(versions),
            *(f"absent: {line}" for line in absent),
            "",
            table(["corpus", "bytes", "SHA-256"], files),
        ]
    )


def goals_table(results: Results) -> str:
    """Each row of the goals with its verdict."""
    rows = [
        [v.what, v.must, v.measured, v.state if v.state in (REACHED, TOLD) else f"**{v.state}**"]
        for v in verdicts(results)
    ]
    return left_table(["what", "must be", "measured", "verdict"], rows)


def case_table(results: Results, case: str) -> str:
    """One line for each way, one column for each text."""
    texts = results.texts(case)
    ways = dict.fromkeys((record["peer"], record["way"]) for record in results.of(case))
    rows = []
    for peer, way in ways:
        if way:
            found = [results.best(case, text, peer, way, delivered=False) for text in texts]
            rows.append([f"{peer} `{way}`", *map(cell, found)])
    return table(["", *texts], rows)


def worst_table(results: Results) -> str:
    """One line for each input, one column for each peer."""
    names = [name for name in results.names if results.of("worst", peer=name)]
    rows = []
    for text in results.texts("worst"):
        row = [cell(results.best("worst", text, name)) for name in names]
        rows.append([text, *row, cell(results.best("worst, four times", text, OURS))])
    return table(["", *names, "ours, 4 times"], rows)


def load_table(results: Results) -> str:
    """Loading and memory."""
    columns = [("import", ""), ("load", ""), *(("memory", text) for text in MEMORY)]
    rows = []
    for name in results.names:
        found = []
        for case, text in columns:
            values = [record for record in results.of(case, text, name) if "value" in record]
            found.append(speed(values[0]) if values else "-")
        if found != ["-"] * len(columns):
            rows.append([name, *found])
    if not rows:
        return ""
    header = ["", "import", "load", *MEMORY.values()]
    return "## Loading and memory\n\n" + table(header, rows) + "\n\n" + ALLOCATED


def notes(results: Results) -> str:
    """Whose ids differ where, who failed, and who turns text into special tokens."""
    lines = []
    for record in results.records:
        place = f"{record['case']}, {record['text']}" if record["text"] else record["case"]
        if record["case"] == "special" and record["equal"] is False:
            lines.append(f"{record['peer']}: turns names of special tokens in text into their ids")
        elif record["failure"]:
            lines.append(f"{record['peer']}: {place}: {record['failure']}")
        elif record["equal"] is False:
            texts = f"{record.get('differing', '?')} of {record.get('texts', '?')} texts"
            lines.append(f"{record['peer']} `{record['way']}`: {place}: ids differ in {texts}")
    return (
        "\n".join(["## Notes", "", *(f"- {line}" for line in dict.fromkeys(lines))])
        if lines
        else ""
    )


def summary(results: Results) -> str:
    """The table of docs/encoding.md: unseen documents, the same again, loading."""
    header = ["MB/s, one thread, ids as NumPy"]
    header += results.corpora + [f"{text}, again" for text in results.corpora] + ["load"]
    rows = []
    for name in results.names:
        found = [results.best("unseen", text, name) for text in results.corpora]
        found += [results.best("again", text, name) for text in results.corpora]
        loaded = results.best("load", "", name)
        if any(found) or loaded:  # an interface that is compared elsewhere has neither
            rows.append([name, *map(cell, found), speed(loaded) if loaded else "-"])
    marked = any(DIFFERS in text for row in rows for text in row)
    note = f"\n\n{DIFFERS} its ids differ from tiktoken's on this text." if marked else ""
    return table(header, rows) + note
