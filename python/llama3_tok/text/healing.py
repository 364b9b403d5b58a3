"""Token healing: a prompt that ends inside a word is continued as if it did not."""

from llama3_tok import _core
from llama3_tok.definition import Definition
from llama3_tok.lazy import np, npt

__all__ = ["Continuation", "heal"]

_LOOKED_AT = 32
"""Ids of the end that are looked at first."""


class Continuation:
    """What an answer has to begin with, and which tokens that leaves: `Tokenizer.heal` makes one.

    `rest` are bytes that the prompt has and that no id was kept for. `allowed` are the ids that may
    come next, and `push` takes the one that came. When it `is_done` any id may come.
    """

    __slots__ = ("_core", "rest")

    def __init__(self, core: _core.Core, rest: bytes) -> None:
        self._core = core
        self.rest = rest

    @property
    def is_done(self) -> bool:
        """Whether all of it came."""
        return not self.rest

    def allowed(self) -> "npt.NDArray[np.uint32]":
        """The ids that may come next, `uint32[n]`, ascending; no special token is among them.

        They are those that begin with the rest, and those that the rest begins with.
        """
        return self._core.tokens_along(self.rest)

    def push(self, id: int) -> None:
        """Takes the next id. Raises ValueError for one that is not allowed."""
        token = self._core.decode([id], False)
        if self.rest and not (token.startswith(self.rest) or self.rest.startswith(token)):
            raise ValueError(f"id {id} is {token!r}, and what has to come is {self.rest[:100]!r}")
        self.rest = self.rest[len(token) :]

    def __repr__(self) -> str:
        """For people."""
        return f"Continuation({self.rest!r})"


def heal(definition: Definition, ids: list[int]) -> tuple[list[int], Continuation]:
    """`Tokenizer.heal`, which has the description."""
    core, looked_at = definition.core, _LOOKED_AT
    special = {token["id"] for token in core.added_tokens if token["special"]}
    while True:
        # What is looked at: the ids after the last special one, or the last ones of many.
        start = len(ids)
        least = max(0, start - looked_at)
        while start > least and ids[start - 1] not in special:
            start -= 1
        tokens = [core.decode([id], False) for id in ids[start:]]
        text = b"".join(tokens)
        cut = _core.last_cut(core, text, _core.Options(False, False)) or 0
        if cut or start == 0 or ids[start - 1] in special:
            break
        looked_at *= 2
    # The tokens that end before the cut stay. Of a text that was not encoded as here, one may lie
    # across it.
    kept = length = 0
    for token in tokens:
        if length + len(token) > cut:
            break
        kept, length = kept + 1, length + len(token)
    return ids[: start + kept], Continuation(core, text[length:])
