"""`llama3-tok chat`: a conversation as its model reads it, its ids, and what training learns.

On a terminal special tokens are coloured, so those that the structure gave can be told from names
in the content; in a pipe the text is that of `render_chat`, and a newline.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NoReturn

from llama3_tok.chat.messages import DIALECTS, TOOL_FORMATS
from llama3_tok.cli.terminal import (
    UsageError,
    has_colours,
    is_terminal,
    standard_input,
    tokenizer,
    utf8,
    write,
    write_file,
)
from llama3_tok.errors import ChatFormatError, InputError, Llama3TokError
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Show a conversation as its model reads it, or its ids."
EXAMPLES = """\
  llama3-tok chat messages.json
  llama3-tok chat --ids --profile llama3.2 messages.json
  llama3-tok chat --mask --no-prompt messages.json   # what training learns
  llama3-tok chat --html chat.html messages.json
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
    form.add_argument(
        "--json",
        action="store_true",
        help="one object: text, ids and mask, which is null if the chat template does not tell it",
    )
    form.add_argument(
        "--html", metavar="FILE", help="write a page: structure, content and what training learns"
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
        type=_variable,
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
    """Prints the conversation."""
    if [arguments.file, arguments.tools, arguments.documents].count("-") > 1:
        raise UsageError("only one of FILE, --tools and --documents can be standard input")
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
        "documents": documents(arguments.documents),
        "date": arguments.date,
        "dialect": arguments.dialect,
        "tool_format": arguments.tool_format,
        "add_generation_prompt": False if arguments.no_prompt else None,
        "continue_final_message": arguments.continues,
        "chat_template": template(encoder, arguments.template),
        "template_variables": dict(arguments.set),
    }
    try:
        ids = encoder.encode_chat(messages, **options)
        text = encoder.render_chat(messages, **options)
        mask = _mask(encoder, messages, options, arguments)
    except ChatFormatError as error:
        raise Llama3TokError(_placed(error, arguments)) from None
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

        write(json.dumps({"text": text, "ids": ids, "mask": mask}).encode() + b"\n")
    elif has_colours():
        write((in_colours(parts) + "\n").encode())
    elif arguments.mask:
        write((in_plain_text(parts) + "\n").encode())
    else:
        write((shown(text) + "\n").encode())
    return 0


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


def _placed(error: ChatFormatError, arguments: argparse.Namespace) -> str:
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
    return f"{name_of(arguments.tools if from_tools else arguments.file)}: {message}"


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
        line, what = error.lineno, error.msg[:1].lower() + error.msg[1:]
        reason = f"this is not valid JSON: {what} at column {error.colno}"
        message = f"{name_of(path)}, line {line}: {reason}"
        raise InputError(message, path, line, reason) from None
    # ValueError: no UTF-8, or an integer with more digits than Python reads.
    except (ValueError, RecursionError) as error:
        reason = f"this is not valid JSON: {error}"
        raise InputError(f"{name_of(path)}: {reason}", path, None, reason) from None


def conversation(given: object, path: str) -> tuple[Any, Any]:
    """The messages and the tools that a file has."""
    if isinstance(given, list):
        return given, None
    if isinstance(given, dict) and "messages" in given:
        return given["messages"], given.get("tools")
    reason = "must be a list of messages, or an object with messages"
    raise InputError(f"{name_of(path)}: {reason}", path, None, reason)


def documents(path: str | None) -> list[Any] | None:
    """The documents that a file has."""
    if path is None:
        return None
    given = read(path)
    if not isinstance(given, list):
        reason = "must be a list of documents"
        raise InputError(f"{name_of(path)}: {reason}", path, None, reason)
    return given


def template(encoder: Tokenizer, given: str | None) -> str | None:
    """The name of a chat template, if there is one of that name, or the text of a file."""
    if given is None or given in encoder.chat_templates:
        return given
    try:
        with open(given, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        known = ", ".join(encoder.chat_templates) or "none"
        raise UsageError(
            f"--template: {given} is neither a file nor the name of a chat template; this "
            f"tokenizer has {known}"
        ) from None
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8: {error.reason} at byte {error.start}"
        raise InputError(f"{given}: {reason}", given, None, reason) from None
    if "{" not in text:
        reason = "is not a chat template: it has no { in it"
        raise InputError(f"{given}: {reason}", given, None, reason)
    return text


def _variable(word: str) -> tuple[str, Any]:
    """The type of `--set`: a name and its value."""
    import json

    name, equals, value = utf8(word).partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=JSON")
    try:
        return name, json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return name, value


def _no_json(word: str) -> NoReturn:
    """NaN and the infinities are words here, as they are in JSON's own grammar."""
    raise ValueError(word)


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
