"""The long short-term memory as a plain loop differentiated by autograd, in the letters of torch.nn.LSTM.

i[t] = sigmoid(W_ii x[t] + b_ii + W_hi h[t-1] + b_hi)
f[t] = sigmoid(W_if x[t] + b_if + W_hf h[t-1] + b_hf)
g[t] = tanh(W_ig x[t] + b_ig + W_hg h[t-1] + b_hg)
o[t] = sigmoid(W_io x[t] + b_io + W_ho h[t-1] + b_ho)
c[t] = f[t] * c[t-1] + i[t] * g[t]
h[t] = o[t] * tanh(c[t])

With the nonlinearity "relu" it stands where tanh stands.
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
    initial: tuple[Tensor, Tensor] | None,
    gain_ih: Tensor | None,
    gain_hh: Tensor | None,
    hidden_mask: Tensor | None,
    nonlinearity: str,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The definition of `lstm_scan`; same arguments, already checked."""
    size, squash = weight_hh.shape[-1], torch.tanh if nonlinearity == "tanh" else torch.relu
    norms = (4 * size,)  # Ba et al. normalise the four products together
    with no_autocast(x.device):
        wide_x, w_ih, w_hh, b_ih, b_hh, h, c, g_ih, g_hh, mask = widen(
            x, weight_ih, weight_hh, bias_ih, bias_hh, *(initial or (None, None)), gain_ih, gain_hh, hidden_mask
        )
        if h is None:
            h = c = w_hh.new_zeros(*x.shape[:-2], size)
        outputs = []
        for projected in steps(input_product(wide_x, w_ih, b_ih, g_ih, norms), reverse):
            seen = h if mask is None else h * mask
            if_, g, o = (projected + product(seen, w_hh, b_hh, g_hh, norms)).split((2 * size, size, size), dim=-1)
            i, f = torch.sigmoid(if_).chunk(2, dim=-1)
            c = torch.addcmul(f * c, i, squash(g))  # (*batch, H)
            h = torch.sigmoid(o) * squash(c)  # (*batch, H)
            outputs.append(h)
        return stack_steps(outputs, x, reverse), (h, c)
