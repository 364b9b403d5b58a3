"""`llama3-tok chat`: a conversation as its model reads it, its ids, and what training learns.

On a terminal special tokens are coloured, so those that the structure gave can be told from names
in the content; in a pipe the text is that of `render_chat`, and a newline.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from llama3_tok.chat.messages import DIALECTS, TOOL_FORMATS
from llama3_tok.cli.chat_input import (
    Conversation,
    conversations,
    documents,
    name_of,
    read,
    template,
    variable,
)
from llama3_tok.cli.terminal import (
    UsageError,
    flush,
    has_colours,
    hinting,
    is_terminal,
    tokenizer,
    utf8,
    write,
    write_file,
)
from llama3_tok.errors import ChatFormatError, Llama3TokError
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Show a conversation as its model reads it, or its ids."
EXAMPLES = """\
  llama3-tok chat messages.json
  llama3-tok chat --ids --profile llama3.2 messages.json
  llama3-tok chat --mask --no-prompt messages.json   # what training learns
  llama3-tok chat --html chat.html messages.json
  llama3-tok chat --row 12 chats.jsonl
  llama3-tok chat --vocabulary FOLDER --set enable_thinking=false messages.json
  echo '[{"role": "user", "content": "hi"}]' | llama3-tok chat --tools tools.json -"""

# White on purple as in `show`; black on pastel green for what is learned.
SPECIAL = "38;5;231;48;5;90"
LEARNED = "38;5;16;48;5;157"
LEARNED_SPECIAL = "38;5;231;48;5;22"
OPENING, CLOSING = "⟦", "⟧"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="JSON: a list of messages, or an object with messages and perhaps tools; a list of "
        "these; or JSONL with one on each line, in a file whose name ends in .jsonl or .ndjson, "
        "also packed; - is standard input",
    )
    parser.add_argument(
        "--row",
        metavar="N",
        type=_row,
        help="of JSONL only the conversation on line N, of a list of them only the Nth (default: "
        "all)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--ids", action="store_true", help="the ids instead of the text")
    form.add_argument(
        "--mask",
        action="store_true",
        help="mark what training learns, the assistant's: with colour, or between "
        f"{OPENING} and {CLOSING} where there is none",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="one object for each conversation: text, ids and mask, which is null if the chat "
        "template does not tell it",
    )
    form.add_argument(
        "--html",
        metavar="FILE",
        help="write a page with one conversation (--row says which): structure, content and what "
        "training learns",
    )
    parser.add_argument("--tools", metavar="FILE", help="JSON: a list of tools, in place of FILE's")
    parser.add_argument(
        "--tools-in",
        choices=("user", "system"),
        default="user",
        help="the message that has the tools (default: the first %(default)s message)",
    )
    parser.add_argument(
        "--builtin-tools",
        metavar="NAMES",
        type=utf8,
        help="built-in tools that may be called, with commas between them",
    )
    parser.add_argument(
        "--date",
        metavar="DATE",
        type=utf8,
        help="the date in the system message, as it is written there, or today (default: that of "
        "the published templates, 26 Jul 2024)",
    )
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="the published templates or Meta's class (default: meta for profile meta, else hf)",
    )
    parser.add_argument(
        "--tool-format",
        choices=TOOL_FORMATS,
        default="json",
        help="how dialect meta writes calls (default: %(default)s)",
    )
    template = parser.add_argument_group("chat template")
    template.add_argument(
        "--template",
        metavar="NAME|FILE",
        type=utf8,
        help="one of the folder's chat templates by its name, or a file with the text of one, as "
        "tool_use or ./mine.jinja (default: the folder's own, else the release's)",
    )
    template.add_argument(
        "--documents",
        metavar="FILE",
        help='JSON: a list of documents for the template, as [{"title": "A", "text": "B"}]',
    )
    template.add_argument(
        "--set",
        metavar="NAME=JSON",
        action="append",
        type=variable,
        default=[],
        help="a variable of the template, as enable_thinking=false; what is not JSON is text; may "
        "be repeated",
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--no-prompt", action="store_true", help="without the answer's header")
    end.add_argument(
        "--continue",
        dest="continues",
        action="store_true",
        help="leave the last message open, to be continued",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the conversation, or those of all rows."""
    if [arguments.file, arguments.tools, arguments.documents].count("-") > 1:
        raise UsageError("only one of FILE, --tools and --documents can be standard input")
    tools = None if arguments.tools is None else read(arguments.tools)
    names = arguments.builtin_tools
    builtin = None if names is None else [name.strip() for name in names.split(",") if name.strip()]
    found: Iterable[Conversation] = conversations(arguments.file, arguments.row)
    encoder = tokenizer(arguments)
    options: dict[str, Any] = {
        "tools_in": arguments.tools_in,
        "builtin_tools": builtin,
        "documents": documents(arguments.documents),
        "date": arguments.date,
        "dialect": arguments.dialect,
        "tool_format": arguments.tool_format,
        "add_generation_prompt": False if arguments.no_prompt else None,
        "continue_final_message": arguments.continues,
        "chat_template": template(encoder, arguments.template),
        "template_variables": dict(arguments.set),
    }
    with hinting(arguments.file, "FILE is a file; JSON itself is given on standard input, as -"):
        if arguments.html is not None:
            found = _only(found)
        for one in found:
            own = one.tools if tools is None else tools
            _print(encoder, one, {**options, "tools": own}, arguments)
            flush()
    return 0


def _only(found: Iterable[Conversation]) -> list[Conversation]:
    """The only conversation, as a page has one."""
    some = list(islice(found, 2))
    if len(some) > 1:
        raise UsageError("--html shows one conversation; choose it with --row")
    return some


def _print(
    encoder: Tokenizer, one: Conversation, options: dict[str, Any], arguments: argparse.Namespace
) -> None:
    messages = one.messages
    try:
        ids = encoder.encode_chat(messages, **options)
        text = encoder.render_chat(messages, **options)
        mask = _mask(encoder, messages, options, arguments)
    except ChatFormatError as error:
        raise Llama3TokError(_placed(error, one, arguments)) from None
    except ValueError as error:  # options that don't go together
        raise UsageError(arguments.in_options(str(error))) from None
    parts = pieces(encoder, ids, [0] * len(ids) if mask is None else mask)
    if arguments.ids:
        write(" ".join(map(str, ids)).encode() + b"\n")
    elif arguments.html is not None:
        from llama3_tok.page.texts import chat_page

        write_file(arguments.html, chat_page(encoder, ids, mask))
    elif arguments.json:
        import json

        place = {} if one.number is None else {one.unit: one.number}
        result = {**place, "text": text, "ids": ids, "mask": mask}
        write(json.dumps(result).encode() + b"\n")
    else:
        if one.number is not None and arguments.row is None:
            write(_heading(one).encode())
        if has_colours():
            write((in_colours(parts) + "\n").encode())
        elif arguments.mask:
            write((in_plain_text(parts) + "\n").encode())
        else:
            write((shown(text) + "\n").encode())


def _heading(one: Conversation) -> str:
    """What stands before each of several conversations."""
    line = f"── {one.unit} {one.number} ──"
    return f"\x1b[1m{line}\x1b[0m\n" if has_colours() else f"{line}\n"


def _mask(
    encoder: Tokenizer,
    messages: Any,  # noqa: ANN401 - any JSON
    options: dict[str, Any],
    arguments: argparse.Namespace,
) -> list[int] | None:
    """What is learned of a conversation that has ids; None if nobody asks, or it is not known."""
    if not arguments.mask and not arguments.json and arguments.html is None:
        return None
    try:
        _, mask = encoder.encode_chat(messages, **options, return_mask=True)
    except ChatFormatError as error:  # there are ids, so it is about the mask
        if not arguments.mask:
            return None
        raise Llama3TokError(f"--mask: {error}") from None
    learned: list[int] = mask.tolist()
    return learned


def _placed(error: ChatFormatError, one: Conversation, arguments: argparse.Namespace) -> str:
    """The message with the file or the option that it is about."""
    if error.field in ("builtin_tools", "date"):
        option = "--" + error.field.replace("_", "-")
        return option + str(error).removeprefix(error.field)
    if error.field in ("documents", "template_variables"):
        option = "--set" if error.field == "template_variables" else "--documents"
        return option + str(error).removeprefix(error.field)
    # A message or a tool is known by its place in a file.
    from_tools = arguments.tools is not None and error.field == "tools"
    message = str(error).replace("pass chat_template=", "pass --template")
    return f"{name_of(arguments.tools) if from_tools else one.place}: {message}"


def _row(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 19 and int(word)):
        raise argparse.ArgumentTypeError(f"{word!r} is not the number of a row, from 1")
    return int(word)


# What is shown

Piece = tuple[str, bool, bool]
"""Text, whether it is added tokens, and whether it is learned."""


def pieces(encoder: Tokenizer, ids: Sequence[int], mask: Sequence[int]) -> Iterator[Piece]:
    """The conversation in pieces of one kind."""
    added = {token.id for token in encoder.added_tokens.values()}
    kinds = ((id in added, learned == 1, id) for id, learned in zip(ids, mask, strict=True))
    for (is_added, learned), group in groupby(kinds, key=lambda kind: kind[:2]):
        yield encoder.decode([id for _, _, id in group]), is_added, learned


def shown(text: str) -> str:
    """Text as it may go out: on a terminal with nothing in it that the terminal would obey."""
    return escaped(text, keep="\n") if is_terminal(sys.stdout) else text


def in_plain_text(pieces: Iterator[Piece]) -> str:
    """Marks about what is learned."""
    parts = []
    for learned, group in groupby(pieces, key=lambda piece: piece[2]):
        text = shown("".join(text for text, _, _ in group))
        parts.append(f"{OPENING}{text}{CLOSING}" if learned else text)
    return "".join(parts)


def in_colours(pieces: Iterator[Piece]) -> str:
    """Added tokens in colour, and what is learned if that is asked for."""
    return "".join(
        _painted(escaped(text, keep="\n"), is_added, learned) for text, is_added, learned in pieces
    )


def _painted(text: str, is_added: bool, learned: bool) -> str:
    if not is_added and not learned:
        return text
    colour = (LEARNED_SPECIAL if learned else SPECIAL) if is_added else LEARNED
    # A background that runs over a line's end would colour the rest of the row.
    lines = (f"\x1b[{colour}m{line}\x1b[0m" if line else "" for line in text.split("\n"))
    return "\n".join(lines)
