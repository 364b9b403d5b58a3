"""Why a reference gives other ids: known causes, each shown by an experiment on the very item.

Nothing is explained by what it looks like. A cause is named if our own encoder, doing that one
thing as the reference is thought to do it, gives the reference's ids, all of them. For characters
of another Unicode version that must hold for a dozen strings about them, and the reference must
give our ids once they are replaced.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from llama3_tok.about import UNICODE_VERSION
from llama3_tok.errors import ChatFormatError
from llama3_tok.lazy import np, npt
from llama3_tok.profiles import releases
from llama3_tok.report.items import Item
from llama3_tok.report.ours import CLASSES, Ours

Array: TypeAlias = "npt.NDArray[np.uint32]"

__all__ = ["Cause", "Culprit", "explain", "find_culprit", "lacks_vocab_first", "replaced"]

# Meta's class cuts its input after so many characters, and runs of white space, or of anything but
# white space, after so many (llama_models/llama3/tokenizer.py of llama-models 0.3.0).
META_CHARACTERS = 400_000
META_RUN = 25_000


@dataclass(frozen=True)
class Cause:
    """A known cause."""

    name: str
    shown_by: str
    """The experiment that showed it."""
    excuses: bool = True
    """Whether the difference is then nobody's fault; otherwise the reference is wrong."""


INVALID = Cause(
    "invalid UTF-8",
    "with each invalid sequence replaced by U+FFFD, as the reference gets the text, our ids are "
    "the reference's",
)
SPECIAL = Cause(
    "special-token policy",
    "with special tokens allowed in text our ids are the reference's; by default they are text",
)
PLAIN = Cause(
    "special-token policy",
    "with special tokens taken for plain text our ids are the reference's",
)
NAMES_ALONE = Cause(
    "added tokens that it has no place for",
    "without the added tokens that are not special, and without the flags of the others, our ids "
    "are the reference's: it knows special tokens by name and id alone",
)
CUTS = Cause(
    "Meta's cuts",
    f"cut every {META_CHARACTERS:,} characters, and where more than {META_RUN:,} in a row are all "
    "white space or all not, our ids of the parts are the reference's",
)
RENDERED = Cause(
    "rendered as text",
    "the conversation as one text, special tokens allowed, has the reference's ids: for it the "
    "names of special tokens in content are these tokens, and what we encode apart may join",
)
NO_VOCAB_FIRST = Cause(
    "no vocab-first rule",
    "merging each pretoken, also those that are tokens, gives the reference's ids: in a "
    "tokenizer.json ignore_merges is missing",
    excuses=False,
)


def _profile_cause(profile: str) -> Cause:
    return Cause(
        "special tokens of another release",
        f"with the special tokens of profile {profile} our ids are the reference's",
    )


# One experiment, or several at once


@dataclass(frozen=True)
class _Assumptions:
    """What is assumed of the reference."""

    replaces_invalid: bool = False
    special: bool = False
    profile: str | None = None
    cuts: bool = False
    names_alone: bool = False


def explain(ours: Ours, item: Item, kind: str, theirs: "Array") -> tuple[Cause, ...] | None:
    """The fewest causes that together give the reference's ids; None if there are none."""
    if item.chat is not None:
        return _explain_chat(ours, item, kind, theirs)
    applicable = _applicable(ours, item, kind)
    for count in range(1, len(applicable) + 1):
        for chosen in combinations(applicable, count):
            for causes, assumptions in _meanings(ours, item, kind, chosen):
                if _same(_encode(ours, item.text, assumptions), theirs):
                    return causes
    return None


def _explain_chat(ours: Ours, item: Item, kind: str, theirs: "Array") -> tuple[Cause, ...] | None:
    """A reference may render text first, in which content can't be told from structure."""
    try:
        text = ours.rendered(item, kind)
    except ChatFormatError:
        return None
    return (RENDERED,) if _same(ours.text(text, True), theirs) else None


def _applicable(ours: Ours, item: Item, kind: str) -> list[str]:
    found = []
    try:
        characters = len(item.text.decode())
    except UnicodeDecodeError:
        found.append("invalid")
        characters = len(item.text.decode("utf-8", "replace"))
    if kind in ("tiktoken", "meta") and any(name in item.text for name in ours.asks_more):
        found.append("names alone")
    if b"<|" in item.text or any(name in item.text for name in ours.special):
        found.append("special")
    if characters > META_RUN:
        found.append("cuts")
    return found


def _meanings(
    ours: Ours, item: Item, kind: str, chosen: Sequence[str]
) -> Iterator[tuple[tuple[Cause, ...], _Assumptions]]:
    """The assumptions that a choice stands for; special tokens may be taken in several ways."""
    invalid, cuts, alone = "invalid" in chosen, "cuts" in chosen, "names alone" in chosen
    fixed = (INVALID,) * invalid + (CUTS,) * cuts + (NAMES_ALONE,) * alone
    if "special" not in chosen:
        yield fixed, _Assumptions(invalid, item.special, None, cuts, alone)
        return
    flipped = (*fixed, PLAIN if item.special else SPECIAL)
    if not item.special:
        yield flipped, _Assumptions(invalid, True, None, cuts, alone)
    # No release has tokens that are not special.
    of_releases = [release.special_names for release in releases()]
    seen = of_releases if alone else [tuple(ours.tokenizer.special_tokens)]
    # What is meant by a profile of Meta's class is clear.
    for release in sorted(releases(), key=lambda release: release.dialect != kind):
        if release.special_names in seen:
            continue
        seen.append(release.special_names)
        policy = () if item.special else (SPECIAL,)
        causes = (*fixed, *policy, _profile_cause(release.name))
        yield causes, _Assumptions(invalid, True, release.name, cuts)
    if item.special:
        yield flipped, _Assumptions(invalid, False, None, cuts, alone)


def _encode(ours: Ours, text: bytes, assumptions: _Assumptions) -> "Array":
    import numpy as np

    if assumptions.profile is not None:
        ours = ours.with_profile(assumptions.profile)
    if assumptions.names_alone:
        ours = ours.with_names_alone()
    if assumptions.replaces_invalid:
        text = text.decode("utf-8", "replace").encode()
    if not assumptions.cuts:
        return ours.text(text, assumptions.special)
    parts = [
        ours.text(part.encode("utf-8", "surrogateescape"), assumptions.special)
        for part in _cut_as_meta(text.decode("utf-8", "surrogateescape"))
    ]
    return np.concatenate(parts)


def _cut_as_meta(text: str) -> Iterator[str]:
    """The parts that Meta's class encodes one by one."""
    for start in range(0, max(1, len(text)), META_CHARACTERS):
        part = text[start : start + META_CHARACTERS]
        begin = run = 0
        was_space: bool | None = None
        for at, is_space in enumerate(map(str.isspace, part)):
            run = run + 1 if is_space is was_space else 1
            was_space = is_space
            if run > META_RUN:
                yield part[begin:at]
                begin, run = at, 1
        yield part[begin:]


def _same(left: "Array | Sequence[int]", right: "Array") -> bool:
    import numpy as np

    return len(left) == len(right) and bool(np.array_equal(left, right))


# Characters that a reference has in another class

# Strings about a character, `{}`, in which most ways to take it give other tokens.
_PROBES = (
    "{}",
    "a{}",
    "{}a",
    "1{}",
    "{}1",
    "!{}",
    "{}!",
    " {}",
    "{} ",
    "{0}{0}{0}{0}",
    "a{}1{}!{}",
)


@dataclass(frozen=True)
class Culprit:
    """A character that a reference takes for another class than Unicode UNICODE_VERSION has it in.

    For the strings of _PROBES, too, its ids are what our encoder gives if the class is changed.
    """

    character: str
    ours: str
    theirs: str

    def cause(self) -> Cause:
        """It as a cause, an excuse only if the class depends on the version of Unicode."""
        code = f"U+{ord(self.character):04X}"
        return Cause(
            f"Unicode version ({code})" if self._is_newer else f"character class ({code})",
            f"the reference takes {code} for {self.theirs}, Unicode {UNICODE_VERSION} for "
            f"{self.ours}: with its class changed our ids of {len(_PROBES)} strings about it are "
            "the reference's, and with a character that both know in its place the reference's "
            "are ours",
            excuses=self._is_newer,
        )

    @property
    def _is_newer(self) -> bool:
        """Whether it got its class after Unicode 3.2, the one old version that Python knows."""
        from unicodedata import ucd_3_2_0

        category = ucd_3_2_0.category(self.character)
        classes = {"L": "a letter", "N": "a number", "Z": "white space"}
        return category == "Cn" or classes.get(category[0], "neither") != self.ours


def find_culprit(
    ours: Ours,
    witness: bytes,
    theirs: "Array",
    ask: "Callable[[bytes], npt.NDArray[np.uint32] | None]",
) -> Culprit | None:
    """The character of a witness whose class explains the reference's ids; `ask` asks it."""
    text = witness.decode("utf-8", "surrogateescape")
    for character in dict.fromkeys(text):
        if character.isascii() or "\udc80" <= character <= "\udcff":
            continue
        own = ours.class_of(character)
        for name in CLASSES:
            if name == own or not _same(ours.with_class(text, character, name), theirs):
                continue
            probes = [probe.format(*[character] * 3) for probe in _PROBES]
            answers = [ask(probe.encode()) for probe in probes]
            if all(
                answer is not None and _same(ours.with_class(probe, character, name), answer)
                for probe, answer in zip(probes, answers, strict=True)
            ):
                return Culprit(character, own, name)
    return None


def replaced(text: bytes, culprits: Sequence[Culprit]) -> bytes:
    """A text with other characters of the same classes in place of the culprits."""
    like = str.maketrans({culprit.character: CLASSES[culprit.ours] for culprit in culprits})
    return (
        text.decode("utf-8", "surrogateescape").translate(like).encode("utf-8", "surrogateescape")
    )


def lacks_vocab_first(ours: Ours, text: bytes, theirs: "Array") -> bool:
    """Whether the reference's ids are those of a tokenizer that merges whatever it meets."""
    return _same(ours.merges_only(text), theirs)
