"""The class: text to ids and back, and its files. Conversations are in a file of their own."""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, cast

from llama3_tok import _core, hugging_face, save
from llama3_tok.arguments import NONE, SpecialTokens
from llama3_tok.extras import need
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.vocabulary import DEFAULT_PROFILE

need("transformers", "transformers")

from transformers import AddedToken, BatchEncoding  # noqa: E402 - whether it is there was asked
from transformers.tokenization_utils_base import TruncationStrategy  # noqa: E402
from transformers.utils import PaddingStrategy  # noqa: E402

from llama3_tok.compat.transformers import added as _added  # noqa: E402
from llama3_tok.compat.transformers import given as _given  # noqa: E402
from llama3_tok.compat.transformers.conversations import Conversations  # noqa: E402

__all__ = ["Llama3Tokenizer"]

# Which tokens are put around a text, as transformers calls it: by BOS and EOS.
_PATTERNS = {
    (True, False): "bos",
    (True, True): "bos_eos",
    (False, True): "eos",
    (False, False): "none",
}


class Llama3Tokenizer(Conversations):
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

    # Text to ids

    def tokenize(self, text: str, pair: str | None = None, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """The tokens of a text, as `tokenizer.json` writes them."""
        self._written()
        known, added = len(self._tokens), self._added_tokens_decoder
        return [
            self._tokens[id] if id < known else added[id].content
            for id in self._encode(text, kwargs)
        ]

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:  # noqa: ANN401
        self._written()
        return [self._tokens[id] for id in self.llama3.encode(text)]

    def _encode(self, text: str, options: Mapping[str, Any]) -> list[int]:
        return self._encode_batch([text], options)[0]

    def _encode_batch(self, texts: list[str], options: Mapping[str, Any]) -> list[list[int]]:
        plain = options.get("split_special_tokens")
        if plain is None:
            plain = self.split_special_tokens
        if plain or not self._has_more():
            allowed: SpecialTokens = NONE if plain else "all"
            if len(texts) == 1:
                return [self.llama3.encode(texts[0], allowed_special=allowed)]
            return self.llama3.encode_batch(texts, allowed_special=allowed)
        if self._finder is None:
            self._finder = _added.Finder(self._added_tokens_decoder)
        parts = [self._finder.parts(text) for text in texts]
        between = (part for found in parts for part in found if isinstance(part, str))
        encoded = iter(self.llama3.encode_batch(list(between)))
        return [
            [id for part in found for id in ((part,) if isinstance(part, int) else next(encoded))]
            for found in parts
        ]

    def _add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:  # noqa: ANN401
        self._finder = None
        self._begin_conversations(self._vocabulary)
        return cast(int, super()._add_tokens(new_tokens, special_tokens))

    def _encode_plus(
        self,
        text: Any,  # noqa: ANN401 - a text, ids, words, or a batch of them
        text_pair: Any = None,  # noqa: ANN401
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,  # noqa: ANN401
        return_attention_mask: bool | None = None,
        return_offsets_mapping: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> BatchEncoding:
        """What `__call__` and `encode` of the base class ask for."""
        if return_offsets_mapping:
            raise NotImplementedError(
                "offsets are not given by this class; AutoTokenizer gives them from a folder that "
                "Tokenizer.save wrote"
            )
        batch = _given.is_batch(text, is_split_into_words)
        inputs = (
            [(text, text_pair)] if not batch else _given.pairs(text, text_pair, is_split_into_words)
        )
        flat = [one for pair in inputs for one in pair]
        ids = self._inputs(flat, is_split_into_words, kwargs)
        bos = self.bos_token_id
        if (
            add_special_tokens
            and self.add_bos_token
            and any(one[:1] == [bos] for one in ids if one)
        ):
            warnings.warn(
                f"a text begins with {self.bos_token} already, and a second one is put before it; "
                "encode a rendered conversation with add_special_tokens=False",
                stacklevel=4,
            )
        # Mostly these are texts, and nothing but ids and mask is asked for. The steps of the base
        # class, which are for all cases, would then take longer than encoding a short text.
        plain = (
            all(one is None or isinstance(one, str) for one in flat)
            and not any(map(kwargs.get, _MORE))
            and self.model_input_names == _NAMES
        )
        asked = {
            "add_special_tokens": add_special_tokens,
            "truncation": truncation_strategy.value,
            "max_length": max_length,
            "stride": stride,
            "return_attention_mask": False,
        } | {name: kwargs[name] for name in _PREPARED if name in kwargs}
        prepared = [
            self._prepared(first, second, plain, asked)
            for first, second in zip(ids[::2], ids[1::2], strict=True)
        ]
        columns: dict[str, list[Any]] = {} if prepared else {"input_ids": []}
        if return_attention_mask is None:  # as in the base class, but of an empty batch as well
            return_attention_mask = "attention_mask" in self.model_input_names
        names = dict.fromkeys(chain.from_iterable(prepared))
        for name in names:
            # What is ragged makes no tensor, and only inputs that were cut have it.
            if name not in _OVERFLOW:
                columns[name] = [one[name] for one in prepared]
            elif return_tensors is None:
                columns[name] = [one.get(name, _OVERFLOW[name]) for one in prepared]
        if not plain or padding_strategy is not PaddingStrategy.DO_NOT_PAD:
            columns = self.pad(
                columns,
                padding=padding_strategy.value,
                max_length=max_length,
                pad_to_multiple_of=pad_to_multiple_of,
                padding_side=padding_side,
                return_attention_mask=return_attention_mask,
            )
        elif return_attention_mask:
            columns["attention_mask"] = [[1] * len(ids) for ids in columns["input_ids"]]
        if not batch and return_tensors is None:
            columns = {name: values[0] for name, values in columns.items()}
        return BatchEncoding(columns, tensor_type=return_tensors)

    def _prepared(
        self,
        ids: list[int] | None,
        pair_ids: list[int] | None,
        plain: bool,
        asked: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """An input with the tokens around it, cut if that is asked for and it is too long."""
        most = asked["max_length"]
        # To cut without `max_length` is to cut to the model's, which the base class sees to.
        room = sys.maxsize if asked["truncation"] == "do_not_truncate" else most or 0
        if plain and ids is not None and pair_ids is None and len(ids) <= room:
            whole = ids
            if asked["add_special_tokens"]:
                whole = self.build_inputs_with_special_tokens(ids)
            if len(whole) <= room:
                verbose = asked.get("verbose", True)
                self._eventual_warn_about_too_long_sequence(whole, most, verbose)
                return {"input_ids": whole}
        return cast(Mapping[str, Any], self.prepare_for_model(ids, pair_ids, **asked))

    def _inputs(
        self, inputs: list[Any], is_split_into_words: bool, options: Mapping[str, Any]
    ) -> list[list[int] | None]:
        """The ids of each input: a text, words, tokens or ids; None stays what it is."""
        words = [_given.words(one, is_split_into_words) for one in inputs]
        encoded = iter(
            self._encode_batch(list(chain.from_iterable(w for w in words if w)), options)
        )
        ids: list[list[int] | None] = []
        for one, texts in zip(inputs, words, strict=True):
            if texts is not None and len(texts) == 1:
                ids.append(next(encoded))
            elif texts is not None:
                ids.append(list(chain.from_iterable(next(encoded) for _ in texts)))
            elif one is not None and len(one) and isinstance(one[0], str):
                ids.append(self.convert_tokens_to_ids(list(one)))
            else:
                ids.append(None if one is None else list(one))
        return ids

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


# What inputs have that were cut, and others that were not in the same batch.
_OVERFLOW: dict[str, Any] = {"overflowing_tokens": [], "num_truncated_tokens": 0}
# What may be asked for besides ids and mask.
_MORE = (
    "return_token_type_ids",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_length",
)
_NAMES = ["input_ids", "attention_mask"]
# What `prepare_for_model` is asked for.
_PREPARED = (*_MORE, "verbose")


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
