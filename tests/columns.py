"""Arrow columns of any texts, of every type, whole, sliced and in chunks."""

import pyarrow as pa
from hypothesis import strategies as st

import strategies

STRINGS = [pa.string(), pa.large_string(), pa.string_view()]
BINARIES = [pa.binary(), pa.large_binary(), pa.binary_view()]
INDICES = [pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


def strings() -> st.SearchStrategy[str]:
    """Texts that Arrow can have: none has a surrogate."""
    texts = strategies.texts() | st.text(max_size=14)
    return texts.map(
        lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _values(kind: pa.DataType) -> st.SearchStrategy:
    if kind in STRINGS:
        return strings()
    if kind in BINARIES:
        return strings().map(str.encode) | st.binary(max_size=30)
    return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)


@st.composite
def arrays(draw, kinds=None) -> pa.Array:
    """One array of a type of text, perhaps a slice of a larger one."""
    widths = st.integers(0, 5).map(pa.binary)
    kind = draw(st.sampled_from(kinds) if kinds else st.sampled_from(STRINGS + BINARIES) | widths)
    values = pa.array(draw(st.lists(st.none() | _values(kind), max_size=6)), kind)
    if draw(st.booleans()):
        values = sliced(draw, values)
    if draw(st.integers(0, 3)) == 0:
        numbers = st.none() | st.integers(0, len(values) - 1) if len(values) else st.none()
        numbers = pa.array(draw(st.lists(numbers, max_size=8)), draw(st.sampled_from(INDICES)))
        values = pa.DictionaryArray.from_arrays(numbers, values)
        values = sliced(draw, values) if draw(st.booleans()) else values
    return values


def sliced(draw, array):
    """A part of an array, without a copy."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(array))] * 2)))
    return array.slice(start, end - start)


@st.composite
def chunked(draw) -> pa.ChunkedArray:
    """An array as chunks, each of them a slice or with buffers of its own; some are empty."""
    first = draw(arrays())
    chunks = [first.slice(0, 0)]
    for _ in range(draw(st.integers(0, 3))):
        chunks.append(sliced(draw, first))
        if not pa.types.is_dictionary(first.type):
            chunks.append(pa.array(chunks[-1].to_pylist(), first.type))
    return pa.chunked_array(chunks[draw(st.integers(0, 1)) :], type=first.type)
