"""The row-wise convolutional GRU as a plain loop differentiated by autograd, in the letters of torch.nn.GRU.

With U * h the convolution of the row h along the columns j, zero-padded:
r[t] = sigmoid(W_r x[t] + b_ir + U_r * h[t-1] + b_hr)
z[t] = sigmoid(W_z x[t] + b_iz + U_z * h[t-1] + b_hz)
n[t] = tanh(W_n x[t] + b_in + r[t] (U_n * h[t-1] + b_hn))      with reset_after
n[t] = tanh(W_n x[t] + b_in + U_n * (r[t] h[t-1]) + b_hn)      without
h[t] = (1 - z[t]) n[t] + z[t] h[t-1]
"""

import torch
from torch import Tensor

from .._sequences import input_product, no_autocast, stack_steps, steps, widen
from ._rows import channels_last, row_product


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: Tensor | None,
    reset_after: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """The definition of `conv_gru_scan`; same arguments, already checked."""
    size = weight_hh.shape[1]
    parts = (2 * size, size)
    columns = channels_last(x)  # (*batch, W, T, C)
    with no_autocast(x.device):
        wide_x, w_ih, w_hh, b_ih, b_hh, h = widen(columns, weight_ih, weight_hh, bias_ih, bias_hh, initial)
        w_rz, w_n = w_hh.split(parts)
        b_rz, b_n = (None, None) if b_hh is None else b_hh.split(parts)
        h = w_hh.new_zeros(*columns.shape[:-2], size) if h is None else h.mT
        outputs = []
        for projected in steps(input_product(wide_x, w_ih, b_ih), reverse):
            x_rz, x_n = projected.split(parts, dim=-1)
            if reset_after:
                h_rz, h_n = row_product(h, w_hh, b_hh).split(parts, dim=-1)
                r, z = torch.sigmoid(x_rz + h_rz).chunk(2, dim=-1)
                n = torch.tanh(torch.addcmul(x_n, r, h_n))
            else:
                r, z = torch.sigmoid(x_rz + row_product(h, w_rz, b_rz)).chunk(2, dim=-1)
                n = torch.tanh(x_n + row_product(r * h, w_n, b_n))
            h = torch.lerp(n, h, z)  # (*batch, W, H)
            outputs.append(h)
        return channels_last(stack_steps(outputs, columns, reverse)), h.mT
