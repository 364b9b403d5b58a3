"""A model's folder with one file of any content: refused, or its texts come back."""

import json
import warnings
from functools import cache
from pathlib import Path

from fuzz_checks.small import place, tokenizer
from llama3_tok import ChatFormatError, Llama3TokError, Tokenizer

TEXT = "hello hello\n\nhell lo <|eot_id|>"
MESSAGES = [{"role": "user", "content": "hello <|eot_id|>"}]
# What a folder may have besides what is saved.
MORE = ("added_tokens.json", "chat_template.jinja", "config.json")


def check(data: bytes) -> None:
    """The first byte says which file it is; after `+` the rest goes to the end of a sound one's."""
    folder, files = _folder()
    names = sorted({*files, *MORE})
    name = names[(data[0] if data else 0) % len(names)]
    content = data[1:]
    if content[:1] == b"+":
        # Into the object, so that a key that is there twice has the later value.
        content = files.get(name, b"{}").rstrip().removesuffix(b"}") + content[1:] + b"}"
    path = folder / name
    path.write_bytes(content)
    try:
        _use(folder)
    finally:
        path.unlink()
        if name in files:
            path.write_bytes(files[name])


def _use(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = Tokenizer(folder)
        except Llama3TokError as error:
            assert len(str(error)) <= 1000
            return
    ids = made.encode(TEXT)
    assert made.decode_bytes(ids) == TEXT.encode() or made.added_tokens
    json.dumps(made.added_tokens, default=str)
    assert made.stop_ids == sorted(made.stop_ids)
    try:
        made.encode_chat(MESSAGES, add_generation_prompt=True)
    except (ChatFormatError, Llama3TokError) as error:
        assert len(str(error)) <= 1000


@cache
def _folder() -> tuple[Path, dict[str, bytes]]:
    """A sound folder, and what is in its files."""
    folder = place() / "folder"
    tokenizer().save(folder)
    return folder, {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def seeds() -> dict[str, bytes]:
    """Each file with something more in it."""
    _, files = _folder()
    found = {}
    for number, name in enumerate(sorted({*files, *MORE})):
        if name.endswith(".json"):
            more = b',"eos_token_id":[3,4],"bos_token":"<|eot_id|>","chat_template":"{{ 1 }}"'
            found[f"{number}"] = bytes([number]) + b"+" + more
            found[f"{number}tokens"] = (
                bytes([number])
                + b'+,"added_tokens_decoder":{"264":{"content":"<x>","lstrip":true}},'
                + b'"extra_special_tokens":["<y>"],"add_bos_token":false'
            )
        else:
            found[f"{number}"] = bytes([number]) + b"{{ messages[0]['content'] }}"
    return found
