"""`llama3-tok serve`: a page on this machine in which to look at tokens."""

import argparse
import os
import socket
import sys
from typing import TYPE_CHECKING

from llama3_tok.cli.terminal import UsageError, complain, tokenizer, utf8
from llama3_tok.extras import require
from llama3_tok.profiles import PROFILES

if TYPE_CHECKING:
    from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Open a page in which to type a text and look at its tokens."
EXAMPLES = """\
  llama3-tok serve
  llama3-tok serve --port 9000 --open my-fine-tune
  llama3-tok serve --llama2 tokenizer.model

The page is for this machine alone: it listens on 127.0.0.1. Ctrl-C ends it."""

HOST, PORT = "127.0.0.1", 8383


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=utf8,
        help="model folders whose tokenizers the page offers beside those of the releases",
    )
    parser.add_argument(
        "--port", type=_port, default=PORT, help="default: %(default)s; 0 takes a free one"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--llama2", metavar="PATH", type=utf8, help="Llama 2's tokenizer.model, to be shown beside"
    )


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 6 and int(word) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{word!r} is not a port, 0 to 65535")
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    uvicorn = require("uvicorn", "serve")
    require("starlette", "serve")
    from llama3_tok.playground.app import application
    from llama3_tok.playground.views import Playground

    offered = _tokenizers(arguments)
    llama2 = None
    if arguments.llama2 is not None or os.environ.get("LLAMA3_TOK_LLAMA2"):
        from llama3_tok.report.llama2 import load

        llama2 = load(arguments.llama2)
    try:
        listening = socket.create_server((HOST, arguments.port))
    except OSError as error:
        raise UsageError(
            f"port {arguments.port} can't be used: {os.strerror(error.errno or 0)}; --port 0 takes "
            "a free one"
        ) from None
    with listening:
        port = listening.getsockname()[1]
        address = f"http://{HOST}:{port}"
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        complain("Ctrl-C ends it")
        if arguments.open:
            import webbrowser

            webbrowser.open(address)
        config = uvicorn.Config(
            application(Playground(offered, llama2), port),
            http="h11",
            ws="none",
            lifespan="off",
            # What it would say is of no use: faults are answers, and Ctrl-C ends requests.
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _tokenizers(arguments: argparse.Namespace) -> "dict[str, Tokenizer]":
    """By their names: that which was asked for first, then the releases, then the folders."""
    from llama3_tok.tokenizer import Tokenizer

    first = tokenizer(arguments)
    found = {_name(arguments.vocabulary, first): first}
    if first.profile != "folder":
        for profile in PROFILES:
            found.setdefault(profile, Tokenizer(arguments.vocabulary, profile=profile))
    for folder in arguments.folders:
        if folder in found:
            raise UsageError(
                f"{folder} is the name of another tokenizer; write the folder as ./{folder}"
            )
        found[folder] = Tokenizer(folder)
    return found


def _name(vocabulary: str | None, tokenizer: "Tokenizer") -> str:
    return vocabulary or tokenizer.profile if tokenizer.profile == "folder" else tokenizer.profile
