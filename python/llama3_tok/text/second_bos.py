"""The warning of a text that would begin with BOS twice."""

import sys
import warnings
from collections.abc import Iterable

from llama3_tok._core import Options
from llama3_tok.arguments import Text, utf8

__all__ = ["Opening", "warn"]

# How conversations of the releases go on after BOS.
_HEADER = "<|start_header_id|>"


def warn(texts: Iterable[object], options: Options, bos: str) -> None:
    """Warns if a text that gets a BOS, called `bos`, has one, or is a rendered chat taken for text.

    A text that merely begins with the name, which is then plain text, is the caller's business.
    The warning is about the line outside of this package that called it.
    """
    is_special = options.allows(bos)
    opening = bos if is_special else bos + _HEADER
    if not bos or not any(_begins_with(text, opening) for text in texts):
        return
    if is_special:
        message = f"the text begins with {bos} already, and bos=True adds a second one"
    else:
        message = (
            f"the text begins with {bos} already, here as plain text, and bos=True adds the "
            "special token; encode_chat, or `llama3-tok chat`, gives the ids of a conversation"
        )
    warnings.warn(message, stacklevel=_depth() + 1)


class Opening:
    """The beginning of a text that comes in pieces, until it tells whether to warn."""

    def __init__(self, options: Options | None, bos: str) -> None:
        self._options = options if options is not None and options.bos else None
        self._bos, self._most = bos, len((bos + _HEADER).encode())
        self.begin()

    def begin(self) -> None:
        """Another text begins."""
        self._seen = b""
        self._asks = self._options

    def add(self, text: Text, *, is_last: bool = False) -> None:
        """Looks at a piece, and warns as `warn`."""
        if self._asks is None:
            return
        self._seen += utf8(text[: self._most], "text")
        if is_last or len(self._seen) >= self._most:
            asks, self._asks = self._asks, None
            warn([self._seen], asks, self._bos)


def _depth() -> int:
    """How many frames of this package there are above the one that calls this."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("llama3_tok"):
        depth, frame = depth + 1, frame.f_back
    return depth - 1


def _begins_with(text: object, opening: str) -> bool:
    if isinstance(text, str):
        return text.startswith(opening)
    return isinstance(text, bytes) and text.startswith(opening.encode())
