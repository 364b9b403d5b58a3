"""What training needs from a tokenizer: a padding token, batches of chats, and numbers that hold.

Llama 3 came without a padding token (Meta's code has -1, which is not a row), and choosing one
badly is silent: a padding token that is a stop id teaches a model not to stop. It was trained in
bfloat16; in float16 its activations overflow.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

from llama3_tok import arguments
from llama3_tok.chat.messages import ChatOptions, Message
from llama3_tok.data.chat_batches import Overflow
from llama3_tok.data.chats import encode_chats
from llama3_tok.data.packing import IGNORED
from llama3_tok.data.rows import Learn
from llama3_tok.errors import ChatFormatError, Llama3TokError
from llama3_tok.extras import require
from llama3_tok.lazy import torch
from llama3_tok.text.padding import checked_pad_id
from llama3_tok.tokenizer import Tokenizer

__all__ = ["add_pad_token", "collate", "precision"]

Chat: TypeAlias = Sequence[Message] | Mapping[str, Any]

# What a conversation has that is a dictionary, besides options.
_OF_ROWS = {"messages", "tools", "documents", "system"}


def add_pad_token(model: Any, tokenizer: Tokenizer, *, pad_id: int | None = None) -> int:  # noqa: ANN401
    """Gives a model a padding token, and the id of it, which is also for `collate` and `pad`.

    Profiles from 3.1 on have a reserved one, 128004, and nothing is resized. With profile "llama3"
    a row is added after the model's: the input embedding's is zero, that of the output the mean of
    the others, and the id is called `<pad>`. `pad_id` picks another: a special token without
    another use, or the id of an added row. In any case `config.pad_token_id` is set, also of the
    generation config, and the embedding's `padding_idx`, so that no gradient reaches the row.

    `model` is a `LlamaForCausalLM` or a `Llama3`, whose `tokenizer` then has the token. For a
    tokenizer of its own, `tokenizer.with_special_tokens({"<pad>": id}, pad="<pad>")` gives one that
    has it: what that one saves has it, too. Calling it again changes nothing. Raises Llama3TokError
    for a `pad_id` that ends generation, is a token of text, or begins one.

    >>> add_pad_token(model, Tokenizer(profile="llama3"))  # doctest: +SKIP
    128256
    """
    torch = require("torch", "torch")
    network = getattr(model, "network", model)
    embedding = network.get_input_embeddings()
    rows = embedding.weight.shape[0]
    if pad_id is not None:
        id = checked_pad_id(tokenizer.definition, pad_id)
    elif tokenizer.pad_id is not None:
        id = tokenizer.pad_id
    elif (known := network.config.pad_token_id) is not None and known >= tokenizer.vocab_size:
        id = known  # added before
    else:
        id = rows
    if id in (stops := _stops(network)):
        raise Llama3TokError(
            f"pad_id={id} ends generation in this model (eos_token_id {stops}): where padding is "
            "left out, it learns not to stop"
        )
    if id > rows:
        raise Llama3TokError(f"pad_id={id} would leave rows between: the model has {rows:,}")
    if id == rows:
        # Not by drawing rows around the mean, the default: the mean itself is the same each time.
        network.resize_token_embeddings(rows + 1, mean_resizing=False)
        embedding = network.get_input_embeddings()
        with torch.no_grad():
            output = network.get_output_embeddings().weight
            output[rows] = output[:rows].float().mean(0).to(output.dtype)
            embedding.weight[rows] = 0
    embedding.padding_idx = network.model.padding_idx = id
    network.config.pad_token_id = id
    if network.generation_config is not None:
        network.generation_config.pad_token_id = id
    if isinstance(getattr(model, "tokenizer", None), Tokenizer) and model.tokenizer.pad_id != id:
        model.tokenizer = _with_pad(model.tokenizer, id)
    return id


def _with_pad(tokenizer: Tokenizer, id: int) -> Tokenizer:
    """The tokenizer with a padding token; a name for it is made up where the id has none."""
    names = {id: name for name, id in tokenizer.special_tokens.items()}
    if id in names:
        return tokenizer.with_special_tokens({}, pad=names[id])
    return tokenizer.with_special_tokens({"<pad>": id}, pad="<pad>")


def _stops(network: Any) -> list[int]:  # noqa: ANN401
    """The ids that the model's configurations say end generation."""
    stops: set[int] = set()
    for config in (network.config, network.generation_config):
        # A model without a head to generate with has no configuration for that.
        listed = getattr(config, "eos_token_id", None)
        stops.update(listed if isinstance(listed, list) else [listed] if listed is not None else [])
    return sorted(stops)


def collate(
    tokenizer: Tokenizer,
    conversations: Iterable[Chat],
    *,
    pad_id: int | None = None,
    max_tokens: int | None = None,
    overflow: "Overflow" = "error",
    learn: "Learn" = "assistant",
    pad_to_multiple_of: int | None = None,
    **options: Any,  # noqa: ANN401 - those of `encode_chat`
) -> "dict[str, torch.Tensor]":
    """Conversations as a batch to train on: `input_ids`, `attention_mask` and `labels`.

    Each is `int64[batch, length]`, padded on the right. Labels are the ids that the assistant
    writes, what ends its messages included, and -100 elsewhere: only these are learned. A
    conversation is a list of messages, or a dictionary with `messages` and perhaps `tools`;
    `options` are those of `Tokenizer.encode_chat`, `pad_id` what `add_pad_token` gave. As a
    `collate_fn`: `functools.partial(collate, tokenizer, pad_id=pad_id)`.

    `learn` and `overflow` are those of `llama3_tok.data.encode_chats`, which reads the
    conversations: "last" and "all" learn less or more than what the assistant writes, and a message
    with `"weight": 0` or `"train": false` is not learned; with "drop", "cut" and "fit" a
    conversation of more than `max_tokens` is left out, cut, or loses its oldest turns.

    Raises Llama3TokError for a conversation that is too long with `overflow="error"`, for one in
    which nothing is learned, whose loss would be NaN, and for a wrong `pad_id`; ChatFormatError
    with the `row` of the conversation as `encode_chat`.

    >>> batch = collate(tokenizer, [[{"role": "user", "content": "Hi"},
    ...                              {"role": "assistant", "content": "Hello"}]])  # doctest: +SKIP
    """
    torch = require("torch", "torch")
    arguments.refuse_text(conversations, "conversations")
    conversations = list(conversations)
    rows, labels = [], []
    for index, conversation in enumerate(conversations):
        given: dict[str, Any] = dict(options)
        if isinstance(conversation, Mapping):
            # All but the messages and what belongs to them are options of this conversation.
            for name in conversation.keys() - _OF_ROWS:
                if name not in ChatOptions.__annotations__:
                    raise arguments.unknown("collate", name, ChatOptions.__annotations__)
                given[name] = conversation[name]
            conversation = {name: conversation.get(name) for name in _OF_ROWS}
        try:
            encoded = encode_chats(
                [conversation],
                tokenizer=tokenizer,
                learn=learn,
                max_tokens=max_tokens,
                overflow=overflow,
                threads=1,
                **given,
            )
        except ChatFormatError as error:
            raise error.in_row(index) from None
        if encoded.unlearned:
            raise Llama3TokError(
                f"conversations[{index}] has no token that is learned, as the assistant's are, so "
                "the loss would be NaN"
            )
        if len(encoded):  # if it is not dropped
            rows.append(encoded.ids.ids)
            labels.append(encoded.labels)
    if conversations and not rows:
        raise Llama3TokError(
            f"all conversations have more than max_tokens={max_tokens}, so nothing is left of the "
            'batch; overflow="cut" or "fit" keeps a part of them'
        )
    padded = tokenizer.pad(
        rows,
        pad_id=pad_id,
        pad_to_multiple_of=pad_to_multiple_of,
        max_tokens=max_tokens,
        return_tensors="pt",
    )
    targets = torch.full_like(padded.input_ids, IGNORED)
    for row, learned in enumerate(labels):
        targets[row, : len(learned)] = torch.from_numpy(learned)
    return {**padded, "labels": targets}


def precision(model: Any, *, autocast: bool | None = None) -> AbstractContextManager[Any]:  # noqa: ANN401
    """The context for a training step's forward: bfloat16, by the weights or by autocast.

    Weights in bfloat16 need nothing. Weights in float32 are computed with as they are, or with
    `autocast=True` in bfloat16 where that is safe; with flash attention, which has no float32, that
    is so by default. Weights in float16 are refused: its largest number is 65,504, which
    activations of Llama 3 exceed, and then the loss is NaN. A scaler of gradients is not needed:
    bfloat16 has the range of float32.

    Raises Llama3TokError for float16, and for flash attention with `autocast=False` and float32.

    >>> with precision(model):  # doctest: +SKIP
    ...     loss = model(**batch).loss
    """
    torch = require("torch", "torch")
    network = getattr(model, "network", model)
    flash = network.config._attn_implementation == "flash_attention_2"
    if network.dtype == torch.float16:
        raise Llama3TokError(
            "Llama 3 can't be trained in float16: activations exceed 65,504, its largest, and "
            "the loss becomes NaN. Load with dtype='bfloat16', in which the model was trained, "
            "or with 'float32' and pass autocast=True"
        )
    if network.dtype != torch.float32:
        return nullcontext()
    if flash and autocast is False:
        raise Llama3TokError(
            "flash attention computes in bfloat16 and float16 only, and the weights are float32: "
            "leave autocast on, or load with dtype='bfloat16' or attention='sdpa'"
        )
    if flash or autocast:
        context: AbstractContextManager[Any] = torch.autocast(
            network.device.type, dtype=torch.bfloat16
        )
        return context
    return nullcontext()
