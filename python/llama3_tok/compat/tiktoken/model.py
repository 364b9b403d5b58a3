"""The encodings by the names of models, as Meta and Hugging Face write them."""

import re

from llama3_tok.compat.tiktoken.core import Encoding
from llama3_tok.compat.tiktoken.registry import get_encoding
from llama3_tok.profiles import releases


def encoding_name_for_model(model_name: str) -> str:
    """The name of a model's encoding; KeyError for a model that is not known.

    >>> encoding_name_for_model("meta-llama/Llama-3.3-70B-Instruct")
    'llama3.3'
    """
    name = model_name.rpartition("/")[2].lower().removeprefix("meta-")
    name = re.sub(r"^llama(?=[0-9])", "llama-", name)  # Meta writes Llama3.1-8B
    fitting = [
        (len(beginning), release.name)
        for release in releases()
        for beginning in release.models
        if name.startswith(beginning)
    ]
    if fitting:
        return max(fitting)[1]
    raise KeyError(
        f"{model_name} is not a model that is known here: llama3_tok.compat.tiktoken holds Llama 3 "
        "only, and get_encoding takes its encodings by name"
    )


def encoding_for_model(model_name: str) -> Encoding:
    """A model's encoding; KeyError for a model that is not known."""
    return get_encoding(encoding_name_for_model(model_name))
