"""Reports about tokenizers, as data, as JSON and as a page.

`parity` compares ids with those of other tokenizers, each in a process of its own; `compare` sets
Llama 3 beside Llama 2. What a report needs is imported when it is asked for.

>>> from llama3_tok import report
>>> comparison = report.compare("Hello world", llama2="tokenizer.model")
>>> comparison.total.llama3, comparison.total.llama2
(2, 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama3_tok.report.check import parity
    from llama3_tok.report.comparing import compare
    from llama3_tok.report.comparison import Comparison
    from llama3_tok.report.parity_report import Parity

__all__ = ["Comparison", "Parity", "compare", "parity"]

_HOMES = {
    "Comparison": "comparison",
    "Parity": "parity_report",
    "compare": "comparing",
    "parity": "check",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"llama3_tok.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
