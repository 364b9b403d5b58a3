"""The releases of Llama 3, from the one table that the core has of them (`rust/profile.rs`).

Code asks here for what differs between releases, and never compares the name of one. So a new
release is one entry in that table. An entry is read when it is first asked for.
"""

import os
from functools import cache
from typing import Any, NamedTuple

from llama3_tok import _core
from llama3_tok._core import PROFILES

__all__ = [
    "DEFAULT_PROFILE",
    "PROFILES",
    "RESERVED",
    "ROPE_TYPE",
    "Profile",
    "Scaling",
    "Template",
    "chat_template",
    "find",
    "named_in_chats",
    "named_roles",
    "profile_of_template",
    "releases",
    "usual_config",
]

# What is meant where neither the caller nor a folder says which.
DEFAULT_PROFILE = "llama3.1"

# How the names of special tokens begin that no release gives a meaning.
RESERVED = "<|reserved_special_token_"

# What transformers calls the scaling of rotary frequencies that `Scaling` describes.
ROPE_TYPE = "llama3"


class Template(NamedTuple):
    """A chat template of a release."""

    body: str
    """The file in `chat/jinja/` that writes it, after `content.jinja`, which all have."""
    published: str | None
    """The SHA-256 of the published text without the line end after it; None if none is known."""
    tools: bool
    """Whether it has a place for tools, and writes a system message with dates."""
    builtin_tools: bool
    """Whether it has a place for built-in tools, whose calls are code."""
    images: bool
    """Whether it has a place for images; then the content of messages keeps its white space."""


class Scaling(NamedTuple):
    """How rotary frequencies are scaled for a longer context than a model first had."""

    factor: float
    """By how much low frequencies are divided."""
    low_freq_factor: float
    """Frequencies with fewer turns in the first context than this are low."""
    high_freq_factor: float
    """Frequencies with more turns in the first context than this are kept."""
    original_context: int
    """How many tokens the first context has."""


class Profile(NamedTuple):
    """A release of Llama 3. Its tokens are given by their indices among the special tokens."""

    name: str
    """What `profile=` calls it."""
    title: str
    """What people call it."""
    models: tuple[str, ...]
    """How the names of its models begin, in small letters.

    A longer beginning counts before a shorter one, whichever release it is of.
    """
    special_names: tuple[str, ...]
    """The names of the special tokens in the order of their ids."""
    bos: int
    """What a text begins with."""
    eos: int
    """What a text ends with."""
    eot: int
    """What ends a turn."""
    pad: int | None
    """What fills a batch; None if there is no such token."""
    stops: tuple[int, ...]
    """What ends generation, ascending."""
    adds_bos: bool
    """Whether a text for the model begins with BOS."""
    adds_eos: bool
    """Whether a text for the model ends with EOS."""
    dialect: str
    """The format of conversations where the caller names none: "hf" or "meta"."""
    template: Template
    """The chat template that was published with the release: what dialect "hf" writes."""
    saved_template: Template
    """The chat template of a saved folder: it renders what the release's own dialect writes."""
    context: int
    """How many tokens a model's context has."""
    scaling: Scaling | None
    """How the models' rotary frequencies are scaled; None if they are not."""
    tied: bool
    """Whether the output layer of the models is the embedding."""

    def special_tokens(self, first: int) -> dict[str, int]:
        """The ids of the special tokens by their names, if they begin at `first`."""
        return {name: first + index for index, name in enumerate(self.special_names)}


@cache
def find(name: str) -> Profile:
    """The release that a profile is. Raises Llama3TokError for an unknown name.

    >>> find("llama3").context
    8192
    """
    found = _core.profile(name)
    for several in ("models", "special_names", "stops"):
        found[several] = tuple(found[several])
    for template in ("template", "saved_template"):
        found[template] = Template(**found[template])
    if found["scaling"] is not None:
        found["scaling"] = Scaling(**found["scaling"])
    return Profile(**found)


@cache
def releases() -> tuple[Profile, ...]:
    """All of them, in the order of `PROFILES`.

    Where something is the same in several releases, it tells the first.
    """
    return tuple(map(find, PROFILES))


# What files of a release say


def named_roles(release: str) -> dict[str, str]:
    """The tokens of a release that have a role, as "bos_token"."""
    found = find(release)
    roles = {"bos_token": found.bos, "eos_token": found.eos, "pad_token": found.pad}
    return {role: found.special_names[at] for role, at in roles.items() if at is not None}


def usual_config(release: str) -> dict[str, Any]:
    """The `tokenizer_config.json` of a release, chat templates aside."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        # For `Tokenizer` and `compat.transformers`; transformers keeps it, and makes nothing of it.
        "profile": release,
        **named_roles(release),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": find(release).context,
    }


# Chat templates


def named_in_chats(release: str) -> set[str]:
    """The special tokens that conversations of a release are written with."""
    unused = (RESERVED, "<|finetune_right_pad_id|>", "<|step_id|>")
    return {name for name in find(release).special_names if not name.startswith(unused)}


@cache
def chat_template(profile: str) -> str:
    """The chat template of a profile, for `apply_chat_template` of transformers.

    It takes the variables of the published ones: `tools` or `custom_tools`, `builtin_tools`,
    `tools_in_user_message`, `date_string`. It renders what `Tokenizer.render_chat` does, a
    conversation without a date with the published one; with profile "meta" the format of Meta's
    class, calls of custom tools as JSON.
    """
    template = find(profile).saved_template
    flags = {"has_images": template.images, "has_builtin_tools": template.builtin_tools}
    parts = [f"{{%- set {name} = {str(is_set).lower()} %}}\n" for name, is_set in flags.items()]
    for name in ("content.jinja", template.body):
        path = os.path.join(os.path.dirname(__file__), "chat", "jinja", name)
        with open(path, encoding="utf-8") as file:
            parts.append(file.read())
    return "".join(parts)


def profile_of_template(template: str, release: str | None = None) -> str | None:
    """The profile whose conversations a chat template renders, None if that is not known.

    It is known of the templates that are published with the models, in their
    `tokenizer_config.json` or `chat_template.jinja`, and of those that `chat_template` gives. Where
    several releases have the same, it is `release` if that is one of them, else the first.
    """
    from hashlib import sha256

    text = template.removesuffix("\n")
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    fitting = [
        profile.name
        for profile in releases()
        if digest == profile.saved_template.published
        or text == chat_template(profile.name).removesuffix("\n")
    ]
    return release if release in fitting else next(iter(fitting), None)
