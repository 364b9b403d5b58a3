"""Every public call with less and less memory, each in a process of its own.

Run by itself, it prints how each call ended at each limit: `PYTHONPATH=python:tests python
tests/refused_memory.py`. A process is forked from one that has loaded all modules; there the free
memory of the heap is taken first, so that the limit is exact, and after the call, without a limit,
the tokenizer has to work.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from llama3_tok import Tokenizer

# Megabytes more than there are.
LIMITS = (0.06, 0.5, 1, 2, 3, 4, 6, 8, 9, 10, 12, 16, 20, 24, 32, 48, 64, 96)
SHORT_LIMITS = (0.06, 2, 8, 9, 12, 24, 48)

LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]

# Calls that start threads, and limits at which a thread may begin without memory for its values:
# the C library would end the process then. Whether it does depends on which thread is first.
THREADED = ("encode_batch, 2 threads", "encode_file", "encode_files", "count_files")
THREAD_LIMITS = (0.5, 1, 2, 3)

SOUND, REFUSED, WRONG, BROKEN = 0, 2, 3, 4


def calls(folder):
    """The calls by name, with files in a folder. Each is made once, which loads its modules."""
    tokenizer = Tokenizer()
    tokenizer.save(f"{folder}/saved")
    Path(folder, "json").mkdir()
    os.link(f"{folder}/saved/tokenizer.json", f"{folder}/json/tokenizer.json")
    text = "a b c d Việt naïve " * 20_000
    record = json.dumps({"text": text[:800]})
    Path(folder, "words.txt").write_text(text, encoding="utf-8")
    Path(folder, "words.jsonl").write_text(f"{record}\n" * 2000, encoding="utf-8")
    texts = [text[at * 10 : at * 10 + 300] for at in range(5000)]
    chat = [{"role": "user", "content": "Hi " * 20_000}] * 3
    array = tokenizer.encode_array(text)
    ids = array.tolist()
    files = [f"{folder}/words.txt", f"{folder}/words.jsonl"]
    made = {
        "Tokenizer(rank file)": lambda _: Tokenizer(f"{folder}/saved/tokenizer.model"),
        "Tokenizer(tokenizer.json)": lambda _: Tokenizer(f"{folder}/json/tokenizer.json"),
        "Tokenizer(folder)": lambda _: Tokenizer(f"{folder}/saved"),
        "save": lambda t: t.save(f"{folder}/again"),
        "rank_file": lambda t: t.rank_file(),
        "written_tokens": lambda t: t.written_tokens(),
        "tokens": lambda t: t.tokens(),
        "encode": lambda t: t.encode(text),
        "encode_array": lambda t: t.encode_array(text),
        "count": lambda t: t.count(text),
        "encode_batch": lambda t: t.encode_batch(texts),
        "encode_batch, 2 threads": lambda t: t.encode_batch(texts, threads=2),
        "encode_ragged": lambda t: t.encode_ragged(texts, threads=2),
        "count_batch": lambda t: t.count_batch(texts),
        "encode_with_offsets": lambda t: t.encode_with_offsets(text),
        "decode": lambda t: t.decode(ids),
        "decode, array": lambda t: t.decode(array),
        "decode_bytes": lambda t: t.decode_bytes(ids),
        "decode_batch": lambda t: t.decode_batch([ids[:1000]] * 300),
        "truncate": lambda t: t.truncate(text, 20_000),
        "split": lambda t: list(t.split(text, 1000)),
        "token_index": lambda t: t.token_index(text),
        "pretokens": lambda t: t.pretokens(text),
        "is_canonical": lambda t: t.is_canonical(ids),
        "count_file": lambda t: t.count_file(files[0]),
        "encode_file": lambda t: t.encode_file(files[0]),
        "encode_files": lambda t: list(t.encode_files(files[1:], field="text")),
        "count_files": lambda t: t.count_files(files),
        "encode_chat": lambda t: t.encode_chat(chat),
        "render_chat": lambda t: t.render_chat(chat),
        "count_chat": lambda t: t.count_chat(chat),
        "pad": lambda t: t.pad([ids] * 3),
        "tokenizer()": lambda t: t(texts, padding=True),
        "with_special_tokens": lambda t: t.with_special_tokens({"<|mine|>": t.vocab_size}),
        "parse_assistant": lambda t: t.parse_assistant(ids[:50_000]),
        "added_spans": lambda t: t.added_spans(text),
        "prefix_tokens": lambda t: t.prefix_tokens("a"),
    }
    for call in made.values():
        call(tokenizer)
    return made


def outcome(call, megabytes, seconds=60):
    """How the call ends with so many megabytes more: a status and what was printed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os._exit(_in_child(call, megabytes))
    os.close(writing)
    end, status = time.monotonic() + seconds, None
    while status is None:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        else:
            time.sleep(0.005)
    printed = os.read(reading, 2000).decode(errors="replace")
    os.close(reading)
    return status, printed


def _in_child(call, megabytes):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    no_limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    # For loading, a vocabulary of its own: the same one would not be read again.
    tokenizer = None if call.__code__.co_varnames[:1] == ("_",) else Tokenizer()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used, no_limit))
    for size in (1 << 20, 1 << 16, 1 << 13, 1 << 10):
        while LIBC.malloc(size):
            pass
    resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes * (1 << 20)), no_limit))
    status = SOUND
    try:
        call(tokenizer)
    except MemoryError:
        status = REFUSED
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_AS, (no_limit, no_limit))
        os.write(1, f"{type(error).__name__}: {error}"[:1000].encode())
        status = WRONG
    resource.setrlimit(resource.RLIMIT_AS, (no_limit, no_limit))
    try:
        after = tokenizer or Tokenizer()
        batch = after.encode_batch(["Hello world"] * 50, threads=2)
        sound = batch == [[9906, 1917]] * 50 and after.decode([9906, 1917]) == "Hello world"
    except BaseException as error:
        os.write(1, f"afterwards, {type(error).__name__}: {error}"[:1000].encode())
        sound = False
    return status if sound else BROKEN


def sweep(limits, names=None):
    """Each call at each limit that did not end as it should: name, megabytes, status, message."""
    wrong, refused = [], 0
    with tempfile.TemporaryDirectory() as folder:
        made = calls(folder)
        for name, call in made.items():
            if names is not None and name not in names:
                continue
            statuses = []
            for megabytes in limits:
                status, printed = outcome(call, megabytes)
                statuses.append(status)
                refused += status == REFUSED
                if status not in (SOUND, REFUSED):
                    wrong.append((name, megabytes, status, printed))
            print(f"{name:28}", *statuses, flush=True)
    return wrong, refused


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer limits")
    parser.add_argument("--threads", type=int, metavar="N", help="calls with threads, N times each")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    if arguments.threads:
        wrong, refused = sweep(THREAD_LIMITS * arguments.threads, THREADED)
    else:
        wrong, refused = sweep(SHORT_LIMITS if arguments.short else LIMITS)
    for one in wrong:
        print(*one)
    print(f"{len(wrong)} wrong, {refused} refused")
    sys.exit(bool(wrong))
