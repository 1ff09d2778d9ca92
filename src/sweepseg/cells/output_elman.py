"""OutputElman: an Elman network with an output layer of its own at every step."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..ops import elman_scan
from ..ops._sequences import input_product
from ._base import Cell


class OutputElman(Cell):
    """h[t] = f(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), o[t] = g(W_io x[t] + W_ho h[t] + b_o); the output is o.

    ``weight_io`` is (H, C), ``weight_ho`` (H, H) and ``bias_o`` (H,); the carried state is h.

    Source: Elman 1990, "Finding Structure in Time", figure 2, with a connection from the input to the output.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state and of the output, H.
        nonlinearity: f, "tanh" or "relu".
        output_nonlinearity: g, a function on tensors that keeps their shape.
        bias: Learn biases.
        layer_norm: Normalise h's products, with learned gains ``gain_ih`` and ``gain_hh`` and their biases as offsets.
        dropout: Probability that an element of the output is dropped in training.
        recurrent_dropout: Probability that a channel of the state is hidden from h's product, for a whole sequence, in
            training.

    >>> cell = OutputElman(3, 8)
    >>> output, state = cell(torch.ones(2, 5, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        output_nonlinearity: Callable[[Tensor], Tensor] = torch.tanh,
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
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self.weight_io = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_ho = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_o = nn.Parameter(torch.empty(hidden_size)) if bias else None
        self.reset_parameters()

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: (*batch, H), what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The outputs (*batch, T, H) and the state (*batch, H) after the last step that was run.
        """
        hidden, state = elman_scan(
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
        product = input_product(x, self.weight_io) + input_product(hidden, self.weight_ho, self.bias_o)
        return self.drop(self.output_nonlinearity(product).to(x.dtype)), state
