"""Elman: the simple recurrent network."""

from torch import Tensor

from ..ops import elman_scan
from ..ops._recurrent import Recurrence
from ..ops.elman_scan import BACKENDS, _cpu
from ._base import Cell


class Elman(Cell):
    """h[t] = f(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), with the parameters of torch.nn.RNN.

    Source: Elman 1990, "Finding Structure in Time"; see `sweepseg.ops.elman_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state, H.
        nonlinearity: f, "tanh" or "relu".
        bias: Learn biases.
        layer_norm: Normalise the products, with learned gains ``gain_ih`` and ``gain_hh`` and the biases as offsets.
        dropout: Probability that an element of the output is dropped in training.
        recurrent_dropout: Probability that a channel of the state is hidden from the product, for a whole sequence, in
            training.

    >>> import torch
    >>> cell = Elman(3, 8)
    >>> output, state = cell(torch.ones(2, 5, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    """

    backends = BACKENDS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ):
        super().__init__(
            input_size,
            hidden_size,
            1,
            bias=bias,
            layer_norm=layer_norm,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.nonlinearity = nonlinearity
        self.reset_parameters()

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: (*batch, H), what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The states (*batch, T, H) and the state (*batch, H) after the last step that was run.
        """
        output, state = elman_scan(
            x,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            state,
            nonlinearity=self.nonlinearity,
            gain_ih=self.gain_ih,
            gain_hh=self.gain_hh,
            hidden_mask=self.hidden_mask(x),
            reverse=reverse,
        )
        return self.drop(output), state

    @property
    def scan(self) -> Recurrence:
        """The compiled recurrence that `forward` runs, for several cells in one call."""
        return _cpu.SCANS[self.nonlinearity]
