"""Text that goes where tokenizers differ: fragments of many kinds, in any order.

Each strategy is made once: one that is made anew for each example takes longer than the example.
"""

from functools import cache

from hypothesis import strategies as st

import oracle

WHITE_SPACE = (
    " \t\v\f\x1c\x1f\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)
CONTRACTIONS = [
    quote + letters
    for quote in "'’"
    for letters in (
        *("s", "S", "ſ", "t", "T", "m", "M", "d", "D", "re", "RE", "rE", "Re", "ve", "VE", "vE"),
        *("ll", "LL", "lL", "Ll", "l", "r", "v", "ſs", "sſ", "K", "x"),
    )
]
DIGITS = "0123456789٠١٢٩०१९௧๑໑０１９¼½²Ⅷ一𝟘𝟙㊿"
CJK = "漢字仮名交じり文カナひらがな한국어조선글，。「」、！？㐀𠀀"
EMOJI = "😀👍🏽👩‍👩‍👧‍👦❤️🇩🇪\u200d\ufe0f\u20e3🏴\U000e0067\U000e007f"
MARKS = "\u0301\u0308\u0327\u0483\u0591\u064b\u093f\u0bcd\u0e31\u20d0\ufe20e\u0345"
SCRIPTS = "éßØñĲŁžαβΩЖюїաবাংলাไทยລາວမြန်မာქართულიעבריתالعربيةहिन्दीதமிழ்Việtđường"
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»„“”…—–•€£×÷→≤"
# Unassigned, private use, not characters, newest letters, format characters, lone surrogates.
ODD = "\x00\x7f\ud800\udbff\udc00\udfff\ue000\uffff\ufffd\u200b\u202e\U0010ffff\U00011de0\U00016ff4"


def _run(alphabet: str, longest: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=longest)


@cache
def unreachable_fragments() -> st.SearchStrategy[str]:
    """Tokens that only the vocab-first rule emits, whole and in part."""
    tokens = [oracle.encoding().decode([id]) for id in oracle.unreachable()]
    whole = st.sampled_from(tokens)
    return whole | st.tuples(whole, st.integers(1, 5)).map(lambda cut: cut[0][: cut[1]])


@cache
def fragments() -> st.SearchStrategy[str]:
    return st.one_of(
        _run(WHITE_SPACE, 4),
        _run(" \r\n\t", 6),
        _run("\r\n", 3),
        st.sampled_from(CONTRACTIONS),
        _run("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 12),
        _run("0123456789", 8),
        _run(DIGITS, 5),
        _run(CJK, 6),
        _run(EMOJI, 5),
        _run(MARKS, 3),
        _run(SCRIPTS, 8),
        _run(PUNCTUATION, 5),
        _run(ODD, 2),
        st.text(max_size=4),
        st.characters().map(str),
        unreachable_fragments(),
        st.sampled_from([*oracle.SPECIAL, "<|", "|>", "<|eot_id", "<|<|eot_id|>|>", "<|image|>"]),
        st.sampled_from([" the", " of", "tion", " return", "def ", "    ", "://", "://www."]),
        st.tuples(st.sampled_from("a =-\n1.é漢"), st.integers(2, 200)).map(lambda r: r[0] * r[1]),
    )


@cache
def texts() -> st.SearchStrategy[str]:
    return st.lists(fragments(), max_size=10).map("".join)
