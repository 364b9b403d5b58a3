"""A model's answer as ids: only InvalidTokenId, and however it is divided it is the same answer."""

from fuzz_checks.answer import SEEDS, divided
from fuzz_checks.given import Given
from fuzz_checks.small import tokenizer
from llama3_tok import InvalidTokenId
from streamed import put_together, same, told

# Of the special tokens the first 16 have roles; more of them say the same.
SPECIAL = 16


def check(data: bytes) -> None:
    """The first bytes say how it is read; of the rest 0xF8 and what follows are other ids.

    All other bytes are their own ids. After 0xF8 comes a special token, after 0xF9 a token of
    several bytes, after 0xFA any number.
    """
    given = Given(data)
    salvage, holds, step = given.flag(), given.flag(), given.number(1 << 16)
    made, ids = tokenizer(), []
    first, size = made.rank_count, made.vocab_size
    while not given.is_empty:
        match byte := given.number(256):
            case 0xF8:
                ids.append(first + given.number(256) % SPECIAL)
            case 0xF9:
                ids.append(256 + given.number(256) % (first - 256))
            case 0xFA:
                ids.append(given.number(1 << 24) - 1000)
            case _:
                ids.append(byte)
    wrong = next((at for at, id in enumerate(ids) if not 0 <= id < size), None)
    try:
        whole = made.parse_assistant(ids, salvage=salvage)
    except InvalidTokenId as error:
        assert (error.position, error.id) == (wrong, ids[wrong or 0])
        return
    assert wrong is None
    stream = made.assistant_stream(salvage=salvage, hold_calls=holds)
    same(put_together(told(stream, divided(ids, step))), whole)
    assert stream.message == whole


def seeds() -> dict[str, bytes]:
    """Those of texts, with names of special tokens as their ids."""
    marks = {"<|python_tag|>": 10, "<|eot_id|>": 9, "<|eom_id|>": 8}
    found = {}
    for number, text in enumerate(SEEDS):
        data = text.encode()
        for name, index in marks.items():
            data = data.replace(name.encode(), bytes([0xF8, index]))
        found[f"{number}"] = bytes([number % 2, 0, number, 0]) + data
    return found
