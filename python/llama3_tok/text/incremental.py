"""`IncrementalEncoder`: the ids of a text that comes in pieces."""

from llama3_tok import _core, arguments
from llama3_tok.arguments import Text
from llama3_tok.lazy import np, npt
from llama3_tok.text.second_bos import Opening

__all__ = ["IncrementalEncoder"]


class IncrementalEncoder:
    """Encodes a text that comes in pieces; `Tokenizer.encoder` makes one.

    What `push` and at the end `finish` give, end to end, are exactly the ids of `encode` of the
    whole text, however it is divided: also inside a character, of a `str` or of bytes. An id is
    given as soon as nothing that follows can change it, which is at most a few words later in
    ordinary text. Each byte is encoded once.

    An encoder has a state. Each text needs its own, and two threads must not use one at the same
    time (the core raises RuntimeError if they do).

    >>> encoder = llama3_tok.Tokenizer().encoder()
    >>> [encoder.push(piece) for piece in ("Hello wor", "ld, how are", " you?")]
    [[9906], [1917, 11, 1268], [527]]
    >>> encoder.finish(), encoder.ids
    ([499, 30], [9906, 1917, 11, 1268, 527, 499, 30])
    """

    __slots__ = ("_core", "_has_ended", "_high", "_opening")

    def __init__(self, core: _core.IncrementalEncoder, opening: Opening) -> None:
        self._core, self._opening = core, opening
        self._high = ""
        """The first half of a surrogate pair, whose second one may come."""
        self._has_ended = False

    def push(self, text: "Text") -> list[int]:
        """The ids that more of the text settles, often none.

        After `finish` a new text begins. Raises as `encode`, the position in SpecialTokenError
        counted from the beginning of the text; then the encoder is as it was before.
        """
        if self._has_ended:
            self._core.forget()
            self._opening.begin()
            self._has_ended = False
        high = ""
        if isinstance(text, str):
            text = self._high + text if self._high else text
            if text and "\ud800" <= text[-1] < "\udc00":
                text, high = text[:-1], text[-1]
        elif self._high and isinstance(text, bytes):
            text = "\ufffd".encode() + text
        ids = self._core.push(text)
        self._high = high
        self._opening.add(text)
        return ids

    def finish(self) -> list[int]:
        """The ids of what is pending, and EOS if it was asked for: the text ends here.

        Raises as `push`.
        """
        ids: list[int] = []
        if self._high:
            ids = self.push(b"")
        ids += self._core.finish()
        self._opening.add(b"", is_last=True)
        self._has_ended = True
        return ids

    @property
    def ids(self) -> list[int]:
        """All ids that were given for this text."""
        return self._core.ids

    @property
    def ids_array(self) -> "npt.NDArray[np.uint32]":
        """The same as `uint32[n]`."""
        arguments.load_numpy()
        return self._core.ids_array

    @property
    def pending(self) -> bytes:
        """The end of the text, whose ids are not certain yet."""
        return self._core.pending + ("\ufffd".encode() if self._high else b"")

    def __copy__(self) -> "IncrementalEncoder":
        """Refused: two encoders would share one state."""
        raise TypeError("an IncrementalEncoder has a state and can't be copied; make one per text")

    def __repr__(self) -> str:
        """For people."""
        bytes_, pending = self._core.bytes, len(self._core.pending)
        return f"IncrementalEncoder({bytes_:,} bytes, {pending:,} of them pending)"
