"""A parity report as a page: what was compared, what came of it, and witnesses token by token."""

from llama3_tok.page import Page
from llama3_tok.report.outcome import Mismatch, Outcome, ReferenceOutcome

__all__ = ["page"]

# A page is for people: of long lists it has the beginning, and the JSON all.
_DIFFERENCES, _EXPLAINED, _ROWS = 20, 3, 200


def page(report: Outcome) -> str:
    """The report as HTML."""
    document = Page(report.title, report.verdict)
    document.heading("Result")
    _results(document, report)
    speeds = [
        (one.name, one.megabytes_per_second, one.version or "")
        for one in (report.ours, *report.references)
        if one.megabytes_per_second is not None
    ]
    if report.without_speed is None:
        document.bars(
            "Speed on these items, in each reference's own process (10^6 bytes a second)",
            speeds,
            "MB/s",
        )
    elif report.compared:
        document.note(f"{report.without_speed}.")
    for one in report.references:
        if one.mismatches or one.failures:
            _about(document, one)
    document.heading("What was compared")
    _compared(document, report)
    document.heading("How to do it again")
    document.facts(
        (name.replace("_", " "), value) for name, value in report.facts.items() if value is not None
    )
    return document.html()


def _results(document: Page, report: Outcome) -> None:
    """A row for us and for each reference; after them those without numbers, and why."""
    sums = ("items", "bytes", "tokens", "equal", "explained", "different", "failed")
    total, version = report.ours.total, report.facts["llama3_tok"]
    lines: list[list[str | int | float]] = [
        [f"llama3_tok {version}", total.items, total.bytes, total.tokens, *"----"]
    ]
    notes = []
    for one in report.references:
        total = one.total
        name = f"{one.name} {one.version or ''}".strip()
        if one.reason:
            notes.append((name, f"{one.status}: {one.reason}"))
        if total.items:
            numbers = (total.items, total.bytes, total.tokens, total.equal)
            lines.append([name, *numbers, total.explained, total.mismatches, total.failures])
    document.table(["", *sums], lines)
    if notes:
        document.facts(notes)
    causes = [
        (one.name, cause.name, count, cause.shown_by, "yes" if cause.excuses else "no")
        for one in report.references
        for cause, count in one.causes.items()
    ]
    if causes:
        document.table(
            ["reference", "cause", "items", "shown by", "excuse"],
            causes,
            "Causes of differences, each shown by an experiment",
        )


def _about(document: Page, one: ReferenceOutcome) -> None:
    document.heading(one.name)
    if one.failures:
        document.table(
            ["item", "failure", "what happened"],
            [(item, failure.kind, failure.reason) for item, failure in one.failures[:_ROWS]],
            f"Items without ids: {one.total.failures:,}",
        )
    for mismatch in _chosen(one):
        witness = mismatch.witness
        if witness is None:
            continue
        kind = "explained" if mismatch.explained else "different"
        causes = ", ".join(cause.name for cause in mismatch.causes)
        what = f"{kind}: {causes}" if causes else kind
        size = _count(witness.bytes, "byte")
        if len(witness.text) < witness.bytes:
            size += f", of which {len(witness.text):,} are shown"
        if not witness.questions:
            shrunk = f"Not shrunk: {size}."
        else:
            end = "nothing can be left out" if witness.minimal else "no further within its limits"
            shrunk = f"Shrunk to {size}, by {_count(witness.questions, 'question')}; {end}."
        document.tokens(f"{mismatch.item}: {what}", witness.text, witness.rows)
        document.note(
            f"{witness.verdict}. It begins at token {mismatch.token:,}, byte {mismatch.byte:,} of "
            f"the item. {shrunk}"
        )
    if one.mismatches:
        document.table(
            ["item", "token", "byte", "kind", "cause"],
            [
                (
                    mismatch.item,
                    mismatch.token,
                    mismatch.byte,
                    "explained" if mismatch.explained else "different",
                    ", ".join(cause.name for cause in mismatch.causes),
                )
                for mismatch in one.mismatches[:_ROWS]
            ],
            f"First divergence of {min(len(one.mismatches), _ROWS):,} of "
            f"{one.total.explained + one.total.mismatches:,} items",
        )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _chosen(one: ReferenceOutcome) -> list[Mismatch]:
    """What is shown in full: what nothing excuses, then some of each cause; the shortest first."""
    shown = [mismatch for mismatch in one.mismatches if mismatch.witness is not None]
    shown.sort(key=lambda mismatch: mismatch.witness.bytes if mismatch.witness else 0)
    chosen = [mismatch for mismatch in shown if not mismatch.explained][:_DIFFERENCES]
    count: dict[object, int] = {}
    for mismatch in shown:
        if mismatch.explained and count.get(mismatch.causes, 0) < _EXPLAINED:
            count[mismatch.causes] = count.get(mismatch.causes, 0) + 1
            chosen.append(mismatch)
    return chosen


def _compared(document: Page, report: Outcome) -> None:
    if report.inputs:
        document.table(
            ["file", "bytes", "items", "SHA-256", "cut"],
            [
                (one.name, one.bytes, one.items, one.sha256, "yes" if one.cut else "no")
                for one in report.inputs[:_ROWS]
            ],
            None if len(report.inputs) <= _ROWS else f"{_ROWS:,} of {len(report.inputs):,} files",
        )
        if any(one.cut for one in report.inputs):
            document.note(
                "A file that is cut was longer than one item: it is cut only where the pattern "
                "always cuts, so no ids depend on it."
            )
        return
    groups = report.ours.groups
    references = [one for one in report.references if one.groups]
    document.table(
        ["group", "items", "bytes", *(f"{one.name} equal" for one in references)],
        [
            (
                name,
                tally.items,
                tally.bytes,
                *(one.groups[name].equal if name in one.groups else "-" for one in references),
            )
            for name, tally in list(groups.items())[:_ROWS]
        ],
        "The built-in battery",
    )
