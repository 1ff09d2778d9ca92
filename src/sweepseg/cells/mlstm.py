"""MLSTM: an LSTM with a matrix memory, whose gates do not see the state."""

import torch
from torch import Tensor, nn

from ..ops import mlstm_scan
from ..ops._sequences import input_product, widen
from ._base import Cell, check_heads


class MLSTM(Cell):
    """C[t] = f C[t-1] + i k v^T, n[t] = f n[t-1] + i k, h[t] = o C^T q / max(|n^T q|, 1), in each of the heads.

    q = W_q x + b_q, k = (W_k x + b_k) / sqrt(H / heads), v = W_v x + b_v, o = sigmoid(W_o x + b_o), and one number a
    head i = exp(w_i x + b_i) and f = sigmoid(w_f x + b_f). ``weight_ih`` (4 H, C) and ``bias_ih`` (4 H,) hold q, k, v,
    o; ``weight_gates`` (2 heads, C) and ``bias_gates`` (2 heads,) hold i, then f.

    Source: Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", arXiv:2405.04517, equations 19 to 27; initial
    values of the gates as in the authors' code; see `sweepseg.ops.mlstm_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the output, H, a multiple of ``heads``.
        heads: Number of heads, each with a memory of (H / heads)^2.
        bias: Learn ``bias_ih``; ``bias_gates`` is always learnt.
        layer_norm: Normalise q, k, v and o, each before its bias, with the learned gain ``gain_ih``.
        dropout: Probability that an element of the output is dropped in training.

    >>> output, (C, n, m) = MLSTM(3, 8, heads=2)(torch.ones(2, 5, 3))
    >>> output.shape, C.shape, n.shape, m.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 2, 4, 4]), torch.Size([2, 2, 4]), torch.Size([2, 2]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 1,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
    ):
        check_heads(heads, hidden_size)
        super().__init__(input_size, hidden_size, 4, recurrent=False, bias=bias, layer_norm=layer_norm, dropout=dropout)
        self.heads = heads
        self.weight_gates = nn.Parameter(torch.empty(2 * heads, input_size))
        self.bias_gates = nn.Parameter(torch.empty(2 * heads))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new initial values: gates that ignore the input, i around 1, f from 0.95 to 0.998 over the heads."""
        super().reset_parameters()
        nn.init.zeros_(self.weight_gates)
        input_gate, forget_gate = self.bias_gates.chunk(2)
        nn.init.normal_(input_gate, std=0.1)
        forget_gate.copy_(torch.linspace(3, 6, self.heads))

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor, Tensor] | None = None, reverse: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: C, n and m, what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The outputs (*batch, T, H) and the state after the last step that was run: (*batch, heads, D, D),
            (*batch, heads, D) and (*batch, heads), where D is H / heads.
        """
        q, k, v, o = self.input_products(x)
        (gates,) = widen(input_product(x, self.weight_gates, self.bias_gates))
        input_gate, forget_gate = gates.chunk(2, dim=-1)
        k = k / (self.hidden_size // self.heads) ** 0.5
        h, state = mlstm_scan(q, k, v, input_gate, forget_gate, state, reverse=reverse)
        return self.drop((torch.sigmoid(o) * h).to(x.dtype)), state
