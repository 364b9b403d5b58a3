"""Sequences in rows: nothing is lost, nothing comes twice, and rows are full."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chat_oracle
from conftest import EXAMPLES
from llama3_tok import Ragged, Tokenizer
from llama3_tok.data import pack

STRATEGIES = ["concatenate", "best-fit"]


def sequences():
    """Each token is another number, so that one that is lost or comes twice is seen."""

    def numbered(lengths):
        starts = [1000 + sum(lengths[:index]) for index in range(len(lengths))]
        return [
            list(range(start, start + length))
            for start, length in zip(starts, lengths, strict=True)
        ]

    return st.lists(st.integers(0, 40) | st.integers(0, 3), max_size=30).map(numbered)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=max(EXAMPLES // 5, 1))
@given(
    given=sequences(),
    length=st.integers(1, 24),
    separator=st.sampled_from([None, 0, 7]),
    beside=st.booleans(),
)
def test_no_token_is_lost_or_comes_twice(strategy, given, length, separator, beside):
    labels = [[token + 5000 for token in one] for one in given] if beside else None
    mask = [[token % 2 for token in one] for one in given] if beside else None
    packed = pack(given, length, strategy=strategy, separator=separator, labels=labels, mask=mask)
    ended = [[*one, *([] if separator is None else [separator])] for one in given]
    parts = {}
    at = 0
    for row in packed:
        assert 0 < len(row.input_ids) <= length
        assert row.input_ids.dtype == np.uint32
        assert (row.seq_lengths > 0).all()
        assert row.cu_seqlens.dtype == row.seq_lengths.dtype == np.int32
        assert row.cu_seqlens.tolist() == [0, *np.cumsum(row.seq_lengths).tolist()]
        assert row.cu_seqlens[-1] == len(row.input_ids) == len(row.position_ids)
        for begin, end in zip(row.cu_seqlens[:-1], row.cu_seqlens[1:], strict=True):
            assert row.position_ids[begin:end].tolist() == list(range(end - begin))
            ids = row.input_ids[begin:end].tolist()
            document, start = int(packed.documents[at]), int(packed.starts[at])
            assert ended[document][start : start + len(ids)] == ids
            assert (document, start) not in parts
            parts[document, start] = ids
            if beside:
                texts = [token for token in ids if token != separator]
                others = len(ids) - len(texts)
                expected = [token + 5000 for token in texts] + [-100] * others
                assert row.labels[begin:end].tolist() == expected
                expected = [token % 2 for token in texts] + [0] * others
                assert row.mask[begin:end].tolist() == expected
            at += 1
        assert (row.labels is not None) == (row.mask is not None) == beside
    assert at == len(packed.seq_lengths) == len(packed.documents) == len(packed.starts)
    again = {index: [] for index in range(len(given))}
    for document, start in sorted(parts):
        assert start == len(again[document])
        again[document] += parts[document, start]
    assert list(again.values()) == ended
    assert packed.cut == sum(
        sum(document == index for document, _ in parts) > 1 for index in range(len(given))
    )
    assert packed.separators == (0 if separator is None else len(given))
    assert packed.padding == sum(length - len(row.input_ids) for row in packed)


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(given=sequences(), length=st.integers(1, 24))
def test_all_rows_but_the_last_are_full_end_to_end(given, length):
    packed = pack(given, length)
    flat = [token for one in given for token in one]
    rows = [row.input_ids.tolist() for row in packed]
    assert rows == [flat[at : at + length] for at in range(0, len(flat), length)]


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(given=sequences(), length=st.integers(1, 24))
def test_best_fit_cuts_only_what_is_longer_than_a_row_and_keeps_the_order(given, length):
    packed = pack(given, length, strategy="best-fit")
    assert packed.cut == sum(len(one) > length for one in given)
    firsts = []
    for row in range(len(packed)):
        here = slice(packed.seq_offsets[row], packed.seq_offsets[row + 1])
        places = list(zip(packed.documents[here], packed.starts[here], strict=True))
        assert places == sorted(places)
        firsts.append(places[0])
    assert firsts == sorted(firsts)
    # No two rows could be one: each would have fitted into the other.
    sizes = sorted(len(row.input_ids) for row in packed)
    assert len(sizes) < 2 or sizes[0] + sizes[1] > length


def slowly(lengths, length):
    """Best-fit decreasing as it is described: how many rows there are."""
    rooms = []
    for size in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= size]
        if fitting:
            rooms.remove(min(fitting))
            rooms.append(min(fitting) - size)
        else:
            rooms.append(length - size)
    return sorted(rooms)


@settings(max_examples=max(EXAMPLES // 5, 1))
@given(lengths=st.lists(st.integers(1, 50), max_size=80), length=st.integers(50, 120))
def test_rows_are_those_of_best_fit_decreasing(lengths, length):
    packed = pack([[1] * size for size in lengths], length, strategy="best-fit")
    assert sorted(length - len(row.input_ids) for row in packed) == slowly(lengths, length)


def least_rows(lengths, length):
    """What no packing can do better than (Martello and Toth's L2).

    Parts of more than half a row have a row each, and with those of more than `length - small` no
    part of `small` tokens or more fits.
    """
    cut = [size for one in lengths for size in [length] * (one // length) + [one % length] if size]
    cut = np.sort(np.array(cut))
    best = -(-int(cut.sum()) // length)
    for small in (0, *(length * part // 16 for part in range(1, 9))):
        huge = (cut > length - small).sum()
        large = cut[(cut > length / 2) & (cut <= length - small)]
        rest = cut[(cut >= small) & (cut <= length / 2)].sum()
        over = max(0, int(rest) - (len(large) * length - int(large.sum())))
        best = max(best, int(huge) + len(large) + -(-over // length))
    return best


def check_against_the_bound(lengths, length):
    ids = np.zeros(sum(lengths), np.uint32)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    packed = pack(Ragged(ids, offsets), length, strategy="best-fit")
    assert len(packed) <= 1.01 * least_rows(lengths, length) + 1


@pytest.mark.long
@pytest.mark.parametrize("length", [512, 2048, 8192])
def test_paragraphs_of_real_texts_are_within_a_hundredth_of_the_bound(tokenizer, corpus, length):
    for separator in ("\n\n", "\n"):
        texts = [text for text in corpus.split(separator) if text]
        lengths = tokenizer.count_batch(texts).tolist()
        check_against_the_bound(lengths, length)


def test_documents_of_all_sizes_are_within_a_hundredth_of_the_bound(tokenizer, corpus):
    chance = random.Random(5)
    texts, at = [], 0
    while at < len(corpus):
        size = int(chance.lognormvariate(7, 1.2)) + 1
        texts.append(corpus[at : at + size])
        at += size
    lengths = tokenizer.count_batch(texts).tolist()
    for length in (1024, 4096):
        check_against_the_bound(lengths, length)


def test_conversations_are_within_a_hundredth_of_the_bound():
    tokenizer = Tokenizer()
    lengths = [
        len(tokenizer.encode_chat(messages, **options))
        for messages, options in (
            chat_oracle.hf_conversation(seed, "llama3.1") for seed in range(3000)
        )
    ]
    for length in (512, 1024, 2048):
        check_against_the_bound(lengths, length)


def test_a_million_sequences_take_seconds():
    chance = np.random.default_rng(3)
    lengths = np.minimum(chance.lognormal(3, 1, 1_000_000).astype(np.int64) + 1, 4096)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    ids = Ragged(np.zeros(offsets[-1], np.uint32), offsets)
    began = time.process_time()
    packed = pack(ids, 4096, strategy="best-fit")
    assert time.process_time() - began < 30  # about 1, on an idle machine
    assert len(packed) <= 1.01 * least_rows(lengths.tolist(), 4096) + 1


def test_slices_of_one_array_are_packed_where_they_stand():
    ids = Ragged(np.arange(20, dtype=np.uint32), np.array([5, 8, 8, 12]))
    for strategy in STRATEGIES:
        packed = pack(ids, 100, strategy=strategy, labels=np.arange(7))
        assert packed[0].input_ids.tolist() == [5, 6, 7, 8, 9, 10, 11]
        assert packed[0].labels.tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert packed[0].seq_lengths.tolist() == [3, 4]
        assert packed.documents.tolist() == [0, 2]


def test_rows_come_as_columns_and_as_one_array():
    packed = pack([[1, 2, 3], [4]], 2, strategy="best-fit", labels=[[1, 2, -100], [4]])
    assert packed.columns() == {
        "input_ids": [[1, 2], [3, 4]],
        "seq_lengths": [[2], [1, 1]],
        "labels": [[1, 2], [-100, 4]],
    }
    assert pack([[1, 2, 3]], 2).columns() == {
        "input_ids": [[1, 2], [3]],
        "seq_lengths": [[2], [1]],
    }
    assert pack([[1, 2, 3]], 2).padded(9).tolist() == [[1, 2], [3, 9]]
    assert pack([], 2).padded(9).shape == (0, 2)
    assert packed[-1].input_ids.tolist() == [3, 4]
    with pytest.raises(IndexError, match="index 2 is out of range for 2 rows"):
        packed[2]
    assert repr(pack([[1, 2, 3], [4]], 2)) == (
        "Packed(2 rows of up to 2 tokens, 4 tokens in 3 parts, 1 sequences cut, 0 tokens of "
        "padding)"
    )


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([[1]], 0), {}, ValueError, "length must be at least 1, not 0"),
        (([[1]], 2.0), {}, TypeError, "length must be an int, not float"),
        (([[1]], 2), {"strategy": "bfd"}, ValueError, "strategy must be one of 'concatenate', 'be"),
        (("text", 2), {}, TypeError, "ids must be a sequence, not one str"),
        (([[1], [2.5]], 2), {}, TypeError, "ids[1] must hold integers, not float"),
        (([[1], [True]], 2), {}, TypeError, "ids[1] must hold integers, not bool"),
        (([[-1]], 2), {}, ValueError, "ids[0] has -1, and its numbers are from 0 to 4294967295"),
        (([[1 << 32]], 2), {}, ValueError, "ids[0] has 4294967296, and its numbers are from 0"),
        (([[1 << 70]], 2), {}, ValueError, "ids[0] has 1180591620717411303424, and its numbers"),
        (([[1]], 2), {"separator": -1}, ValueError, "separator must be at least 0, not -1"),
        (([[1]], 2), {"labels": []}, ValueError, "labels has 0 sequences, and ids 1; each"),
        (
            ([[1], [2]], 2),
            {"mask": [[1], []]},
            ValueError,
            "mask[1] has 0 numbers, and ids[1]",
        ),
        (([[1]], 2), {"mask": [[256]]}, ValueError, "mask[0] has 256, and its numbers are from 0"),
        (([[1]], 2), {"labels": np.zeros(2, int)}, ValueError, "labels has 2 numbers, and there"),
        (([[1]], 2), {"labels": np.zeros(1)}, TypeError, "labels must hold integers, not float"),
    ],
)
def test_what_can_not_be_packed_is_named(arguments, options, error, message):
    with pytest.raises(error) as caught:
        pack(*arguments, **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
def test_separators_are_the_same_however_many_tokens_are_taken_at_a_time(monkeypatch, at_once):
    sequences = [[], [1, 2], [3], [], [4, 5, 6, 7], [], []]
    expected = [id for sequence in sequences for id in [*sequence, 9]]
    monkeypatch.setattr("llama3_tok.data.packing._TOKENS_AT_ONCE", at_once)
    assert pack(sequences, 100, separator=9)[0].input_ids.tolist() == expected
    assert pack([[], []], 100, separator=9)[0].input_ids.tolist() == [9, 9]


def test_padding_that_is_no_id_is_refused():
    with pytest.raises(ValueError, match="pad_id"):
        pack([[1]], 2).padded(1 << 32)
