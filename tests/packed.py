"""Archives for tests to read."""


def zstd(data):
    """A Zstandard frame of raw blocks (RFC 8878)."""
    size = len(data)
    frame = b"\x28\xb5\x2f\xfd" + b"\xa0" + size.to_bytes(4, "little")
    for start in range(0, max(size, 1), 1 << 16):
        block = data[start : start + (1 << 16)]
        last = start + len(block) == size
        frame += (last | len(block) << 3).to_bytes(3, "little") + block
    return frame
