"""The tokenizer that belongs to a checkpoint's weights."""

import os
from dataclasses import replace

from llama3_tok.errors import CheckpointError
from llama3_tok.folder import usual
from llama3_tok.folder.reading import release_of
from llama3_tok.tokenizer import Tokenizer
from llama3_tok.torch.checkpoint.meta import TOKENIZER
from llama3_tok.torch.checkpoint.sizes import Sizes
from llama3_tok.torch.checkpoint.stored import read_json, refuse
from llama3_tok.torch.checkpoint.vision import IMAGE_TOKEN
from llama3_tok.vocabulary import MAX_BYTES


def tokenizer_of(folder: str, name: str, sizes: Sizes, profile: str | None) -> Tokenizer:
    """The folder's tokenizer, of the profile that was named or that is told."""
    path = os.path.join(folder, name) if name else folder
    if not os.path.exists(path):
        refuse(path, "there is no such file; the tokenizer belongs to the checkpoint")
    ranks = os.path.join(folder, TOKENIZER)
    is_alone = os.path.isfile(ranks) and os.path.getsize(ranks) <= MAX_BYTES
    if not is_alone or (_says_ids(folder) if profile else _says_more(folder)):
        tokenizer = Tokenizer(path, profile=profile)
    else:
        # A rank file by itself does not tell the release; the weights' sizes do, or the caller.
        with open(ranks, "rb") as file:
            content = file.read()
        tokenizer = Tokenizer.from_bytes(content, profile=profile or sizes.profile, name=ranks)
        _check_names(folder, tokenizer)
    if sizes.vision is not None and tokenizer.special_tokens.get(IMAGE_TOKEN) != sizes.vocabulary:
        refuse(
            path,
            f"the tokenizer of profile {tokenizer.profile} has no {IMAGE_TOKEN} with id "
            f"{sizes.vocabulary:,}, and the model reads images; profile='llama3.2-vision' has it",
        )
    # A model may have rows that no token has.
    if tokenizer.vocab_size > sizes.rows:
        hint = ""
        if profile is None and not _says_ids(folder):
            hint = "; its files do not say which release it is of: profile='llama3.1', as one, does"
        refuse(
            path,
            f"the tokenizer has {tokenizer.vocab_size:,} ids, and the weights are for "
            f"{sizes.rows:,}{hint}",
        )
    return tokenizer


# What says more of the tokens than a rank file does, but not which ids the special ones have.
_NAMES = ("special_tokens_map.json", "chat_template.jinja", "additional_chat_templates")


def _says_ids(folder: str) -> bool:
    """Whether the files beside a rank file say which special tokens there are."""
    if any(os.path.exists(os.path.join(folder, one)) for one in ("tokenizer.json", _ADDED)):
        return True
    config = os.path.join(folder, _TOKENIZER_CONFIG)
    return os.path.exists(config) and any(
        read_json(config).get(name) for name in ("added_tokens_decoder", "profile")
    )


def _says_more(folder: str) -> bool:
    """Whether they say more than which model it is."""
    names = (_TOKENIZER_CONFIG, *_NAMES)
    return _says_ids(folder) or any(os.path.exists(os.path.join(folder, one)) for one in names)


def _check_names(folder: str, tokenizer: Tokenizer) -> None:
    """Refuses a release that has not the special tokens which the folder names."""
    for file in (_TOKENIZER_CONFIG, "special_tokens_map.json"):
        path = os.path.join(folder, file)
        for role, value in (read_json(path) if os.path.exists(path) else {}).items():
            name = value.get("content") if isinstance(value, dict) else value
            if not role.endswith("_token") or not isinstance(name, str):
                continue
            if name not in tokenizer.special_tokens:
                refuse(
                    path,
                    f"its {role} is {name[:100]!r}, which is not a special token of profile "
                    f"{tokenizer.profile}",
                )


def with_rows(sizes: Sizes, tokenizer: Tokenizer, rows: int | None) -> Sizes:
    """The sizes with as many rows as were asked for; each id must keep its own."""
    if rows is None:
        return sizes
    if sizes.vision is not None:
        raise CheckpointError(
            "vocab_rows is for text models: in a Llama 3.2 Vision model the rows after the "
            "vocabulary are those of the image"
        )
    if rows < tokenizer.vocab_size:
        raise CheckpointError(
            f"vocab_rows must be at least {tokenizer.vocab_size:,}, one for each id of the "
            f"tokenizer, not {rows:,}"
        )
    return replace(sizes, vocabulary=rows)


def without_padding(tokenizer: Tokenizer, sizes: Sizes) -> tuple[Tokenizer, Sizes]:
    """A release's tokenizer in place of one that has a padding token besides, in the last row."""
    *others, last = tokenizer.added_tokens.values()
    release = release_of(others, (), others[0].id) if others else None
    if last.id != tokenizer.pad_id or last.id != sizes.vocabulary - 1 or release is None:
        return tokenizer, sizes
    tokenizer = tokenizer.with_folder(usual(release, tokenizer.rank_count))
    return tokenizer, replace(sizes, vocabulary=last.id)


_TOKENIZER_CONFIG, _ADDED = "tokenizer_config.json", "added_tokens.json"
