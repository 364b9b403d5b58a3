"""Comparing what transformers' tokenizers give."""

import numpy as np
import pytest

# They begin with BOS now and then.
RANDOM_TEXTS = pytest.mark.filterwarnings("ignore:a text begins with .* already:UserWarning")


def same(ours, theirs):
    """Compares two BatchEncodings."""
    assert type(ours) is type(theirs)
    assert dict(ours).keys() == dict(theirs).keys()
    for name in theirs:
        if isinstance(theirs[name], np.ndarray):
            assert ours[name].dtype == theirs[name].dtype
            assert ours[name].tolist() == theirs[name].tolist()
        else:
            assert ours[name] == theirs[name]
