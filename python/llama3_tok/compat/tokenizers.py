"""A stand-in for `tokenizers.decoders.DecodeStream`: the same arguments and results.

>>> from llama3_tok.compat.tokenizers import DecodeStream
>>> stream = DecodeStream(skip_special_tokens=True)
>>> tokenizer = llama3_tok.Tokenizer()
>>> [stream.step(tokenizer, id) for id in tokenizer.encode("Hi 漢")]
['Hi', None, ' 漢']

As there, a step gives nothing while its text would end inside a character, or with U+FFFD; the
decoder of `Tokenizer.stream_decoder` gives what is certain. What is different: a step takes the
same time however many ids came before, and none raises for bytes that are not UTF-8.
"""

from typing import TYPE_CHECKING, SupportsIndex

from llama3_tok import arguments
from llama3_tok.arguments import Ids
from llama3_tok.lazy import LazyModule
from llama3_tok.text.streaming import StreamDecoder
from llama3_tok.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llama3_tok.compat import transformers
else:
    transformers = LazyModule("llama3_tok.compat.transformers")

__all__ = ["DecodeStream"]


class DecodeStream:
    """Text from ids as they come.

    `ids` are those that come before the first step, as of a prompt: nothing of them is given. (The
    library gives all of them if they end with U+FFFD, which it takes for half a character.)
    Special tokens are left out with `skip_special_tokens`. Ids that no token has are left out, as
    the library does; a negative one is an InvalidTokenId.
    """

    def __init__(self, ids: "Ids | None" = None, skip_special_tokens: bool = False) -> None:
        arguments.flag(skip_special_tokens, "skip_special_tokens")
        self._ids = () if ids is None else ids
        self._skip = skip_special_tokens
        self._tokenizer: Tokenizer | None = None
        self._decoder: StreamDecoder | None = None
        self._held = ""

    def step(
        self, tokenizer: "Tokenizer | transformers.Llama3Tokenizer", id: "SupportsIndex | Ids"
    ) -> str | None:
        """The text that one id, or several, complete; None if they complete nothing.

        The tokenizer is the same one in all steps: a `llama3_tok.Tokenizer`, or the one of
        `llama3_tok.compat.transformers`.
        """
        ours = tokenizer if isinstance(tokenizer, Tokenizer) else _inside(tokenizer)
        if self._decoder is None:
            self._tokenizer = ours
            self._decoder = ours.stream_decoder(
                skip_special=self._skip, prompt_tail=self._ids, unknown="skip"
            )
        elif ours is not self._tokenizer:
            raise ValueError("this stream was begun with another tokenizer; make one for each")
        self._held += self._decoder.push(id)
        if not self._held or self._held.endswith("\ufffd") or self._decoder.is_inside_character:
            return None
        text, self._held = self._held, ""
        return text


def _inside(tokenizer: "transformers.Llama3Tokenizer") -> Tokenizer:
    """The tokenizer that the class for transformers has."""
    try:
        return tokenizer.llama3
    except AttributeError:
        kind = type(tokenizer).__name__
        raise TypeError(f"tokenizer must be a llama3_tok.Tokenizer, not {kind}") from None
