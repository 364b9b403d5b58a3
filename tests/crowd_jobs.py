"""What `crowd` has threads and processes do with one tokenizer: calls, each with its right answer.

A job is a function of a `Crowd` that gives something comparable. The right answer is what it gave
on one thread, before there were others; for ids that is what `tests/soak.py` and the rest of the
tests compare with other tokenizers.
"""

import gzip
import hashlib
import json
import marshal
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np

from llama3_tok import Tokenizer
from llama3_tok.data import encode_chats, pack
from llama3_tok.serving import PrefixCache

LINES = (
    "The quick brown fox jumps over the lazy dog, and nobody minds. \n",
    "Việt Nam ngôn ngữ, naïve café, 漢字かな交じり文 \U0001f600 don't 1234567890\n",
    "def encode(self, text: str) -> list[int]:\n    return self._core.encode(text)\r\n\r\n",
    "xqzjk vbpwy <|eot_id|> grünqzj \t\t  ===== !!! ﷽ ไทย\n",
)


class Crowd:
    """One tokenizer, texts, files and a cache of prefixes, for all threads and processes."""

    def __init__(self, folder: str) -> None:
        dice = random.Random(1)
        self.folder = Path(folder)
        self.tokenizer = Tokenizer()
        self.texts = ["".join(dice.choices(LINES, k=dice.randrange(1, 60))) for _ in range(300)]
        self.short = [text[:200] for text in self.texts]
        self.long = "".join(self.texts * 2)  # above the size that is encoded by several threads
        self.ids = self.tokenizer.encode(self.long)
        self.rows = [self.ids[at : at + 500] for at in range(0, 60_000, 500)]
        self.chat = [
            {"role": role, "content": text}
            for role, text in zip(("system", "user", "assistant", "user"), self.short, strict=False)
        ]
        self.paths = [self.folder / f"{number}.txt" for number in range(20)]
        for path, text in zip(self.paths, self.texts, strict=False):
            path.write_text(text * 5, encoding="utf-8", newline="")
        self.packed = self.folder / "long.txt.gz"
        self.packed.write_bytes(gzip.compress(self.long.encode(), 1))
        self.records = self.folder / "records.jsonl"
        self.records.write_text("".join(json.dumps({"text": text}) + "\n" for text in self.texts))
        self.prefixes = PrefixCache(self.tokenizer, max_bytes=1 << 20)
        self.fresh = self.tokenizer
        """A tokenizer that some thread has just made: its tables may be in the making."""
        self.made = 0
        self.answers = {name: digest(job(self)) for name, job in JOBS.items()}

    def do(self, name: str) -> str | None:
        """Does a job; None, or what is wrong with its answer."""
        found = digest(JOBS[name](self))
        return None if found == self.answers[name] else f"{name}: another answer"


def digest(value: Any) -> str:
    """A value as a hash."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    # The second version of this form does not note which objects are the same.
    return hashlib.sha256(marshal.dumps(value, 2)).hexdigest()


JOBS: dict[str, Any] = {}


def job(work):
    """Notes a job."""
    JOBS[work.__name__] = work
    return work


@job
def encode(crowd):
    return [crowd.tokenizer.encode(text) for text in crowd.short]


@job
def encode_long(crowd):
    return crowd.tokenizer.encode_array(crowd.long)


@job
def encode_batch(crowd):
    return crowd.tokenizer.encode_batch(crowd.texts)


@job
def encode_ragged(crowd):
    return crowd.tokenizer.encode_ragged(crowd.texts, threads=2).ids


@job
def count(crowd):
    return crowd.tokenizer.count(crowd.long), crowd.tokenizer.count_batch(crowd.texts).tolist()


@job
def offsets(crowd):
    return crowd.tokenizer.encode_with_offsets(crowd.texts[3]).byte_spans


@job
def decode(crowd):
    return crowd.tokenizer.decode(crowd.ids) == crowd.long


@job
def decode_batch(crowd):
    return crowd.tokenizer.decode_batch(crowd.rows)


@job
def decode_as_they_come(crowd):
    decoder = crowd.tokenizer.stream_decoder()
    return "".join(decoder.push(row) for row in crowd.rows[:20]) + decoder.flush()


@job
def encode_as_it_comes(crowd):
    encoder = crowd.tokenizer.encoder()
    ids = [id for text in crowd.short[:30] for id in encoder.push(text)]
    return ids + encoder.finish()


@job
def chat(crowd):
    return crowd.tokenizer.encode_chat(crowd.chat), crowd.tokenizer.render_chat(crowd.chat)


@job
def chats(crowd):
    found = encode_chats([crowd.chat] * 50, tokenizer=crowd.tokenizer)
    packed = pack(found.ids, 512, mask=found.mask)
    return found.ids.ids.tolist(), len(packed)


@job
def files(crowd):
    counts = crowd.tokenizer.count_files(crowd.paths).tolist()
    return counts, [ids.tolist() for ids in crowd.tokenizer.encode_files(crowd.paths[:5])]


@job
def packed_file(crowd):
    return np.concatenate(list(crowd.tokenizer.stream_file(crowd.packed)))


@job
def records(crowd):
    return crowd.tokenizer.encode_file(crowd.records, field="text").ids


@job
def half_read_files(crowd):
    """An iterator that is given up while others read ahead for it."""
    found = crowd.tokenizer.encode_files([crowd.packed, *crowd.paths])
    return len(next(found))


@job
def truncate(crowd):
    text = crowd.texts[5]
    return crowd.tokenizer.truncate(text, 50), crowd.tokenizer.truncate(text, 50, side="left")


@job
def split(crowd):
    chunks = [chunk.text for chunk in crowd.tokenizer.split(crowd.texts[7], 64)]
    return chunks, crowd.tokenizer.token_index(crowd.texts[7]).count(0, 100)


@job
def explain(crowd):
    return [piece.ids for piece in crowd.tokenizer.explain(crowd.short[9])]


@job
def prefixes(crowd):
    """A cache that all share; it forgets all the time, since it has one megabyte."""
    whole = "".join(crowd.texts[:40])
    return [crowd.prefixes.encode(whole[:size]) for size in (3000, 30_000, 60_000)]


@job
def tables(crowd):
    """Tables that are made when they are first needed, of a tokenizer that is in use meanwhile."""
    tokens = crowd.fresh.prefix_tokens(" wor").tolist()
    decoded = crowd.fresh.decode(crowd.ids[:20_000])
    return tokens, decoded == crowd.tokenizer.decode(crowd.ids[:20_000])


@job
def make_another(crowd):
    """Another tokenizer, which from now on is the one whose tables are asked for."""
    crowd.made += 1
    name = f"<|made {crowd.made}|>"
    made = crowd.tokenizer.with_special_tokens({name: crowd.tokenizer.vocab_size})
    crowd.fresh = made
    return made.prefix_tokens(" wor").tolist()


@job
def pickles(crowd):
    again = pickle.loads(pickle.dumps(crowd.tokenizer))
    return again == crowd.tokenizer, again.encode(crowd.short[0])


@job
def cache_info(crowd):
    info = crowd.tokenizer.cache_info()
    return info.used <= info.entries, info.bytes <= info.limit, info.threads >= 0
