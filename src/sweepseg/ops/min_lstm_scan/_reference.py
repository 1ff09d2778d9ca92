"""h[t] = f'[t] * h[t-1] + i'[t] * candidate[t], as a plain loop differentiated by autograd."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .._sequences import widen
from ..linear_scan import _reference


def scan(gates: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """The definition of `min_lstm_scan`; same arguments, already checked."""
    wide, h = widen(gates, initial)
    i, f, candidate = wide.chunk(3, dim=-1)
    # f' and i' as a softmax of the logarithms of the gates, -softplus(-f) and -softplus(-i): no 0 / 0 if both close
    ratio = F.softplus(-i, threshold=40) - F.softplus(-f, threshold=40)
    decay, update = torch.sigmoid(ratio), torch.sigmoid(-ratio) * candidate
    output, final = _reference.scan(decay, update, h, reverse)
    return output.to(gates.dtype), final
