"""Real text: whole files, uncut."""

import json
from itertools import chain

import pytest
import tokenizers

import oracle
from code_paths import code_paths


def test_whole_files_give_the_ids_of_tiktoken(corpus, tokenizer):
    expected = oracle.encoding().encode_ordinary(corpus)
    assert tokenizer.encode(corpus) == expected
    assert tokenizer.encode_array(corpus.encode()).tolist() == expected
    assert tokenizer.count(corpus) == len(expected)
    assert tokenizer.decode(expected) == corpus
    for name, path in code_paths().items():
        assert path.encode_batch([corpus]) == [expected], name


@pytest.mark.long
def test_lines_give_the_ids_of_hugging_face(corpus, tokenizer):
    lines = corpus.splitlines(keepends=True)
    # Without special tokens: Hugging Face recognises them in text and can't be told not to.
    reference = tokenizers.Tokenizer.from_str(json.dumps(oracle.tokenizer_json(oracle.ranks(), {})))
    expected = [encoding.ids for encoding in reference.encode_batch_fast(lines)]
    assert tokenizer.encode_batch(lines) == expected


@pytest.mark.large
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_batches_give_the_same_ids_on_any_number_of_threads(corpus, tokenizer, threads):
    lines = corpus.splitlines(keepends=True)
    expected = oracle.encoding().encode_ordinary_batch(lines)
    assert tokenizer.encode_batch(lines, threads=threads) == expected
    ragged = tokenizer.encode_ragged(lines, threads=threads)
    assert ragged.ids.tolist() == list(chain.from_iterable(expected))
    assert tokenizer.count_batch(lines, threads=threads).tolist() == list(map(len, expected))
