"""Everything that takes a text and gives ids: how each is attacked.

An entry takes a world, a supply of texts, and dice for what else it chooses. It gives all ids that
it got for these texts. Their special ids have to be those that it gives for harmless texts and the
same dice; for most that is none. What gives no ids is asserted here, against `encode`.
"""

import gzip
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import llama3_tok
from attack_texts import pieces
from attack_worlds import World
from llama3_tok import SpecialTokenError
from llama3_tok.compat.tokenizers import DecodeStream

Supply = Callable[[], str]
Attack = Callable[[World, Supply, random.Random], Iterable[int]]


@dataclass(frozen=True)
class Entry:
    """A way in."""

    name: str
    attack: Attack
    covers: tuple[str, ...]
    """The public names that it calls with text."""
    weight: float
    """How often it is chosen."""
    releases: bool
    """Whether it is for releases alone."""
    refuses: tuple[type[Exception], ...]
    """What it may raise in place of giving ids."""
    has_structure: bool = False
    """Whether harmless texts give special ids, too, as in conversations."""


ENTRIES: dict[str, Entry] = {}


def entry(*covers: str, weight: float = 1, releases=False, refuses=(), has_structure=False):
    """Notes an entry; it covers these public names."""

    def note(attack: Attack) -> Attack:
        name = attack.__name__
        ENTRIES[name] = Entry(name, attack, covers, weight, releases, tuple(refuses), has_structure)
        return attack

    return note


T = "llama3_tok.Tokenizer"
CHEAP, DEAR = 60.0, 0.03


def joined(text: str) -> str:
    """A text as decoding gives it: surrogates in pairs are a character, others U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# Texts


@entry(f"{T}.encode", f"{T}.decode", "llama3_tok.decode", weight=CHEAP)
def encode(world, text, dice):
    given = text()
    ids = world.tokenizer.encode(given)
    # Nothing is lost. Tokens of folders may take the white space beside them.
    assert not world.is_release or world.tokenizer.decode(ids) == joined(given)
    return ids


@entry(f"{T}.encode", weight=CHEAP)
def encode_bytes(world, text, dice):
    return world.tokenizer.encode(text().encode("utf-8", "surrogatepass"))


@entry(f"{T}.encode", weight=5, refuses=[SpecialTokenError])
def encode_what_is_disallowed(world, text, dice):
    return world.tokenizer.encode(text(), disallowed_special="all")


@entry(f"{T}.encode", weight=5)
def encode_what_another_is_allowed(world, text, dice):
    """One name is allowed: its id is asked for, and no other may come."""
    names = world.tokenizer.special_tokens
    allowed = dice.choice(sorted(names))
    ids = world.tokenizer.encode(text(), allowed_special={allowed})
    return [id for id in ids if id != names[allowed]]


@entry(f"{T}.encode_array", weight=CHEAP)
def encode_array(world, text, dice):
    return world.tokenizer.encode_array(text()).tolist()


@entry(f"{T}.encode_batch", f"{T}.count_batch", weight=5)
def encode_batch(world, text, dice):
    texts = [text() for _ in range(50)]
    rows = world.tokenizer.encode_batch(texts, threads=dice.choice((1, None)))
    assert world.tokenizer.count_batch(texts).tolist() == list(map(len, rows))
    return [id for row in rows for id in row]


@entry(f"{T}.encode_ragged", weight=5)
def encode_ragged(world, text, dice):
    return world.tokenizer.encode_ragged([text() for _ in range(50)]).ids.tolist()


@entry(f"{T}.encode_batch", weight=0.05)
def encode_large(world, text, dice):
    """A text that is cut into chunks, for several threads."""
    unit = "".join(text() for _ in range(300))
    given = unit * (1 + (1 << 20) // len(unit.encode("utf-8", "surrogatepass")))
    ids = world.tokenizer.encode_array(given)
    assert world.tokenizer.count(given) == len(ids)
    return ids.tolist()


@entry(f"{T}.encode_with_offsets", weight=5)
def encode_with_offsets(world, text, dice):
    return world.tokenizer.encode_with_offsets(text()).ids.tolist()


@entry(f"{T}.explain", weight=1)
def explain(world, text, dice):
    given = text()
    found = world.tokenizer.explain(given)
    ids = [id for piece in found for id in piece.ids]
    assert ids == world.tokenizer.encode(given)
    return ids


@entry(f"{T}.count", f"{T}.token_index", weight=5)
def count(world, text, dice):
    given = text()
    ids = world.tokenizer.encode(given)
    assert world.tokenizer.count(given) == len(ids)
    # Tokens of a folder that are not special are none here.
    index = world.tokenizer.token_index(given)
    assert not world.is_release or index.count(0, len(given)) == len(ids)
    return []


@entry("llama3_tok.encode", "llama3_tok.count", weight=5, releases=True)
def module_functions(world, text, dice):
    given = text()
    ids = llama3_tok.encode(given)
    assert llama3_tok.count(given) == len(ids)
    return ids


@entry(f"{T}.pretokens", f"{T}.pretoken_ends", f"{T}.merge", weight=2)
def merge(world, text, dice):
    parts = world.tokenizer.pretokens(text())
    return [id for part in parts for id in world.tokenizer.merge(part, vocab_first=True)]


@entry(f"{T}.added_spans", weight=5)
def added_spans(world, text, dice):
    return [id for _, _, id in world.tokenizer.added_spans(text())]


@entry(f"{T}.truncate", weight=2)
def truncate(world, text, dice):
    given = joined(text() + text())
    most, side = dice.randrange(20), dice.choice(("left", "right"))
    kept = world.tokenizer.truncate(given, most, side=side)
    ids = world.tokenizer.encode(kept)
    assert len(ids) <= most
    return ids


@entry(f"{T}.split", weight=2)
def split(world, text, dice):
    given = joined(text() + text())
    kind = dice.choice(("token", "word", "sentence", "line", "paragraph"))
    chunks = list(world.tokenizer.split(given, 40, at=kind))
    assert "".join(chunk.text for chunk in chunks) == given
    return [id for chunk in chunks for id in world.tokenizer.encode(chunk.text)]


@entry(f"{T}.heal", f"{T}.is_canonical", f"{T}.checked_ids", weight=1)
def heal(world, text, dice):
    ids = world.tokenizer.encode(text())
    assert not world.is_release or world.tokenizer.is_canonical(ids)
    kept, rest = world.tokenizer.heal(world.tokenizer.checked_ids(ids))
    return [*kept, *rest.allowed()]


@entry(f"{T}.prefix_tokens", weight=1)
def prefix_tokens(world, text, dice):
    return world.tokenizer.prefix_tokens(text()).tolist()


@entry(f"{T}.encoder", "llama3_tok.IncrementalEncoder.push", weight=10)
def text_in_pieces(world, text, dice):
    given = text() + text()
    encoder = world.tokenizer.encoder()
    ids = [id for piece in pieces(given, dice) for id in encoder.push(piece)]
    ids += encoder.finish()
    assert ids == encoder.ids
    # Surrogates that are cut apart are two characters.
    assert "\ud800" in given or ids == world.tokenizer.encode(given)
    return ids


@entry(f"{T}.stream_decoder", "llama3_tok.compat.tokenizers.DecodeStream.step", weight=2)
def ids_in_pieces(world, text, dice):
    """What is plain stays, also where special tokens are left out."""
    given = text()
    ids, decoder = world.tokenizer.encode(given), world.tokenizer.stream_decoder(skip_special=True)
    assert decoder.push(ids) + decoder.flush() == world.tokenizer.decode(ids, skip_special=True)
    stream = DecodeStream(skip_special_tokens=True)
    for id in ids:
        stream.step(world.tokenizer, id)
    assert not world.is_release or world.tokenizer.decode(ids, skip_special=True) == joined(given)
    return ids


@entry(
    f"{T}.parse_assistant",
    f"{T}.assistant_stream",
    "llama3_tok.parse_assistant",
    "llama3_tok.assistant_stream",
    "llama3_tok.AssistantStream.push",
    weight=1,
    releases=True,
)
def answers(world, text, dice):
    """An answer of plain text has no end and no code, whatever stands in it."""
    ids = world.tokenizer.encode(text())
    read = world.tokenizer.parse_assistant(ids)
    assert (read.stop_reason, read.code) == (None, None)
    stream = world.tokenizer.assistant_stream()
    deltas = [delta for id in ids for delta in stream.push([id])] + stream.finish(is_cut=False)
    assert deltas[-1].stop_reason is None
    return []


@entry(f"{T}.__call__", f"{T}.pad", weight=2)
def as_transformers_call_it(world, text, dice):
    texts = [text() for _ in range(4)]
    around = dice.random() < 0.5 and world.tokenizer.bos_id is not None
    rows = world.tokenizer(texts, add_special_tokens=around)["input_ids"]
    # A text that has BOS by name gets one, and that of its own is text.
    assert not around or all(row[0] == world.tokenizer.bos_id for row in rows)
    return [id for row in rows for id in row]


# Files


@entry(
    f"{T}.encode_file",
    f"{T}.encode_files",
    f"{T}.stream_file",
    f"{T}.count_file",
    f"{T}.count_files",
    weight=0.3,
)
def files(world, text, dice):
    given = "".join(text() for _ in range(20)).encode("utf-8", "surrogatepass")
    plain, packed = world.path(".txt"), world.path(".txt.gz")
    plain.write_bytes(given)
    packed.write_bytes(gzip.compress(given, 1))
    ids = world.tokenizer.encode_file(plain).tolist()
    rows = [row.tolist() for row in world.tokenizer.encode_files([plain, packed])]
    streamed = [id for part in world.tokenizer.stream_file(packed) for id in part.tolist()]
    assert world.tokenizer.count_file(packed) == len(ids)
    assert world.tokenizer.count_files([plain]).tolist() == [len(ids)]
    assert rows == [ids, ids]
    assert streamed == ids == world.tokenizer.encode(given)
    plain.unlink()
    packed.unlink()
    return ids


@entry(f"{T}.encode_file", f"{T}.count_file", weight=0.3)
def records(world, text, dice):
    """Fields of JSONL, with escapes and without, and names across the borders of records."""
    texts = [text() for _ in range(20)]
    lines = (json.dumps({"text": one}, ensure_ascii=dice.random() < 0.7) for one in texts)
    path = world.path(".jsonl")
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
    rows = world.tokenizer.encode_file(path, field="text")
    assert world.tokenizer.count_file(path, field="text") == len(rows.ids)
    path.unlink()
    return rows.ids.tolist()


# Data


@entry("llama3_tok.data.encode_arrow", "llama3_tok.data.count_arrow", weight=0.5)
def arrow(world, text, dice):
    import pyarrow as pa

    from llama3_tok.data import count_arrow, encode_arrow

    column = pa.array([joined(text()) for _ in range(20)])
    ids = encode_arrow(column, tokenizer=world.tokenizer)
    counted = count_arrow(column, tokenizer=world.tokenizer)
    assert sum(counted.to_pylist()) == len(ids.flatten())
    return ids.flatten().to_pylist()


@entry(
    "llama3_tok.data.huggingface.Encode",
    "llama3_tok.data.huggingface.Encode.__call__",
    "llama3_tok.data.huggingface.encode",
    weight=0.5,
)
def datasets_map(world, text, dice):
    from llama3_tok.data.huggingface import Encode

    rows = Encode(tokenizer=world.tokenizer)({"text": [text() for _ in range(20)]})["input_ids"]
    return [id for row in rows for id in row]


@entry("llama3_tok.data.corpus", "llama3_tok.data.inspect", "llama3_tok.data.pack", weight=0.01)
def corpus(world, text, dice):
    import numpy as np

    from llama3_tok.data import corpus, inspect

    source, out = world.path(".jsonl"), world.path("")
    texts = [text() for _ in range(50)]
    source.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    corpus(source, out, field="text", tokenizer=world.tokenizer, shard_tokens=300)
    assert inspect(out, 0).ids.tolist() == world.tokenizer.encode(texts[0])
    shards = [one for one in sorted(out.glob("*.npy")) if "offsets" not in one.name]
    return [id for shard in shards for id in np.load(shard).tolist()]


# Other libraries' interfaces


def _encoding(method: str) -> str:
    return f"llama3_tok.compat.tiktoken.Encoding.{method}"


@entry(_encoding("encode_ordinary"), weight=10)
def tiktoken_encode_ordinary(world, text, dice):
    return world.encoding.encode_ordinary(text())


@entry(_encoding("encode"), weight=5, refuses=[ValueError])
def tiktoken_encode(world, text, dice):
    return world.encoding.encode(text())


@entry(_encoding("encode"), _encoding("encode_to_numpy"), weight=5)
def tiktoken_encode_as_text(world, text, dice):
    given = text()
    ids = world.encoding.encode(given, disallowed_special=())
    assert world.encoding.encode_to_numpy(given, disallowed_special=()).tolist() == ids
    return ids


@entry(_encoding("encode_batch"), _encoding("encode_ordinary_batch"), weight=1)
def tiktoken_batches(world, text, dice):
    texts = [text() for _ in range(20)]
    rows = world.encoding.encode_ordinary_batch(texts)
    assert world.encoding.encode_batch(texts, disallowed_special=()) == rows
    return [id for row in rows for id in row]


@entry(_encoding("encode_with_unstable"), weight=0.05)
def tiktoken_unstable(world, text, dice):
    stable, more = world.encoding.encode_with_unstable(text(), disallowed_special=())
    return [*stable, *(id for one in more for id in one)]


@entry(
    "llama3_tok.compat.transformers.Llama3Tokenizer.tokenize",
    "llama3_tok.compat.transformers.Llama3Tokenizer.__call__",
    "llama3_tok.compat.transformers.Llama3Tokenizer.encode",
    weight=0.5,
    releases=True,
)
def transformers_with_split_special_tokens(world, text, dice):
    """As transformers has it, names count unless `split_special_tokens` is set."""
    given = {"split_special_tokens": True, "add_special_tokens": False}
    texts = [text() for _ in range(3)]
    rows = world.theirs(texts, **given)["input_ids"]
    assert world.theirs.encode(texts[0], **given) == rows[0]
    assert len(world.theirs.tokenize(texts[0], split_special_tokens=True)) == len(rows[0])
    return [id for row in rows for id in row]


# Serving


@entry(
    "llama3_tok.serving.PrefixCache.encode",
    "llama3_tok.serving.PrefixCache.encode_array",
    weight=5,
)
def prefix_cache(world, text, dice):
    """Texts of several windows, with beginnings in common."""
    if dice.random() < 0.05 or not hasattr(world, "history"):
        world.history = ""
    given = text() * dice.choice((1, 1, 100))
    whole = (world.history + given)[-20_000:]
    world.history = whole
    ids = world.prefixes.encode(whole)
    assert world.prefixes.encode_array(whole).tolist() == ids
    assert ids == world.tokenizer.encode(whole)
    return ids
