"""`llama3-tok chat`: a conversation as its model reads it, its ids, and what training learns.

On a terminal special tokens are coloured, so those that the structure gave can be told from names
in the content; in a pipe the text is that of `render_chat`, and a newline.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from llama3_tok.chat import DIALECTS, TOOL_FORMATS
from llama3_tok.cli.terminal import (
    UsageError,
    escaped,
    has_colours,
    is_terminal,
    standard_input,
    tokenizer,
    utf8,
    write,
)
from llama3_tok.errors import ChatFormatError, InputError, Llama3TokError
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Show a conversation as its model reads it, or its ids."
EXAMPLES = """\
  llama3-tok chat messages.json
  llama3-tok chat --ids --profile llama3.2 messages.json
  llama3-tok chat --mask --no-prompt messages.json   # what training learns
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
        help="JSON: a list of messages, or an object with messages and perhaps tools; - is "
        "standard input",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--ids", action="store_true", help="the ids instead of the text")
    form.add_argument(
        "--mask",
        action="store_true",
        help="mark what training learns, the assistant's: with colour, or between "
        f"{OPENING} and {CLOSING} where there is none",
    )
    form.add_argument("--json", action="store_true", help="one object: text, ids and mask")
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
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--no-prompt", action="store_true", help="without the answer's header")
    end.add_argument(
        "--continue",
        dest="continues",
        action="store_true",
        help="leave the last message open, to be continued",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the conversation."""
    if arguments.file == arguments.tools == "-":
        raise UsageError("only one of FILE and --tools can be standard input")
    messages, tools = conversation(read(arguments.file), arguments.file)
    if arguments.tools is not None:
        tools = read(arguments.tools)
    names = arguments.builtin_tools
    builtin = None if names is None else [name.strip() for name in names.split(",") if name.strip()]
    encoder = tokenizer(arguments)
    options: dict[str, Any] = {
        "tools": tools,
        "tools_in": arguments.tools_in,
        "builtin_tools": builtin,
        "date": arguments.date,
        "dialect": arguments.dialect,
        "tool_format": arguments.tool_format,
        "add_generation_prompt": not arguments.no_prompt,
        "continue_final_message": arguments.continues,
    }
    try:
        ids, mask = encoder.encode_chat(messages, **options, return_mask=True)
        text = encoder.render_chat(messages, **options)
    except ChatFormatError as error:
        raise Llama3TokError(_placed(error, arguments)) from None
    except ValueError as error:  # options that don't go together
        raise UsageError(arguments.in_options(str(error))) from None
    if arguments.ids:
        write(" ".join(map(str, ids)).encode() + b"\n")
    elif arguments.json:
        import json

        result = {"text": text, "ids": ids, "mask": mask.tolist()}
        write(json.dumps(result).encode() + b"\n")
    elif has_colours():
        write((in_colours(pieces(encoder, ids, mask.tolist()), arguments.mask) + "\n").encode())
    elif arguments.mask:
        write((in_plain_text(pieces(encoder, ids, mask.tolist())) + "\n").encode())
    else:
        write((shown(text) + "\n").encode())
    return 0


def _placed(error: ChatFormatError, arguments: argparse.Namespace) -> str:
    """The message with the file or the option that it is about."""
    if error.field in ("builtin_tools", "date"):
        option = "--" + error.field.replace("_", "-")
        return option + str(error).removeprefix(error.field)
    # A message or a tool is known by its place in a file.
    from_tools = arguments.tools is not None and error.field == "tools"
    return f"{name_of(arguments.tools if from_tools else arguments.file)}: {error}"


# What is read


def name_of(path: str) -> str:
    """A file's name, for messages."""
    return "standard input" if path == "-" else path


def read(path: str) -> Any:  # noqa: ANN401 - any JSON
    """The JSON that is in a file."""
    import json

    if path == "-":
        data = standard_input()
    else:
        with open(path, "rb") as file:
            data = file.read()
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        line, reason = error.lineno, f"no JSON: {error.msg}, column {error.colno}"
        message = f"{name_of(path)}, line {line}: {reason}"
        raise InputError(message, path, line, reason) from None
    # ValueError: no UTF-8, or an integer with more digits than Python reads.
    except (ValueError, RecursionError) as error:
        reason = f"no JSON: {error}"
        raise InputError(f"{name_of(path)}: {reason}", path, None, reason) from None


def conversation(given: object, path: str) -> tuple[Any, Any]:
    """The messages and the tools that a file has."""
    if isinstance(given, list):
        return given, None
    if isinstance(given, dict) and "messages" in given:
        return given["messages"], given.get("tools")
    reason = "must be a list of messages, or an object with messages"
    raise InputError(f"{name_of(path)}: {reason}", path, None, reason)


# What is shown

Piece = tuple[str, bool, bool]
"""Text, whether it is a special token, and whether it is learned."""


def pieces(encoder: Tokenizer, ids: Sequence[int], mask: Sequence[int]) -> Iterator[Piece]:
    """The conversation in pieces of one kind."""
    special = set(encoder.special_tokens.values())
    kinds = ((id in special, learned == 1, id) for id, learned in zip(ids, mask, strict=True))
    for (is_special, learned), group in groupby(kinds, key=lambda kind: kind[:2]):
        yield encoder.decode([id for _, _, id in group]), is_special, learned


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


def in_colours(pieces: Iterator[Piece], marks_learned: bool) -> str:
    """Special tokens in colour, and what is learned if that is asked for."""
    return "".join(
        _painted(escaped(text, keep="\n"), is_special, learned and marks_learned)
        for text, is_special, learned in pieces
    )


def _painted(text: str, is_special: bool, learned: bool) -> str:
    if not is_special and not learned:
        return text
    colour = (LEARNED_SPECIAL if learned else SPECIAL) if is_special else LEARNED
    # A background that runs over a line's end would colour the rest of the row.
    lines = (f"\x1b[{colour}m{line}\x1b[0m" if line else "" for line in text.split("\n"))
    return "\n".join(lines)
