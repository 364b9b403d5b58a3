"""References that misbehave, each for texts that have its name; otherwise their ids are ours."""

import os
import sys
import time

import llama3_tok


def hang(text):
    while "hang" in text:
        time.sleep(1)
    return llama3_tok.encode(text)


def abort(text):
    if "abort" in text:
        print("about to abort", file=sys.stderr, flush=True)
        os.abort()
    return llama3_tok.encode(text)


def leave(text):
    if "leave" in text:
        os._exit(3)
    return llama3_tok.encode(text)


def eat(text):
    eaten = []
    while "eat" in text:
        eaten.append(bytearray(os.urandom(1 << 20) * 16))
    return llama3_tok.encode(text)


def chatter(text):
    print("Loading checkpoint shards" * 100)
    os.write(1, b"\x00\x01 no frame at all" * 1000)
    assert sys.stdin is None
    return llama3_tok.encode(text)


def floats(text):
    return [id + 0.5 for id in llama3_tok.encode(text)]


def negative(text):
    return [-1]


def nothing_known(text):
    return [4_000_000_000, *llama3_tok.encode(text)[1:]]


def dies_always(text):
    os._exit(1)


def wrong_for_two_words(text):
    """A made-up fault that needs both of two words, wherever they are."""
    ids = llama3_tok.encode(text)
    return [*ids, 0] if "left" in text and "right" in text else ids


def other_unicode(text):
    """Takes a digit of Unicode 17, U+11DE0, for the number that it is."""
    return _with_class(text, "\U00011de0", "a number")


def no_letter(text):
    """Takes a letter that has always been one for punctuation."""
    return _with_class(text, "ж", "neither")


def _with_class(text, character, name):
    import regex

    import oracle

    like = {"a number": "1", "neither": "!"}[name]
    cuts = regex.finditer(oracle.PATTERN, text.replace(character, like))
    ids = []
    for cut in cuts:
        piece = text[cut.start() : cut.end()].encode()
        known = oracle.ranks().get(piece)
        ids += oracle.merge(piece) if known is None else [known]
    return ids


def fine(text):
    return llama3_tok.encode(text)
