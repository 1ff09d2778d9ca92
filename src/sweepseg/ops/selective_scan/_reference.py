"""The selective state space model as a plain loop differentiated by autograd, in the letters of Mamba.

h[t, c, n] = exp(delta[t, c] A[c, n]) h[t-1, c, n] + delta[t, c] B[t, n] x[t, c]
y[t, c] = sum over n of C[t, n] h[t, c, n] + D[c] x[t, c]
"""

import torch
from torch import Tensor

from .._sequences import no_autocast, stack_steps, steps, widen


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The definition of `selective_scan`; same arguments, already checked."""
    with no_autocast(x.device):
        wide_x, delta, A, B, C, D, h = widen(x, delta, A, B, C, D, initial)
        if h is None:
            h = A.new_zeros(*x.shape[:-2], *A.shape)
        outputs = []
        for x_t, delta_t, B_t, C_t in zip(*(steps(each, reverse) for each in (wide_x, delta, B, C)), strict=True):
            decay = torch.exp(delta_t.unsqueeze(-1) * A)  # (*batch, C, N)
            h = torch.addcmul(decay * h, (delta_t * x_t).unsqueeze(-1), B_t.unsqueeze(-2))  # (*batch, C, N)
            y = (h @ C_t.unsqueeze(-1)).squeeze(-1)  # (*batch, C)
            outputs.append(y if D is None else torch.addcmul(y, D, x_t))
        return stack_steps(outputs, x, reverse), h
