"""`Counts`: what a text, or a part of one, has."""

from dataclasses import dataclass

__all__ = ["Counts"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a text has: bytes, characters, and the tokens of each."""

    bytes: int = 0
    characters: int = 0
    llama3: int = 0
    llama2: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.bytes + other.bytes,
            self.characters + other.characters,
            self.llama3 + other.llama3,
            self.llama2 + other.llama2,
        )

    @property
    def ratio(self) -> float | None:
        """Tokens of Llama 2 for each of Llama 3; None without tokens."""
        return self.llama2 / self.llama3 if self.llama3 else None
