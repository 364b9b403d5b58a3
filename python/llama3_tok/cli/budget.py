"""`llama3-tok-budget`: do files fit into a budget of tokens? The hook for pre-commit runs it.

A command of its own, since pre-commit adds the names of files to what it runs. It is quiet if all
fits. It exits with 1 if something does not, and with 2 for wrong usage or a file that can't be
read.
"""

import argparse
import sys
from collections.abc import Sequence

from llama3_tok.cli.terminal import UNUSABLE, utf8
from llama3_tok.errors import Llama3TokError
from llama3_tok.profiles import PROFILES
from llama3_tok.text import files
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

__all__ = ["main", "parser"]

PROGRAM = "llama3-tok-budget"
OVER_BUDGET = 1
EXAMPLES = """\
examples:
  llama3-tok-budget --file 4000 prompts/*.md
  llama3-tok-budget --total 100000 docs src
  llama3-tok-budget --file 2000 --total 8000 AGENTS.md

exit codes: 0 if all fits; 1 if a file or the total is above its budget; 2 for wrong usage or a
file that can't be read"""


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Fail if files have more Llama 3 tokens than a budget allows.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="files, and folders for the text files in them, as git sees them",
    )
    made.add_argument("--file", metavar="N", type=_budget, help="a file may have N tokens")
    made.add_argument(
        "--total", metavar="N", type=_budget, help="all files together may have N tokens"
    )
    made.add_argument(
        "--vocabulary",
        metavar="VOCABULARY",
        type=utf8,
        help="a tokenizer.model, a tokenizer.json or a model folder (default: LLAMA3_TOK_VOCAB, "
        "then the installed llama-models)",
    )
    made.add_argument(
        "--profile", choices=PROFILES, help="the release whose special tokens are used"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Checks the files that `argv` names (default: the process's own) and gives the exit code."""
    taker = parser()
    given = taker.parse_args(argv)
    if given.file is None and given.total is None:
        taker.error("give --file N or --total N, or both")
    try:
        tokenizer = Tokenizer(given.vocabulary, profile=given.profile)
    except (Llama3TokError, OSError) as error:
        _say(str(error))
        return UNUSABLE
    status, total = 0, 0
    for path, totals in files.count(tokenizer, list(files.find(given.paths))):
        if isinstance(totals, files.Fault):
            _say(str(totals))
            status = UNUSABLE
        elif isinstance(totals, files.Totals):
            total += totals.tokens
            if given.file is not None and totals.tokens > given.file:
                _say(f"{path}: {_above(totals.tokens, given.file)} for a file")
                status = status or OVER_BUDGET
    if given.total is not None and total > given.total:
        _say(f"all files together: {_above(total, given.total)}")
        status = status or OVER_BUDGET
    return status


def _above(tokens: int, budget: int) -> str:
    noun = "token" if tokens == 1 else "tokens"
    return f"{tokens:,} {noun}, {tokens - budget:,} more than the budget of {budget:,}"


def _say(message: str) -> None:
    sys.stderr.write(f"{escaped(message)}\n")


def _budget(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 100):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of tokens")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
