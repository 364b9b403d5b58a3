"""What `llama3-tok count` takes."""

import argparse

from llama3_tok.cli.terminal import UsageError, add_max_ratio, utf8, whole

__all__ = ["add", "check"]

GROUPS = ("directory", "extension", "language")
SORTS = ("tokens", "bytes", "characters", "path")


def add(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="files, .gz and .zst as well; folders, for the text files in them (links are not "
        "followed); - for standard input, which is also the default",
    )
    parser.add_argument(
        "-t",
        "--text",
        dest="texts",
        metavar="TEXT",
        action="append",
        default=[],
        help="count this text; may be repeated",
    )
    parser.add_argument(
        "--files-from",
        metavar="FILE",
        help="also the files and folders that FILE names, one on each line; - is standard input",
    )
    parser.add_argument(
        "-0", "--null", action="store_true", help="a NUL ends each name in --files-from"
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_at_least_one,
        help="count on at most N threads (default: all processors)",
    )
    form = parser.add_argument_group("output")
    form.add_argument(
        "--long", action="store_true", help="also bytes, characters and bytes per token"
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line; the last one of several has the sums as its total; for "
        "scripts, since any name is right in it: without it names are written as they are in a "
        "pipe, also those with line breaks",
    )
    form.add_argument("--no-total", action="store_true", help="without the sums of all files")
    groups = form.add_mutually_exclusive_group()
    groups.add_argument(
        "--by",
        choices=GROUPS,
        help="a line for each directory, extension or language; the columns are tokens, with "
        "--long bytes, characters and bytes per token, then files, and the name",
    )
    groups.add_argument(
        "--summary",
        dest="by",
        action="store_const",
        const="extension",
        help="the same as --by extension",
    )
    groups.add_argument(
        "--tree", action="store_true", help="the folders as a tree, with the tokens of each"
    )
    form.add_argument(
        "--sort",
        choices=SORTS,
        help="the largest first, or with path by name (default: files as they are found, groups "
        "by name)",
    )
    form.add_argument(
        "--top",
        metavar="N",
        type=_at_least_one,
        help="only the N largest; the sums are of all",
    )
    what = parser.add_argument_group("what is counted")
    what.add_argument(
        "--field",
        type=utf8,
        help="the files are JSONL: count this field of each record; a.b is the field b of a",
    )
    what.add_argument(
        "--bos",
        action="store_true",
        help="add <|begin_of_text|>, one for each file or with --field for each record",
    )
    what.add_argument(
        "--budget",
        metavar="N",
        type=whole,
        help="exit with 1 if the total is above N",
    )
    what.add_argument(
        "--each",
        action="store_true",
        help="the budget is for each file, or with --field for each record; the largest is named",
    )
    what.add_argument(
        "--decode",
        action="store_true",
        help="decode files that begin with the byte order mark of UTF-16",
    )
    add_max_ratio(what)
    what.add_argument(
        "--max-bytes",
        metavar="N",
        type=whole,
        help="a packed file may have N bytes when it is unpacked",
    )
    what.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do about a line without such a field, or with --messages without a "
        "conversation (default: %(default)s, at the first one of a file)",
    )
    what.add_argument(
        "--cache",
        action="store_true",
        help="remember the counts of files, and count again only those that have changed",
    )
    chats = parser.add_argument_group("conversations")
    chats.add_argument(
        "--messages",
        action="store_true",
        help="conversations: JSON, or JSONL with one on each line, which the content of a file "
        "tells; of a folder the .json and .jsonl files; a row is a list of messages, or an object "
        'with "messages" and perhaps "tools". The columns are tokens, rows, the mean, the '
        "longest, its line (or its row in a list), and with --max how many are above",
    )
    chats.add_argument(
        "--sharegpt",
        action="store_true",
        help='the same with "conversations", "from" and "value"',
    )
    chats.add_argument(
        "--max",
        metavar="N",
        type=whole,
        help="say how many conversations have more than N tokens, and exit with 1 if some do",
    )
    chats.add_argument(
        "--list", action="store_true", help="a line for each of these, or without --max for each"
    )
    walk = parser.add_argument_group("folders")
    walk.add_argument("--hidden", action="store_true", help="also hidden files and folders")
    walk.add_argument(
        "--no-ignore", action="store_true", help="also what .gitignore and .ignore leave out"
    )
    walk.add_argument(
        "-g",
        "--glob",
        metavar="GLOB",
        action="append",
        type=utf8,
        default=[],
        help="only files that match, or with ! in front only those that don't; may be repeated",
    )


def _at_least_one(word: str) -> int:
    if not (count := whole(word)):
        raise argparse.ArgumentTypeError("there must be at least one")
    return count


def check(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options that don't go together."""
    for name in ("max", "list"):
        if getattr(arguments, name):
            raise UsageError(f"--{name} is for conversations; give --messages as well")
    if arguments.on_error == "skip" and arguments.field is None:
        raise UsageError("--on-error is for lines of JSONL; give --field or --messages as well")
    if arguments.each and arguments.budget is None:
        raise UsageError("--each is about --budget; give that as well")
    if arguments.texts and (arguments.field is not None or arguments.tree or arguments.by):
        raise UsageError("-t counts texts as they are; --field, --by and --tree are for files")
    if arguments.tree and (arguments.long or arguments.top is not None):
        given = " and ".join(
            option
            for option, is_given in (
                ("--long", arguments.long),
                ("--top", arguments.top is not None),
            )
            if is_given
        )
        raise UsageError(f"--tree has its own output; take {given} out")
