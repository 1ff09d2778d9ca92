"""MDLSTM: the two-dimensional LSTM, whose pixels see the pixel above and the one on their left."""

import math

import torch
from torch import Tensor, nn

from ..ops import md_lstm_scan


class MDLSTM(nn.Module):
    """A two-dimensional LSTM over a map; gates are input, forget for above, forget for left, candidate, output.

    From each pixel one cell sees the rectangle between it and the corner where the run starts; four cells, one for each
    corner, see the whole map.

    Source: Graves et al. 2007, "Multi-Dimensional Recurrent Neural Networks", arXiv:0705.2011, section 3, without
    peepholes; see `sweepseg.ops.md_lstm_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state.
        reverse: Run from the last row to the first.
        leftwards: Run from the last column to the first.

    >>> output, (h, c) = MDLSTM(3, 8)(torch.ones(2, 3, 5, 6))
    >>> output.shape, c.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 6]))
    """

    def __init__(self, input_size: int, hidden_size: int, *, reverse: bool = False, leftwards: bool = False):
        super().__init__()
        self.reverse, self.leftwards = reverse, leftwards
        self.weight_ih = nn.Parameter(torch.empty(5 * hidden_size, input_size))
        self.weight_above = nn.Parameter(torch.empty(5 * hidden_size, hidden_size))
        self.weight_left = nn.Parameter(torch.empty(5 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(5 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw torch.nn's initial values for an LSTM, uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.weight_above.shape[-1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over a map.

        Args:
            x: (B, C, H, W), best channels-last in memory.
            state: h and c of the row before the map, what an earlier call returned. Default: zeros.

        Returns:
            The output (B, hidden_size, H, W) in the dtype of ``x`` and (h, c), both (B, hidden_size, W), of the last
            row that was run.
        """
        return md_lstm_scan(
            x,
            self.weight_ih,
            self.weight_above,
            self.weight_left,
            self.bias,
            state,
            reverse=self.reverse,
            leftwards=self.leftwards,
        )

    def extra_repr(self) -> str:
        """Sizes and corner, for ``print(cell)``."""
        sizes = f"{self.weight_ih.shape[-1]}, {self.weight_above.shape[-1]}"
        return f"{sizes}, reverse={self.reverse}, leftwards={self.leftwards}"
