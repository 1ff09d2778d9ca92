"""Sweeps over volumes: the layers for maps, run over views of the volume."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..orders import FOUR_WAYS, backward, columns
from .merge import Concat
from .sweep import Sweep, Sweeps


class VolumeSweeps(nn.Module):
    """A layer over the slices of a volume beside one along its depth: (B, C, D, H, W) -> (B, sum of channels, D, H, W).

    A volume that is channels-last in memory is also a batch of B * D maps of H x W pixels, and B maps with D rows of
    H * W pixels: both are views. So every order, cell and kernel for maps serves as it is.

    Args:
        within: Runs over every slice, (map, state) -> (map, state); a `Sweeps`, or a cell over maps.
        along: The same over the map of D rows; sweeps along its columns, which are the lines through the slices.
    """

    def __init__(self, within: nn.Module, along: nn.Module):
        super().__init__()
        self.within, self.along = within, along

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Sweep over a volume, best channels-last in memory; volumes do not arrive in parts, so no state is carried."""
        slices, _ = self.within(x.transpose(1, 2).flatten(0, 1))  # (B * D, C', H, W)
        lines, _ = self.along(x.flatten(3))  # (B, C", D, H * W)
        parts = slices.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2), lines.unflatten(3, x.shape[3:])
        return torch.cat(parts, dim=1), None


def six_ways(cell: Callable[[], nn.Module]) -> VolumeSweeps:
    """Sweeps both ways along width, height and depth, in this order of the channels, each with a cell of its own.

    Args:
        cell: Makes a cell.

    >>> from sweepseg.cells import MinGRU
    >>> six_ways(lambda: MinGRU(3, 8))(torch.ones(2, 3, 4, 5, 6))[0].shape
    torch.Size([2, 48, 4, 5, 6])
    """
    depth = (columns, backward(columns))
    return VolumeSweeps(
        *(Sweeps([Sweep(cell(), order) for order in orders], Concat()) for orders in (FOUR_WAYS, depth))
    )
