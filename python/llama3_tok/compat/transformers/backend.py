"""What else a fast tokenizer is asked for: its backend, and a new one trained like it."""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

from llama3_tok.compat.transformers.conversations import Conversations
from llama3_tok.extras import require

require("transformers", "transformers")

import tokenizers  # noqa: E402 - whether transformers, which needs it, is there was asked first
from transformers import PreTrainedTokenizerFast  # noqa: E402

__all__ = ["Backend"]

# What a tokenizer with another vocabulary has of this one.
_KEPT = (
    *("model_max_length", "model_input_names", "padding_side", "truncation_side"),
    *("chat_template", "clean_up_tokenization_spaces"),
)


class Backend(Conversations):
    """The parts of transformers' fast class that are about the library tokenizers."""

    @property
    def is_fast(self) -> bool:
        """True: offsets, words and rows that overflow are given."""
        return True

    @property
    def vocab(self) -> dict[str, int]:
        """`get_vocab()`."""
        return self.get_vocab()  # type: ignore[no-any-return]

    @property
    def add_prefix_space(self) -> bool:
        """As it was given, else False. It changes no ids, as with `AutoTokenizer`."""
        return bool(self.init_kwargs.get("add_prefix_space", False))

    @property
    def backend_tokenizer(self) -> tokenizers.Tokenizer:
        """A tokenizer of the library tokenizers with the same ids, for callers that need one.

        It is made when it is first asked for, which takes a second or two, and made anew after
        tokens were added. This class does not encode with it: what is changed in it changes nothing
        here.
        """
        key = len(self._added_tokens_decoder), self.special_tokens_pattern
        known = self.__dict__.get("_made_backend")
        if known is None or known[0] != key:
            with tempfile.TemporaryDirectory() as folder:
                self.save_vocabulary(folder)
                made = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
            known = self.__dict__["_made_backend"] = key, made
        return known[1]

    @property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        """The same, by the name that transformers' own pipelines and server ask for."""
        return self.backend_tokenizer

    @property
    def decoder(self) -> Any:  # noqa: ANN401 - the library has no type for it
        """The decoder of `backend_tokenizer`."""
        return self.backend_tokenizer.decoder

    def set_truncation_and_padding(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Not of this class: it has no state that calls set. Raises NotImplementedError."""
        raise NotImplementedError(
            "this tokenizer keeps no truncation and padding between calls; give truncation, "
            "max_length, stride and padding to each call"
        )

    def train_new_from_iterator(
        self,
        text_iterator: Iterator[str] | Iterator[list[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: list[Any] | None = None,
        special_tokens_map: dict[str, str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> PreTrainedTokenizerFast:
        """A tokenizer with another vocabulary, trained on texts, that cuts text as this one does.

        It is transformers' `PreTrainedTokenizerFast`: this class is for the vocabulary of Llama 3
        alone. Parameters are those of transformers.
        """
        kept = {name: getattr(self, name) for name in _KEPT}
        like = PreTrainedTokenizerFast(
            tokenizer_object=self.backend_tokenizer, **kept, **self.special_tokens_map
        )
        return like.train_new_from_iterator(
            text_iterator, vocab_size, length, new_special_tokens, special_tokens_map, **kwargs
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without the backend, which is made again where it is asked for."""
        return {name: value for name, value in self.__dict__.items() if name != "_made_backend"}
