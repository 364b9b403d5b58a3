"""What works with weights.

Names are imported when they are used, and torch, which the extra `torch` installs, when a function
needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.torch.checkpoint import (
        Converted,
        Planned,
        convert_checkpoint,
        plan_checkpoint,
        verify_checkpoint,
    )
    from llama3_tok.torch.conversation import Conversation
    from llama3_tok.torch.generation import Generation
    from llama3_tok.torch.model import Llama3
    from llama3_tok.torch.runner import Stream
    from llama3_tok.torch.sampling import Sampling
    from llama3_tok.torch.scoring import Score
    from llama3_tok.torch.training import add_pad_token, collate, precision

__all__ = [
    "Conversation",
    "Converted",
    "Generation",
    "Llama3",
    "Planned",
    "Sampling",
    "Score",
    "Stream",
    "add_pad_token",
    "collate",
    "convert_checkpoint",
    "plan_checkpoint",
    "precision",
    "verify_checkpoint",
]

# The module of each name.
_HOME = {
    "Conversation": "conversation",
    "Converted": "checkpoint",
    "Generation": "generation",
    "Llama3": "model",
    "Planned": "checkpoint",
    "Sampling": "sampling",
    "Score": "scoring",
    "Stream": "runner",
    "add_pad_token": "training",
    "collate": "training",
    "convert_checkpoint": "checkpoint",
    "plan_checkpoint": "checkpoint",
    "precision": "training",
    "verify_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
