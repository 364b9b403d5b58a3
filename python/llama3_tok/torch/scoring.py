"""What the tokens of a text are worth to a model: log probabilities and perplexity."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama3_tok.arguments import Text
from llama3_tok.errors import Llama3TokError
from llama3_tok.torch.memory import explained, written

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from llama3_tok.torch.runner import Runner

__all__ = ["Score"]

# Rows of 128,256 logits that are in memory at a time: half a megabyte each.
_ROWS = 128


@dataclass(frozen=True, slots=True)
class Score:
    """The tokens of a text, BOS excluded, and how likely the model found each.

    `ids` is `uint32[n]`. `logprobs` is `float32[n]`: the natural logarithm of a token's probability
    behind all that is before it. `byte_spans` and `char_spans` are `int64[n, 2]`: where it stands
    in the text, as `Encoding` has it.
    """

    ids: "npt.NDArray[np.uint32]"
    logprobs: "npt.NDArray[np.float32]"
    byte_spans: "npt.NDArray[np.int64]"
    char_spans: "npt.NDArray[np.int64]"

    @property
    def perplexity(self) -> float:
        """`exp` of the mean negative log probability."""
        return math.exp(-float(self.logprobs.astype("float64").mean()))

    def __repr__(self) -> str:
        """For people."""
        return f"Score({len(self.ids):,} ids, perplexity {self.perplexity:,.3f})"


def score(model: "Runner", text: Text) -> Score:
    """`Llama3.score`, which has the description."""
    import torch

    encoding = model.tokenizer.encode_with_offsets(text, bos=True)
    if len(encoding) < 2:
        raise ValueError("text must not be empty: no token has no perplexity")
    if len(encoding) > model.context:
        raise Llama3TokError(
            f"the text has {len(encoding):,} tokens with BOS, and the context of the model is "
            f"{model.context:,}; Tokenizer.truncate shortens it"
        )
    network = model.network
    ids = torch.from_numpy(encoding.ids.astype("int64")).to(model.device)
    needs = f"{_ROWS} x {model.tokenizer.vocab_size:,} logits of float32 need " + written(
        _ROWS * model.tokenizer.vocab_size * 4
    )
    logprobs = []
    with torch.no_grad(), explained(lambda: f"{needs}, beside what {len(ids):,} tokens do"):
        hidden = network.model(input_ids=ids[None, :-1], use_cache=False).last_hidden_state[0]
        # No more logits than needed are in memory.
        for rows, wanted in zip(hidden.split(_ROWS), ids[1:].split(_ROWS), strict=True):
            logits = network.lm_head(rows)[:, : model.tokenizer.vocab_size].float()
            logprobs.append(logits.log_softmax(-1).gather(-1, wanted[:, None])[:, 0].cpu())
    return Score(
        encoding.ids[1:],
        torch.cat(logprobs).numpy(),
        encoding.byte_spans[1:],
        encoding.char_spans[1:],
    )
