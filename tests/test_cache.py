"""The memory in which each thread keeps what it merged: limit, growth, and ids without it."""

import pickle
import threading
import time

import pytest

from interpreter import run_python
from llama3_tok import CacheInfo, Llama3TokError, Tokenizer

MB = 1 << 20
LETTERS = str.maketrans("0123456789", "qzjxkvbpwy")
# Words that are merged: hardly any of them is a token.
TEXT = " ".join(f"{number}grün{number % 977}" for number in range(20_000)).translate(LETTERS)


def test_ids_are_the_same_with_any_cache(tokenizer):
    expected = tokenizer.encode(TEXT)
    for cache_mb in (0, 0.1, 0.5, 1, 8, 32):
        other = Tokenizer(cache_mb=cache_mb)
        for _ in range(2):
            assert other.encode(TEXT) == expected
        info = other.cache_info()
        assert info.limit == int(cache_mb * MB)
        assert info.bytes <= info.limit
        assert info.used <= info.entries
        assert (info.used > 0) == (cache_mb > 0.25)


def test_a_process_begins_with_a_small_cache_that_grows_as_text_repeats_itself():
    run = run_python(
        f"""
        import llama3_tok
        tokenizer = llama3_tok.Tokenizer()
        before = tokenizer.cache_info()
        assert before.bytes < {MB} and before.limit == 24 * {MB}, before
        tokenizer.encode("unsurprisingly, a short text")
        assert tokenizer.cache_info().bytes < {MB}
        text = {TEXT[:60_000]!r}
        for _ in range(9):
            tokenizer.encode(text)
        after = tokenizer.cache_info()
        assert 2 * before.bytes < after.bytes <= after.limit, after
        assert after.used > before.used and after.bytes_of_all >= after.bytes, after
        """
    )
    assert run.returncode == 0, run.stderr


def test_each_thread_has_a_cache_and_takes_it_with_it(tokenizer):
    tokenizer.encode(TEXT)
    before = tokenizer.cache_info()
    seen = []

    def work():
        tokenizer.encode("something unheardof")
        seen.append(tokenizer.cache_info())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0].used < before.used
    assert seen[0].threads == before.threads + 1
    # A thread is joined a little before its memory is given back.
    for _ in range(200):
        if tokenizer.cache_info()[4:] == before[4:]:
            break
        time.sleep(0.01)
    assert tokenizer.cache_info()[4:] == before[4:]


def test_another_tokenizer_of_the_thread_may_want_less(tokenizer):
    for _ in range(9):
        tokenizer.encode(TEXT)
    assert tokenizer.cache_info().bytes >= MB
    small = Tokenizer(cache_mb=0.5)
    assert small.encode("Hello world") == tokenizer.encode("Hello world")
    assert small.cache_info().bytes <= MB // 2


def test_the_environment_says_what_no_argument_does(monkeypatch):
    monkeypatch.setenv("LLAMA3_TOK_CACHE_MB", "2.5")
    assert Tokenizer().cache_info().limit == 5 * MB // 2
    assert Tokenizer(cache_mb=3).cache_info().limit == 3 * MB
    monkeypatch.setenv("LLAMA3_TOK_CACHE_MB", "")
    assert Tokenizer().cache_info().limit == 24 * MB
    for wrong in ("much", "-1", "33", "nan"):
        monkeypatch.setenv("LLAMA3_TOK_CACHE_MB", wrong)
        with pytest.raises(Llama3TokError, match="LLAMA3_TOK_CACHE_MB .* from 0 to 32"):
            Tokenizer()


def test_wrong_limits_are_refused():
    for wrong in (-1, 32.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cache_mb must be from 0 to 32"):
            Tokenizer(cache_mb=wrong)
    for wrong in ("8", True, [8]):
        with pytest.raises(TypeError, match="cache_mb must be a number"):
            Tokenizer(cache_mb=wrong)


def test_a_pickle_keeps_the_limit():
    again = pickle.loads(pickle.dumps(Tokenizer(cache_mb=4)))
    assert again.cache_info().limit == 4 * MB
    assert isinstance(again.cache_info(), CacheInfo)
