"""h[t] = f(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), as a plain loop differentiated by autograd."""

import torch
from torch import Tensor

from .._sequences import input_product, no_autocast, product, stack_steps, steps, widen


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: Tensor | None,
    gain_ih: Tensor | None,
    gain_hh: Tensor | None,
    hidden_mask: Tensor | None,
    nonlinearity: str,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """The definition of `elman_scan`; same arguments, already checked."""
    f = torch.tanh if nonlinearity == "tanh" else torch.relu
    norms = (weight_hh.shape[-1],)
    with no_autocast(x.device):
        wide_x, w_ih, w_hh, b_ih, b_hh, h, g_ih, g_hh, mask = widen(
            x, weight_ih, weight_hh, bias_ih, bias_hh, initial, gain_ih, gain_hh, hidden_mask
        )
        if h is None:
            h = w_hh.new_zeros(*x.shape[:-2], *norms)
        outputs = []
        for projected in steps(input_product(wide_x, w_ih, b_ih, g_ih, norms), reverse):
            seen = h if mask is None else h * mask
            h = f(projected + product(seen, w_hh, b_hh, g_hh, norms))  # (*batch, H)
            outputs.append(h)
        return stack_steps(outputs, x, reverse), h
