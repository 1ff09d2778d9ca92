"""Scan orders: the paths along which a cell sweeps over a map.

An order is data. `unroll` and `reroll` are the only code that turns pixels into sequences and back: rows and columns are
views of a channels-last map, every other order is one gather.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Order:
    """A path over the pixels of an H x W map.

    Args:
        name: What the order is called on the command line.
        lines: "rows" or "columns" when every row (column) is a sequence of its own; None when one path visits all pixels.
        path: For a single path, the function (H, W) -> int64 (H * W,) of flat pixel indices in the order of the visit.
        reverse: Whether the path is walked from its end.
        strips: Whether the sweep can run on a map that arrives as strips of rows from the top, its state carried along.
    """

    name: str
    lines: Literal["rows", "columns"] | None = None
    path: Callable[[int, int], Tensor] | None = None
    reverse: bool = False
    strips: bool = False

    @property
    def carries(self) -> bool:
        """Whether the state at the end of one strip of rows enters the next strip."""
        return self.lines != "rows"


def backward(order: Order) -> Order:
    """The same path walked from its end. Strip by strip it runs only if no state goes from strip to strip."""
    name = order.name.removeprefix("backward ") if order.reverse else f"backward {order.name}"
    forward_strips = order.lines is not None or not order.reverse
    return replace(order, name=name, reverse=not order.reverse, strips=forward_strips and not order.carries)


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
    index, _ = _indices(order, x.shape[-2], x.shape[-1])
    return x.permute(0, 2, 3, 1).flatten(1, 2)[:, index.to(x.device)]  # (B, H * W, C)


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
    _, inverse = _indices(order, *size)
    return sequence[:, inverse.to(sequence.device)].unflatten(1, size).permute(0, 3, 1, 2)  # (B, C, H, W)


@cache
def _indices(order: Order, height: int, width: int) -> tuple[Tensor, Tensor]:
    assert order.path is not None
    index = order.path(height, width)
    return index, torch.argsort(index)


def _grid(height: int, width: int) -> Tensor:
    return torch.arange(height * width).view(height, width)


def _raster(height: int, width: int) -> Tensor:
    return _grid(height, width).flatten()


def _snake(height: int, width: int) -> Tensor:
    grid = _grid(height, width)
    grid[1::2] = grid[1::2].flip(1)
    return grid.flatten()


def _diagonal(height: int, width: int) -> Tensor:
    row = torch.arange(height).view(-1, 1).expand(height, width).flatten()
    column = torch.arange(width).expand(height, width).flatten()
    return torch.argsort((row + column) * height + row)


def _patches(patch: tuple[int, int], height: int, width: int) -> Tensor:
    grid = _grid(height, width)
    bands = (band.split(patch[1], dim=1) for band in grid.split(patch[0], dim=0))
    return torch.cat([piece.flatten() for band in bands for piece in band])


rows = Order("rows", lines="rows", strips=True)
columns = Order("columns", lines="columns", strips=True)
raster = Order("raster", path=_raster, strips=True)
snake = Order("snake", path=_snake)
diagonal = Order("diagonal", path=_diagonal)


def patches(height: int, width: int) -> Order:
    """Patch after patch, each patch in raster order; the patches at the lower and right border may be smaller.

    Source: Visin et al. 2015, "ReNet", arXiv:1505.00393 (patches); Huang et al. 2024, "LocalMamba", arXiv:2403.09338
    (local windows).

    Args:
        height: Rows of a patch, at least 1.
        width: Columns of a patch, at least 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a patch of {height}x{width} pixels is empty; give at least 1x1")
    return Order(f"patches({height}, {width})", path=partial(_patches, (height, width)))


ORDERS = {order.name: order for order in (rows, columns, raster, snake, diagonal)}
