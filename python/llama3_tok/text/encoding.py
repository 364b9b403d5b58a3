"""`Encoding`: the ids of a text, and where in the text each token stands."""

from operator import index as integer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Encoding"]


class Encoding:
    """The ids of a text with the places they came from.

    `ids` is `uint32[n]`. `byte_spans` is `int64[n, 2]`: token `i` is the bytes
    `byte_spans[i, 0]:byte_spans[i, 1]` of the text in UTF-8, and the spans, one behind the other,
    are the whole text. `char_spans` is `int64[n, 2]`: the characters of the `str` that have these
    bytes. A character that is split over several tokens gives all of them its span; a surrogate
    pair in a `str`, which is encoded as one character, is two. Of `bytes` the characters are those
    of `text.decode("utf-8", "surrogateescape")`: each byte outside valid UTF-8 is one. The spans of
    tokens that were added, BOS and EOS, are empty.

    >>> encoding = llama3_tok.Tokenizer().encode_with_offsets("Hi 漢字")
    >>> encoding.char_spans.tolist()
    [[0, 2], [2, 4], [3, 4], [4, 5]]
    """

    __slots__ = ("byte_spans", "char_spans", "ids")

    def __init__(
        self,
        ids: "npt.NDArray[np.uint32]",
        byte_spans: "npt.NDArray[np.int64]",
        char_spans: "npt.NDArray[np.int64]",
    ) -> None:
        self.ids, self.byte_spans, self.char_spans = ids, byte_spans, char_spans

    def __repr__(self) -> str:
        """For people."""
        return f"Encoding({len(self.ids):,} ids of {self._characters():,} characters)"

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self.ids)

    def token_at(self, char: int) -> int:
        """The index of the token that has a character; of several, that with its first byte.

        Raises IndexError for a character that the text does not have. Negative indices are none:
        the -1 of a `str.find` that found nothing would be the last character.

        >>> llama3_tok.Tokenizer().encode_with_offsets("Hello world", bos=True).token_at(6)
        2
        """
        import numpy as np

        char, count = integer(char), self._characters()
        if not 0 <= char < count:
            raise IndexError(f"character {char} is out of range for {count} characters")
        # The first token that ends behind the character; a token that was added ends before it.
        return int(np.searchsorted(self.char_spans[:, 1], char, side="right"))

    def _characters(self) -> int:
        return int(self.char_spans[-1, 1]) if len(self.ids) else 0
