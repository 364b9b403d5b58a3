"""The types that a user's program gets from the stubs, checked by mypy."""

import subprocess
import sys

import pytest

PROGRAM = """
import array
import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

import llama3_tok
from llama3_tok import ChatFormatError, FittedChat, InvalidTokenId
from llama3_tok import Ragged, SpecialTokenError, Tokenizer
from llama3_tok.data import count_arrow, encode_arrow
from llama3_tok.data.huggingface import Encode

class Column:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

tokenizer = Tokenizer("path", profile="llama3")
ids: list[int] = tokenizer.encode("text", bos=True, allowed_special={"<|eot_id|>"})
same: list[int] = llama3_tok.encode(b"bytes", disallowed_special="all")
flat: npt.NDArray[np.uint32] = tokenizer.encode_array("text", allowed_special="all")
lists: list[list[int]] = tokenizer.encode_batch(["a", b"b"], threads=2)
ragged: Ragged = tokenizer.encode_ragged(text for text in ("a", "b"))
one: npt.NDArray[np.uint32] = ragged[0]
count: int = tokenizer.count("text") + llama3_tok.count("text")
counts: npt.NDArray[np.int64] = tokenizer.count_batch(("a", "b"))
for given in (ids, flat, (1, 2), range(3), [np.int64(3)], array.array("i", [1])):
    text: str = tokenizer.decode(given, errors="ignore", skip_special=True)
data: bytes = tokenizer.decode_bytes(ids) + tokenizer.token_bytes(5)
texts: list[str] = tokenizer.decode_batch([ids, flat], threads=1)
size: int = tokenizer.count_file("a.txt", threads=2) + tokenizer.count_file(Path("a"), field="text")
sizes: npt.NDArray[np.int64] = tokenizer.count_files(["a.txt", Path("b.txt")])
file: npt.NDArray[np.uint32] = tokenizer.encode_file("a.txt", bos=True)
records: Ragged = tokenizer.encode_file("a.jsonl", field="text")
files: Iterator[npt.NDArray[np.uint32]] = tokenizer.encode_files([Path("a.txt")], threads=1)
parts: Iterator[Ragged] = tokenizer.stream_file("a.jsonl", field="text", allowed_special="all")
words: list[str] = tokenizer.pretokens("text")
pieces: list[bytes] = tokenizer.pretokens(b"text")
ends: npt.NDArray[np.int64] = tokenizer.pretoken_ends("text")
merged: list[int] = tokenizer.merge(" text", vocab_first=True) + tokenizer.checked_ids(flat)
table: list[bytes] = [*tokenizer.tokens(), tokenizer.rank_file()]
again: Tokenizer = Tokenizer.from_bytes(tokenizer.rank_file(), all_special_tokens={"<a>": 128000})
release: str | None = again.chat_profile
maybe: str | None = input() or None
either: npt.NDArray[np.uint32] | Ragged = tokenizer.encode_file("a", field=maybe)
tokenizer.encode_files("a.txt", field=3)  # type: ignore[call-overload]
messages = [{"role": "user", "content": "Hi"}]
chat: list[int] = tokenizer.encode_chat(messages, tools=[{"name": "f"}], tools_in="system")
learned: tuple[list[int], npt.NDArray[np.uint8]] = tokenizer.encode_chat(messages, return_mask=True)
rendered: str = tokenizer.render_chat(messages, date=datetime.date(2025, 1, 1), dialect="meta")
fitted: FittedChat = tokenizer.fit_chat(messages, 100, answer_tokens=20)
dropped: list[int] = fitted.dropped
tokenizer.encode_chat(messages, dialect="chatml")  # type: ignore[call-overload]
encoding: llama3_tok.Encoding = tokenizer.encode_with_offsets("text", eos=True)
spans: npt.NDArray[np.int64] = encoding.char_spans
at: int = encoding.token_at(3) + len(encoding)
shorter: str = tokenizer.truncate("text", 3, side="left")
fewer: bytes = tokenizer.truncate(b"text", 3)
tokenizer.truncate("text", 3, side="top")  # type: ignore[arg-type]
unknown: str | bytes = input() or b""
part: str | bytes = tokenizer.truncate(unknown, 3)
beginnings: list[str | bytes] = tokenizer.pretokens(unknown)
words_of: list[str | bytes] = [chunk.text for chunk in tokenizer.split(unknown, 3)]
decoder: llama3_tok.StreamDecoder = tokenizer.stream_decoder(skip_special=True)
streamed: str = decoder.push(5) + decoder.push(flat) + decoder.push([1, 2]) + decoder.flush()
canonical: bool = tokenizer.is_canonical(ids)
padded: llama3_tok.Padded = tokenizer.pad([ids, flat], side="left", return_tensors="pt")
called: llama3_tok.Padded = tokenizer(["a", "b"], padding="longest", return_tensors="np")
tokenizer("a", padding="left")  # type: ignore[arg-type]
message: llama3_tok.AssistantMessage = llama3_tok.parse_assistant("text", tokenizer=tokenizer)
calls: tuple[llama3_tok.ToolCall, ...] = tokenizer.parse_assistant(flat).tool_calls
stream: llama3_tok.AssistantStream = llama3_tok.assistant_stream(salvage=True, hold_calls=False)
deltas: list[llama3_tok.Delta] = stream.push("text") + stream.push(5) + stream.push(flat)
for delta in tokenizer.assistant_stream().finish(is_cut=True):
    if isinstance(delta, llama3_tok.CallStart):
        begun: tuple[int, str, str] = (delta.index, delta.id, delta.name)
read: llama3_tok.AssistantMessage = stream.message
rollout = llama3_tok.Rollout(tokenizer, messages, tools=[{"name": "f"}])
rollout.add_sampled(flat, [0.5, 0.25])
rollout.add(messages)
kept: tuple[list[int], list[int], list[float]] = (rollout.ids, rollout.mask, rollout.logprobs)
said: list[str] = rollout.rewrites
renderer = llama3_tok.Renderer(tokenizer, dialect="meta")
prompt: list[int] = renderer.render_ids(messages, add_generation_prompt=True)
llama3_tok.Rollout(tokenizer, messages, dialect="chatml")  # type: ignore[arg-type]
pad: int | None = tokenizer.pad_id
names: dict[str, int] = tokenizer.special_tokens
stops: list[int] = tokenizer.stop_ids
try:
    tokenizer.token_id(b"a")
except ChatFormatError as error:
    fault: tuple[int | None, str] = (error.index, error.field)
except InvalidTokenId as error:
    position: int = error.position
except SpecialTokenError as error:
    offset: int | None = error.offset
    where: tuple[str | None, int | None] = (error.path, error.line)
column = encode_arrow(Column(), tokenizer=tokenizer, bos=True, threads=2)
numbers = count_arrow(Column(), allowed_special="all")
encode_arrow(["text"])  # type: ignore[call-overload]
encode_arrow(Column(), add_bos=True)  # type: ignore[call-overload]
Encode(column="text", eos=True, attention_mask=True)({"text": ["a"]})
Encode(tokenizer="llama3")  # type: ignore[arg-type]
tokenizer.encode(5)  # type: ignore[arg-type]
tokenizer.decode(5)  # type: ignore[arg-type]
tokenizer.vocab_size = 3  # type: ignore[misc]
"""


@pytest.mark.long
def test_a_users_program_type_checks_strictly(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    # Elsewhere than in the project, so that the installed package is what is checked against.
    # Errors that are expected must occur: strict mode reports a "type: ignore" that is not needed.
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
