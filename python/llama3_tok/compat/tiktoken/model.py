"""The encodings by the names of models, as Meta and Hugging Face write them."""

import re

from llama3_tok.compat.tiktoken.core import Encoding
from llama3_tok.compat.tiktoken.registry import get_encoding

# How names begin, without the organisation, in small letters; the first that fits is used.
_BEGINNINGS = (
    ("llama-3.2-11b-vision", "llama3.2-vision"),
    ("llama-3.2-90b-vision", "llama3.2-vision"),
    ("llama-3.1-", "llama3.1"),
    ("llama-3.2-", "llama3.2"),
    ("llama-3.3-", "llama3.1"),
    ("llama-3-", "llama3"),
)


def encoding_name_for_model(model_name: str) -> str:
    """The name of a model's encoding; KeyError for a model that is not known.

    >>> encoding_name_for_model("meta-llama/Llama-3.3-70B-Instruct")
    'llama3.1'
    """
    name = model_name.rpartition("/")[2].lower().removeprefix("meta-")
    name = re.sub(r"^llama(?=[0-9])", "llama-", name)  # Meta writes Llama3.1-8B
    for beginning, encoding in _BEGINNINGS:
        if name.startswith(beginning):
            return encoding
    raise KeyError(
        f"{model_name} is no model that is known here: llama3_tok.compat.tiktoken holds Llama 3 "
        "only, and get_encoding takes its encodings by name"
    )


def encoding_for_model(model_name: str) -> Encoding:
    """A model's encoding; KeyError for a model that is not known."""
    return get_encoding(encoding_name_for_model(model_name))
