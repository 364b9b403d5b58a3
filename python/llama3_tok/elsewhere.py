"""What other libraries call what a `Tokenizer` has, for the errors of those who type their names.

The names are those of transformers' tokenizers, of tiktoken's `Encoding` and of `tokenizers`. None
of them is offered here, since most do something else there: `llama3_tok.compat` has classes with
their interfaces.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

__all__ = ["NameOfOthers", "NamesOfOthers", "option", "without_names_of_others"]

_COMPAT = "llama3_tok.compat has classes with the interfaces of transformers and tiktoken"

_ATTRIBUTES = {
    # transformers
    "add_special_tokens": "with_special_tokens({name: id}), which gives another tokenizer",
    "add_tokens": "with_special_tokens({name: id}), which gives another tokenizer",
    "all_special_ids": "special_tokens.values()",
    "all_special_tokens": "special_tokens",
    "additional_special_tokens": "special_tokens",
    "apply_chat_template": "encode_chat(messages) for ids, render_chat(messages) for text",
    "backend_tokenizer": None,
    "batch_decode": "decode_batch(sequences)",
    "batch_encode_plus": "encode_batch(texts), or the call tokenizer(texts)",
    "bos_token": "special_tokens, and bos_id",
    "bos_token_id": "bos_id",
    "build_inputs_with_special_tokens": "encode(text, bos=True, eos=True)",
    "chat_template": 'chat_templates["default"]',
    "convert_ids_to_tokens": "token_bytes(id), or encode_with_offsets(text).tokens",
    "convert_tokens_to_ids": "token_id(token)",
    "convert_tokens_to_string": "decode(ids)",
    "encode_plus": "encode(text), or the call tokenizer(text)",
    "eos_token": "special_tokens, and eos_id",
    "eos_token_id": "eos_id",
    "from_pretrained": "Tokenizer(folder); nothing is downloaded",
    "get_added_vocab": "added_tokens",
    "get_chat_template": 'chat_templates["default"]',
    "get_vocab": "token_id(token) and token_bytes(id)",
    "model_max_length": None,
    "name_or_path": "vocabulary",
    "num_special_tokens_to_add": "count(text, bos=True, eos=True)",
    "pad_token": "special_tokens, and pad_id",
    "pad_token_id": "pad_id",
    "padding_side": "pad(sequences, side=...)",
    "prepare_for_model": "pad(sequences)",
    "save_pretrained": "save(folder)",
    "save_vocabulary": "save(folder)",
    "special_tokens_map": "special_tokens",
    "tokenize": "encode_with_offsets(text).tokens",
    "truncate_sequences": "truncate(text, max_tokens)",
    "truncation_side": "truncate(text, max_tokens, side=...)",
    "unk_token": None,
    "unk_token_id": None,
    # tiktoken
    "decode_single_token_bytes": "token_bytes(id)",
    "decode_tokens_bytes": "token_bytes(id) for each id",
    "decode_with_offsets": "encode_with_offsets(text), which has them",
    "encode_ordinary": "encode(text), in which special tokens are text",
    "encode_ordinary_batch": "encode_batch(texts), in which special tokens are text",
    "encode_single_token": "token_id(token)",
    "encode_to_numpy": "encode_array(text)",
    "encode_with_unstable": None,
    "decode_bytes_batch": "decode_bytes(ids) for each sequence",
    "eot_token": "eos_id",
    "is_special_token": "special_tokens",
    "max_token_value": "vocab_size - 1",
    "n_vocab": "vocab_size, or len(tokenizer)",
    "special_tokens_set": "special_tokens",
    "token_byte_values": "token_bytes(id) for each id",
    # tokenizers
    "decode_stream": "stream_decoder()",
    "encode_batch_fast": "encode_batch(texts)",
    "enable_padding": "pad(sequences)",
    "enable_truncation": "truncate(text, max_tokens)",
    "from_file": "Tokenizer(path)",
    "get_vocab_size": "vocab_size, or len(tokenizer)",
    "id_to_token": "token_bytes(id)",
    "no_padding": None,
    "no_truncation": None,
    "to_str": "save(folder)",
    "token_to_id": "token_id(token)",
    # Meta's class, and sentencepiece
    "bos": "bos_id",
    "eos": "eos_id",
    "eot": "eot_id",
    "n_words": "vocab_size, or len(tokenizer)",
    "piece_to_id": "token_id(token)",
    "id_to_piece": "token_bytes(id)",
}

_TEXT = {
    "add_bos": "it is bos=True",
    "add_bos_token": "it is bos=True",
    "add_eos": "it is eos=True",
    "add_eos_token": "it is eos=True",
    "add_special_tokens": "BOS and EOS are bos=True and eos=True; special tokens in the text are "
    'allowed_special="all"',
    "max_length": "the ids of a text that was cut are those of truncate(text, max_tokens)",
    "truncation": "the ids of a text that was cut are those of truncate(text, max_tokens)",
    "padding": "pad(sequences) pads, and so does the call tokenizer(texts, padding=True)",
    "num_threads": "it is threads=",
    "return_offsets_mapping": "encode_with_offsets(text) gives offsets",
    "return_tensors": 'encode_array(text) gives an array, pad(..., return_tensors="pt") tensors',
    "split_special_tokens": "special tokens in a text are text unless allowed_special has them",
}

_DECODE = {
    "clean_up_tokenization_spaces": "spaces are never cleaned up",
    "skip_special_tokens": "it is skip_special=True",
    "spaces_between_special_tokens": "no spaces are added",
    "num_threads": "it is threads=",
}

_CHAT = {
    "add_special_tokens": "a conversation has the special tokens of its format, one BOS among them",
    "conversation": "it is the first argument",
    "custom_tools": "it is tools=",
    "date_string": "it is date=",
    "max_length": "fit_chat(messages, max_tokens) leaves the oldest turns out",
    "max_tokens": "fit_chat(messages, max_tokens) leaves the oldest turns out",
    "padding": "pad(sequences) pads",
    "return_assistant_tokens_mask": "it is return_mask=True",
    "return_dict": "ids come as they are; encode_chat has return_mask=True for their mask",
    "return_tensors": "encode_chat_array(messages) gives an array",
    "tokenize": "encode_chat gives ids, and render_chat text",
    "tools_in_user_message": 'it is tools_in="user" or "system"',
    "truncation": "fit_chat(messages, max_tokens) leaves the oldest turns out",
}


class NameOfOthers:
    """The name of something that another library has, in a class that does not have it.

    Whoever asks for it gets the error that says what it is called here. A `__getattr__` would do so
    as well, but Python asks for each attribute in a slower way in classes that have one: two tenths
    of the time of a short call.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise _missing(owner if instance is None else instance, self._name)

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise _missing(instance, self._name)


class NamesOfOthers(type):
    """The metaclass of `Tokenizer`: names of other libraries are not there, and say so."""

    def __new__(
        cls, name: str, bases: tuple[type, ...], members: dict[str, Any]
    ) -> "NamesOfOthers":
        """The class, with a `NameOfOthers` for each of them that neither it nor a base has."""
        made = super().__new__(cls, name, bases, members)
        there = {key for base in made.__mro__ for key in vars(base)}
        for key in _ATTRIBUTES.keys() - there:
            setattr(made, key, NameOfOthers(key))
        return made

    def __dir__(cls) -> list[str]:
        """What there is, without these names."""
        return without_names_of_others(cls, super().__dir__())


def without_names_of_others(owner: type, names: Iterable[str]) -> list[str]:
    """Names that are attributes of a class or its objects."""
    members = {key: value for base in reversed(owner.__mro__) for key, value in vars(base).items()}
    return [name for name in names if not isinstance(members.get(name), NameOfOthers)]


def _missing(owner: object, name: str) -> AttributeError:
    """The error for a name that `Tokenizer`, or an object of it, does not have."""
    kind = f"type object {owner.__name__!r}" if isinstance(owner, type) else None
    message = f"{kind or f'{type(owner).__name__!r} object'} has no attribute {name!r}"
    ours = _ATTRIBUTES[name]
    return AttributeError(message + (f"; use {ours}. {_COMPAT}" if ours else f". {_COMPAT}"))


def option(call: str, name: str, known: list[str]) -> str | None:
    """What to say about an option that a call does not have; None if nothing is known of it.

    `known` are the options that it has.
    """
    if name == "max_length" and call in ("fit_chat", "truncate"):
        return "it is max_tokens="
    if name == "num_threads" and "threads" not in known:
        return "it works on one thread; encode_batch and decode_batch have threads="
    if name == "return_assistant_tokens_mask" and "return_mask" not in known:
        return "encode_chat has return_mask=True"
    if "chat" in call:
        return _CHAT.get(name)
    return (_DECODE if call.startswith("decode") else _TEXT).get(name)
