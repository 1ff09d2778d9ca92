"""What sweeps are measured beside: layers of plain torch, (B, C, H, W) maps in and out, and other packages."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cells import GRU, LSTM
from ..layers.merge import Concat
from ..layers.sweep import Sweep, Sweeps
from ..orders import FOUR_WAYS


def four_ways(cell: type[nn.Module], channels: int, hidden_size: int) -> Sweeps:
    """A cell's sweeps in four directions, side by side: (B, channels, H, W) -> (B, 4 * hidden_size, H, W)."""
    return Sweeps([Sweep(cell(channels, hidden_size), order) for order in FOUR_WAYS], Concat())


class TorchSweeps(nn.Module):
    """What `four_ways` of GRU or LSTM computes, by two bidirectional layers of torch.nn.

    Args:
        sweeps: Where the weights are copied from.
    """

    def __init__(self, sweeps: Sweeps):
        super().__init__()
        cells: list[Any] = [sweep.cell for sweep in sweeps.sweeps]
        right, left, down, up = cells
        self.rows, self.columns = _bidirectional(right, left), _bidirectional(down, up)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 * hidden_size, H, W)."""
        batch, _, height, width = x.shape
        along_rows, _ = self.rows(x.permute(0, 2, 3, 1).flatten(0, 1))  # (B * H, W, 2 * hidden_size)
        along_columns, _ = self.columns(x.permute(0, 3, 2, 1).flatten(0, 1))  # (B * W, H, 2 * hidden_size)
        maps = (
            along_rows.unflatten(0, (batch, height)).permute(0, 3, 1, 2),
            along_columns.unflatten(0, (batch, width)).permute(0, 3, 2, 1),
        )
        return torch.cat(maps, dim=1)


def _bidirectional(forwards: GRU | LSTM, backwards: GRU | LSTM) -> nn.Module:
    layer = (nn.GRU if isinstance(forwards, GRU) else nn.LSTM)(
        forwards.input_size, forwards.hidden_size, batch_first=True, bidirectional=True
    )
    state = {f"{name}_l0": value for name, value in forwards.state_dict().items()}
    state |= {f"{name}_l0_reverse": value for name, value in backwards.state_dict().items()}
    layer.load_state_dict(state)
    return layer


class Attention(nn.Module):
    """Softmax attention of every pixel to every pixel, with its projections.

    Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762, section 3.2.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project_in, self.project_out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, C)
        split = self.project_in(pixels).unflatten(-1, (3, self.heads, -1))  # (B, H * W, 3, heads, C / heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # (B, H * W, C)
        return self.project_out(seen).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def depthwise(channels: int) -> nn.Module:
    """A 7 x 7 depthwise and a 1 x 1 convolution, which see no further than 3 pixels."""
    return nn.Sequential(nn.Conv2d(channels, channels, 7, padding=3, groups=channels), nn.Conv2d(channels, channels, 1))


MAMBAPY_MISSING = (
    None if importlib.util.find_spec("mambapy") else "mambapy is not installed; to compare with it: pip install mambapy"
)


def mambapy_scan(decay: Tensor, update: Tensor) -> Callable[[], Tensor]:
    """The parallel scan of mamba.py over the steps of (*batch, T, C); returns (batch, T, C, 1).

    Source: https://github.com/alxndrTL/mamba.py, pscan.py.
    """
    pscan = importlib.import_module("mambapy.pscan").pscan
    a, x = (sequence.flatten(0, -3).unsqueeze(-1) for sequence in (decay, update))
    return lambda: pscan(a, x)
