"""RG-LRU: a linear recurrence whose decay and input are gated by the input."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import linear_scan
from ..ops._sequences import widen
from ._base import Cell

SHARPNESS = 8.0  # c of the paper


class RGLRU(Cell):
    """h[t] = a[t] * h[t-1] + sqrt(1 - a[t]^2) * (i[t] * x[t]), a[t] = sigmoid(decay_logit)^(8 r[t]).

    The gates are r = sigmoid(W_a x + b_a) and i = sigmoid(W_x x + b_x). With ``input_size == hidden_size`` this is the
    paper's unit: ``weight_ih`` (2 H, C) and ``bias_ih`` (2 H,) hold r, then i. The paper has no other sizes, because
    i[t] * x[t] is elementwise. With others, W_v x + b_v takes the place of that x, and of no other: ``weight_ih``
    (3 H, C) and ``bias_ih`` (3 H,) hold r, i, then this projection.

    Source: De et al. 2024, "Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language
    Models", arXiv:2402.19427, equations 1 to 4; ``decay_logit`` (H,) is its Lambda, with its initial values.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state, H.
        bias: Learn ``bias_ih``; ``decay_logit`` is always learnt.
        layer_norm: Normalise the products, each before its bias, with the learned gain ``gain_ih``.
        dropout: Probability that an element of the output is dropped in training.

    >>> RGLRU(8, 8)(torch.ones(2, 5, 8))[0].shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, layer_norm: bool = False, dropout: float = 0.0
    ):
        gates = 2 if input_size == hidden_size else 3
        super().__init__(
            input_size, hidden_size, gates, recurrent=False, bias=bias, layer_norm=layer_norm, dropout=dropout
        )
        self.decay_logit = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, ``decay_logit`` such that the decay at an open gate r is uniform in [0.9, 0.999]."""
        super().reset_parameters()
        with torch.no_grad():
            decay = torch.empty(self.hidden_size).uniform_(0.9, 0.999)
            self.decay_logit.copy_(torch.logit(decay ** (1 / SHARPNESS)))

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over (*batch, T, C) from a state (*batch, H); returns (*batch, T, H) and the new state."""
        r, i, *projected = self.input_products(x)
        value, decay_logit = widen(projected[0] if projected else x, self.decay_logit)
        log_decay = SHARPNESS * torch.sigmoid(r) * F.logsigmoid(decay_logit)  # (*batch, T, H)
        # 1 - a^2 without cancellation; where it rounds to 0, its square root would have an infinite gradient.
        rest = (-torch.expm1(2 * log_decay)).clamp_min(torch.finfo(log_decay.dtype).tiny)
        output, state = linear_scan(log_decay.exp(), rest.sqrt() * torch.sigmoid(i) * value, state, reverse=reverse)
        return self.drop(output.to(x.dtype)), state
