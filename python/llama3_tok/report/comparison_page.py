"""The page of a comparison: the figures first, then the tokens, then what explains them."""

from collections.abc import Callable, Sequence

from llama3_tok.page import Page, Token, TokenRow
from llama3_tok.page.marks import text_of
from llama3_tok.page.page import Cell
from llama3_tok.report import languages
from llama3_tok.report.causes import MEANINGS
from llama3_tok.report.counts import Counts
from llama3_tok.report.figures import Figures
from llama3_tok.report.llama2 import Row
from llama3_tok.report.tally import Excerpt, Pair

__all__ = ["page", "ratio", "summary", "token_rows"]

TOP = 10
_PAGE_TOKENS = 40_000
"""Tokens of both rows in all excerpts of a page; one excerpt is shown in any case."""
_ROWS = 500
"""Files in the table of a page: the JSON has all."""
LLAMA3, LLAMA2 = "Llama 3", "Llama 2"
_ON_PAGE = ("tokenizer", "tokens", "bytes per token", "characters per token")


def page(comparison: Figures) -> Page:
    """The page, to which more may be added."""
    document = Page(_title(comparison), summary(comparison))
    document.heading("Counts")
    _counts(document, comparison)
    if not comparison.files:
        # Whoever gives one text wants to see it; of files the answers come first.
        _excerpts(document, comparison)
    if comparison.causes:
        document.heading("Why they differ")
        _causes(document, comparison)
    if comparison.scripts:
        document.heading("By script")
        _scripts(document, comparison)
    if comparison.languages:
        document.heading("By language")
        _languages(document, comparison)
    if comparison.files:
        document.heading("By file")
        _files(document, comparison)
    if comparison.gains or comparison.losses:
        document.heading("Strings that gain and lose most")
        _strings(document, comparison)
    document.heading("Context and cost")
    _windows(document, comparison)
    document.heading("What differs whatever the text")
    document.table(["", LLAMA3, LLAMA2], comparison.rules)
    if comparison.files:
        _excerpts(document, comparison)
    document.heading("About this page")
    _about(document, comparison)
    return document


def _title(comparison: Figures) -> str:
    files = comparison.files
    what = f"{len(files):,} files" if len(files) > 1 else "".join(each.path for each in files)
    return f"Llama 3 beside Llama 2: {what}" if what else "Llama 3 beside Llama 2"


def summary(comparison: Figures) -> str:
    """The result in one sentence."""
    total = comparison.total
    if total.ratio is None:
        return "The text is empty."
    return (
        f"{total.llama3:,} tokens in Llama 3 and {total.llama2:,} in Llama 2, which needs "
        f"{ratio(total)} tokens for each of Llama 3's."
    )


def ratio(counts: Counts) -> str:
    """Tokens of Llama 2 for one of Llama 3."""
    return "-" if counts.ratio is None else f"{counts.ratio:.2f}"


def _counts(document: Page, comparison: Figures) -> None:
    total = comparison.total
    document.facts(
        [
            ("bytes", total.bytes),
            ("characters", total.characters),
            ("texts", comparison.texts),
            ("Llama 2's tokens of one byte", comparison.byte_tokens),
            ("of them line breaks", comparison.newlines),
        ]
    )
    document.table(
        _ON_PAGE,
        [
            (name, tokens, _quotient(total.bytes, tokens), _quotient(total.characters, tokens))
            for name, tokens in ((LLAMA3, total.llama3), (LLAMA2, total.llama2))
        ],
    )
    speeds = [total.bytes / 1e6 / seconds if seconds else 0.0 for seconds in comparison.seconds]
    if total.bytes >= 1_000_000:
        document.bars(
            "Encoding, measured in this run, one thread each",
            [(LLAMA3, speeds[0], ""), (LLAMA2, speeds[1], "through sentencepiece")],
            "MB/s",
        )


def _quotient(part: int, tokens: int) -> Cell:
    return f"{part / tokens:.2f}" if tokens else "-"


def _excerpts(document: Page, comparison: Figures) -> None:
    """As many as a browser lays out without delay, and how many are left out."""
    if not comparison.excerpts:
        return
    document.heading("Token by token")
    tokens, shown = 0, 0
    for path, excerpt in comparison.excerpts:
        tokens += len(excerpt.llama3.ids) + len(excerpt.llama2.ids)
        if shown and tokens > _PAGE_TOKENS:
            break
        _excerpt(document, comparison, path or "The text", excerpt)
        shown += 1
    if left := max(len(comparison.files), len(comparison.excerpts)) - shown:
        files = "1 more file" if left == 1 else f"{left:,} more files"
        document.note(f"The beginnings of {files} are not shown here.")


def _excerpt(document: Page, comparison: Figures, caption: str, excerpt: Excerpt) -> None:
    notes = {
        at: "; ".join(f"{cause}: {MEANINGS[cause]}" for cause in causes)
        for at, causes in excerpt.notes.items()
    }
    document.tokens(caption, excerpt.text, token_rows(comparison, excerpt), notes=notes)


def token_rows(comparison: Figures, excerpt: Excerpt) -> list[TokenRow]:
    """Both rows of an excerpt."""
    tokens, llama2 = comparison.tokenizer.token_bytes, comparison.llama2
    return [
        _row(LLAMA3, excerpt.llama3, lambda id: text_of(tokens(id)), lambda _: ""),
        _row(LLAMA2, excerpt.llama2, llama2.piece, lambda id: "fallback" * llama2.is_byte(id)),
    ]


def _row(label: str, row: Row, piece: Callable[[int], str], kind: Callable[[int], str]) -> TokenRow:
    spans = zip(row.ids.tolist(), row.starts.tolist(), row.ends.tolist(), strict=True)
    return TokenRow(label, [Token(start, end, id, piece(id), kind(id)) for id, start, end in spans])


def _causes(document: Page, comparison: Figures) -> None:
    document.note(
        "Each cut that one row has and the other has not is counted under one cause, which was "
        "shown at that place: by what is in the two vocabularies, or by encoding the place again "
        "without the rule that is blamed."
    )
    document.table(
        ["cause", "Llama 2 has more", "Llama 3 has more", "what it means", "as in"],
        [
            (
                each.cause,
                each.llama2,
                each.llama3,
                MEANINGS[each.cause],
                "  ".join(quoted(pair.text) for pair, _ in each.examples[:3]),
            )
            for each in comparison.causes
        ],
    )


def quoted(text: bytes) -> str:
    """A string in quotation marks."""
    return f"“{text_of(text)}”"


def _scripts(document: Page, comparison: Figures) -> None:
    note = "A token has the script of its first letter."
    _shares(document, "script", comparison.scripts, note)


def _languages(document: Page, comparison: Figures) -> None:
    named = [(languages.name(code), counts) for code, counts in comparison.languages]
    note = (
        "Told line by line by py3langid, where it is rather sure; program text mostly is not told. "
        "A token has the language of the line in which it begins."
    )
    _shares(document, "language", named, note)


def _shares(document: Page, kind: str, rows: Sequence[tuple[str, Counts]], note: str) -> None:
    """What each kind of text costs, as bars and as a table."""
    shown = [
        (name, {LLAMA3: _per(counts.llama3, counts), LLAMA2: _per(counts.llama2, counts)})
        for name, counts in rows
        if counts.characters
    ]
    document.bars("Tokens for 100 characters", shown[:TOP], "")
    document.table(
        [kind, "characters", LLAMA3, LLAMA2, "ratio"],
        [
            (name, counts.characters, counts.llama3, counts.llama2, ratio(counts))
            for name, counts in rows
        ],
        note,
    )


def _per(tokens: int, counts: Counts) -> float:
    return 100 * tokens / counts.characters


def _files(document: Page, comparison: Figures) -> None:
    document.bars(
        "Tokens for 100 characters",
        [
            (
                each.path,
                {
                    LLAMA3: _per(each.counts.llama3, each.counts),
                    LLAMA2: _per(each.counts.llama2, each.counts),
                },
            )
            for each in comparison.files[:TOP]
            if each.counts.characters
        ],
        "",
    )
    document.table(
        ["file", "bytes", LLAMA3, LLAMA2, "ratio"],
        [
            (
                each.path,
                each.counts.bytes,
                each.counts.llama3,
                each.counts.llama2,
                ratio(each.counts),
            )
            for each in comparison.files[:_ROWS]
        ],
        None if len(comparison.files) <= _ROWS else f"{_ROWS:,} of {len(comparison.files):,} files",
    )
    document.table(
        ["type", "files", "bytes", LLAMA3, LLAMA2, "ratio"],
        [
            (name, number, counts.bytes, counts.llama3, counts.llama2, ratio(counts))
            for name, number, counts in comparison.types
        ],
        "By file type, told by the name.",
    )


def _strings(document: Page, comparison: Figures) -> None:
    if comparison.forgot:
        document.note(
            "There were too many strings to count each: the frequencies are at least these."
        )
    for caption, strings in (
        ("Llama 3 needs fewer tokens", comparison.gains),
        ("Llama 3 needs more tokens", comparison.losses),
    ):
        if strings:
            document.table(
                ["string", "times", LLAMA3, LLAMA2, "tokens in all"],
                [_string(pair, times) for pair, times in strings],
                caption,
            )


def _string(pair: Pair, times: int) -> tuple[Cell, ...]:
    difference = times * (len(pair.llama3) - len(pair.llama2))
    return quoted(pair.text), times, len(pair.llama3), len(pair.llama2), difference


def _windows(document: Page, comparison: Figures) -> None:
    document.table(
        ["context of", "tokens", "characters of such text that fit", "contexts for this text"],
        [
            (
                each["model"],
                each["tokens"],
                "-" if each["characters"] is None else each["characters"],
                each["windows"],
            )
            for each in comparison.windows
        ],
    )
    costs, prices = comparison.costs, comparison.prices
    if costs and prices:
        document.table(
            ["", "price of a million tokens", "this text"],
            [
                (name, f"{price:g}", f"{costs[key]:.6g}")
                for name, price, key in (
                    (LLAMA3, prices[0], "llama3"),
                    (LLAMA2, prices[1], "llama2"),
                )
            ],
        )


def _about(document: Page, comparison: Figures) -> None:
    versions = comparison.versions
    document.facts(
        [
            ("llama3_tok", versions["llama3_tok"]),
            ("profile", versions["profile"]),
            ("Unicode", versions["unicode"]),
            ("Python", versions["python"]),
            ("processor", versions["processor"]),
            ("SHA-256 of Llama 3's vocabulary", versions["llama3_sha256"]),
            ("SHA-256 of Llama 2's model", versions["llama2_sha256"]),
        ]
    )
