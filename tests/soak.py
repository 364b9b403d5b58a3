#!/usr/bin/env python3
"""Endless comparison with the authorities: made-up and mutated texts, conversations, every form.

    python tests/soak.py --hours 8
    python tests/soak.py --bytes 1e9 --record bench/results/soak.json
    python tests/soak.py --seed 12345 --rounds 1        # one round again

Each round has a seed, from which everything in it follows. A child process makes the texts, and
compares
    texts           tiktoken on Meta's ranks, uncut; every fourth text also with tokenizers
    long texts      two of some megabytes: tiktoken, a count, and the text in pieces
    bytes           the rule as it is written, since tiktoken takes only text
    other forms     count, offsets, explain, batches, a text in pieces, a known beginning, decoding
                    as ids come, truncation and chunks, each against the whole
    conversations   transformers with the published template, where LLAMA3_TOK_TEMPLATES names it
A child that ends or hangs is a failure of its round. What differs is made as short as it gets and
kept in a file; the program then goes on, and exits with 1 at its end.
"""

import argparse
import json
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

TEXTS = 150
"""Texts of a round."""
LONG, LONG_CHARACTERS = 2, 1_500_000
"""Long texts of a round, and how many characters each has at least."""
LONG_CHECKS = ("tiktoken", "count", "in pieces")
CONVERSATIONS = 5
HANG = 300.0
"""Seconds after which a round is said to hang."""
CORPORA = ("english.txt", "code.txt", "multilingual.txt", "cjk.txt")


# Texts


class Texts:
    """Texts of one seed."""

    def __init__(self, seed: int) -> None:
        import oracle
        import strategies

        self.random = random.Random(seed)
        self._tokens = list(oracle.ranks())
        self._odd = [oracle.encoding().decode([id]) for id in oracle.unreachable()]
        self._special = list(oracle.SPECIAL)
        self._alphabets = [
            value for name, value in vars(strategies).items() if name.isupper() and value
        ]
        self._corpora = _corpora()

    def __iter__(self) -> Iterator[str]:
        makers = (self.of_tokens, self.of_characters, self.of_runs, self.mutated, self.mutated)
        for _ in range(TEXTS):
            yield self.random.choice(makers)()

    def of_tokens(self) -> str:
        """Tokens of the vocabulary side by side: most of them are cut and merged in other ways."""
        chosen = self.random.choices(self._tokens, k=self.random.randrange(1, 60))
        chosen += [odd.encode() for odd in self.random.choices(self._odd, k=3)]
        self.random.shuffle(chosen)
        return b"".join(chosen).decode("utf-8", "replace")

    def of_characters(self) -> str:
        """Characters of a few alphabets, and any others."""
        alphabet = self.random.choice(self._alphabets)
        characters = "".join(map(str, alphabet))
        return "".join(
            self.random.choice(characters) if self.random.random() < 0.8 else self.character()
            for _ in range(self.random.randrange(1, 200))
        )

    def of_runs(self) -> str:
        """Runs of the same few characters, some of them long."""
        parts = []
        for _ in range(self.random.randrange(1, 6)):
            unit = "".join(self.character() for _ in range(self.random.randrange(1, 4)))
            parts.append(unit * int(self.random.paretovariate(0.6)) if unit else "")
        return "".join(part[:20_000] for part in parts)

    def mutated(self) -> str:
        """A stretch of real text with mistakes in it."""
        corpus = self.random.choice(self._corpora)
        size = min(len(corpus), int(self.random.lognormvariate(8, 1.5)) + 1, 200_000)
        start = self.random.randrange(len(corpus) - size + 1)
        text = list(corpus[start : start + size])
        for _ in range(self.random.randrange(1 + len(text) // 50)):
            at = self.random.randrange(len(text))
            change = self.random.randrange(6)
            if change == 0:
                text[at] = self.character()
            elif change == 1:
                text[at] = ""
            elif change == 2:
                text[at] += text[at] * self.random.randrange(9)
            elif change == 3:
                text[at] = text[at].swapcase()
            elif change == 4:
                text[at] += self.random.choice(self._special)
            else:
                text[at] += self.random.choice(self._odd)
        return "".join(text)

    def long(self) -> str:
        """Stretches of real text with mistakes in them, one after the other."""
        parts, size = [], 0
        while size < LONG_CHARACTERS:
            parts.append(self.mutated())
            size += len(parts[-1])
        return "".join(parts)

    def character(self) -> str:
        """Any one, those of the first planes more often; surrogates too."""
        kind = self.random.random()
        limit = (
            0x80 if kind < 0.3 else 0x3000 if kind < 0.6 else 0x10000 if kind < 0.8 else 0x110000
        )
        return chr(self.random.randrange(limit))


_CACHE: list[str] = []


def _corpora() -> list[str]:
    """Real texts: the corpora where they are, else this project's own files."""
    if not _CACHE:
        folder = os.environ.get("LLAMA3_TOK_CORPORA")
        own = Path(__file__).resolve().parent.parent
        paths = [Path(folder, name) for name in CORPORA] if folder else []
        paths = [path for path in paths if path.exists()] or [
            *own.glob("docs/*.md"),
            *own.glob("rust/**/*.rs"),
        ]
        _CACHE.extend(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return _CACHE


# What is compared

Check = Callable[[Any], bool]
"""Whether what is given shows no fault."""


class Checks:
    """All comparisons, by their names."""

    def __init__(self) -> None:
        import llama3_tok
        import oracle

        self.tokenizer = llama3_tok.Tokenizer()
        self._authority = oracle.encoding()
        self._hugging_face: Any = None
        self.of_text: dict[str, Check] = {
            "tiktoken": self.tiktoken,
            "count": self.count,
            "decode": self.decode,
            "offsets": self.offsets,
            "explain": self.explain,
            "batch": self.batch,
            "allowed special tokens": self.special,
            "in pieces": self.in_pieces,
            "known beginning": self.known_beginning,
            "decoded as ids come": self.decoded_in_pieces,
            "truncation": self.truncation,
            "chunks": self.chunks,
        }

    def expected(self, text: str) -> list[int]:
        """tiktoken's ids; it reads a `str` as the rest of Python does, without surrogates."""
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return self._authority.encode_ordinary(joined)

    def tiktoken(self, text: str) -> bool:
        return self.tokenizer.encode(text) == self.expected(text)

    def hugging_face(self, text: str) -> bool:
        if self._hugging_face is None:
            from tokenizers import Tokenizer

            import oracle

            self._hugging_face = Tokenizer.from_str(oracle.llama3_tokenizer_json())
            self._hugging_face.encode_special_tokens = True
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        theirs = self._hugging_face.encode(joined, add_special_tokens=False).ids
        return bool(theirs == self.tokenizer.encode(text))

    def count(self, text: str) -> bool:
        return self.tokenizer.count(text) == len(self.tokenizer.encode(text))

    def decode(self, text: str) -> bool:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return self.tokenizer.decode(self.tokenizer.encode(text)) == joined

    def offsets(self, text: str) -> bool:
        found = self.tokenizer.encode_with_offsets(text)
        ids = found.ids.tolist()
        pieces = [self.tokenizer.token_bytes(id) for id in ids]
        return ids == self.tokenizer.encode(text) and found.tokens == pieces

    def explain(self, text: str) -> bool:
        found = self.tokenizer.explain(text[:2000])
        return [id for piece in found for id in piece.ids] == self.tokenizer.encode(text[:2000])

    def batch(self, text: str) -> bool:
        lines = text.splitlines(keepends=True)
        ragged = self.tokenizer.encode_ragged(lines, threads=2)
        return [row.tolist() for row in ragged] == [self.tokenizer.encode(line) for line in lines]

    def special(self, text: str) -> bool:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        theirs = self._authority.encode(joined, allowed_special="all")
        return self.tokenizer.encode(text, allowed_special="all") == theirs

    def in_pieces(self, text: str) -> bool:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        encoder = self.tokenizer.encoder()
        for part in _parts(joined.encode(), len(text)):
            encoder.push(part)
        encoder.finish()
        return encoder.ids == self.tokenizer.encode(text)

    def known_beginning(self, text: str) -> bool:
        from llama3_tok.serving import PrefixCache

        cache, texts = PrefixCache(self.tokenizer, max_bytes=1 << 20), []
        for part in _parts(text, len(text) + 1):
            texts.append((texts[-1] if texts else "") + part)
        some = texts[-4:]
        return all(cache.encode(one) == self.tokenizer.encode(one) for one in some)

    def decoded_in_pieces(self, text: str) -> bool:
        ids = self.tokenizer.encode(text)
        decoder = self.tokenizer.stream_decoder()
        said = [decoder.push(part) for part in _parts(ids, len(text) + 2)]
        return "".join([*said, decoder.flush()]) == self.tokenizer.decode(ids)

    def truncation(self, text: str) -> bool:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        count = self.tokenizer.count(joined)
        kept = self.tokenizer.truncate(joined, count // 2)
        fits = self.tokenizer.count(kept) <= count // 2
        longer = joined[: len(kept) + 1]
        return joined.startswith(kept) and fits and (kept == joined or longer != kept)

    def chunks(self, text: str) -> bool:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        chunks = list(self.tokenizer.split(joined, 64))
        whole = "".join(chunk.text for chunk in chunks)
        return whole == joined and all(self.tokenizer.count(one.text) <= 64 for one in chunks)

    def bytes(self, data: bytes) -> bool:
        """Any bytes, by the rule as it is written."""
        import oracle

        ranks, ids = oracle.ranks(), []
        for pretoken in self.tokenizer.pretokens(data):
            ids += [ranks[pretoken]] if pretoken in ranks else oracle.merge(pretoken)
        found = self.tokenizer.encode(data)
        return found == ids and self.tokenizer.decode_bytes(found) == data


def _parts(whole: Any, seed: int) -> Iterator[Any]:
    """A sequence cut anywhere into up to a hundred parts, by a seed."""
    chooser = random.Random(seed)
    places = sorted(chooser.randrange(len(whole) + 1) for _ in range(min(100, len(whole))))
    start = 0
    for end in [*places, len(whole)]:
        yield whole[start:end]
        start = end


def conversation(seed: int) -> tuple[bool, int]:
    """Whether a conversation has the text and ids of transformers, and how long it is."""
    import chat_oracle
    from llama3_tok import Tokenizer

    profile = chat_oracle.HF_PROFILES[seed % len(chat_oracle.HF_PROFILES)]
    tokenizer = Tokenizer(profile=profile)
    messages, options = chat_oracle.hf_conversation(seed, profile)
    prompt = seed % 3 > 0
    text = chat_oracle.by_hugging_face(profile, messages, add_generation_prompt=prompt, **options)
    options["add_generation_prompt"] = prompt
    rendered = tokenizer.render_chat(messages, **options)
    ids = tokenizer.encode_chat(messages, **options)
    return rendered == text and ids == chat_oracle.ids_of(profile, text), len(text.encode())


# Rounds

_CHECKS: list[Checks] = []


def round_of(seed: int) -> dict[str, Any]:
    """One round: how many bytes and comparisons, and what failed."""
    from llama3_tok.report.shrink import Budget, shrink

    if not _CHECKS:
        _CHECKS.append(Checks())
    checks, done, compared, failures = _CHECKS[0], 0, Counter[str](), []

    def compare(name: str, check: Check, given: Any) -> None:
        compared[name] += 1
        if holds(check, given):
            return
        empty = given[:0]
        joined = (lambda units: bytes(units)) if isinstance(given, bytes) else "".join
        least, _ = shrink(
            list(given), lambda units: not holds(check, joined(units)), Budget(20_000, 60.0)
        )
        failures.append({"check": name, "given": repr(joined(least) or empty)})

    made = Texts(seed)
    for _ in range(LONG):
        text = made.long()
        done += len(text.encode("utf-8", "surrogatepass"))
        for name in LONG_CHECKS:
            compare(name, checks.of_text[name], text)
    for number, text in enumerate(made):
        done += len(text.encode("utf-8", "surrogatepass"))
        for name, check in checks.of_text.items():
            compare(name, check, text)
        if number % 4 == 0:
            compare("tokenizers", checks.hugging_face, text)
        data = bytearray(text[:3000].encode("utf-8", "surrogatepass"))
        for _ in range(1 + len(data) // 100):
            data[random.Random(seed + len(data)).randrange(len(data))] ^= 0x80
        compare("bytes", checks.bytes, bytes(data))
    if os.environ.get("LLAMA3_TOK_TEMPLATES"):
        for number in range(CONVERSATIONS):
            same, size = conversation(seed * CONVERSATIONS + number)
            done += size
            compared["transformers"] += 1
            if not same:
                failures.append({"check": "transformers", "given": f"seed {seed}, {number}"})
    return {"seed": seed, "bytes": done, "compared": dict(compared), "failures": failures}


def holds(check: Check, given: Any) -> bool:
    """Whether a comparison holds; an error is a failure as well."""
    try:
        return check(given)
    except Exception:
        return False


def rounds(first: int, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rounds in child processes until there were enough."""
    until = time.monotonic() + arguments.hours * 3600
    limit = arguments.rounds if arguments.rounds is not None else sys.maxsize
    seed, done = first, 0
    while seed < first + limit and time.monotonic() < until and done < arguments.bytes:
        with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
            running: dict[Future[dict[str, Any]], tuple[int, float]] = {}
            try:
                while True:
                    more = seed < first + limit and time.monotonic() < until
                    while more and done < arguments.bytes and len(running) < arguments.processes:
                        running[pool.submit(round_of, seed)] = (seed, time.monotonic())
                        seed, more = seed + 1, seed + 1 < first + limit
                    if not running:
                        return
                    ended, _ = wait(running, timeout=5, return_when=FIRST_COMPLETED)
                    for future in ended:
                        found = future.result()
                        del running[future]
                        done += found["bytes"]
                        yield found
                    if any(time.monotonic() - since > HANG for _, since in running.values()):
                        for process in list(pool._processes.values()):
                            process.kill()
            except BrokenProcessPool:
                for lost, _ in running.values():
                    failure = {"check": "the process", "given": "it ended, or hung"}
                    yield {"seed": lost, "bytes": 0, "compared": {}, "failures": [failure]}


def main() -> int:
    """Runs, tells how it goes, and says with its exit code whether anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=float("inf"), help="how long at most")
    parser.add_argument("--bytes", type=float, default=float("inf"), help="how much text at most")
    parser.add_argument("--rounds", type=int, help="how many rounds at most")
    parser.add_argument("--seed", type=int, help="of the first round (default: the clock)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--failures", type=Path, default=Path("soak-failures.jsonl"))
    parser.add_argument("--record", type=Path, help="write what was compared as JSON")
    arguments = parser.parse_args()
    first = int(time.time()) if arguments.seed is None else arguments.seed
    started = time.monotonic()
    total, compared, count, failed = 0, Counter[str](), 0, 0
    print(f"first seed {first}", flush=True)
    try:
        for found in rounds(first, arguments):
            count, total = count + 1, total + found["bytes"]
            compared.update(found["compared"])
            for failure in found["failures"]:
                failed += 1
                print(
                    f"seed {found['seed']}: {failure['check']}: {failure['given'][:300]}",
                    flush=True,
                )
                with arguments.failures.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"seed": found["seed"], **failure}) + "\n")
            if count % 20 == 0:
                print(f"{count} rounds, {total / 1e6:,.0f} MB, {failed} failures", flush=True)
    except KeyboardInterrupt:
        print("stopped")
    record = {
        "first_seed": first,
        "rounds": count,
        "bytes": total,
        "comparisons": dict(compared),
        "failures": failed,
        "seconds": round(time.monotonic() - started),
        **_versions(),
    }
    print(json.dumps(record, indent=2))
    if arguments.record:
        arguments.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if failed else 0


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import llama3_tok

    names = ("tiktoken", "tokenizers", "transformers")
    return {
        "llama3_tok": llama3_tok.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "date": time.strftime("%Y-%m-%d"),
        **{name: version(name) for name in names},
    }


if __name__ == "__main__":
    sys.exit(main())
