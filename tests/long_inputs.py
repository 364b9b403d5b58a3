"""Inputs for which a call takes seconds, as code that makes them, for `tests/long_calls.py`."""

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
