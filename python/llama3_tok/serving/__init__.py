"""What stands in front of a model that is served.

`PrefixCache` encodes prompts whose beginning is known.
"""

from llama3_tok.serving.prefix_cache import PrefixCache, PrefixInfo

__all__ = ["PrefixCache", "PrefixInfo"]
