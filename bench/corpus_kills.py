"""Kills runs of `corpus` at random moments until each format was killed so often, and compares.

    python bench/corpus_kills.py [--kills N] [--formats npy,mds]

A run is a process of its own, and ends by SIGKILL. The next one goes on in the same folder. When a
run comes to its end, the SHA-256 of every file in the folder must be that of a run that was never
interrupted; then the folder is begun again. The exit code is 1 if a file differs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from llama3_tok import Tokenizer
from llama3_tok.data import corpus
from llama3_tok.data.sinks import FORMATS

DOCUMENTS = 3000


def tree(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def begin(source: Path, out: Path, form: str, tokenizer: Tokenizer) -> int:
    """A process that makes the corpus; gives its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            corpus(
                source,
                out,
                format=form,
                tokenizer=tokenizer,
                field="text",
                id_field="id",
                eos=True,
                shard_tokens=4000,
                splits={"valid": 0.1},
                threads=2,
            )
            status = 0
        finally:
            os._exit(status)
    return child


def main() -> int:
    """Prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    tokenizer, differ = Tokenizer(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "texts.jsonl"
        with source.open("w") as file:
            for number in range(DOCUMENTS):
                text = " ".join(str(dice.random()) for _ in range(dice.randint(1, 40)))
                file.write(json.dumps({"id": number, "text": text}) + "\n")
        for form in arguments.formats.split(","):
            start = time.perf_counter()
            _, status = os.waitpid(begin(source, folder / "whole", form, tokenizer), 0)
            length = time.perf_counter() - start
            if status:
                print(f"{form}: the run that was not killed failed")
                return 1
            expected, out = tree(folder / "whole"), folder / "out"
            kills = runs = equal = 0
            while kills < arguments.kills:
                child = begin(source, out, form, tokenizer)
                time.sleep(dice.random() * length)
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                runs += 1
                if os.WIFSIGNALED(status):
                    kills += 1
                elif status:
                    print(f"{form}: a run failed after {kills} kills")
                    return 1
                else:
                    equal += tree(out) == expected
                    differ += tree(out) != expected
                    shutil.rmtree(out)
            # The last one is brought to its end as well.
            os.waitpid(begin(source, out, form, tokenizer), 0)
            equal += tree(out) == expected
            differ += tree(out) != expected
            print(
                f"{form:10} {kills} kills in {runs} runs of up to {length:.2f} s; "
                f"{equal} finished, {len(expected)} files equal in each; {differ} differ",
                flush=True,
            )
            shutil.rmtree(out)
            shutil.rmtree(folder / "whole")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
