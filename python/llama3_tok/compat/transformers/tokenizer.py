"""The class: text to ids and back, and its files. Conversations are in a file of their own."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

from llama3_tok import _core, hugging_face, save
from llama3_tok.extras import need
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.vocabulary import DEFAULT_PROFILE

need("transformers", "transformers")

from transformers import AddedToken  # noqa: E402 - whether it is there was asked

from llama3_tok.compat.transformers import added as _added  # noqa: E402
from llama3_tok.compat.transformers.calls import Calls  # noqa: E402

__all__ = ["Llama3Tokenizer"]

# Which tokens are put around a text, as transformers calls it: by BOS and EOS.
_PATTERNS = {
    (True, False): "bos",
    (True, True): "bos_eos",
    (False, True): "eos",
    (False, False): "none",
}


class Llama3Tokenizer(Calls):
    """The Llama 3 tokenizer for transformers.

    `Llama3Tokenizer.from_pretrained(folder)` reads a folder that this class, `Tokenizer.save` or a
    release of Llama 3 has written. Without a folder, `vocab_file` is what `Tokenizer` takes, the
    installed vocabulary by default. `profile` says which release's special tokens and chat format
    are meant: by default those that the folder tells, else "llama3.1". `add_bos_token` and
    `add_eos_token`, which may be set later, too, say what is put around a text: by default what
    the folder's `tokenizer.json` does, else BOS alone.

    As with every class of transformers, a special token in a text becomes its special id unless
    `split_special_tokens=True` is given; in messages, text stays text. The other parameters are
    those of `PreTrainedTokenizer`.

    Raises what `Tokenizer` raises.
    """

    vocab_files_names = {  # noqa: RUF012 - as the base class has it
        "vocab_file": "tokenizer.model",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 - as the base class has it

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        add_bos_token: bool | None = None,
        add_eos_token: bool | None = None,
        added_tokens_decoder: Mapping[int, AddedToken] | None = None,
        **kwargs: Any,  # noqa: ANN401 - those of the base class
    ) -> None:
        given = dict(added_tokens_decoder or {})
        if profile is None:
            profile = _profile_of(given)
        vocabulary = vocab_file if vocab_file is not None else tokenizer_file
        self.llama3 = Tokenizer(vocabulary, profile=profile)
        self.profile = self.llama3.profile
        self._ids: dict[str, int] | None = None
        self._finder: _added.Finder | None = None
        self._begin_conversations(vocabulary)
        special = {
            id: AddedToken(name, normalized=False, special=True)
            for name, id in self.llama3.special_tokens.items()
        }
        self._special_count = len(special)
        # Tokens that were added to a tokenizer before it was saved have the ids behind.
        more = {id: token for id, token in given.items() if id >= self.llama3.vocab_size}
        config = hugging_face.tokenizer_config(self.llama3)
        del config["tokenizer_class"]
        super().__init__(
            **(config | kwargs | {"profile": self.profile}),
            special_tokens_pattern=_PATTERNS[_around(tokenizer_file, add_bos_token, add_eos_token)],
            token_type_ids_pattern="all_zeros",
            added_tokens_decoder=special | more,
        )

    # What is put around a text

    @property
    def add_bos_token(self) -> bool:
        """Whether BOS is put before a text."""
        return self._around[0]

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        self.special_tokens_pattern = _PATTERNS[bool(value), self._around[1]]

    @property
    def add_eos_token(self) -> bool:
        """Whether EOS is put behind a text."""
        return self._around[1]

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        self.special_tokens_pattern = _PATTERNS[self._around[0], bool(value)]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Ids with BOS and EOS around them; around each of a pair, as `tokenizer.json` has it."""
        bos, eos = self._around
        before = [self.bos_token_id] if bos else []
        behind = [self.eos_token_id] if eos else []
        whole = [*before, *token_ids_0, *behind]
        return whole if token_ids_1 is None else [*whole, *before, *token_ids_1, *behind]

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for each special token: those in the ids, or those that are put around them."""
        if already_has_special_tokens:
            return cast(list[int], super().get_special_tokens_mask(token_ids_0, token_ids_1, True))
        bos, eos = self._around
        parts = [token_ids_0] if token_ids_1 is None else [token_ids_0, token_ids_1]
        return [one for ids in parts for one in [1] * bos + [0] * len(ids) + [1] * eos]

    @property
    def _around(self) -> tuple[bool, bool]:
        return next(key for key, name in _PATTERNS.items() if name == self.special_tokens_pattern)

    # The vocabulary

    @property
    def vocab_size(self) -> int:
        """How many ids there are without the special tokens: 128,000."""
        return self.llama3.vocab_size - self._special_count

    def get_vocab(self) -> dict[str, int]:
        """Each token, as `tokenizer.json` writes it, with its id; added tokens included."""
        return self._written() | cast(dict[str, int], self._added_tokens_encoder)

    def _written(self) -> dict[str, int]:
        if self._ids is None:
            written = _core.written_tokens(self.llama3._core)
            self._ids = {token: id for id, token in enumerate(written)}
            self._tokens = [*written, *self.llama3.special_tokens]
        return self._ids

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._written().get(token)

    def _convert_id_to_token(self, index: int) -> str | None:
        self._written()
        return self._tokens[index] if 0 <= index < len(self._tokens) else None

    def _has_more(self) -> bool:
        """Whether tokens were added to those of the release."""
        return len(self._added_tokens_decoder) > self._special_count

    def _add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:  # noqa: ANN401
        self._finder = None
        self._begin_conversations(self._vocabulary)
        return cast(int, super()._add_tokens(new_tokens, special_tokens))

    # Ids to text

    def decode(
        self,
        token_ids: Any,  # noqa: ANN401 - an id, several, or several of these
        skip_special_tokens: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - a text, or several
        """The text of ids, or of each list of ids."""
        # The base class asks each id for its type, which takes longer than decoding it.
        first = token_ids[0] if type(token_ids) is list and token_ids else token_ids
        if type(first) is int:
            return self._decode(token_ids, skip_special_tokens, **kwargs)
        return super().decode(token_ids, skip_special_tokens, **kwargs)

    def _decode(
        self,
        token_ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else list(map(int, token_ids))
        if self._has_more():
            added = self._added_tokens_decoder
            hidden = {id for id, token in added.items() if skip_special_tokens and token.special}
            tokens = self.convert_ids_to_tokens([id for id in ids if id not in hidden])
            text = self.convert_tokens_to_string(tokens)
        else:
            text = self.llama3.decode(ids, skip_special=skip_special_tokens)
        # `clean_up_tokenization_spaces`, which many folders ask for, is for other kinds of tokens:
        # it would take spaces out of the text, and AutoTokenizer does not obey it either.
        return text

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens as `tokenizer.json` writes them."""
        written = self._written()
        parts = [
            self.llama3.token_bytes(written[token]) if token in written else token.encode()
            for token in tokens
        ]
        return b"".join(parts).decode("utf-8", "replace")

    # Files

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Writes `tokenizer.model` and `tokenizer.json`, the latter with the tokens added here."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        more = [
            {"id": id, **token.__getstate__()}
            for id, token in self.added_tokens_decoder.items()
            if id >= self.llama3.vocab_size
        ]
        bos, eos = self._around
        drafts = {
            "tokenizer.model": save.rank_file(self.llama3),
            "tokenizer.json": save.tokenizer_json(self.llama3, more, bos=bos, eos=eos),
        }
        paths = {os.path.join(save_directory, prefix + name): d for name, d in drafts.items()}
        save.write(self.llama3, paths)
        return tuple(paths)

    def _save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        """Writes what `save_pretrained` has left, so that `AutoTokenizer` loads the folder too."""
        for path in file_names:
            if path.endswith("tokenizer_config.json"):
                with open(path, encoding="utf-8") as file:
                    config = json.load(file)
                # What AutoTokenizer knows; it reads the added tokens from tokenizer.json.
                config["tokenizer_class"] = "PreTrainedTokenizerFast"
                del config["added_tokens_decoder"]
                with open(path, "w", encoding="utf-8") as file:
                    file.write(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        return file_names + self.save_vocabulary(os.fspath(save_directory), filename_prefix)


def _around(
    file: str | os.PathLike[str] | None, bos: bool | None, eos: bool | None
) -> tuple[bool, bool]:
    """What is put around a text: as given, else as the folder's `tokenizer.json` has it."""
    if file is not None and (bos is None or eos is None):
        with open(file, "rb") as opened:
            of_file = hugging_face.bos_and_eos(opened.read())
    else:
        of_file = True, False
    return of_file[0] if bos is None else bool(bos), of_file[1] if eos is None else bool(eos)


def _profile_of(added: Mapping[int, AddedToken]) -> str | None:
    """The profile that a folder's special tokens are those of; None if they tell none."""
    names = {id: str(token) for id, token in added.items()}
    first = min(names, default=0)
    for profile in (DEFAULT_PROFILE, *_core.PROFILES):
        special = _core.special_names(profile)
        if all(names.get(id) == name for id, name in enumerate(special, first)):
            return profile
    return None
