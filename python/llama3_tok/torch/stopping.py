"""Where a text ends: stop strings, found in text that comes in pieces of any size.

Nothing that may yet become a stop string is given out, and what is found does not depend on how
the text was divided: it is the stop string that is complete first.
"""

from collections.abc import Iterable

__all__ = ["StopStrings"]


class StopStrings:
    """Text up to the first stop string.

    >>> stops = StopStrings(["END"])
    >>> [stops.push(piece) for piece in ("one E", "N two EN", "D three")]
    ['one ', 'EN two ', '']
    >>> stops.found
    'END'
    """

    __slots__ = ("_held", "_stops", "found")

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found: str | None = None
        """The stop string that ended the text."""

    def push(self, piece: str) -> str:
        """The text that is certain now; nothing once a stop string was found."""
        if self.found is not None:
            return ""
        text = self._held + piece
        self._held = ""
        if first := self._first(text):
            start, self.found = first
            return text[:start]
        held = self._beginning(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What was held and became no stop string; the text ends here."""
        held, self._held = self._held, ""
        return held

    def _first(self, text: str) -> tuple[int, str] | None:
        """Start and name of the stop string with the first end; the longest of several."""
        starts = ((text.find(stop), stop) for stop in self._stops)
        found = [(start + len(stop), start, stop) for start, stop in starts if start >= 0]
        return min(found)[1:] if found else None

    def _beginning(self, text: str) -> int:
        """How long the longest end of the text is that a stop string begins with."""
        longest = max(map(len, self._stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0


def checked(stop: str | Iterable[str]) -> tuple[str, ...]:
    """Stop strings as they were given: one, or several. Raises TypeError or ValueError."""
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    for each in stops:
        if not isinstance(each, str):
            raise TypeError(f"stop must be a str or several, not {type(each).__name__}")
        if not each:
            raise ValueError("stop must not be empty: every text would end before it began")
    return stops
