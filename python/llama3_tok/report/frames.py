"""How a report and its references speak: frames of a JSON header and a body of bytes, over pipes.

Nothing is unpickled: whatever a reference does, the other side reads JSON and 32-bit integers.
"""

import json
import struct
from typing import Any

__all__ = ["HEAD", "MAX_HEADER", "FrameError", "head_of", "packed"]

HEAD = struct.Struct("<IQ")
"""The number of bytes of the header, and of the body."""

# No header is longer: contents go into the body.
MAX_HEADER = 1 << 24


class FrameError(Exception):
    """What came is not a frame."""


def packed(header: dict[str, Any], body_size: int = 0) -> bytes:
    """The beginning of a frame, after which the body goes."""
    data = json.dumps(header).encode()
    return HEAD.pack(len(data), body_size) + data


def head_of(data: bytes) -> tuple[int, int]:
    """The sizes of header and body. Raises FrameError for what can't be any."""
    header_size, body_size = HEAD.unpack(data)
    if header_size > MAX_HEADER:
        raise FrameError(f"a header of {header_size:,} bytes")
    return header_size, body_size
