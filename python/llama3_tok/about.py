"""What this build knows: its version, Unicode's, the pattern, the releases and the processor.

>>> from llama3_tok import about
>>> about.special_names("llama3")[:2]
['<|begin_of_text|>', '<|end_of_text|>']
"""

from llama3_tok._core import (
    PATTERN,
    PROFILES,
    UNICODE_VERSION,
    __version__,
    cpu_count,
    cpu_features,
    special_names,
)

__all__ = [
    "PATTERN",
    "PROFILES",
    "UNICODE_VERSION",
    "__version__",
    "cpu_count",
    "cpu_features",
    "special_names",
]
