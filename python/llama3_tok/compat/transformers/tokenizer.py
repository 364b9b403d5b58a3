"""The class: text to ids and back, and its files. Conversations are in a file of their own."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

from llama3_tok.extras import require
from llama3_tok.folder import AddedToken as Added
from llama3_tok.folder import Around, post_processor
from llama3_tok.formats import hugging_face, save, whole_files
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.vocabulary import FOLDER

require("transformers", "transformers")

from transformers import AddedToken  # noqa: E402 - whether it is there was asked

from llama3_tok.compat.transformers.calls import Calls  # noqa: E402

__all__ = ["Llama3Tokenizer"]

# Which tokens are put around a text, as transformers calls it: by BOS and EOS.
_PATTERNS = {
    (True, False): "bos",
    (True, True): "bos_eos",
    (False, True): "eos",
    (False, False): "none",
}
# What a tokenizer without a folder of transformers' has besides its tokens.
_OWN = (
    *("bos_token", "eos_token", "pad_token", "chat_template", "profile"),
    *("clean_up_tokenization_spaces", "model_input_names", "model_max_length"),
)
_OF_PATTERN = {name: sides for sides, name in _PATTERNS.items()}


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
        **kwargs: Any,  # noqa: ANN401 - those of the base class
    ) -> None:
        given: Mapping[int, AddedToken] = kwargs.pop("added_tokens_decoder", None) or {}
        vocabulary = vocab_file if vocab_file is not None else tokenizer_file
        self.llama3 = Tokenizer(vocabulary)
        # transformers hands on what the folder notes, which is no wish of the caller's.
        folder = self.llama3.folder
        if profile not in (None, self.llama3.profile, folder and folder.noted):
            self.llama3 = Tokenizer(vocabulary, profile=profile)
        self.profile = self.llama3.profile
        self._written_ids: dict[str, int] | None = None
        self._tokens: list[str] | None = None
        self._known_sides: tuple[tuple[Any, ...], Around] | None = None
        self._of_template = {}
        # From a folder transformers hands all of this on, and more.
        config = {
            name: value
            for name, value in hugging_face.tokenizer_config(self.llama3.definition).items()
            if name in _OWN and (not name.endswith("_token") or isinstance(value, str))
        }
        pattern, self._other_sides = self._usual_sides(add_bos_token, add_eos_token)
        added = {token.id: _theirs(token) for token in self.llama3.added_tokens.values()}
        super().__init__(
            **(config | kwargs),
            special_tokens_pattern=pattern,
            token_type_ids_pattern="all_zeros",
            added_tokens_decoder=added | dict(given),
        )
        # Kept in step with what is set later, and written.
        self.init_kwargs |= {"add_bos_token": None, "add_eos_token": None}
        self._take_tokens()

    # What is put around a text

    def _usual_sides(self, bos: bool | None, eos: bool | None) -> tuple[str, Around | None]:
        """What is put around a text: BOS and EOS as given, else what the folder says.

        As transformers calls it, or if it has no word for it, the ids themselves.
        """
        around = self.llama3.around
        id_of = {"bos": self.llama3.bos_id, "eos": self.llama3.eos_id}
        known = {
            name: _sides(id_of["bos"] if has_bos else None, id_of["eos"] if has_eos else None)
            for (has_bos, has_eos), name in _PATTERNS.items()
        }
        if bos is None and eos is None:
            for name in ("none", "bos", "eos", "bos_eos"):
                if known[name] == around:
                    return name, None
            return "none", around
        had_bos = around.before == (id_of["bos"],) if bos is None else bos
        had_eos = around.after == (id_of["eos"],) if eos is None else eos
        return _PATTERNS[bool(had_bos), bool(had_eos)], None

    @property
    def _sides(self) -> Around:  # type: ignore[override] # of `Calls`
        """The ids that are put around a text."""
        if self._other_sides is not None:
            return self._other_sides
        named = self._special_tokens_map
        key = self.special_tokens_pattern, named.get("bos_token"), named.get("eos_token")
        if self._known_sides is None or self._known_sides[0] != key:
            bos, eos = _OF_PATTERN[self.special_tokens_pattern]
            sides = _sides(
                self._named("bos_token") if bos else None, self._named("eos_token") if eos else None
            )
            self._known_sides = key, sides
        return self._known_sides[1]

    def _named(self, name: str) -> int | None:
        """The id of a special token by what it is for; None if it was set to None."""
        token = self._special_tokens_map.get(name)
        if token is None:
            return None
        id = self._added_tokens_encoder.get(str(token))
        return cast(int, self.convert_tokens_to_ids(str(token))) if id is None else id

    @property
    def add_bos_token(self) -> bool:
        """Whether BOS is put before a text."""
        id = self._named("bos_token")
        return id is not None and id in self._sides.before

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        eos = self.add_eos_token
        self._other_sides, self.special_tokens_pattern = None, _PATTERNS[bool(value), eos]

    @property
    def add_eos_token(self) -> bool:
        """Whether EOS is put after a text."""
        id = self._named("eos_token")
        return id is not None and id in self._sides.after

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        bos = self.add_bos_token
        self._other_sides, self.special_tokens_pattern = None, _PATTERNS[bos, bool(value)]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Ids with those around them; around each of a pair, as `tokenizer.json` has it."""
        before, after, (first, behind, second, last) = self._sides
        if token_ids_1 is None:
            return [*before, *token_ids_0, *after]
        return [*first, *token_ids_0, *behind, *second, *token_ids_1, *last]

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for each special token: those in the ids, or those that are put around them."""
        if already_has_special_tokens:
            return cast(list[int], super().get_special_tokens_mask(token_ids_0, token_ids_1, True))
        before, after, (first, behind, second, last) = self._sides
        if token_ids_1 is None:
            parts = [before, token_ids_0, after]
        else:
            parts = [first, token_ids_0, behind + second, token_ids_1, last]
        return [int(at % 2 == 0) for at, part in enumerate(parts) for _ in part]

    # The vocabulary

    @property
    def vocab_size(self) -> int:
        """How many ids there are without the added tokens: 128,000."""
        return self.llama3.rank_count

    def get_vocab(self) -> dict[str, int]:
        """Each token, as `tokenizer.json` writes it, with its id; added tokens included."""
        return self._written() | cast(dict[str, int], self._added_tokens_encoder)

    def _written(self) -> dict[str, int]:
        if self._written_ids is None:
            written = self.llama3.written_tokens()
            self._written_ids = {token: id for id, token in enumerate(written)}
        return self._written_ids

    def _table(self) -> list[str]:
        """The tokens by id, as `tokenizer.json` writes them; "" for an id without one."""
        if self._tokens is None:
            tokens = list(self._written())
            for token in self.llama3.added_tokens.values():
                tokens += [""] * (token.id + 1 - len(tokens))
                tokens[token.id] = token.content
            self._tokens = tokens
        return self._tokens

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._written().get(token)

    def _convert_id_to_token(self, index: int) -> str | None:
        table = self._table()
        return (table[index] or None) if 0 <= index < len(table) else None

    def _add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:  # noqa: ANN401
        count = cast(int, super()._add_tokens(new_tokens, special_tokens))
        self._take_tokens()
        return count

    def _take_tokens(self) -> None:
        """Makes the tokenizer that has the tokens which were added."""
        self._tokens = self._known_sides = None
        added = tuple(
            Added(id, **{name: getattr(token, name) for name in Added._fields[1:]})
            for id, token in sorted(self._added_tokens_decoder.items())
        )
        if added != tuple(self.llama3.added_tokens.values()):
            self.llama3 = self._with(added=added, release=None)
            self._of_template = {}
        self._takes_space = any(token.lstrip or token.rstrip for token in added)
        self.init_kwargs.pop("profile", None)
        if self.llama3.profile != FOLDER:
            self.init_kwargs["profile"] = self.llama3.profile

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
        ids = [token_ids] if isinstance(token_ids, int) else [int(id) for id in token_ids]
        # `clean_up_tokenization_spaces`, which many folders ask for, is for other kinds of tokens:
        # it would take spaces out of the text, and AutoTokenizer does not obey it either.
        return self.llama3.decode(ids, skip_special=skip_special_tokens)

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
        if self._other_sides is not None:
            around = self.llama3.post_processor
        else:
            bos, eos = _OF_PATTERN[self.special_tokens_pattern]
            around = post_processor(
                self.llama3.added_tokens.values(),
                self._named("bos_token") if bos else None,
                self._named("eos_token") if eos else None,
            )
        drafts = {
            "tokenizer.model": save.rank_file(self.llama3.definition),
            "tokenizer.json": save.tokenizer_json(self.llama3.definition, around),
        }
        paths = {os.path.join(save_directory, prefix + name): d for name, d in drafts.items()}
        whole_files.write(paths)
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
                text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
                whole_files.write({path: whole_files.of_data(text.encode())})
        return file_names + self.save_vocabulary(os.fspath(save_directory), filename_prefix)


def _theirs(token: Added) -> AddedToken:
    flags = token._asdict()
    del flags["id"]
    return AddedToken(**flags)


def _sides(bos: int | None, eos: int | None) -> Around:
    """BOS and EOS around a text, and around each of two."""
    before = () if bos is None else (bos,)
    after = () if eos is None else (eos,)
    return Around(before, after, (before, after, before, after))
