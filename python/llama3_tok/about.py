"""What this build knows of itself: its version, Unicode's, the pattern, and the processor.

>>> from llama3_tok import about
>>> about.PATTERN.startswith("(?i:")
True
"""

from llama3_tok._core import (
    META_SHA256,
    PATTERN,
    UNICODE_VERSION,
    __version__,
    code_path,
    code_paths,
    cpu_count,
    cpu_features,
)

__all__ = [
    "META_SHA256",
    "PATTERN",
    "UNICODE_VERSION",
    "__version__",
    "code_path",
    "code_paths",
    "cpu_count",
    "cpu_features",
]
