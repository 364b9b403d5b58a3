"""The `Tokenizer` as a value: copies, pickles, threads, forks, signals, memory."""

import contextlib
import copy
import multiprocessing
import pickle
import sys
import textwrap
import threading

import pytest

import llama3_tok
import oracle
from interpreter import run_python, seconds_after_control_c
from llama3_tok import InvalidTokenId, Llama3TokError, SpecialTokenError, Tokenizer

HELLO = [9906, 1917]


# As an object


def test_tokenizers_are_values(tokenizer):
    same, other = Tokenizer(), Tokenizer(profile="llama3")
    assert tokenizer == same
    assert hash(tokenizer) == hash(same)
    assert tokenizer != other
    assert tokenizer != "llama3"
    assert copy.copy(tokenizer) is copy.deepcopy(tokenizer) is tokenizer
    assert repr(other).startswith("Tokenizer(")
    for part in (other.vocabulary, "profile='llama3'", "128,256"):
        assert part in repr(other)
    with pytest.raises(AttributeError):
        tokenizer.profile = "llama3"


def test_errors_survive_pickling():
    errors = [
        InvalidTokenId("message", id=5, position=7),
        SpecialTokenError("message", token="<|a|>", offset=3),
        llama3_tok.VocabularyError("message", file="f", line=2, reason="r"),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))
        assert isinstance(again, Llama3TokError)
        assert isinstance(again, ValueError)


def test_a_pickle_is_small_and_works_in_another_process(tokenizer, tmp_path):
    data = pickle.dumps(Tokenizer(profile="llama3"))
    assert len(data) < 1024
    file = tmp_path / "tokenizer.pickle"
    file.write_bytes(data)
    code = f"""
        import pickle
        tokenizer = pickle.loads(open({str(file)!r}, "rb").read())
        assert tokenizer.encode("Hello world") == {HELLO}
        assert tokenizer.profile == "llama3"
    """
    assert run_python(code).stderr == ""


def test_threads_share_a_tokenizer(tokenizer):
    texts = [f"thread {number} é漢 {'x' * number}" for number in range(200)]
    expected = [oracle.encoding().encode_ordinary(text) for text in texts]
    wrong = []

    def work() -> None:
        for text, ids in zip(texts, expected, strict=True):
            if tokenizer.encode(text) != ids or tokenizer.decode(ids) != text:
                wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


LOADING = """
    import os, signal, sys, threading, time
    from llama3_tok import Tokenizer
    PATH = Tokenizer().vocabulary
    stop = False
    def load():
        # Each time another content, so that nothing is shared.
        count = 0
        while not stop:
            count += 1
            open("v.model", "wb").write(open(PATH, "rb").read() + b"eHh4eHhxcXE= %d\\n" % 128000)
            Tokenizer("v.model")
"""


def test_a_fork_while_a_vocabulary_loads_leaves_nothing_locked(tmp_path):
    forks = (
        LOADING
        + """
    thread = threading.Thread(target=load)
    thread.start()
    for _ in range(10):
        time.sleep(0.01)
        child = os.fork()
        if child == 0:
            os._exit(Tokenizer(profile="llama3").count("Hello world") != 2)
        assert os.waitpid(child, 0)[1] == 0
    stop = True
    thread.join()
    """
    )
    assert run_python(forks, cwd=tmp_path, timeout=60).stderr == ""


def test_a_signal_handler_may_load_while_the_same_thread_loads(tmp_path):
    code = (
        LOADING
        + """
    counts = []
    def handle(*_):
        global stop
        counts.append(Tokenizer(profile="meta").count("Hello world"))
        stop = len(counts) == 10
        signal.setitimer(signal.ITIMER_REAL, 0 if stop else 0.013)
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.013)
    load()
    print(set(counts))
    """
    )
    assert run_python(code, cwd=tmp_path, timeout=60).stdout == "{2}\n"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_can_go_on(tokenizer):
    texts = ["Hello world " * 20_000] * 8
    counts = tokenizer.count_batch(texts, threads=4).tolist()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(tokenizer.count, texts[:2]) == counts[:2]
        assert pool.map(llama3_tok.count, ["Hello world"]) == [2]
        assert pool.apply(tokenizer.count_batch, (texts,)).tolist() == counts


@pytest.mark.parametrize(
    "work", ["count", "encode_array", "decode", "encode_ragged", "count_batch", "decode_batch"]
)
def test_other_threads_run_while_the_core_works(tokenizer, work):
    argument = "Hello world, " * 500_000
    if work.startswith("decode"):
        argument = tokenizer.encode_array(argument * 4)
    if work not in ("count", "encode_array", "decode"):
        argument = [argument] * 4
    thread = threading.Thread(target=getattr(tokenizer, work), args=(argument,))
    turns = 0
    thread.start()
    while thread.is_alive():
        turns += 1
    # With the interpreter held, the loop would turn once or twice in all.
    assert turns > 1000


LETTERS = """
    import numpy as np
    def letters(alphabet, number):
        alphabet = np.frombuffer(alphabet, "u1")
        return np.random.default_rng(0).choice(alphabet, number).tobytes().decode()
"""
# Words that no cache knows; and one word without a place to cut, of letters in no order: those of a
# run would be counted before the signal comes.
WORDS = "letters(b'abcdefghijklmnopqrstuvwxyz    ', 10_000_000)"
WORD = "letters(b'abcdefghijklmnopqrstuvwxyz', 1_000_000) * 120"


@pytest.mark.long
@pytest.mark.parametrize(
    ("work", "value"),
    [
        ("tokenizer.count(value)", WORD),
        ("tokenizer.count(value)", f"{WORDS} * 40"),
        ("tokenizer.count_batch(value)", f"[{WORDS}] * 40"),
        ("tokenizer.count_batch(value, threads=1)", "['a few words, ' * 50] * 6_000_000"),
        ("tokenizer.encode_array(value, allowed_special='all')", "'<|' * 200_000_000"),
        ("tokenizer.encode_array(value, disallowed_special='all')", "'<|' * 200_000_000"),
        ("tokenizer.encode(value)", f"{WORDS} * 40"),
        ("tokenizer.decode_bytes(value)", "np.zeros(2_000_000_000, 'u4')"),
    ],
)
def test_control_c_ends_long_work_at_once(work, value):
    # The promise is 0.2 s, on a machine that has nothing else to do; without looking for signals it
    # would be the four seconds and more that the work takes.
    before = f"{textwrap.dedent(LETTERS)}value = {value}"
    assert seconds_after_control_c(work, before=before) < 2


def test_control_c_while_numpy_is_loaded_is_no_panic():
    code = """
        import sys, llama3_tok
        tokenizer = llama3_tok.Tokenizer()
        class Interrupted:
            def find_spec(self, name, *others):
                raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupted())
        for work in (tokenizer.encode_array, tokenizer.encode_with_offsets):
            try:
                work("Hello world")
            except BaseException as error:
                print(type(error).__name__)
        del sys.meta_path[0]
        print(tokenizer.encode_array("Hello world"))
    """
    done = run_python(code)
    assert done.stdout == "KeyboardInterrupt\n" * 2 + "[9906 1917]\n"
    assert not done.stderr


def test_control_c_at_the_end_of_work_is_no_other_error():
    # The work is over before anybody looks for signals, and what is left to do must not swallow it.
    code = """
        import os, signal, threading, time, llama3_tok
        tokenizer = llama3_tok.Tokenizer()
        text = "a few words, " * 2_000_000
        def interrupt():
            time.sleep(0.004)
            os.kill(os.getpid(), signal.SIGINT)
        for side in ("right", "left") * 5:
            thread = threading.Thread(target=interrupt)
            try:
                thread.start()
                tokenizer.truncate(text, 7_000_000, side=side)
                thread.join()
            except BaseException as error:
                print(type(error).__name__)
    """
    done = run_python(code)
    assert done.stdout == "KeyboardInterrupt\n" * 10
    assert not done.stderr


REFUSED = {
    "encode": "tokenizer.encode(text)",
    "encode_array": "tokenizer.encode_array(text)",
    "encode_batch": "tokenizer.encode_batch([text] * 4)",
    "encode_ragged": "tokenizer.encode_ragged([text] * 4)",
    "count_batch": "tokenizer.count_batch(many)",
    "count of surrogates": "tokenizer.count(surrogates)",
    "decode of a list": "tokenizer.decode(ids)",
    "decode_bytes of an array": "tokenizer.decode_bytes(array)",
    "decode_batch": "tokenizer.decode_batch([array] * 2)",
}


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory in use")
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_memory_that_is_refused_is_a_memory_error(call):
    code = f"""
        import resource, llama3_tok
        import numpy as np
        tokenizer = llama3_tok.Tokenizer()
        text, surrogates = "a b c d " * 10_000_000, "a\\ud800" * 20_000_000
        many, ids, array = ["a"] * 5_000_000, [9906] * 10_000_000, np.full(20_000_000, 9906, "u4")
        tokenizer.encode_batch(["warm up " * 20_000] * 4)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
        try:
            {call}
        except MemoryError:
            print("MemoryError")
    """
    result = run_python(code)
    assert result.stdout.split() == ["MemoryError"], result.stderr


def test_no_argument_makes_the_core_panic(tokenizer):
    odd = [
        None,
        0,
        -1,
        1.5,
        "",
        b"",
        [],
        {},
        set(),
        object(),
        float("nan"),
        2**70,
        "\ud800",
        [None],
    ]
    methods = [
        *("encode", "encode_array", "count", "encode_batch", "encode_ragged", "count_batch"),
        *("decode", "decode_bytes", "decode_batch", "token_bytes", "token_id"),
    ]
    for name in methods:
        for value in odd:
            with contextlib.suppress(TypeError, ValueError):
                getattr(tokenizer, name)(value)
