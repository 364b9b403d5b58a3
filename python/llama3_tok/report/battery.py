"""The built-in battery: texts where tokenizers differ, conversations, and random strings.

What depends on the vocabulary is found in it, nothing is listed: the tokens that merging never
gives, and the special tokens. The same seed gives the same battery.
"""

import random
from collections.abc import Callable, Iterable, Iterator

from llama3_tok.profiles import find, releases
from llama3_tok.report.items import Chat, Item
from llama3_tok.tokenizer import Tokenizer

__all__ = ["RANDOM_STRINGS", "battery", "unreachable"]

RANDOM_STRINGS = 2000

# The pattern's contractions in all cases; U+017F is the long s, an s for whoever folds case.
_CONTRACTIONS = (
    *("s", "S", "\u017f", "t", "T", "m", "M", "d", "D", "re", "RE", "rE", "Re", "ve", "VE", "vE"),
    *("ll", "LL", "lL", "Ll", "l", "r", "v", "x", "\u212a", "s\u017f", "\u017fs"),
)
_SPACES = (
    *(" ", "\t", "\v", "\f", "\r", "\n", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2000"),
    *("\u2003", "\u2009", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff"),
)
_DIGITS = (
    *("0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "௧௨௩", "๑๒๓๔", "０１２３４５６７８９"),
    *("¼½²³", "ⅧⅨ", "㊿", "𝟘𝟙𝟚𝟛", "١2३", "\U00011de0\U00011de9", "\U00010d40\U00010d49"),
)
# One sentence a script, and newer or odd code points.
_SCRIPTS = {
    "Latin": "Ĳßﬁ naïve Ærøskøbing, Việt Nam rất đẹp",
    "Greek": "Ὦ ξεῖν', ἀγγέλλειν Λακεδαιμονίοις",
    "Cyrillic": "Съешь ещё этих мягких французских булок, її",
    "Armenian": "Բոլոր մարդիկ ծնվում են ազատ",
    "Hebrew": "כָּל־בְּנֵי אָדָם נוֹלְדוּ",
    "Arabic": "يولد جميع الناس أحرارًا، ٤٥٦",
    "Devanagari": "सभी मनुष्यों को गौरव और अधिकार",
    "Bengali": "সমস্ত মানুষ স্বাধীনভাবে",
    "Tamil": "மனிதப் பிறவியினர் சகலரும்",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "Lao": "ມະນຸດເກີດມາມີສິດເສລີພາບ",
    "Burmese": "လူတိုင်းသည် တူညီ လွတ်လပ်သော",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი",
    "Ethiopic": "የሰው፡ልጅ፡ሁሉ፡ሲወለድ",
    "Khmer": "មនុស្សទាំងអស់កើតមក",
    "Han": "漢字仮名交じり文，人人生而自由。㐀𠀀",
    "Kana": "すべての人間は、ﾊﾝｶｸ カタカナー",
    "Hangul": "모든 인간은 태어날 때부터 각",
    "newer": "\U00011de0 \U00016ff4\U00016ff6 \U00010d40x \U0001e5f1 \U000105c0",
    "odd": "\x00\x7f\ue000\uffff\ufffd\u202eabc\U0010ffff a\u0301\u0345",
}
_EMOJI = (
    "😀",
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "❤️",
    "🇩🇪🇫🇷",
    "1️⃣",
    "🏴\U000e0067\U000e0062\U000e007f",
    "\u200d",
    "🫩",
)
_RUNS = (" ", "\n", "\r\n", "\t", "a", "A", "1", "=", "-", "é", "漢", "😀", " a", "' ", "\u3000")
_RUN_LENGTHS = (2, 3, 4, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000)
# The next but one is where Meta's class cuts, the last more than tiktoken's engine can take.
_LONG_RUNS = (("=", 25_001), ("1", 25_001), ("\n", 25_002), (" ", 1_000_000))
_INVALID = (b"\xff", b"a\xc3", b"\xe2\x82", b"caf\xe9 noir", b"\xed\xa0\x80", b"\xf5\x80\x80\x80x")


def unreachable(tokenizer: Tokenizer) -> list[tuple[int, bytes]]:
    """The tokens that merging never gives, with their ids: only vocab-first does."""
    tokens = enumerate(tokenizer.tokens())
    return [(id, token) for id, token in tokens if tokenizer.merge(token) != [id]]


def battery(tokenizer: Tokenizer, seed: int) -> Iterator[Item]:
    """The items, group by group."""
    yield from _vocab_first(tokenizer)
    yield from _group("contractions", _contractions())
    yield from _group("white space", _white_space())
    yield from _group("digits", _digits())
    yield from _group("scripts", _SCRIPTS.values())
    yield from _group("emoji", (*_EMOJI, "".join(_EMOJI), " ".join(_EMOJI)))
    runs = (what * count for what in _RUNS for count in _RUN_LENGTHS)
    yield from _group("runs", (*runs, *(what * count for what, count in _LONG_RUNS)))
    yield from _special(tokenizer)
    for number, data in enumerate(_INVALID, 1):
        yield Item(f"invalid UTF-8 {number}", "invalid UTF-8", data)
    yield from _conversations(tokenizer)
    yield from _random(tokenizer, seed)


def _group(group: str, texts: Iterable[str]) -> Iterator[Item]:
    for number, text in enumerate(texts, 1):
        yield Item(f"{group} {number}", group, text.encode())


def _vocab_first(tokenizer: Tokenizer) -> Iterator[Item]:
    for id, token in unreachable(tokenizer):
        text = token.decode("utf-8", "replace")
        yield Item(f"vocab-first {id}", "vocab-first", text.encode())
        # In a longer pretoken the rule does not apply.
        yield Item(f"vocab-first {id}, inside", "vocab-first", f"x{text}x".encode())


def _contractions() -> Iterator[str]:
    for quote in "'’":
        for letters in _CONTRACTIONS:
            for before in ("", "we", "WE", " ", "1", "\n"):
                for after in ("", "x", " y", "'s"):
                    yield f"{before}{quote}{letters}{after}"


def _white_space() -> Iterator[str]:
    for first in _SPACES:
        for second in ("", *_SPACES):
            yield f"a{first}{second}b"
            yield f"{second}{first}"
            yield f"!{first}{second}\n{first}1{second}\r\n "


def _digits() -> Iterator[str]:
    for digits in _DIGITS:
        for length in range(1, len(digits) + 1):
            yield digits[:length]
        yield f" {digits}a{digits}.{digits[:2]}%"


def _special(tokenizer: Tokenizer) -> Iterator[Item]:
    """Names of added tokens: special ones allowed, and as the plain text that they are by default.

    Where they are not those of a release, also what flags and names inside others ask for.
    """
    names = list(tokenizer.added_tokens)
    texts = [f"a {name}b" for name in names]
    texts += ["".join(names), "<|eot_id|>" * 3, "<|eot_id", "<|<|eot_id|>|>", "<|image|>", "<||>"]
    for name in _own(tokenizer):
        texts += [f"{name} \n{name}", f"\t{name}  b", f"a{name}.{name}a", f"{name * 3}"]
        texts += [f"a{name[:-1]} {name[1:]}", f"{name[: len(name) // 2]}{name}{name[-1]}"]
    for number, text in enumerate(texts, 1):
        yield Item(f"special tokens {number}", "special tokens", text.encode(), special=True)
        yield Item(f"their names as text {number}", "names as text", text.encode())


def _own(tokenizer: Tokenizer) -> list[str]:
    """The names of added tokens that no release has."""
    known = {name for release in releases() for name in release.special_names}
    return [name for name in tokenizer.added_tokens if name not in known]


def _conversations(tokenizer: Tokenizer) -> Iterator[Item]:
    templates: dict[str, str] = {}
    end = "<|eot_id|>"
    if tokenizer.chat_profile is None:
        templates = tokenizer.chat_templates
        if not templates:
            return
        named = (name for name, id in tokenizer.special_tokens.items() if id == tokenizer.eos_id)
        end = next(named, end)
    function = {"name": "weather", "description": "Wetter", "parameters": {"type": "object"}}
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Huế"}}}
    system = {"role": "system", "content": "Be brief."}
    hi, hello = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello you"}
    chats = [
        Chat([hi], {}),
        Chat([system, hi], {}),
        Chat([system, hi, hello, {"role": "user", "content": "漢字 và tiếng Việt?"}], {}),
        Chat([{"role": "user", "content": "  spaces \n\n"}], {}),
        Chat([{"role": "user", "content": "\n\nnewlines first"}], {}),
        Chat([{"role": "user", "content": ""}], {}),
        Chat([{"role": "user", "content": f"Is {end} special?"}, hello, hi], {}),
    ]
    # Not every release's format has tools; a template of a folder's own may have them.
    if templates:
        has_tools = any("tool" in text for text in templates.values())
    else:
        folder = tokenizer.folder
        release = tokenizer.profile if folder is None or folder.chat is None else folder.chat
        has_tools = find(release).saved_template.tools
    if has_tools:
        result = {"role": "tool", "content": "30 °C"}
        asked = {"role": "assistant", "tool_calls": [call]}
        tools = {"tools": [{"type": "function", "function": function}]}
        chats += [Chat([hi], tools), Chat([system, hi, asked, result], tools)]
    for number, chat in enumerate(chats, 1):
        yield Item(f"conversation {number}", "conversations", chat=chat)


def _random(tokenizer: Tokenizer, seed: int) -> Iterator[Item]:
    """Strings of fragments of all the above, and of any code points."""
    generator = random.Random(seed)
    special = set(tokenizer.special_tokens)
    tokens = tokenizer.tokens()
    words = [token.decode() for token in generator.sample(tokens, 5000) if _is_text(token)]
    kinds: tuple[Callable[[], str], ...] = (
        lambda: generator.choice(words),
        lambda: generator.choice(_SPACES) * generator.randint(1, 4),
        lambda: generator.choice("'’") + generator.choice(_CONTRACTIONS),
        lambda: generator.choice(generator.choice(_DIGITS)) * generator.randint(1, 5),
        lambda: _slice(generator, generator.choice(list(_SCRIPTS.values()))),
        lambda: generator.choice(_EMOJI),
        lambda: generator.choice(_RUNS) * generator.randint(1, 100),
        lambda: "".join(generator.choices('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~«»„“”…—€', k=3)),
        lambda: "".join(map(_code_point, (generator.random() for _ in range(3)))),
    )
    for number in range(1, RANDOM_STRINGS + 1):
        text = "".join(generator.choice(kinds)() for _ in range(generator.randint(1, 30)))
        if not any(name in text for name in special):
            yield Item(f"random {number}", "random", text.encode("utf-8", "replace"))


def _slice(generator: random.Random, text: str) -> str:
    start = generator.randrange(len(text))
    return text[start : start + generator.randint(1, 12)]


def _code_point(position: float) -> str:
    """Any but the surrogates, more of those that are low."""
    code = int(position**3 * 0x10F800)
    return chr(code if code < 0xD800 else code + 0x800)


def _is_text(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True
