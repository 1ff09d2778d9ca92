"""Merges: several maps of the same shape, one for each sweep, become one."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Stack the maps along channels: n maps (B, C, H, W) -> (B, n * C, H, W)."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Merge the maps."""
        return torch.cat(list(maps), dim=1)


class Sum(nn.Module):
    """Add the maps: n maps (B, C, H, W) -> (B, C, H, W)."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Merge the maps."""
        return reduce(torch.add, maps)


class Gated(nn.Module):
    """Weigh the maps at every pixel by a softmax over maps: n maps (B, C, H, W) -> (B, C, H, W).

    Args:
        channels: Channels C of each map.
        count: Number n of maps.
    """

    def __init__(self, channels: int, count: int):
        super().__init__()
        self.score = nn.Conv2d(count * channels, count, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Merge the maps."""
        weights = self.score(torch.cat(list(maps), dim=1)).softmax(dim=1)  # (B, n, H, W)
        return reduce(torch.add, [weights[:, i : i + 1] * x for i, x in enumerate(maps)])
