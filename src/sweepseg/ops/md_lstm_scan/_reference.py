"""The two-dimensional LSTM over the anti-diagonals of a map, differentiated by autograd.

With a = h[row-1, column], l = h[row, column-1] and the same for c, all 0 outside of the map:
i = sigmoid(W_i x + U_i a + V_i l + b_i)
f = sigmoid(W_f x + U_f a + V_f l + b_f)
e = sigmoid(W_e x + U_e a + V_e l + b_e)
g = tanh(W_g x + U_g a + V_g l + b_g)
o = sigmoid(W_o x + U_o a + V_o l + b_o)
c = f * c[row-1, column] + e * c[row, column-1] + i * g
h = o * tanh(c)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .._memory import laid_out_like
from .._sequences import no_autocast, widen


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_above: Tensor,
    weight_left: Tensor,
    bias: Tensor | None,
    initial: tuple[Tensor, Tensor] | None,
    reverse: bool,
    leftwards: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The definition of `md_lstm_scan`; same arguments, already checked.

    All pixels of an anti-diagonal are one step. Both states lie side by side in one tensor (*batch, pixels, 2 H), the
    pixels from the first row of the diagonal to its last.
    """
    height, width = x.shape[-2:]
    size = weight_above.shape[-1]
    with no_autocast(x.device):
        wide_x, w_ih, w_above, w_left, b, h, c = widen(
            x, weight_ih, weight_above, weight_left, bias, *(initial or (None, None))
        )
        zero = w_above.new_zeros(*x.shape[:-3], 1, 2 * size)
        row_above = zero.expand(*zero.shape[:-2], width, -1) if h is None else torch.cat((h, c), dim=-2).mT
        edge = row_above.flip(-2) if leftwards else row_above  # (*batch, W, 2 H)
        w_hh = torch.cat((w_above, w_left), dim=-1)  # (5 H, 2 H)
        path = _diagonals(height, width, reverse, leftwards, x.device)
        lengths = [min(d, height - 1, width - 1, height + width - 2 - d) + 1 for d in range(height + width - 1)]
        projected = F.linear(wide_x.flatten(-2).mT.index_select(-2, path), w_ih, b).split(lengths, dim=-2)
        state, outputs, last_row = zero[..., :0, :], [], []
        for d, from_x in enumerate(projected):
            above = state if d < height else state[..., :-1, :]  # nothing lies below the last row
            left = state if d < width else state[..., 1:, :]  # nor beside the last column, where the first row ends
            if d < width:
                above = torch.cat((edge[..., d : d + 1, :], above), dim=-2)
            if d < height:
                left = torch.cat((left, zero), dim=-2)
            (h_above, c_above), (h_left, c_left) = above.chunk(2, dim=-1), left.chunk(2, dim=-1)
            net = from_x + F.linear(torch.cat((h_above, h_left), dim=-1), w_hh)
            ife, g, o = net.split((3 * size, size, size), dim=-1)
            i, f, e = torch.sigmoid(ife).chunk(3, dim=-1)
            c = f * c_above + e * c_left + i * torch.tanh(g)  # (*batch, pixels, H)
            h = torch.sigmoid(o) * torch.tanh(c)  # (*batch, pixels, H)
            state = torch.cat((h, c), dim=-1)
            outputs.append(h)
            if d >= height - 1:
                last_row.append(state[..., -1, :])
        output = torch.cat(outputs, dim=-2).index_select(-2, path.argsort()).mT.unflatten(-1, (height, width))
        final = torch.stack(last_row, dim=-1)  # (*batch, 2 H, W)
        h, c = (final.flip(-1) if leftwards else final).chunk(2, dim=-2)
        return laid_out_like(output, x), (h, c)


def _diagonals(height: int, width: int, reverse: bool, leftwards: bool, device: torch.device) -> Tensor:
    """The pixel numbers (H * W,) from anti-diagonal to anti-diagonal, each from its first row to its last."""
    row, column = torch.arange(height, device=device), torch.arange(width, device=device)
    row, column = row.flip(0) if reverse else row, column.flip(0) if leftwards else column
    return ((row[:, None] + column) * height + row[:, None]).flatten().argsort()
