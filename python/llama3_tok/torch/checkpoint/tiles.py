"""Embeddings of an image's tiles: a grid of places in Meta's layout, a table of ratios elsewhere.

An image is cut into `height` x `width` tiles, at most `tiles` of them. Meta has an embedding for
each place of a grid of `tiles` x `tiles`, and takes the corner [:height, :width] of it, row after
row (`TilePositionEmbedding` and `apply_positional_embedding` of llama-models'
`multimodal/model.py`). transformers has a row for each ratio of height and width with the same
embeddings in the same order, and zeros for the tiles that such an image does not have; row 0 is
that of no image, and zero (`MllamaPrecomputedAspectRatioEmbedding`; its own converter from Meta's
layout has the order of the ratios).

So a place is in several rows of the table. A place that no image reaches is in none.
"""

from collections.abc import Iterator

import numpy as np

from llama3_tok.torch.checkpoint.stored import Array


def ratios(tiles: int) -> list[tuple[int, int]]:
    """The heights and widths that an image may have, in the order of the table's rows.

    >>> ratios(2)
    [(1, 1), (1, 2), (2, 1)]
    """
    sides = range(1, tiles + 1)
    return [(height, width) for height in sides for width in sides if height * width <= tiles]


def to_table(grid: Array) -> Iterator[Array]:
    """The elements of the table for a grid of [tiles, tiles, tokens, width], tile after tile."""
    tiles = len(grid)
    nothing = np.zeros(grid.shape[2:], grid.dtype)
    for held in [(0, 0), *ratios(tiles)]:
        for tile in range(tiles):
            height, width = held
            is_there = tile < height * width
            yield np.ascontiguousarray(grid[divmod(tile, width)]) if is_there else nothing


def to_grid(table: Array, tokens: int) -> Iterator[Array]:
    """The elements of the grid for a table, place after place: zeros for what no image reaches."""
    tiles = _tiles_of(table)
    cells = table.reshape(len(table), tiles, tokens, -1)
    nothing = np.zeros(cells.shape[2:], table.dtype)
    for place in np.ndindex(tiles, tiles):
        held = next(iter(_held(place, tiles)), None)
        yield nothing if held is None else np.ascontiguousarray(cells[held])


def difference(table: Array, tokens: int) -> str:
    """Why a table is not that of a grid, so that Meta's layout has no place for it; "" if it is."""
    tiles = _tiles_of(table)
    cells = table.reshape(len(table), tiles, tokens, -1)
    names = ["no image", *(f"{height} x {width} tiles" for height, width in ratios(tiles))]
    is_empty = np.ones(cells.shape[:2], bool)
    for place in np.ndindex(tiles, tiles):
        places = list(_held(place, tiles))
        for held in places:
            is_empty[held] = False
            if not np.array_equal(cells[held], cells[places[0]]):
                return (
                    f"its rows for {names[places[0][0]]} and for {names[held[0]]} differ in the "
                    f"tile at row {place[0]}, column {place[1]}, and Meta's layout has one "
                    "embedding for both"
                )
    for row, tile in np.argwhere(is_empty):
        if cells[row, tile].any():
            return (
                f"its row for {names[row]} is not zero for tile {tile}, which is not there then, "
                "and Meta's code adds nothing to it"
            )
    return ""


def _tiles_of(table: Array) -> int:
    """For how many tiles a table is, by its rows."""
    return next(tiles for tiles in range(1, len(table)) if len(ratios(tiles)) == len(table) - 1)


def _held(place: tuple[int, ...], tiles: int) -> Iterator[tuple[int, int]]:
    """Where the table has a place of the grid: rows, and tiles in them."""
    top, left = place
    for row, (height, width) in enumerate(ratios(tiles), 1):
        if top < height and left < width:
            yield row, top * width + left
