"""Sweeps: a cell run along a scan order of a map, and several of them side by side."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..orders import Order, reroll, unroll
from .merge import Concat
from .together import run_together


class Sweep(nn.Module):
    """Run a cell along a scan order: (B, C, H, W) -> (B, hidden_size, H, W).

    Args:
        cell: Called as ``cell(sequence, state, reverse) -> (output, state)``.
        order: The path, one of `sweepseg.orders`.
    """

    def __init__(self, cell: nn.Module, order: Order):
        super().__init__()
        self.cell, self.order = cell, order

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Sweep over a map.

        Args:
            x: (B, C, H, W), best channels-last in memory.
            state: What an earlier call returned, for a map that arrives in strips. Default: zeros.

        Returns:
            The hidden states (B, hidden_size, H, W) and the state after the last step.
        """
        output, state = self.cell(unroll(x, self.order), state, self.order.reverse)
        return reroll(output, self.order, (x.shape[-2], x.shape[-1])), state

    def extra_repr(self) -> str:
        """The order, for ``print(sweep)``."""
        return f"order={self.order.name}"


class Sweeps(nn.Module):
    """Several sweeps over the same map, merged into one: ReNet's and VMamba's layer in general form.

    Cells over maps that have a direction of their own, such as `LinePropagation` and `MDLSTM`, can stand among them.

    Args:
        sweeps: The single sweeps, or cells over maps: (map, state) -> (map, state).
        merge: Maps their outputs, a list of (B, hidden_size, H, W), to one map; see `sweepseg.layers.merge`.

    >>> import torch
    >>> from sweepseg.cells.line_propagation import DIRECTIONS, LinePropagation
    >>> from sweepseg.layers.merge import Sum
    >>> layer = Sweeps([LinePropagation(3, 8, direction) for direction in DIRECTIONS], Sum())
    >>> layer(torch.ones(2, 3, 5, 6))[0].shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, sweeps: Sequence[nn.Module], merge: nn.Module):
        super().__init__()
        self.sweeps, self.merge = nn.ModuleList(sweeps), merge
        self.carries = [not isinstance(sweep, Sweep) or sweep.order.carries for sweep in sweeps]

    def forward(self, x: Tensor, state: Sequence[object] | None = None) -> tuple[Tensor, list[object]]:
        """Sweep over a map (B, C, H, W); the state is one entry a sweep, None where none is carried between strips."""
        state = state or [None] * len(self.sweeps)
        together = run_together([*self.sweeps], x, state) if isinstance(self.merge, Concat) else None
        if together is None:
            pairs = [sweep(x, initial) for sweep, initial in zip(self.sweeps, state, strict=True)]
            together = self.merge([output for output, _ in pairs]), [last for _, last in pairs]
        merged, final = together
        return merged, [last if carries else None for last, carries in zip(final, self.carries, strict=True)]
