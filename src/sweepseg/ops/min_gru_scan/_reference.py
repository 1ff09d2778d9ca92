"""h[t] = (1 - z[t]) * h[t-1] + z[t] * candidate[t], as a plain loop differentiated by autograd."""

import torch
from torch import Tensor

from .._sequences import widen
from ..linear_scan import _reference


def scan(gates: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """The definition of `min_gru_scan`; same arguments, already checked."""
    wide, h = widen(gates, initial)
    z, candidate = wide.chunk(2, dim=-1)
    decay, update = torch.sigmoid(-z), torch.sigmoid(z) * candidate  # 1 - sigmoid(z) without cancellation: sigmoid(-z)
    output, final = _reference.scan(decay, update, h, reverse)
    return output.to(gates.dtype), final
