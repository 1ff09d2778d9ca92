"""The row-wise convolutional LSTM as a plain loop differentiated by autograd, in the letters of torch.nn.LSTM.

With U * h the convolution of the row h along the columns j, zero-padded:
i[t] = sigmoid(W_i x[t] + b_ii + U_i * h[t-1] + b_hi)
f[t] = sigmoid(W_f x[t] + b_if + U_f * h[t-1] + b_hf)
g[t] = tanh(W_g x[t] + b_ig + U_g * h[t-1] + b_hg)
o[t] = sigmoid(W_o x[t] + b_io + U_o * h[t-1] + b_ho)
c[t] = f[t] c[t-1] + i[t] g[t]
h[t] = o[t] tanh(c[t])
"""

import torch
from torch import Tensor

from .._sequences import input_product, no_autocast, stack_steps, steps, widen
from ..conv_gru_scan._rows import channels_last, row_product


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: tuple[Tensor, Tensor] | None,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The definition of `conv_lstm_scan`; same arguments, already checked."""
    size = weight_hh.shape[1]
    columns = channels_last(x)  # (*batch, W, T, C)
    with no_autocast(x.device):
        wide_x, w_ih, w_hh, b_ih, b_hh, h, c = widen(
            columns, weight_ih, weight_hh, bias_ih, bias_hh, *(initial or (None, None))
        )
        if h is None:
            h = c = w_hh.new_zeros(*columns.shape[:-2], size)
        else:
            h, c = h.mT, c.mT
        outputs = []
        for projected in steps(input_product(wide_x, w_ih, b_ih), reverse):
            if_, g, o = (projected + row_product(h, w_hh, b_hh)).split((2 * size, size, size), dim=-1)
            i, f = torch.sigmoid(if_).chunk(2, dim=-1)
            c = torch.addcmul(f * c, i, torch.tanh(g))  # (*batch, W, H)
            h = torch.sigmoid(o) * torch.tanh(c)  # (*batch, W, H)
            outputs.append(h)
        return channels_last(stack_steps(outputs, columns, reverse)), (h.mT, c.mT)
