"""Texts that lie in buffers: the core's way to encode a column, without an object for each text."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from conftest import EXAMPLES
from interpreter import run_python, seconds_after_control_c
from llama3_tok import Llama3TokError, SpecialTokenError, Tokenizer
from llama3_tok._core import Options

TOKENIZER = Tokenizer()
CORE = TOKENIZER.definition.core


def arrays(buffers, rows, one_buffer=False):
    """The arguments of the core's functions for rows, each (buffer, start, end) or None."""
    numbers, starts, ends = np.array([row or (99, -1, 7) for row in rows], int).reshape(-1, 3).T
    data = [np.frombuffer(bytes(buffer), np.uint8) for buffer in buffers]
    of = None if one_buffer else numbers.astype(np.int32)
    return data, of, starts.astype(np.int64), ends.astype(np.int64)


@st.composite
def columns(draw):
    """Buffers, and rows that are spans of them, in any order and perhaps overlapping."""
    text = strategies.texts().map(lambda text: text.encode("utf-8", "replace"))
    buffers = draw(st.lists(text | st.binary(max_size=40), min_size=1, max_size=3))
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        number = draw(st.integers(0, len(buffers) - 1))
        span = sorted(draw(st.tuples(*[st.integers(0, len(buffers[number]))] * 2)))
        rows.append(draw(st.none() | st.just((number, *span))))
    return buffers, rows


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(columns(), st.booleans(), st.booleans(), st.sampled_from([1, 2]))
def test_rows_have_the_ids_of_their_bytes_and_null_rows_have_none(column, bos, eos, threads):
    buffers, rows = column
    expected = [
        [] if row is None else TOKENIZER.encode(buffers[row[0]][row[1] : row[2]], bos=bos, eos=eos)
        for row in rows
    ]
    options = Options(bos, eos)
    ids, offsets = CORE.encode_slices(*arrays(buffers, rows), threads, options)
    assert (ids.dtype, offsets.dtype, len(offsets)) == (np.uint32, np.int64, len(rows) + 1)
    assert [part.tolist() for part in np.split(ids, offsets[1:-1])][: len(rows)] == expected
    assert offsets[0] == 0
    assert offsets[-1] == len(ids)
    counts = CORE.count_slices(*arrays(buffers, rows), threads, options)
    assert counts.dtype == np.int64
    assert counts.tolist() == list(map(len, expected))


def test_one_buffer_needs_no_numbers():
    given = arrays([b"Hello world"], [(0, 0, 5), None, (0, 0, 11)], one_buffer=True)
    ids, offsets = CORE.encode_slices(*given, 1, None)
    assert (ids.tolist(), offsets.tolist()) == ([9906, 9906, 1917], [0, 1, 1, 3])
    assert CORE.count_slices(*given, 1, None).tolist() == [1, 0, 2]


@pytest.mark.parametrize("call", [CORE.encode_slices, CORE.count_slices])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, 0, 4), "from byte 0 to byte 4 of a buffer of 3 bytes"),
        ((0, 2, 1), "from byte 2 to byte 1 of a buffer of 3 bytes"),
        ((0, 4, 4), "from byte 4 to byte 4 of a buffer of 3 bytes"),
        ((0, 0, -1), "from byte 0 to byte -1 of"),
        ((0, 2**63 - 1, 2**63 - 1), "of a buffer of 3 bytes"),
        ((1, 0, 0), "of a buffer that does not exist"),
        ((-1, 0, 0), "of a buffer that does not exist"),
    ],
)
def test_a_text_outside_of_its_buffer_is_refused(call, row, message):
    with pytest.raises(
        Llama3TokError, match=rf"^column\[2\] can't be read: its text is .*{message}"
    ):
        call(*arrays([b"abc"], [(0, 0, 3), None, row, (0, 0, 1)]), 1, None)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", [CORE.encode_slices, CORE.count_slices])
def test_an_error_names_the_row(call, threads):
    rows = [None, (0, 0, 1), None, (0, 0, 11), (0, 0, 11)]
    with pytest.raises(
        SpecialTokenError, match=r"^column\[3\]: the text has the special"
    ) as caught:
        call(*arrays([b"a<|eot_id|>"], rows), threads, Options(False, False, None, "all"))
    assert (caught.value.index, caught.value.offset) == (3, 1)


@pytest.mark.parametrize("call", [CORE.encode_slices, CORE.count_slices])
def test_arrays_that_do_not_go_together_are_refused(call):
    data, of, starts, ends = arrays([b"abc"], [(0, 0, 1)] * 3)
    for numbers, last in ((of, ends[:2]), (of[:2], ends)):
        with pytest.raises(ValueError, match="one end and one buffer for each start"):
            call(data, numbers, starts, last, 1, None)
    for wrong in (
        ([b"abc"], of, starts, ends),
        (data, of, starts[::2], ends[::2]),
        (data, of, starts.astype(np.int32), ends),
        (data, of.astype(np.int64), starts, ends),
        ([data[0].astype(np.int8)], of, starts, ends),
    ):
        with pytest.raises((TypeError, ValueError)):
            call(*wrong, 1, None)


@pytest.mark.parametrize("call", [CORE.encode_slices, CORE.count_slices])
def test_other_threads_run_while_the_core_works(call):
    text = b"Hello world, " * 2_000_000
    given = arrays([text], [(0, 0, len(text))] * 4)
    thread = threading.Thread(target=call, args=(*given, 1, None))
    turns = 0
    thread.start()
    while thread.is_alive():
        turns += 1
    assert turns > 1000


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ["encode_slices", "count_slices"])
def test_control_c_ends_long_work_at_once(call, threads):
    before = """
        import numpy as np
        data = np.random.default_rng(0).choice(np.frombuffer(b"abcdefghij ", "u1"), 10_000_000)
        starts = np.arange(4_000_000) * 2
        core = tokenizer.definition.core
    """
    work = f"core.{call}([data], None, starts, starts + 2000, {threads}, None)"
    assert seconds_after_control_c(work, before=before) < 2


def test_memory_that_is_refused_is_a_memory_error():
    code = """
        import resource, llama3_tok
        import numpy as np
        core = llama3_tok.Tokenizer().definition.core
        data, many = np.frombuffer(b"a b c d " * 10_000_000, "u1"), np.zeros(20_000_000, "i8")
        one = np.array([0]), np.array([len(data)])
        core.encode_slices([data[:200_000]], None, np.zeros(9, "i8"), np.full(9, 200_000), 2, None)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
        encode, count = core.encode_slices, core.count_slices
        for call, spans in ((encode, one), (encode, (many, many)), (count, (many, many))):
            try:
                call([data], None, *spans, 1, None)
            except MemoryError:
                print("MemoryError")
    """
    result = run_python(code)
    assert result.stdout.split() == ["MemoryError"] * 3, result.stderr
