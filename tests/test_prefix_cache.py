"""`PrefixCache`: the ids of texts that begin as others did are those of the tokenizer."""

import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import folders
import strategies
from conftest import EXAMPLES
from interpreter import run_python
from llama3_tok import SpecialTokenError, Tokenizer
from llama3_tok.serving import PrefixCache

TOKENIZER = Tokenizer()
WINDOW = 2048


@pytest.fixture
def cache():
    return PrefixCache()


def long_texts(seed, count):
    """Texts of several windows with beginnings in common, of all kinds of characters."""
    dice = random.Random(seed)
    words = [
        "the",
        "word",
        " ",
        "\n",
        "漢字",
        "ไทย",
        "éa",
        "123",
        "<|eot_id|>",
        "don't",
        "😀",
        "\r\n\t",
    ]
    made = [""]
    for _ in range(count):
        base = dice.choice(made)
        kept = base[: dice.randint(0, len(base))]
        if dice.random() < 0.2:  # nowhere a place to cut
            more = dice.choice([" ", "a", "=", "漢"]) * dice.randint(1000, 9000)
        else:
            more = "".join(dice.choice(words) for _ in range(dice.randint(1, 2500)))
        made.append(kept + more)
    return made


@pytest.mark.parametrize("allowed", [(), "all"])
@pytest.mark.parametrize("max_bytes", [0, 40_000, 1 << 30])
def test_texts_have_the_ids_of_the_tokenizer_whatever_is_known(allowed, max_bytes):
    options = {"allowed_special": allowed, "bos": True, "eos": True}
    cache = PrefixCache(max_bytes=max_bytes, **options)
    for text in long_texts(str(allowed), max(EXAMPLES // 4, 60)):
        expected = TOKENIZER.encode(text, **options)
        assert cache.encode(text) == expected
        assert cache.info().bytes <= max_bytes
        assert cache.encode_array(text.encode()).tolist() == expected
    info = cache.info()
    assert 0 <= info.known_bytes <= info.all_bytes
    if max_bytes > 1 << 20:
        assert info.hit_rate > 0.5
    if max_bytes == 0:
        assert (info.blocks, info.bytes, info.known_bytes) == (0, 0, 0)


@settings(max_examples=max(EXAMPLES // 10, 1))
@given(st.lists(strategies.texts(), min_size=1, max_size=30), st.integers(0, 4000), st.data())
def test_what_is_known_never_changes_what_follows(parts, at, data):
    cache = PrefixCache(allowed_special="all")
    whole = "".join(parts) * (1 + 6000 // (1 + len("".join(parts))))
    cache.encode(whole)
    for end in sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4))):
        other = whole[:end] + data.draw(strategies.texts())
        assert cache.encode(other) == TOKENIZER.encode(other, allowed_special="all")


@pytest.mark.long
@pytest.mark.parametrize("shape", folders.SHAPES)
def test_folders_with_tokens_of_any_kind(tmp_path, shape):
    folders.SHAPES[shape](tmp_path)
    ours, dice = Tokenizer(tmp_path), random.Random(shape)
    cache = PrefixCache(ours, allowed_special="all")
    names = [*ours.added_tokens]
    fill = ["a", " ", "\n", "qz", "Hello", " the", "1", "é", "<", "  ", "word "]
    text = ""
    for _ in range(60):
        text = text[: dice.randint(0, len(text))]
        text += "".join(dice.choice(dice.choice([names, fill])) for _ in range(900))
        assert cache.encode(text) == ours.encode(text, allowed_special="all")
    assert cache.info().known_bytes


def test_only_what_is_new_is_encoded(cache, corpus):
    text = corpus[:300_000]
    cache.encode(text)
    assert cache.info().known_bytes == 0
    longer = text + " And one more turn."
    assert cache.encode(longer) == TOKENIZER.encode(longer)
    info = cache.info()
    assert info.texts == 2
    assert info.all_bytes == len(text.encode()) + len(longer.encode())
    # All but what is left after the last block: less than a window.
    assert len(text.encode()) - info.known_bytes < WINDOW
    assert 0 < info.hit_rate < 0.5
    cache.clear()
    assert (cache.info().blocks, cache.info().bytes, cache.info().texts) == (0, 0, 2)
    assert cache.encode(longer) == TOKENIZER.encode(longer)
    assert cache.info().known_bytes == info.known_bytes


def test_what_was_not_used_for_the_longest_time_is_forgotten():
    cache = PrefixCache(max_bytes=200_000)
    often = "Something that is used often. " * 1000
    for number in range(40):
        cache.encode(often)
        cache.encode(f"{number} is used once. " * 1000)
        assert cache.info().bytes <= 200_000
    before = cache.info().known_bytes
    cache.encode(often)
    assert cache.info().known_bytes - before > len(often) - WINDOW


def test_memory_is_what_is_said(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(long_texts(5, 60))[:400_000])
    code = f"""
import re
from llama3_tok.serving import PrefixCache
def memory():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
cache = PrefixCache(max_bytes=1 << 30)
cache.encode("warm " * 100_000)
before, held = memory(), cache.info().bytes
text = open({str(path)!r}).read()
for number in range(60):
    cache.encode_array(f"{{number}} " + text)
print(memory() - before, cache.info().bytes - held)
"""
    grown, said = map(int, run_python(code).stdout.split())
    assert said > 20_000_000
    assert grown < said * 1.5 + 10_000_000


def turns(count, dice):
    messages = [{"role": "system", "content": "You help. " * dice.randint(1, 300)}]
    for number in range(count):
        words = " ".join(dice.choice(["word", "漢字", "<|eot_id|>", "1.5"]) for _ in range(400))
        messages.append({"role": ["user", "assistant"][number % 2], "content": words})
    return messages


TOOLS = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]


@pytest.mark.parametrize("profile", ["llama3", "llama3.1", "llama3.2-vision", "meta"])
def test_conversations_have_the_ids_of_the_tokenizer(profile):
    tokenizer = Tokenizer(profile=profile)
    cache, dice = PrefixCache(tokenizer), random.Random(profile)
    date = {"date": "26 Jul 2024"} if profile in ("llama3.1", "llama3.2-vision") else {}
    for options in ({}, {"add_generation_prompt": False}, date):
        messages = turns(30, dice)
        for end in [1, 2, *range(3, 31, 3)]:
            part = messages[:end]
            expected = tokenizer.encode_chat(part, **options)
            assert cache.encode_chat(part, **options) == expected
            array = cache.encode_chat_array(part, **options)
            assert array.dtype == np.uint32
            assert array.tolist() == expected
    assert cache.info().hit_rate > 0.6


def test_a_conversation_is_known_up_to_its_last_message(cache):
    messages = turns(40, random.Random(1))
    cache.encode_chat_array(messages)
    known = cache.info().known_bytes
    more = [*messages, {"role": "user", "content": "And now?"}]
    assert cache.encode_chat(more) == TOKENIZER.encode_chat(more)
    size = sum(len(message["content"].encode()) for message in messages)
    assert cache.info().known_bytes - known > size - 2 * WINDOW
    # Other tools, and other first messages, are other conversations.
    for change in (
        {"tools": TOOLS},
        {"tools": TOOLS, "tools_in": "system"},
        {"builtin_tools": ["brave_search"]},
    ):
        assert cache.encode_chat(more, **change) == TOKENIZER.encode_chat(more, **change)
    other = [messages[0] | {"content": "x"}, *more[1:]]
    assert cache.encode_chat(other) == TOKENIZER.encode_chat(other)


def test_a_text_and_a_conversation_of_the_same_bytes_are_two(cache):
    messages = turns(6, random.Random(2))
    text = TOKENIZER.render_chat(messages)
    for _ in range(2):
        assert cache.encode_chat(messages) == TOKENIZER.encode_chat(messages)
        assert cache.encode(text) == TOKENIZER.encode(text)


def test_a_template_that_is_run_gives_its_ids(tmp_path):
    folders.SHAPES["chatml"](tmp_path)
    tokenizer = Tokenizer(tmp_path)
    cache = PrefixCache(tokenizer)
    messages = turns(6, random.Random(3))
    for _ in range(2):
        assert cache.encode_chat(messages) == tokenizer.encode_chat(messages)


def test_an_error_is_that_of_the_tokenizer_and_nothing_wrong_is_kept():
    cache = PrefixCache(disallowed_special="all")
    text = "Some text. " * 1000
    cache.encode(text)
    with pytest.raises(SpecialTokenError) as caught:
        cache.encode(text + "<|eot_id|>" + text)
    assert caught.value.offset == len(text)
    assert cache.encode(text) == TOKENIZER.encode(text)
    with pytest.raises(TypeError, match="max_bytes must be an int"):
        PrefixCache(max_bytes=1.5)
    with pytest.raises(ValueError, match="max_bytes must be at least 0"):
        PrefixCache(max_bytes=-1)
    with pytest.raises(TypeError, match="has no option"):
        PrefixCache(threads=1)
    with pytest.raises(TypeError, match="has no option"):
        cache.encode_chat([], wrong=1)
    assert repr(PrefixCache(max_bytes=5)) == "PrefixCache(0 blocks, 0 of 5 bytes)"


def test_threads_share_one(corpus):
    cache = PrefixCache(max_bytes=2_000_000)
    texts = [corpus[start : start + 100_000] for start in range(0, 400_000, 50_000)]
    texts += [text[:60_000] + "something else " * 1000 for text in texts]
    expected, wrong = [TOKENIZER.encode(text) for text in texts], []

    def run(seed):
        dice = random.Random(seed)
        for _ in range(40):
            number = dice.randrange(len(texts))
            if cache.encode(texts[number]) != expected[number]:
                wrong.append(number)
            if dice.random() < 0.05:
                cache.clear()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.info().texts == 8 * 40
