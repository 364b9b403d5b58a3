"""llama3_tok and its peers side by side: ids compared first, then timed in turn, in one run.

    python bench/compare.py [FILE...]

Files, or folders of `.txt` files; without any, those of the folder LLAMA3_TOK_CORPORA, else texts
that every machine has. Every peer runs in its own process, pinned to one processor; all cores where
the case says so. The result is stored as JSON, from which the tables and the chart are drawn, also
later (`--from`). Exit code 1 if any of llama3_tok's ids differ.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import chart
import commits
import corpora
import languages
import machines
import matrix
import peers
import report
from cases import CASES
from harness import Failure
from machine import commit, core_hash, describe, memory_limit, now, processors, stale_core
from result import Results
from run import MEGABYTE, OURS, TRANSFORMERS, Run, Settings

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
SCHEMA = 1
COMPAT = TRANSFORMERS[0]
OTHER_NAMES = {"unseen": "documents", "again": "documents"}
"""Names under which a case's records stand, for those who ask for them."""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    first, _, more = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("paths", nargs="*", type=Path, metavar="FILE", help="a file, or a folder of .txt files")
    add("--files", nargs="+", type=Path, default=[], metavar="FILE", help="the same")
    add("--peers", type=names, metavar="A,B", help="only these (default: all)")
    add("--cases", type=case_names, metavar="A,B", help="only these (default: all)")
    add("--against-commit", action="append", default=[], metavar="REV", help=AGAINST)
    add("--rounds", type=int, metavar="N", help="samples of each (default: 5; quick: 3)")
    add("--quick", action="store_true", help="a fifth of the time: less text, fewer rounds")
    add("--limit", type=float, default=30, metavar="S", help="seconds for one request to a peer")
    add("--count-gb", type=float, metavar="GB", help="file to count (default: 10; quick: 0.2)")
    add("--json", type=Path, metavar="PATH", help="where the result goes (default: results/)")
    add("--chart", type=Path, metavar="PATH", help="draw the README's chart there")
    add("--table", type=Path, metavar="PATH", help="write the guide's table there")
    add(
        "--languages", type=Path, metavar="PATH", help="write the tables of docs/languages.md there"
    )
    add("--from", nargs="+", type=Path, dest="stored", metavar="PATH", help=FROM)
    add("--list", action="store_true", help="name the peers and cases, and stop")
    options = parser.parse_args(given)
    for chosen, known, what in (
        (options.peers, peers.PEERS, "peer"),
        (options.cases, CASES, "case"),
    ):
        for name in chosen or ():
            if name not in known and ":" not in name:
                parser.error(f"no {what} is called {name!r}; there are {', '.join(known)}")
    return options


FROM = "draw from this, measure nothing; of several results, a column for each machine"
AGAINST = "build this commit of the project and measure it too (may be given several times)"


def names(text: str) -> list[str]:
    """Names with commas between."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    return list(dict.fromkeys(found))


def case_names(text: str) -> list[str]:
    """Names of cases with commas between."""
    return list(dict.fromkeys(OTHER_NAMES.get(name, name) for name in names(text)))


def texts(options: argparse.Namespace, folder: Path, special: list[str]) -> list[corpora.Corpus]:
    """Writes the corpora to where the workers read them."""
    limit = (1 if options.quick else 16) * MEGABYTE
    files = [*options.paths, *options.files]
    if not files and os.environ.get("LLAMA3_TOK_CORPORA"):
        files = [Path(os.environ["LLAMA3_TOK_CORPORA"])]
    found = corpora.given(files, limit) if files else corpora.standard(limit // 2)
    chosen: dict[str, corpora.Corpus] = {}
    for name, data, source in found:
        if data:
            unique = name if name not in chosen else f"{name} {len(chosen)}"
            chosen[unique] = corpora.write(unique, data, source, special, folder)
    return list(chosen.values())


def language_texts(quick: bool, folder: Path, special: list[str]) -> list[corpora.Corpus]:
    """Writes the texts of the languages."""
    folder.mkdir()
    found = languages.languages((60 if quick else 400) * 1000)
    return [corpora.write(name, data, source, special, folder) for name, data, source in found]


def settings(options: argparse.Namespace) -> Settings:
    """How much is measured."""
    wanted = options.count_gb if options.count_gb is not None else (0.2 if options.quick else 10)
    usable = processors()
    usual = 3 if options.quick else 5
    rounds = options.rounds or usual
    return Settings(
        rounds=rounds,
        # Who asks for more rounds gets them.
        enough=(1.0 if options.quick else 3.0) * max(1.0, rounds / usual),
        worst_bytes=MEGABYTE // 4 if options.quick else MEGABYTE,
        file_bytes=MEGABYTE // 20 if options.quick else MEGABYTE // 4,
        files_bytes=(8 if options.quick else 64) * MEGABYTE,
        limit=options.limit,
        worst_limit=min(options.limit, 10),
        memory=memory_limit(),
        pinned=usable[-1:],
        count_bytes=int(wanted * 1000) * MEGABYTE,
    )


def present(run: Run, wanted: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The peers that are installed and can be loaded, with versions; why the others are absent."""
    there: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    for name in wanted:
        run.say(f"loading {name}")
        try:
            found = peers.installed(name, run.assets.folders.get(name))
            run.pinned.call(name, "ways", case="documents")
        except PackageNotFoundError as error:
            folder = run.assets.folders.get(name)
            where = f" in {os.path.relpath(folder, ROOT)}" if folder else ""
            absent[name] = f"{error.name} is not installed{where}"
        except Failure as failure:
            absent[name] = str(failure)
        else:
            there[name] = {"version": found}
            if name == OURS:
                there[name]["core"] = core_hash()
    return there, absent


def built(
    revisions: list[str], wanted: list[str], say: Callable[[str], None]
) -> dict[str, dict[str, str]]:
    """Builds other commits of this project: what is to be said of each, by the peer's name."""
    found = {}
    for revision in revisions:
        full = commits.resolve(ROOT, revision)
        folder = commits.build(ROOT, full, say)
        about = {"commit": full, "revision": revision, "core": commits.core_hash(folder)}
        for name in (OURS, *(name for name in wanted if name == COMPAT)):
            found[f"{name}@{full[:7]}"] = about | {"folder": str(folder)}
    return found


def assets_in(folder: Path, folders: dict[str, str]) -> peers.Assets:
    """Writes what the adapters load from."""
    import oracle

    written = folder / "tokenizer.json"
    written.write_text(oracle.llama3_tokenizer_json(), "utf-8")
    config = '{"tokenizer_class": "PreTrainedTokenizerFast"}'
    (folder / "tokenizer_config.json").write_text(config, "utf-8")
    vocabulary = str(oracle.vocabulary.find())
    return peers.Assets(vocabulary, str(written), oracle.PATTERN, oracle.SPECIAL, folders)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the cases; the result as it is stored."""
    sys.path.append(str(ROOT / "tests"))
    # Installed packages are compiled. One that is imported from a folder is so from its first start
    # on, if it may be: else each start of a worker or of the command would compile it anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if stale_core(ROOT):
        print("the sources of the core are newer than the installed one", file=sys.stderr)
    chosen_settings = settings(options)
    machine = describe(chosen_settings.pinned)
    cases, wanted = options.cases or list(CASES), options.peers or list(peers.PEERS)
    with tempfile.TemporaryDirectory(prefix="llama3_tok-bench-") as name, progress() as say:
        folder = Path(name)
        say("preparing")
        others = built(options.against_commit, wanted, say)
        folders = {name: about.pop("folder") for name, about in others.items()}
        assets = assets_in(folder, peers.FOLDERS | folders)
        special = list(assets.special)
        chosen = texts(options, folder, special)
        many = "languages" in cases
        spoken = language_texts(options.quick, folder / "languages", special) if many else []
        run = Run([], assets, chosen, folder, chosen_settings, say, spoken)
        try:
            there, absent = present(run, [*wanted, *others])
            for peer, about in others.items():
                there.get(peer, {}).update(about)
            run.names = list(there)
            for case in cases:
                CASES[case](run)
        finally:
            run.close()
    return {
        "schema": SCHEMA,
        "date": now(),
        "command": " ".join(["python bench/compare.py", *sys.argv[1:]]),
        "commit": commit(ROOT),
        "machine": machine,
        "settings": vars(run.settings),
        "peers": there,
        "absent": absent,
        "corpora": [told(corpus) for corpus in chosen],
        "languages": [told(corpus) for corpus in spoken],
        "records": run.records,
    }


def file_name(stored: dict[str, Any], quick: bool) -> str:
    """Date, commit and machine."""
    processor = re.sub(r"\W+", "-", stored["machine"]["processor"]).strip("-").lower()
    parts = [stored["date"][:10], stored["commit"][:7], processor, *(["quick"] if quick else [])]
    return "-".join(parts) + ".json"


def told(corpus: corpora.Corpus) -> dict[str, Any]:
    """What a result says of a text."""
    return {key: value for key, value in corpus._asdict().items() if key != "path"}


def as_json(stored: dict[str, Any]) -> str:
    """A result as a file that shows well in a diff: one line for each record."""
    head = {key: value for key, value in stored.items() if key != "records"}
    lines = [json.dumps(record, ensure_ascii=False) for record in stored["records"]]
    opened = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    return opened + ',\n "records": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


@contextmanager
def progress() -> Iterator[Any]:
    """Says on standard error what is being done: one live line on a terminal, else a line each."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda message: print(f"{now()[11:19]} {message}", file=sys.stderr, flush=True)
        return
    with console.status("") as status:
        yield lambda message: status.update(escape(message))


def main(given: list[str] | None = None) -> int:
    """The command."""
    options = arguments(given)
    if options.list:
        print("peers:", ", ".join(peers.PEERS), "\ncases:", ", ".join(CASES))
        return 0
    if options.stored:
        found = [json.loads(path.read_text("utf-8")) for path in options.stored]
    else:
        try:
            found = [measure(options)]
        except commits.BuildError as error:
            print(f"the commit can't be measured: {error}", file=sys.stderr)
            return 2
        path = options.json or RESULTS / file_name(found[0], options.quick)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_json(found[0]), "utf-8")
        print(f"stored in {path}", file=sys.stderr)
    results = [Results(one) for one in found]
    one = len(results) == 1
    print(report.full(results[0]) if one else machines.full(results))
    if options.chart:
        options.chart.write_text(chart.draw(*results), "utf-8")
    if options.table:
        table = report.summary(results[0]) if one else machines.summary(results)
        options.table.write_text(table + "\n", "utf-8")
    if options.languages:
        tables = [matrix.languages(one) for one in results]
        options.languages.write_text("\n\n".join(filter(None, tables)) + "\n", "utf-8")
    records = (record for one in results for record in one.records)
    wrong = [record for record in records if record["peer"] == OURS]
    return 1 if any(record["equal"] is False for record in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
