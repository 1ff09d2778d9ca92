"""RowConvGRU: a GRU over maps, line by line, whose product with the state is a convolution along the line."""

from functools import partial

from torch import Tensor

from ..ops import conv_gru_scan
from ._row_conv import RowConv
from .line_propagation import Direction


class RowConvGRU(RowConv):
    """A gated recurrent unit whose state is a line of a map; gates are those of `GRU`: reset, update, candidate.

    In the direction "down" a line is a row, and rows run from the first to the last; in "up" they run from the last, in
    "right" and "left" a line is a column. Each pixel sees the triangle of the lines before that opens from it; the four
    directions together see the whole map.

    Source: Ballas et al. 2016, arXiv:1511.06432; van den Oord et al. 2016, arXiv:1601.06759, section 3.1; see
    `sweepseg.ops.conv_gru_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state.
        direction: Where the lines run to.
        kernel_size: Places of a line that the state's convolution spans, odd.
        reset_after: Apply the reset gate after the candidate's product with the state (torch.nn) or before (Ballas).
        bias: Learn biases.
        dropout: Probability that an element of the output is dropped in training.

    >>> import torch
    >>> output, state = RowConvGRU(3, 8, "right")(torch.ones(2, 3, 5, 6))
    >>> output.shape, state.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        direction: Direction,
        kernel_size: int = 3,
        *,
        reset_after: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__(input_size, hidden_size, 3, direction, kernel_size, bias=bias, dropout=dropout)
        self.reset_after = reset_after
        self.reset_parameters()

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over a map.

        Args:
            x: (B, C, H, W), best channels-last in memory.
            state: The line before the map, what an earlier call returned: (B, hidden_size, W) or, for "right" and
                "left", (B, hidden_size, H). Default: zeros.

        Returns:
            The states (B, hidden_size, H, W) in the dtype of ``x`` and the last line that was run.
        """
        return self.run(partial(conv_gru_scan, reset_after=self.reset_after), x, state)
