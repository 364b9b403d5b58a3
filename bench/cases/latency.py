"""Short calls, loading and the command: what takes time whatever the text."""

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
from corpora import DOCUMENT, Corpus
from harness import Failure, alternate
from peers import find
from run import LENGTHS, OURS, Run, Way, is_ours, outcome
from worker import Source, digest

from cases.throughput import reference_ids

SMALL = (13, 360)
SINGLE = 8_000
"""Bytes of the text whose ids are decoded one by one."""
COLD = (10_000, 100_000, 1_000_000)
"""Bytes of the first text of a process."""


def small(run: Run) -> None:
    """Inputs so small that the call itself is what takes time."""
    for size in SMALL if run.corpora else ():
        run.say(f"small input: {size} characters")
        source = Source("characters", run.corpora[0].path, size)
        run.simple("small", f"{size} characters", source, operation="small", unit="s")


def transformers(run: Run) -> None:
    """Calls, batches and decoding through the interface of transformers, at any length."""
    for size in LENGTHS if run.corpora else ():
        run.say(f"transformers: {size:,} characters")
        corpus, text = run.corpora[0].path, f"{size} characters"
        source = Source("characters", corpus, size)
        run.simple("small, transformers", text, source, operation="small", unit="s")
        batch = Source("pieces", corpus, size)
        run.simple("batch, transformers", text, batch, operation="small", unit="s")
        whole = Path(corpus).read_bytes().decode()[:size]
        ids = reference_ids(run, whole)
        if ids is not None:
            path = run.folder / f"{size}.npy"
            np.save(path, np.array(ids, np.uint32))
            run.simple(
                "decode, transformers",
                text,
                Source("ids", str(path)),
                operation="small",
                unit="s",
                expected=("the text", [digest(whole.encode())]),
            )


def decode_one(run: Run) -> None:
    """`decode([id])`, one id after another, to text; of ASCII text, whose tokens are text alone."""
    if not run.corpora:
        return
    run.say("decode([id])")
    text = Path(run.corpora[0].path).read_bytes()[:SINGLE].decode("ascii", "ignore")
    ids = reference_ids(run, text)
    if ids is None:
        return
    path = run.folder / "single.npy"
    np.save(path, np.array(ids, np.uint32))
    source = Source("single ids", str(path), len(ids))
    expected = "the text", [digest(text.encode())]
    for case in ("decode one", "decode one, transformers"):
        run.simple(case, "one id", source, operation="single", unit="s", expected=expected)


def cold(run: Run) -> None:
    """The first text that a fresh process sees: seconds for its first 10 KB, 100 KB and 1 MB."""
    for corpus in run.corpora:
        run.say(f"cold start: {corpus.name}")
        cold_one(run, corpus, [size for size in COLD if size <= corpus.bytes] or [corpus.bytes])


def cold_one(run: Run, corpus: Corpus, sizes: list[int]) -> None:
    """One corpus: all sizes in one process, since each is the beginning of the next."""
    source = Source("documents", corpus.path, DOCUMENT)
    compared = run.compare("documents", source)
    steps: dict[Way, list[list[tuple[int, float]]]] = {way: [] for way in compared}

    def measure(way: Way, number: int) -> float:
        arguments = {"case": "documents", "source": source, "sizes": sizes}
        with run.worker(way[0]) as worker:
            steps[way].append(worker.call("cold", way=way[1], **arguments))
        return float(steps[way][-1][-1][1])

    willing = [way for way, record in compared.items() if not record.get("failure")]
    results = alternate(willing, run.settings.rounds, measure, run.settings.enough)
    for at, size in enumerate(sizes):
        for way, record in compared.items():
            more = outcome(results.get(way, []))
            if more.get("samples"):
                taken = [passed[at] for passed in steps[way]]
                more = {"bytes": taken[0][0], "samples": [seconds for _, seconds in taken]}
            text = f"{corpus.name}, {size // 1000:,} KB"
            run.record("cold", text, way, "s", **(record | more))


def load(run: Run) -> None:
    """Importing and loading, each time in a fresh process."""
    run.say("load")
    names = [name for name in run.names if find(name).alone]
    imports: dict[Way, list[float]] = {(name, "import"): [] for name in names}

    def measure(way: Way, number: int) -> float:
        with run.worker(way[0]) as worker:
            imports[way[0], "import"].append(worker.hello["import"])
            return worker.hello["load"]

    results = alternate(
        [(name, "load") for name in names],
        run.settings.rounds,
        measure,
        2 * run.settings.enough,
    )
    for way, result in results.items():
        run.record("load", "", way, "s", **outcome(result))
    for way, samples in imports.items():
        run.record("import", "", way, "s", samples=samples)


def command(run: Run) -> None:
    """`llama3-tok count small.txt`, end to end, beside an interpreter that does nothing."""
    if OURS not in run.names:
        return
    run.say("command")
    small_file = run.folder / "small.txt"
    small_file.write_text("This is a test sentence.\n", "utf-8")
    environment = os.environ | {"LLAMA3_TOK_VOCAB": run.assets.vocabulary}
    commands = {("python", "python -c pass"): [sys.executable, "-c", "pass"]}
    for name in filter(is_ours, run.names):
        call = [*our_command(run.assets.folders.get(name)), "count", str(small_file)]
        commands[name, "llama3-tok count small.txt"] = call

    def measure(way: Way, number: int) -> float:
        folder = run.assets.folders.get(way[0])
        more = {"PYTHONPATH": folder} if folder else {}
        start = time.perf_counter()
        done = subprocess.run(
            commands[way], env=environment | more, capture_output=True, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise Failure(done.stderr.decode("utf-8", "replace").strip()[-200:])
        return seconds

    results = alternate(commands, 3 * run.settings.rounds, measure, 2 * run.settings.enough)
    for way, result in results.items():
        run.record("command", "", way, "s", **outcome(result))


def our_command(folder: str | None = None) -> list[str]:
    """The command of the project that this interpreter imports, or of the one in a folder."""
    scripts = Path(folder, "bin") if folder else Path(sysconfig.get_path("scripts"))
    script = scripts / "llama3-tok"
    return [str(script)] if script.exists() else [sys.executable, "-m", "llama3_tok"]
