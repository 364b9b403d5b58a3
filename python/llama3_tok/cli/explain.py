"""`llama3-tok explain`: how a text becomes ids, pretoken by pretoken."""

import argparse
from typing import TYPE_CHECKING

from llama3_tok.cli.cells import visible
from llama3_tok.cli.terminal import (
    add_text,
    allowed_special,
    given_text,
    has_colours,
    is_terminal,
    tokenizer,
    write,
    write_file,
)
from llama3_tok.text.explaining import Pretoken
from llama3_tok.text.visible import escaped

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from llama3_tok.text.explaining import Explanation, Node

PURPOSE = "Explain how a text becomes ids: its pretokens, and what merges."
EXAMPLES = """\
  llama3-tok explain ' Việt Việtnam'
  llama3-tok explain --json -f prompt.txt | jq '.pieces[] | select(.merging_alone)'
  llama3-tok explain --html explained.html 'tokenizers'"""

MOST_PIECES = 200
"""Pieces that a person is shown; `--json` has all."""
WIDE = 10_000
"""Columns in a pipe, where lines are not broken."""
LONGEST = 60
"""Characters of a piece that are shown."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    add_text(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all of it, as one JSON object")
    form.add_argument("--html", metavar="FILE", help="write it as a page")
    parser.add_argument(
        "--all", action="store_true", help=f"every piece, not only the first {MOST_PIECES}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the explanation, or writes its page."""
    text = given_text(arguments)
    encoder = tokenizer(arguments)
    explanation = encoder.explain(
        text,
        bos=arguments.bos,
        eos=arguments.eos,
        allowed_special=allowed_special(arguments),
    )
    most = len(explanation) if arguments.all else MOST_PIECES
    if arguments.json:
        import json

        write(json.dumps(explanation.as_json()).encode() + b"\n")
    elif arguments.html is not None:
        from llama3_tok.page.texts import explained_page

        write_file(arguments.html, explained_page(explanation, encoder, most))
    else:
        _print(explanation, most)
    return 0


def _print(explanation: "Explanation", most: int) -> None:
    """A tree for each piece, what is plain text but might be special, and the sums."""
    import io
    import sys

    from rich.console import Console
    from rich.text import Text

    drawn = io.StringIO()
    console = Console(
        file=drawn,
        force_terminal=has_colours(),
        color_system="standard" if has_colours() else None,
        highlight=False,
        width=None if is_terminal(sys.stdout) else WIDE,
    )

    def show(what: "Tree | Text") -> None:
        console.print(what)
        write(drawn.getvalue().encode())
        drawn.seek(0)
        drawn.truncate()

    for piece in explanation[:most]:
        show(_tree(piece.tree()))
    if len(explanation) > most:
        show(Text(f"and {len(explanation) - most:,} more pieces; --all shows them", style="dim"))
    for mention in explanation.mentions[:most]:
        show(
            Text(
                f"{escaped(mention.name)} at byte {mention.start:,} is plain text; "
                f"--allowed-special {_option(mention.name)} makes it {mention.id}",
                style="yellow",
            )
        )
    show(Text(sums(explanation), style="dim"))


def _option(name: str) -> str:
    """The value of --allowed-special that allows a token."""
    import shlex

    # A list of names has commas between them, and no space about them.
    plain = "," not in name and name.strip() == name and escaped(name) == name
    return shlex.quote(name) if plain else "all"


def sums(explanation: "Explanation") -> str:
    """The last line: how much there is, and what the ids say."""
    counts = ((len(explanation.ids), "token"), (len(explanation), "piece"))
    said = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts)
    merged = any(
        isinstance(piece, Pretoken) and not piece.vocab_first for piece in explanation[:99]
    )
    if not merged:
        return said
    return f"{said}. An id is a rank: of all pairs that are a token, the lowest is joined first."


def _tree(node: "Node") -> "Tree":
    from rich.tree import Tree

    tree = Tree(_line(node), guide_style="dim")
    # Not by recursion: a tree may be as deep as its pretoken is long.
    waiting = [(tree, part) for part in reversed(node.parts)]
    while waiting:
        above, part = waiting.pop()
        below = above.add(_line(part))
        waiting += [(below, inner) for inner in reversed(part.parts)]
    return tree


def _line(node: "Node") -> "Text":
    """The piece, the two parts it was joined from, and what is said of it."""
    from rich.text import Text

    line = Text()
    if node.piece:
        line.append(shown(node.piece), style="bold cyan")
        line.append("  ")
    if node.middle:
        left, right = node.piece[: node.middle], node.piece[node.middle :]
        line.append(f"= {shown(left)} + {shown(right)}  ", style="cyan")
    line.append(node.note, style="yellow" if node.differs else "")
    return line


def shown(piece: bytes) -> str:
    """A piece as `show` writes it, cut where it is long."""
    text = visible(piece[: 4 * LONGEST])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(piece):,} bytes)"
