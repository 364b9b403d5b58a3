"""What looks like a call of a tool in the text of an answer."""

import re

from llama3_tok.chat.call_reader import PYTHON_TAG

__all__ = ["Suspicion"]


class Suspicion:
    """Looks for what looks like a call in a text that comes in parts.

    `position` is where that is, None as long as nothing was found. Whether the keys of a call as
    JSON occur is in `has_keys`.
    """

    # More characters than any of the patterns matches.
    _LONGEST = 400
    # Characters that are searched in one go, some milliseconds.
    _AT_ONCE = 1 << 20
    _NAME = r"[^\W\d][\w.-]{0,127}"
    _CALLS = (
        re.compile(r"<function=[^<>{}\s]{1,256}>\s{0,8}\{"),
        re.compile(r'\.call\(\s{0,8}\w{1,128}="'),
        re.compile(rf"\[\s{{0,8}}{_NAME}\s{{0,8}}\(\s{{0,8}}(?:{_NAME}\s{{0,8}}=|\)\s{{0,8}}[],])"),
    )
    _NAME_BEFORE = re.compile(r"[A-Za-z0-9_]{1,64}$")
    _TAG = re.compile(re.escape(PYTHON_TAG) + ".", re.DOTALL)
    _NAME_KEY = re.compile(r"""["']name["']\s{0,16}:""")
    _ARGUMENTS_KEY = re.compile(r"""["'](?:parameters|arguments)["']\s{0,16}:""")
    _BRACKET = re.compile(r"[{\[]")

    def __init__(self, has_tag: bool) -> None:
        """`has_tag` is whether the name of the tag is suspicious."""
        self._patterns = (*self._CALLS, self._TAG) if has_tag else self._CALLS
        self._tail, self._position = "", 0
        self._bracket: int | None = None
        self._keys: dict[str, int] = {}
        self.position: int | None = None

    @property
    def has_keys(self) -> bool:
        """Whether the keys of a call occur."""
        return len(self._keys) == 2

    def add(self, text: str) -> None:
        """More of the text."""
        # A search does not look for signals.
        for at in range(0, len(text), self._AT_ONCE):
            self._add(text[at : at + self._AT_ONCE])

    def _add(self, text: str) -> None:
        if self.position is not None and self.has_keys:
            return
        seen = self._tail + text
        before = self._position - len(self._tail)
        found: list[tuple[int, int]] = []
        if self.position is None:
            for pattern in self._patterns:
                if match := pattern.search(seen):
                    start = match.start()
                    if seen[start] == ".":  # The call begins with the name before that.
                        name = self._NAME_BEFORE.search(seen, max(start - 64, 0), start)
                        start = name.start() if name else start
                    found.append((before + match.end(), before + start))
        if self._bracket is None and (bracket := self._BRACKET.search(text)):
            self._bracket = self._position + bracket.start()
        if self._bracket is not None and not self.has_keys:
            start = max(self._bracket - before, 0)
            for key, pattern in (("name", self._NAME_KEY), ("arguments", self._ARGUMENTS_KEY)):
                if key not in self._keys and (match := pattern.search(seen, start)):
                    self._keys[key] = before + match.end()
            if self.has_keys and self.position is None:
                found.append((max(self._keys.values()), self._bracket))
        if found:
            self.position = min(found)[1]
        self._position += len(text)
        self._tail = seen[-self._LONGEST :]
