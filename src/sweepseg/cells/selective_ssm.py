"""SelectiveSSM: the state space model of Mamba, whose step sizes and input and output maps depend on the input."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import selective_scan
from ..ops._sequences import input_product, widen
from ._base import Cell


class SelectiveSSM(Cell):
    """h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] u[t], output y[t] = C[t] h[t] + D u[t], with N states a channel.

    u = W_u x + b_u, delta = softplus(W_delta x + b_delta), B = W_B x, C = W_C x, A = -exp(log_rate). ``weight_ih``
    (2 H, C) and ``bias_ih`` (2 H,) hold u, then delta, ``weight_bc`` (2 N, C) B, then C; ``log_rate`` is (H, N) and
    ``skip``, the paper's D, (H,). The product for delta has full rank.

    Source: Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv:2312.00752,
    algorithm 2 and sections 3.5 and 3.6, whose initial values these are; see `sweepseg.ops.selective_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the output, H.
        states: States of a channel, N.
        bias: Learn ``bias_ih``; without it delta starts around 0.7.
        layer_norm: Normalise u and delta, each before its bias, with the learned gain ``gain_ih``.
        dropout: Probability that an element of the output is dropped in training.

    >>> output, state = SelectiveSSM(3, 8)(torch.ones(2, 5, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        states: int = 16,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
    ):
        if states < 1:
            raise ValueError(f"states is {states}; give at least 1")
        super().__init__(input_size, hidden_size, 2, recurrent=False, bias=bias, layer_norm=layer_norm, dropout=dropout)
        self.weight_bc = nn.Parameter(torch.empty(2 * states, input_size))
        self.log_rate = nn.Parameter(torch.empty(hidden_size, states))
        self.skip = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new initial values: A = -1, ..., -N, D = 1, and the bias of delta such that it lies in [0.001, 0.1]."""
        super().reset_parameters()
        self.log_rate.copy_(torch.arange(1, self.log_rate.shape[1] + 1).log().expand_as(self.log_rate))
        nn.init.ones_(self.skip)
        if self.bias_ih is not None:
            delta = torch.empty(self.hidden_size).uniform_(math.log(1e-3), math.log(1e-1)).exp()
            self.set_gate_bias(1, delta.expm1().log())  # the inverse of softplus

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over (*batch, T, C) from a state (*batch, H, N); returns (*batch, T, H) and the new state."""
        u, delta = self.input_products(x)
        bc, log_rate, skip = widen(input_product(x, self.weight_bc), self.log_rate, self.skip)
        B, C = bc.chunk(2, dim=-1)
        output, state = selective_scan(u, F.softplus(delta), -log_rate.exp(), B, C, skip, state, reverse=reverse)
        return self.drop(output.to(x.dtype)), state
