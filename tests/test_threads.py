"""Threads that share what the core makes lazily, or what others change meanwhile.

`scripts/free_threaded.sh` runs these, and other tests with threads, where Python has no lock.
"""

import sys
import threading
from pathlib import Path

import oracle
from llama3_tok import Tokenizer

THREADS = 8


def together(work):
    """Runs `work(number)` on all threads at the same moment; gives what they raised."""
    barrier, raised = threading.Barrier(THREADS), []

    def run(number):
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_what_is_made_when_first_needed_is_made_for_all_threads():
    """The cuts beyond ASCII, the table for decoding, and the tokens by their bytes."""
    text = "Việtnam ngôn ngữ " * 2000
    ids = oracle.encoding().encode_ordinary(text)
    # One more token, so that nothing is shared with tokenizers of other tests.
    ranks = Path(Tokenizer().vocabulary).read_bytes() + b"eHh4eHhxcXE= 128000\n"
    fresh = Tokenizer.from_bytes(ranks)
    seen = []

    def work(number):
        assert fresh.encode(text) == ids
        assert fresh.decode(ids) == text
        seen.append(fresh.prefix_tokens("Vi").tolist())

    assert together(work) == []
    assert len(seen) == THREADS
    assert all(tokens == seen[0] for tokens in seen)


def test_a_list_that_another_thread_changes_gives_ids_of_what_it_had(tokenizer):
    """Each text is that of before or of after, and nothing else."""
    before, after = "before " * 50, "after " * 70
    allowed = [oracle.encoding().encode_ordinary(text) for text in (before, after)]
    texts = [before] * 500

    def work(number):
        for turn in range(20):
            if number % 2:
                for at in range(number, len(texts), THREADS):
                    texts[at] = (before, after)[turn % 2]
            else:
                assert all(ids in allowed for ids in tokenizer.encode_batch(texts))

    assert together(work) == []


def test_a_stream_decoder_between_threads_loses_nothing(tokenizer):
    """Each thread has its own, and the tokenizer in common."""
    text = "漢字 émigré 🙂 " * 300
    ids = oracle.encoding().encode_ordinary(text)

    def work(number):
        decoder = tokenizer.stream_decoder()
        assert "".join(decoder.push(i) for i in ids) + decoder.flush() == text

    assert together(work) == []


def test_tokenizers_are_made_while_other_threads_make_some():
    """The case that was found: the cores of the process were listed while one was added."""
    made = []
    interval = sys.getswitchinterval()

    def work(number):
        for turn in range(30):
            name = f"<|{number} {turn}|>"
            # The last of `made` may be that of another thread by then.
            mine = Tokenizer().with_special_tokens({name: 128256})
            made.append(mine)
            assert mine.encode(name, allowed_special="all") == [128256]

    sys.setswitchinterval(1e-6)
    try:
        assert together(work) == []
    finally:
        sys.setswitchinterval(interval)
