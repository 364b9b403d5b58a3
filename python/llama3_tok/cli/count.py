"""`llama3-tok count`: how many tokens texts, files and folders have."""

import argparse
from collections.abc import Iterator

from llama3_tok.cli import count_arguments, count_output
from llama3_tok.cli.count_given import Given, given
from llama3_tok.cli.progress import progress_bar
from llama3_tok.cli.terminal import UNUSABLE, complain, tokenizer
from llama3_tok.text import files
from llama3_tok.text.files import Counted, Fault, How, Totals
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Count tokens, exactly."
EXAMPLES = """\
  llama3-tok count prompt.txt
  llama3-tok count -t 'Hello world'
  llama3-tok count --long src -g '*.py'
  llama3-tok count --by language --sort tokens .
  llama3-tok count --tree src
  git ls-files -z | llama3-tok count --files-from - -0 --top 10
  llama3-tok count --field text corpus.jsonl.zst
  git diff | llama3-tok count --budget 8000 && echo fits
  llama3-tok count --messages chats.jsonl --max 8192 --list

exit codes: 0; 1 if the total is above the budget, with --each a file or a record, or a conversation
above --max; 2 if a file or a line can't be read"""

OVER_BUDGET = 1

arguments = count_arguments.add


def run(arguments: argparse.Namespace) -> int:
    """Counts, prints, and says with the exit code how it went."""
    if arguments.messages or arguments.sharegpt:
        from llama3_tok.cli import count_messages

        return count_messages.run(arguments)
    count_arguments.check(arguments)
    what = given(arguments)
    counting = _Run(arguments, tokenizer(arguments), what)
    count_output.show(arguments, counting, what)
    if arguments.paths and not (what.sources or what.texts):
        complain("note: no file matches")
    return _status(counting, arguments)


class _Run:
    """One run over files: gives a row for each as it is counted, and keeps the sums.

    What is wrong is said on standard error at once, and what was left out at the end.
    """

    def __init__(self, arguments: argparse.Namespace, encoder: Tokenizer, what: Given) -> None:
        self.total = Totals()
        self.files = 0
        self.faults = 0
        self.skipped = {"binary": 0, "utf-16": 0, "unreadable": 0}
        """Files that are in no sum, by the reason."""
        self.largest = (-1, "")
        """The tokens of the largest file, or with a budget for each record of the largest record,
        and where they are."""
        self.above = 0
        """Files, or with `--field` records, that are above the budget for each."""
        self._arguments, self._encoder, self._what = arguments, encoder, what
        self._each: int | None = arguments.budget if arguments.each else None
        self._how = How(
            field=arguments.field,
            bos=arguments.bos,
            decodes_utf16=arguments.decode,
            skips=arguments.on_error == "skip",
            limit=self._each,
            max_bytes=arguments.max_bytes or None,
            max_ratio=arguments.max_ratio or None,
        )

    def __iter__(self) -> Iterator[tuple[str, Totals]]:
        """The path of each file, or the text that was given, and its totals."""
        for text in self._what.texts:
            totals = _text_totals(self._encoder, text, self._how)
            self._add(text, totals, is_file=False)
            yield text, totals
        with progress_bar(lambda: files.stored_bytes(self._what.sources)) as bar:
            for path, counted in self._counts(bar):
                if isinstance(counted, Totals):
                    self._add(path, counted, is_file=True)
                    yield path, counted
                elif isinstance(counted, Fault):
                    self.faults += 1
                    self.skipped["unreadable"] += 1
                    complain(str(counted))
                else:
                    self.skipped[counted] += 1
        self._say_what_was_skipped()

    def _counts(self, bar: "files.Progress | None") -> Iterator[tuple[str, Counted]]:
        sources, threads = self._what.sources, self._arguments.threads
        if self._arguments.cache:
            from llama3_tok.cli.count_cache import counted

            return counted(self._encoder, sources, self._how, threads=threads, progress=bar)
        return files.count(self._encoder, sources, self._how, threads=threads, progress=bar)

    def _add(self, path: str, totals: Totals, *, is_file: bool) -> None:
        self.files += is_file
        self.total.add(totals)
        if totals.invalid_utf8:
            reason = "warning: not all of it is UTF-8; counted as is"
            if is_file and not self._how.decodes_utf16 and files.is_utf16(path):
                reason = "warning: this is UTF-16, counted as bytes; --decode counts its text"
            complain(str(Fault(path, reason)))
        if totals.first_skipped is not None:
            line, reason = totals.first_skipped
            if totals.skipped == 1:
                complain(str(Fault(path, f"skipped: {reason}", line)))
            else:
                first = f"{totals.skipped} lines were skipped, the first is line {line}: {reason}"
                complain(str(Fault(path, first)))
        tokens, place = totals.tokens, path
        if self._each is not None:
            if self._how.field is None:
                self.above += tokens > self._each
            else:
                self.above += totals.above
                tokens, place = totals.longest, f"{path}, line {totals.longest_line}"
        if tokens > self.largest[0]:
            self.largest = tokens, place

    def _say_what_was_skipped(self) -> None:
        parts = [
            f"{number} {what}"
            for what, number in (
                ("binary", self.skipped["binary"]),
                ("UTF-16 (--decode counts them)", self.skipped["utf-16"]),
                ("unreadable", self.skipped["unreadable"]),
            )
            if number
        ]
        skipped = sum(self.skipped.values())
        # A single file that can't be read was named already.
        if skipped > self.skipped["unreadable"] or skipped > 1:
            named = "1 file was" if skipped == 1 else f"{skipped} files were"
            complain(f"{named} skipped: {', '.join(parts)}")


def _text_totals(encoder: Tokenizer, text: str, how: How) -> Totals:
    """Those of a text on the command line, whose bytes may not be UTF-8."""
    data = text.encode("utf-8", "surrogateescape")
    tokens = encoder.count(data, bos=how.bos)
    is_utf8 = not any("\udc80" <= character <= "\udcff" for character in text)
    return Totals(1, tokens, len(data), len(text), not is_utf8)


def _status(run: _Run, arguments: argparse.Namespace) -> int:
    status, budget = 0, arguments.budget
    tokens, place = run.largest
    named = f"the largest is {escaped(place)}, with {_tokens(tokens)}"
    if arguments.each:
        if run.above:
            one, several = ("record", "records") if arguments.field else ("file", "files")
            shown = f"1 {one} is" if run.above == 1 else f"{run.above} {several} are"
            complain(f"{shown} above the budget of {budget}; {named}")
            status = OVER_BUDGET
    elif budget is not None and run.total.tokens > budget:
        excess = run.total.tokens - budget
        largest = f"; {named}" if run.files > 1 else ""
        complain(f"{_tokens(run.total.tokens)}, {excess} more than the budget of {budget}{largest}")
        status = OVER_BUDGET
    return UNUSABLE if run.faults or run.total.skipped else status


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"
