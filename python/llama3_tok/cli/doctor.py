"""`llama3-tok doctor`: what this installation uses, for people and for reports of faults."""

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Any

from llama3_tok import vocabulary
from llama3_tok.about import (
    META_SHA256,
    UNICODE_VERSION,
    __version__,
    code_path,
    code_paths,
    cpu_count,
    cpu_features,
)
from llama3_tok.cli.terminal import UNUSABLE, complain, tokenizer, write
from llama3_tok.errors import Llama3TokError
from llama3_tok.profiles import DEFAULT_PROFILE
from llama3_tok.text.visible import escaped
from llama3_tok.tokenizer import Tokenizer

PURPOSE = "Show which vocabulary is used and where it was found, versions and processor."
EXAMPLES = """\
  llama3-tok doctor
  llama3-tok doctor --json --vocabulary ~/models/Llama-3.1-8B"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the verb takes."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints the report; the exit code says whether there is a vocabulary to work with."""
    loaded: Tokenizer | None = None
    error = None
    try:
        loaded = tokenizer(arguments)
    except OSError as failure:
        error = f"{os.fsdecode(failure.filename or '')}: {failure.strerror or failure}"
    except Llama3TokError as failure:
        error = arguments.in_options(str(failure))
    profile = loaded.profile if loaded else arguments.profile or DEFAULT_PROFILE
    report = _report(vocabulary.candidates(arguments.vocabulary), loaded, profile, error)
    if arguments.json:
        import json

        write(json.dumps(report).encode() + b"\n")
    else:
        write(_text(report).encode("utf-8", "surrogateescape"))
    if error:
        complain(error)
    return UNUSABLE if error else 0


_Report = dict[str, Any]


def _report(
    places: list[vocabulary.Candidate], loaded: Tokenizer | None, profile: str, error: str | None
) -> _Report:
    used = next((place for place in places if place.path is not None), None)
    system = os.uname() if hasattr(os, "uname") else None
    return {
        "version": __version__,
        "unicode": UNICODE_VERSION,
        "python": ".".join(map(str, sys.version_info[:3])),
        "system": f"{system.sysname} {system.machine}" if system else sys.platform,
        "processors": cpu_count(),
        "cpu_features": cpu_features(),
        "code_path": _code_path(),
        "code_paths": code_paths(),
        "profile": profile,
        "places": [{"way": way, "path": path} for way, path in places],
        "found_by": used.way if used and loaded else None,
        "vocabulary": loaded.vocabulary if loaded else None,
        "sha256": loaded.vocabulary_sha256 if loaded else None,
        "is_meta": loaded.vocabulary_sha256 == META_SHA256 if loaded else None,
        "ids": loaded.vocab_size if loaded else None,
        "added_tokens": len(loaded.added_tokens) if loaded else None,
        "special_tokens": len(loaded.special_tokens) if loaded else None,
        "special_token_ids": dict(loaded.special_tokens) if loaded else None,
        "roles": _roles(loaded) if loaded else None,
        "stop_ids": loaded.stop_ids if loaded else None,
        "chat_templates": list(loaded.chat_templates) if loaded else None,
        "error": error,
    }


def _code_path() -> str | None:
    """The code path that is taken; None if the processor lacks the one that is asked for."""
    try:
        return code_path()
    except Llama3TokError:
        return None


def _roles(loaded: Tokenizer) -> dict[str, int]:
    """The ids that have a role, by its name."""
    ids = {"bos": loaded.bos_id, "eos": loaded.eos_id, "pad": loaded.pad_id}
    return {role: id for role, id in ids.items() if id is not None}


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


def _text(report: _Report) -> str:
    """The report for people."""
    rows: list[tuple[str, object]] = [
        ("llama3_tok", f"{report['version']}, Unicode {report['unicode']}"),
        ("Python", f"{report['python']} on {report['system']}"),
        ("processors", report["processors"]),
        ("CPU features", " ".join(report["cpu_features"]) or "none"),
        ("code path", f"{report['code_path'] or 'none'} of {', '.join(report['code_paths'])}"),
        ("profile", report["profile"]),
        ("vocabulary", report["vocabulary"] or "none that can be used"),
    ]
    if report["vocabulary"]:
        whose = "Meta's own file" if report["is_meta"] else "not Meta's own rank file"
        rows.append(("SHA-256", f"{report['sha256']} ({whose})"))
        added, special = report["added_tokens"], report["special_tokens"]
        ids = f"{report['ids']}, {added} of them added tokens ({special} special)"
        rows.append(("ids", ids))
        rows.append(("roles", _listed(f"{role} {id}" for role, id in report["roles"].items())))
        rows.append(("stop ids", _listed(map(str, report["stop_ids"]))))
        rows.append(("templates", _listed(report["chat_templates"])))
    rows.append(("looked in", ""))
    lines = [f"{name:<13} {escaped(str(value))}".rstrip() for name, value in rows]
    for number, place in enumerate(report["places"], 1):
        used = "  <- used" if place["way"] == report["found_by"] else ""
        lines.append(f"  {number}. {place['way']}: {escaped(place['path'] or 'nothing')}{used}")
    return "\n".join(lines) + "\n"
