"""What the row-wise convolutional cells share: parameters, and maps turned so that rows run in any direction."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ._base import Cell
from .line_propagation import DIRECTIONS, Direction


class RowConv(Cell):
    """Base of `RowConvGRU` and `RowConvLSTM`, which run one operation in ``forward``.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state.
        gates: Products of hidden_size rows each in the weights.
        direction: Where the lines run to.
        kernel_size: Places of a line that a state's convolution spans, odd.
        bias: Learn ``bias_ih`` and ``bias_hh``.
        dropout: Probability that an element of the output is dropped in training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        gates: int,
        direction: Direction,
        kernel_size: int,
        *,
        bias: bool,
        dropout: float,
    ):
        if direction not in DIRECTIONS:
            raise ValueError(f"direction is {direction!r}; give one of {', '.join(DIRECTIONS)}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; give an odd number, so that a line keeps its length")
        super().__init__(input_size, hidden_size, gates, bias=bias, dropout=dropout)
        self.direction, self.kernel_size = direction, kernel_size
        self.weight_hh = nn.Parameter(torch.empty(gates * hidden_size, hidden_size, kernel_size))

    def reset_parameters(self) -> None:
        """Draw torch.nn's initial values: of a GRU or LSTM, and for ``weight_hh`` those of a Conv1d."""
        super().reset_parameters()
        bound = 1 / math.sqrt(self.hidden_size * self.kernel_size)
        nn.init.uniform_(self.weight_hh, -bound, bound)

    def run(self, scan: Any, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """An operation over the lines of ``x`` (B, C, H, W) in the direction of the cell, and dropout."""
        lines = x.mT if self.direction in ("right", "left") else x  # (B, C, T, places)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        output, state = scan(lines, *weights, state, reverse=self.direction in ("up", "left"))
        return self.drop(output.mT if lines is not x else output), state

    def extra_repr(self) -> str:
        """Sizes, direction and dropout, for ``print(cell)``."""
        return f"{super().extra_repr()}, direction={self.direction}, kernel_size={self.kernel_size}"
