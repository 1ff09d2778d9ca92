"""The gated recurrent unit as a plain loop differentiated by autograd, in the letters of torch.nn.GRU.

r[t] = sigmoid(W_ir x[t] + b_ir + W_hr h[t-1] + b_hr)
z[t] = sigmoid(W_iz x[t] + b_iz + W_hz h[t-1] + b_hz)
n[t] = tanh(W_in x[t] + b_in + r[t] * (W_hn h[t-1] + b_hn))      with reset_after
n[t] = tanh(W_in x[t] + b_in + W_hn (r[t] * h[t-1]) + b_hn)      without
h[t] = (1 - z[t]) * n[t] + z[t] * h[t-1]
"""

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
    reset_after: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """The definition of `gru_scan`; same arguments, already checked."""
    size = weight_hh.shape[-1]
    norms = (2 * size, size)  # Ba et al. normalise the two gates and the candidate separately
    with no_autocast(x.device):
        wide_x, w_ih, w_hh, b_ih, b_hh, h, g_ih, g_hh, mask = widen(
            x, weight_ih, weight_hh, bias_ih, bias_hh, initial, gain_ih, gain_hh, hidden_mask
        )
        w_rz, w_n = w_hh.split(norms)
        b_rz, b_n = (None, None) if b_hh is None else b_hh.split(norms)
        g_rz, g_n = (None, None) if g_hh is None else g_hh.split(norms)
        if h is None:
            h = w_hh.new_zeros(*x.shape[:-2], size)
        outputs = []
        for projected in steps(input_product(wide_x, w_ih, b_ih, g_ih, norms), reverse):
            x_rz, x_n = projected.split(norms, dim=-1)
            seen = h if mask is None else h * mask
            if reset_after:
                h_rz, h_n = product(seen, w_hh, b_hh, g_hh, norms).split(norms, dim=-1)
                r, z = torch.sigmoid(x_rz + h_rz).chunk(2, dim=-1)
                n = torch.tanh(torch.addcmul(x_n, r, h_n))
            else:
                r, z = torch.sigmoid(x_rz + product(seen, w_rz, b_rz, g_rz, norms[:1])).chunk(2, dim=-1)
                n = torch.tanh(x_n + product(r * seen, w_n, b_n, g_n, norms[1:]))
            h = torch.lerp(n, h, z)  # (*batch, H)
            outputs.append(h)
        return stack_steps(outputs, x, reverse), h
