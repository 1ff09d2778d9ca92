"""RowConvLSTM: an LSTM over maps, line by line, whose product with the state is a convolution along the line."""

from torch import Tensor

from ..ops import conv_lstm_scan
from ._base import check_init
from ._row_conv import RowConv
from .line_propagation import Direction


class RowConvLSTM(RowConv):
    """An LSTM whose states are lines of a map; gates are those of `LSTM`: input, forget, candidate, output.

    In the direction "down" a line is a row, and rows run from the first to the last; in "up" they run from the last, in
    "right" and "left" a line is a column. Each pixel sees the triangle of the lines before that opens from it; the four
    directions together see the whole map.

    Source: Shi et al. 2015, arXiv:1506.04214, equation 3, without peepholes; van den Oord et al. 2016,
    arXiv:1601.06759, section 3.1 (Row LSTM); see `sweepseg.ops.conv_lstm_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the states.
        direction: Where the lines run to.
        kernel_size: Places of a line that the state's convolution spans, odd.
        bias: Learn biases.
        dropout: Probability that an element of the output is dropped in training.
        forget_bias: Sum of the forget gate's two biases at the start; Jozefowicz et al. 2015 advise 1. Default:
            torch.nn's uniform values.

    >>> import torch
    >>> output, (h, c) = RowConvLSTM(3, 8, "down")(torch.ones(2, 3, 5, 6))
    >>> output.shape, c.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 6]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        direction: Direction,
        kernel_size: int = 3,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        forget_bias: float | None = None,
    ):
        check_init("default", None, bias, forget_bias)
        super().__init__(input_size, hidden_size, 4, direction, kernel_size, bias=bias, dropout=dropout)
        self.forget_bias = forget_bias
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        super().reset_parameters()
        if self.forget_bias is not None:
            self.set_gate_bias(1, self.forget_bias)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over a map.

        Args:
            x: (B, C, H, W), best channels-last in memory.
            state: (h, c) of the line before the map, what an earlier call returned, both (B, hidden_size, W) or, for
                "right" and "left", (B, hidden_size, H). Default: zeros.

        Returns:
            The states h (B, hidden_size, H, W) in the dtype of ``x`` and (h, c) of the last line that was run.
        """
        return self.run(conv_lstm_scan, x, state)
