"""Scan orders: the paths along which a cell sweeps over a map.

An order is data. `unroll` and `reroll` are the only code that turns pixels into sequences and back: rows and columns
are views of a channels-last map, every other order is one gather.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Order:
    """A path over the pixels of an H x W map.

    Args:
        name: What the order is called on the command line.
        lines: "rows" or "columns" when every row (column) is a sequence of its own; None when one path visits all
            pixels.
        path: For a single path, the function that takes the grid of pixel numbers, int64 (H, W), and returns the
            numbers in the order of the visit, (H * W,).
        downwards: Whether, however the map is cut into strips of rows, the paths of the strips one after the other are
            the path of the map.
        reverse: Whether the path is walked from its end.
    """

    name: str
    lines: Literal["rows", "columns"] | None = None
    path: Callable[[Tensor], Tensor] | None = None
    downwards: bool = False
    reverse: bool = False

    @property
    def carries(self) -> bool:
        """Whether the state at the end of one strip of rows enters the next strip."""
        return self.lines != "rows"

    @property
    def strips(self) -> bool:
        """Whether the sweep can run on a map that arrives as strips of rows from the top, its state carried along."""
        return not self.carries or (self.downwards and not self.reverse)

    @property
    def summary(self) -> str:
        """The order in a few words, for `sweepseg list`."""
        path = f"{self.lines}, each on its own" if self.lines else "one path over all pixels"
        return f"{path}; {'runs strip by strip' if self.strips else 'needs the whole picture'}"


def backward(order: Order) -> Order:
    """The same path walked from its end.

    >>> backward(columns).name, backward(backward(columns)) == columns
    ('backward columns', True)
    """
    name = order.name.removeprefix("backward ") if order.reverse else f"backward {order.name}"
    return replace(order, name=name, reverse=not order.reverse)


def unroll(x: Tensor, order: Order) -> Tensor:
    """Turn a map into the sequences that an order visits.

    Args:
        x: (B, C, H, W), best channels-last in memory.
        order: The path. Its direction is not applied here: the cell runs the sequence with ``reverse=order.reverse``.

    Returns:
        (B, H, W, C) for rows and (B, W, H, C) for columns, both views; (B, H * W, C) for a single path.

    >>> unroll(torch.arange(4.0).view(1, 1, 2, 2), columns).flatten().tolist()
    [0.0, 2.0, 1.0, 3.0]
    """
    if order.lines == "rows":
        return x.permute(0, 2, 3, 1)  # (B, H, W, C)
    if order.lines == "columns":
        return x.permute(0, 3, 2, 1)  # (B, W, H, C)
    path = _path(order, (x.shape[-2], x.shape[-1]), x.device)
    return x.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, path)  # (B, H * W, C)


def reroll(sequence: Tensor, order: Order, size: tuple[int, int]) -> Tensor:
    """Put sequences back in their places, the inverse of `unroll`.

    Args:
        sequence: What `unroll` returns, with any number of channels.
        order: The order it was unrolled with.
        size: (H, W) of the map.

    Returns:
        (B, C, H, W), channels-last in memory where the sequence was.
    """
    if order.lines == "rows":
        return sequence.permute(0, 3, 1, 2)  # (B, C, H, W)
    if order.lines == "columns":
        return sequence.permute(0, 3, 2, 1)  # (B, C, H, W)
    places = torch.argsort(_path(order, size, sequence.device))
    return sequence.index_select(1, places).unflatten(1, size).permute(0, 3, 1, 2)  # (B, C, H, W)


def _path(order: Order, size: tuple[int, int], device: torch.device) -> Tensor:
    assert order.path is not None
    return order.path(torch.arange(size[0] * size[1], device=device).view(size))  # (H * W,)


def _raster(grid: Tensor) -> Tensor:
    return grid.flatten()


def _snake(grid: Tensor) -> Tensor:
    odd = torch.arange(grid.shape[0], device=grid.device).unsqueeze(1) % 2 == 1  # (H, 1)
    return torch.where(odd, grid.flip(1), grid).flatten()


def _diagonal(grid: Tensor) -> Tensor:
    height, width = grid.shape
    row, column = grid // width, grid % width
    return torch.argsort(((row + column) * height + row).flatten())


def _hilbert(grid: Tensor) -> Tensor:
    """The Hilbert curve of the smallest square that holds the map and has a power of two pixels a side.

    From the upper left to the upper right corner. Pixels outside of the map are left out, so where the curve leaves the
    map, it goes on at the pixel where it comes back; on a square of a power of two each step leads to a neighbour.

    Source: Hilbert 1891, "Über die stetige Abbildung einer Linie auf ein Flächenstück", Mathematische Annalen 38.
    """
    height, width = grid.shape
    row, column = grid // width, grid % width
    place, side = torch.zeros_like(grid), 1
    while side < max(height, width):
        side *= 2
    while side > 1:
        side //= 2  # of a quadrant; their order is upper left, lower left, lower right, upper right
        below, right = row // side, column // side
        place = 4 * place + ((3 * right) ^ below)
        row, column = row % side, column % side
        # The upper quadrants hold the curve mirrored along a diagonal, left the main one, right the other.
        last = right * (side - 1)
        row, column = (
            torch.where(below == 1, row, (last - column).abs()),
            torch.where(below == 1, column, (last - row).abs()),
        )
    return torch.argsort(place.flatten())


def _patches(patch: tuple[int, int], grid: Tensor) -> Tensor:
    bands = (band.split(patch[1], dim=1) for band in grid.split(patch[0], dim=0))
    return torch.cat([piece.flatten() for band in bands for piece in band])


rows = Order("rows", lines="rows", downwards=True)
columns = Order("columns", lines="columns", downwards=True)
raster = Order("raster", path=_raster, downwards=True)
snake = Order("snake", path=_snake)
diagonal = Order("diagonal", path=_diagonal)
hilbert = Order("hilbert", path=_hilbert)

FOUR_WAYS = (rows, backward(rows), columns, backward(columns))  # together every pixel sees its row and its column


def patches(height: int, width: int) -> Order:
    """Patch after patch, each patch in raster order; the patches at the lower and right border may be smaller.

    Source: Visin et al. 2015, "ReNet", arXiv:1505.00393 (patches); Huang et al. 2024, "LocalMamba", arXiv:2403.09338
    (local windows).

    Args:
        height: Rows of a patch, at least 1.
        width: Columns of a patch, at least 1.

    Raises:
        ValueError: The patch is empty.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a patch of {height}x{width} pixels is empty; give at least 1x1")
    path = partial(_patches, (height, width))
    return Order(f"patches({height}, {width})", path=path, downwards=height == 1)


ORDERS = {order.name: order for order in (rows, columns, raster, snake, diagonal, hilbert)}
