#!/usr/bin/env python3
"""Ctrl-C in every long call: how soon it ends, and that it leaves nothing half written.

    PYTHONPATH=python:tests python tests/interrupts.py --runs 5 --json interrupts.json

Each call is made with an input for which it takes seconds, in a process of its own, and gets
SIGINT at a random moment; what takes less is made again and again. Printed is how long it goes on
after the signal. `LONG` has all calls; `test_interrupts` sees that every public way in is there,
or is said to be short.
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from interpreter import seconds_after_control_c

LIMIT = 0.2
"""Seconds, on a machine that has nothing else to do."""

TEXT = """
line = "The quick brown fox, naïve Việt 漢字 and 12345 more; don't panic!\\n"
text = line * 500_000
tokenizer.added_spans(text)  # Python makes UTF-8 of a text once, and keeps it
"""
TEXTS = """
line = "The quick brown fox, naïve Việt 漢字 and 12345 more; don't panic!\\n"
texts = [line * (1 + at % 7) for at in range(150_000)]
"""
IDS = "ids = tokenizer.encode('The quick brown fox, naïve Việt 漢字. ' * 50) * 40_000\n"
ARRAY = IDS + "import numpy; array = numpy.array(ids, 'u4')\n"
ROWS = "rows = [tokenizer.encode('The quick brown fox, naïve Việt. ' * 9)] * 200_000\n"
CHAT = TEXT + "chat = [{'role': 'user', 'content': text}]\n"
MANY = """
chat = [{"role": "user", "content": "Hi there, you"}, {"role": "assistant", "content": "Hi."}]
chat *= 300_000
"""
CHATS = """
from llama3_tok.data import count_chats, encode_chats, pack
row = [{"role": "user", "content": "Hi. " * 90}, {"role": "assistant", "content": "Hi. " * 20}]
chats = [row] * 200_000
"""
FILE = """
line = "The quick brown fox, naïve Việt 漢字 and 12345 more; don't panic!\\n"
with open("large.txt", "w") as file:
    file.writelines(line * 1000 for _ in range(2000))
"""
RECORDS = """
import json
record = json.dumps({"text": "The quick brown fox, naïve Việt 漢字. " * 9}) + "\\n"
with open("large.jsonl", "w") as file:
    file.writelines(record * 1000 for _ in range(500))
"""
SAVED = "tokenizer.save('saved')\n"
PACK = """
import numpy
from llama3_tok.data import pack
from llama3_tok import Ragged
sizes = numpy.random.default_rng(1).integers(1, 900, 300_000)
offsets = numpy.concatenate(([0], numpy.cumsum(sizes)))
ragged = Ragged(numpy.zeros(offsets[-1], "u4"), offsets)
"""
PACKED = PACK + "packed = pack(ragged, 2048)\n"
ARROW = """
import pyarrow
from llama3_tok.data import count_arrow, encode_arrow
column = pyarrow.array(["The quick brown fox, naïve Việt 漢字. " * 9] * 500_000)
"""
THEIRS = (
    TEXTS
    + """
from llama3_tok.compat.transformers import Llama3Tokenizer
theirs = Llama3Tokenizer()
"""
)
TIKTOKEN = "import llama3_tok.compat.tiktoken as t; encoding = t.get_encoding('llama3.1')\n"
LLAMA2 = """
import pathlib, llama2_model
from llama3_tok import report
path = pathlib.Path("llama2"); path.mkdir(exist_ok=True); llama2_model.write(path)
llama2 = next(path.iterdir())
"""
TEMPLATE = """
template = "{% for m in messages %}{{ m.content | trim }}<|eot_id|>{% endfor %}{# run #}"
chat = [{"role": "user", "content": "Hi there, you " * 3}] * 20_000
"""

# What has to hold after a file was to be written: nothing is there, or all of it, and nothing else.
NO_DRAFTS = """
import pathlib
left = [str(path) for path in pathlib.Path(".").rglob("*") if ".partial" in path.name]
assert left == [], left
"""
SOUND = (
    NO_DRAFTS
    + """
if pathlib.Path("new/tokenizer.json").exists():
    assert llama3_tok.Tokenizer("new").encode("Hi <|eot_id|>") == tokenizer.encode("Hi <|eot_id|>")
"""
)
# Begun again, a corpus goes on where it was, and is whole.
CONTINUED = """
from llama3_tok.data import verify
corpus("large.txt", last, documents="line", shard_tokens=1_000_000)
verify(last)
"""


@dataclass(frozen=True)
class Call:
    """A call that takes long: what it needs, itself, and what has to hold when it was ended."""

    covers: tuple[str, ...]
    before: str
    work: str
    after: str = ""


def call(covers: str, before: str, work: str, after: str = "") -> Call:
    """A call; `covers` are public names with spaces between them."""
    return Call(tuple(covers.split()), before, work, after)


def again(work: str) -> str:
    """What takes less than a second, made until the signal comes."""
    return f"while True: {work}"


T = "llama3_tok.Tokenizer"
LONG = {
    "encode": call(f"{T}.encode llama3_tok.encode", TEXT, again("tokenizer.encode(text)")),
    "encode_array": call(f"{T}.encode_array", TEXT, again("tokenizer.encode_array(text)")),
    "encode bos": call(f"{T}.encode", TEXT, again("tokenizer.encode_array(text, bos=True)")),
    "count": call(f"{T}.count llama3_tok.count", TEXT, again("tokenizer.count(text)")),
    "encode_batch": call(f"{T}.encode_batch", TEXTS, again("tokenizer.encode_batch(texts)")),
    "encode_batch, one thread": call(
        f"{T}.encode_batch", TEXTS, again("tokenizer.encode_batch(texts, threads=1)")
    ),
    "encode_ragged": call(f"{T}.encode_ragged", TEXTS, again("tokenizer.encode_ragged(texts)")),
    "count_batch": call(f"{T}.count_batch", TEXTS, again("tokenizer.count_batch(texts)")),
    "encode_with_offsets": call(
        f"{T}.encode_with_offsets", TEXT, again("tokenizer.encode_with_offsets(text)")
    ),
    "tokens of an encoding": call(
        "", TEXT + "found = tokenizer.encode_with_offsets(text)", again("found.tokens")
    ),
    "explain": call(f"{T}.explain", TEXT, again("tokenizer.explain(text)")),
    "pretokens": call(f"{T}.pretokens", TEXT, again("tokenizer.pretokens(text)")),
    "pretoken_ends": call(f"{T}.pretoken_ends", TEXT, again("tokenizer.pretoken_ends(text)")),
    "merge": call(
        f"{T}.merge",
        "import random; word = ''.join(random.choices('abcdefgh', k=5_000_000))",
        again("tokenizer.merge(word)"),
    ),
    "added_spans": call(
        f"{T}.added_spans",
        "names = '<|eot_id|> a' * 3_000_000",
        again("tokenizer.added_spans(names, allowed_special='all')"),
    ),
    "truncate": call(f"{T}.truncate", TEXT, again("tokenizer.truncate(text, 9_000_000)")),
    "truncate, left": call(
        f"{T}.truncate", TEXT, again("tokenizer.truncate(text, 9_000_000, side='left')")
    ),
    "split": call(f"{T}.split", TEXT, again("list(tokenizer.split(text, 512, overlap=64))")),
    "one large chunk": call(f"{T}.split", TEXT, again("next(tokenizer.split(text, 9_000_000))")),
    "token_index": call(f"{T}.token_index", TEXT, again("tokenizer.token_index(text)")),
    "count of a part": call(
        "llama3_tok.TokenIndex.count",
        TEXT + "index = tokenizer.token_index(text)",
        again("index.count(1, len(text) - 1)"),
    ),
    "heal": call(f"{T}.heal", IDS, again("tokenizer.heal(ids)")),
    "is_canonical": call(f"{T}.is_canonical", IDS, again("tokenizer.is_canonical(ids)")),
    "checked_ids": call(f"{T}.checked_ids", IDS, again("tokenizer.checked_ids(ids)")),
    "prefix_tokens": call(f"{T}.prefix_tokens", "", again("tokenizer.prefix_tokens('')")),
    "decode": call(f"{T}.decode llama3_tok.decode", IDS, again("tokenizer.decode(ids)")),
    "decode, array": call(f"{T}.decode", ARRAY, again("tokenizer.decode(array)")),
    "decode_bytes": call(f"{T}.decode_bytes", ARRAY, again("tokenizer.decode_bytes(array)")),
    "decode_batch": call(f"{T}.decode_batch", ROWS, again("tokenizer.decode_batch(rows)")),
    "stream_decoder": call(
        f"{T}.stream_decoder llama3_tok.StreamDecoder.push llama3_tok.StreamDecoder.flush",
        ARRAY,
        again("tokenizer.stream_decoder().push(array)"),
    ),
    "prompt_tail": call(
        f"{T}.stream_decoder", ARRAY, again("tokenizer.stream_decoder(prompt_tail=array)")
    ),
    "encoder": call(
        f"{T}.encoder llama3_tok.IncrementalEncoder.push llama3_tok.IncrementalEncoder.finish",
        TEXT,
        again("tokenizer.encoder().push(text)"),
    ),
    "pad": call(f"{T}.pad", ROWS, again("tokenizer.pad(rows)")),
    "tokenizer()": call(f"{T}.__call__", TEXTS, again("tokenizer(texts, padding=True)")),
    # Files
    "count_file": call(f"{T}.count_file", FILE, again("tokenizer.count_file('large.txt')")),
    "count_files": call(
        f"{T}.count_files", FILE, again("tokenizer.count_files(['large.txt'] * 3)")
    ),
    "count_files, many": call(
        f"{T}.count_files",
        "open('small.txt', 'w').write('Hi'); paths = ['small.txt'] * 100_000",
        again("tokenizer.count_files(paths)"),
    ),
    "encode_file": call(f"{T}.encode_file", FILE, again("tokenizer.encode_file('large.txt')")),
    "encode_file, field": call(
        f"{T}.encode_file", RECORDS, again("tokenizer.encode_file('large.jsonl', field='text')")
    ),
    "encode_files": call(
        f"{T}.encode_files", FILE, again("list(tokenizer.encode_files(['large.txt'] * 3))")
    ),
    "stream_file": call(
        f"{T}.stream_file", FILE, again("sum(map(len, tokenizer.stream_file('large.txt')))")
    ),
    # Conversations
    "encode_chat, one long": call(f"{T}.encode_chat", CHAT, again("tokenizer.encode_chat(chat)")),
    "encode_chat, many": call(f"{T}.encode_chat", MANY, again("tokenizer.encode_chat(chat)")),
    "encode_chat, mask": call(
        f"{T}.encode_chat", MANY, again("tokenizer.encode_chat(chat, return_mask=True)")
    ),
    "encode_chat_array": call(
        f"{T}.encode_chat_array", CHAT, again("tokenizer.encode_chat_array(chat)")
    ),
    "encode_chat, template": call(
        f"{T}.encode_chat",
        TEMPLATE,
        again("tokenizer.encode_chat(chat, chat_template=template)"),
    ),
    "count_chat": call(f"{T}.count_chat", MANY, again("tokenizer.count_chat(chat)")),
    "render_chat": call(f"{T}.render_chat", MANY, again("tokenizer.render_chat(chat)")),
    "fit_chat": call(f"{T}.fit_chat", MANY, again("tokenizer.fit_chat(chat, 1000)")),
    "parse_assistant, ids": call(
        f"{T}.parse_assistant llama3_tok.parse_assistant",
        IDS,
        again("tokenizer.parse_assistant(ids)"),
    ),
    "parse_assistant, text": call(
        f"{T}.parse_assistant",
        'answer = \'{"name": "f", "parameters": {}}; \' * 300_000',
        again("tokenizer.parse_assistant(answer, salvage=True)"),
    ),
    "assistant_stream": call(
        f"{T}.assistant_stream llama3_tok.assistant_stream llama3_tok.AssistantStream.push "
        "llama3_tok.AssistantStream.finish",
        "answer = 'I think so. ' * 3_000_000",
        again("tokenizer.assistant_stream().push(answer)"),
    ),
    "rollout": call(
        "llama3_tok.Rollout.add llama3_tok.Rollout.add_sampled",
        MANY,
        again("llama3_tok.Rollout(tokenizer, chat[:-1])"),
    ),
    "renderer": call(
        "llama3_tok.Renderer.render llama3_tok.Renderer.render_ids "
        "llama3_tok.Renderer.bridge_to_next_turn llama3_tok.Renderer.parse_response",
        MANY + "renderer = llama3_tok.Renderer(tokenizer)",
        again("renderer.render(chat)"),
    ),
    # Data
    "encode_chats": call("llama3_tok.data.encode_chats", CHATS, again("encode_chats(chats)")),
    "count_chats": call("llama3_tok.data.count_chats", CHATS, again("count_chats(chats)")),
    "encode_arrow": call("llama3_tok.data.encode_arrow", ARROW, again("encode_arrow(column)")),
    "count_arrow": call("llama3_tok.data.count_arrow", ARROW, again("count_arrow(column)")),
    "huggingface.Encode": call(
        "llama3_tok.data.huggingface.Encode.__call__ llama3_tok.data.huggingface.encode",
        TEXTS + "from llama3_tok.data.huggingface import encode",
        again("encode({'text': texts})"),
    ),
    "pack": call("llama3_tok.data.pack", PACK, again("pack(ragged, 2048)")),
    "pack, best fit": call(
        "llama3_tok.data.pack", PACK, again("pack(ragged, 2048, strategy='best-fit')")
    ),
    "pack, separator": call(
        "llama3_tok.data.pack", PACK, again("pack(ragged, 2048, separator=1, mask=ragged.ids)")
    ),
    "pack, lists": call("llama3_tok.data.pack", PACK + ROWS, again("pack(rows, 2048)")),
    "columns": call("llama3_tok.data.Packed.columns", PACKED, again("packed.columns()")),
    "padded": call("llama3_tok.data.Packed.padded", PACKED, again("packed.padded(0)")),
    "corpus": call(
        "llama3_tok.data.corpus llama3_tok.data.verify llama3_tok.data.inspect",
        FILE + "from llama3_tok.data import corpus",
        again(
            "last = f'tokens{len(os.listdir())}'; "
            "corpus('large.txt', last, documents='line', shard_tokens=1_000_000)"
        ),
        CONTINUED,
    ),
    # Tokenizers and their files
    "Tokenizer()": call(
        f"{T}.from_bytes",
        "data = tokenizer.rank_file()",
        again("llama3_tok.Tokenizer.from_bytes(data + b'eHh4eHhxcXE= 128000\\n')"),
    ),
    "Tokenizer(folder)": call(
        f"{T}.with_folder",
        SAVED + "import pathlib; json = pathlib.Path('saved/tokenizer.json')\n"
        "pathlib.Path('saved/tokenizer.model').unlink()\n",
        again("json.write_text(json.read_text() + ' '); llama3_tok.Tokenizer('saved')"),
    ),
    "with_special_tokens": call(
        f"{T}.with_special_tokens",
        "names = {f'<|{at}|>': 128256 + at for at in range(20_000)}",
        again("tokenizer.with_special_tokens(names)"),
    ),
    "rank_file": call(f"{T}.rank_file", "", again("tokenizer.rank_file()")),
    "tokens": call(f"{T}.tokens", "", again("tokenizer.tokens()")),
    "written_tokens": call(f"{T}.written_tokens", "", again("tokenizer.written_tokens()")),
    "save": call(f"{T}.save", "", again("tokenizer.save('new')"), SOUND),
    "convert": call(
        "",
        SAVED + "from llama3_tok.formats.convert import convert",
        again("convert('saved', 'made.json', force=True)"),
        NO_DRAFTS,
    ),
    # Other libraries' interfaces
    "tiktoken, encode": call(
        "llama3_tok.compat.tiktoken.Encoding.encode "
        "llama3_tok.compat.tiktoken.Encoding.encode_ordinary "
        "llama3_tok.compat.tiktoken.Encoding.encode_to_numpy",
        TEXT + TIKTOKEN,
        again("encoding.encode(text)"),
    ),
    "tiktoken, batch": call(
        "llama3_tok.compat.tiktoken.Encoding.encode_batch "
        "llama3_tok.compat.tiktoken.Encoding.encode_ordinary_batch",
        TEXTS + TIKTOKEN,
        again("encoding.encode_ordinary_batch(texts)"),
    ),
    "tiktoken, decode": call(
        "llama3_tok.compat.tiktoken.Encoding.decode "
        "llama3_tok.compat.tiktoken.Encoding.decode_bytes",
        IDS + TIKTOKEN,
        again("encoding.decode(ids)"),
    ),
    "tiktoken, offsets": call(
        "llama3_tok.compat.tiktoken.Encoding.decode_with_offsets "
        "llama3_tok.compat.tiktoken.Encoding.decode_tokens_bytes",
        IDS + TIKTOKEN,
        again("encoding.decode_with_offsets(ids)"),
    ),
    "tiktoken, decode_batch": call(
        "llama3_tok.compat.tiktoken.Encoding.decode_batch "
        "llama3_tok.compat.tiktoken.Encoding.decode_bytes_batch",
        ROWS + TIKTOKEN,
        again("encoding.decode_batch(rows)"),
    ),
    "transformers": call(
        "llama3_tok.compat.transformers.Llama3Tokenizer.tokenize", THEIRS, again("theirs(texts)")
    ),
    "transformers, offsets": call("", THEIRS, again("theirs(texts, return_offsets_mapping=True)")),
    "transformers, decode": call(
        "llama3_tok.compat.transformers.Llama3Tokenizer.decode",
        THEIRS + IDS,
        again("theirs.decode(ids)"),
    ),
    "transformers, chat": call(
        "llama3_tok.compat.transformers.Llama3Tokenizer.apply_chat_template",
        THEIRS + MANY,
        again("theirs.apply_chat_template(chat)"),
    ),
    # Serving and reports
    "PrefixCache.encode": call(
        "llama3_tok.serving.PrefixCache.encode llama3_tok.serving.PrefixCache.encode_array",
        TEXT + "from llama3_tok.serving import PrefixCache; cache = PrefixCache(max_bytes=1 << 30)",
        again("cache.encode(text)"),
    ),
    "PrefixCache.encode_chat": call(
        "llama3_tok.serving.PrefixCache.encode_chat "
        "llama3_tok.serving.PrefixCache.encode_chat_array llama3_tok.serving.PrefixCache.clear",
        MANY + "from llama3_tok.serving import PrefixCache; cache = PrefixCache()",
        again("cache.encode_chat(chat)"),
    ),
    "compare": call(
        "llama3_tok.report.compare llama3_tok.report.Comparison.to_html "
        "llama3_tok.report.Comparison.to_json",
        TEXT + LLAMA2,
        again("report.compare(text, llama2=llama2)"),
    ),
    "parity": call(
        "llama3_tok.report.parity llama3_tok.report.Parity.to_html "
        "llama3_tok.report.Parity.to_json",
        FILE + "from llama3_tok import report",
        again("report.parity(['large.txt'], references=['tiktoken'])"),
    ),
}
"""All calls that may take long, by what they are called."""

SHORT = {
    *("llama3_tok.about.code_path", "llama3_tok.about.code_paths", "llama3_tok.about.cpu_count"),
    *("llama3_tok.about.cpu_features", "llama3_tok.AssistantMessage.to_message"),
    *("llama3_tok.AssistantStream.choices", "llama3_tok.Renderer.get_stop_token_ids"),
    *(
        f"llama3_tok.compat.tiktoken.Encoding.{name}"
        for name in (
            *("decode_single_token_bytes", "encode_single_token", "is_special_token"),
            *("token_byte_values", "encode_with_unstable"),
        )
    ),
    *(
        f"llama3_tok.compat.tiktoken.{name}"
        for name in (
            *("get_encoding", "list_encoding_names", "encoding_for_model"),
            "encoding_name_for_model",
        )
    ),
    "llama3_tok.compat.tokenizers.DecodeStream.step",
    *(f"llama3_tok.compat.transformers.{name}" for name in ("register", "unregister")),
    *(
        f"llama3_tok.compat.transformers.Llama3Tokenizer.{name}"
        for name in (
            *("build_inputs_with_special_tokens", "convert_tokens_to_string", "get_vocab"),
            *("get_special_tokens_mask", "save_vocabulary", "set_truncation_and_padding"),
            "train_new_from_iterator",
        )
    ),
    *(
        f"llama3_tok.data.huggingface.Encode.{name}"
        for name in ("column_of", "counts_of", "ids_of", "threads_here", "with_column")
    ),
    "llama3_tok.ChatFormatError.in_row",
    "llama3_tok.serving.PrefixCache.info",
    *(f"{T}.{name}" for name in ("cache_info", "of", "token_bytes", "token_id")),
    "llama3_tok.Encoding.token_at",
    *(f"llama3_tok.Explanation.{name}" for name in ("as_json", "at")),
    *(
        f"llama3_tok.{kind}.{name}"
        for kind in ("Pretoken", "AddedPiece")
        for name in ("as_json", "tree")
    ),
    "llama3_tok.Padded.to",
}
"""What looks something up, is a part of another call, or makes another form of one result."""


def measure(name: str, seed: object = 0) -> float:
    """Seconds that a call goes on after Ctrl-C, at a random moment of its first second."""
    one = LONG[name]
    delay = 0.05 + 0.5 * random.Random(f"{name} {seed}").random()
    here = str(Path(__file__).resolve().parent)
    with tempfile.TemporaryDirectory() as folder:
        return seconds_after_control_c(
            one.work,
            # An import of NumPy that is interrupted is an ImportError of NumPy's own.
            before=f"import numpy\n{one.before}",
            after=one.after,
            delay=delay,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), here])},
        )


def main() -> int:
    """Measures, and says with its exit code whether all calls ended in time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="the calls (default: all)")
    parser.add_argument("--runs", type=int, default=1, help="how often each is interrupted")
    parser.add_argument("--json", type=Path, help="write all times")
    arguments = parser.parse_args()
    # What a shell runs in the background ignores Ctrl-C, and so would all that this starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found: dict[str, list[float]] = {}
    failed = {}
    for name in arguments.names or LONG:
        try:
            found[name] = [round(measure(name, run), 3) for run in range(arguments.runs)]
            print(f"{max(found[name]):6.3f} s  {name}", flush=True)
        except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
            failed[name] = str(error)[-600:]
            print(f" failed   {name}: {failed[name]}", flush=True)
    record: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "python": platform.python_version(),
        "limit_seconds": LIMIT,
        "longest": dict(sorted(((name, max(times)) for name, times in found.items()))),
        "above_the_limit": {n: times for n, times in found.items() if max(times) > LIMIT},
        "seconds": found,
        "failed": failed,
    }
    longest = max((max(times) for times in found.values()), default=0.0)
    print(f"{len(found)} calls, the longest {longest:.3f} s; {len(failed)} failed")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if failed or longest > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
