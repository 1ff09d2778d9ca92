"""Layers of pixel-by-pixel generation: what they say of a pixel depends on no later one.

The order is by rows from the top, in a row from the left, in a pixel from the first channel to the last. So that
channels have an order too, the features of a map form as many groups, and group k sees only the groups up to k of its
own pixel.

Every layer runs strip by strip as well: ``layer(x, state) -> (output, state)``, with the state after the rows above.

Source: van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cells import RowConvLSTM
from ..ops import conv_lstm_scan

FORGET_BIAS = 1.0  # what the past said is kept at the start; Jozefowicz et al. 2015


def visible(outputs: int, inputs: int, groups: int, *, own: bool) -> Tensor:
    """Which inputs each output sees of its own pixel, (outputs, inputs), 0 or 1.

    Args:
        outputs: Channels of the output.
        inputs: Channels of the input.
        groups: Channels of the picture.
        own: Whether it sees its own group (mask B of the paper), which at the picture is the answer itself (mask A).

    >>> visible(3, 6, 3, own=False).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]
    """
    of_output, of_input = (torch.arange(channels) * groups // channels for channels in (outputs, inputs))
    return (of_input < of_output[:, None] + own).float()


class MaskedConv(nn.Module):
    """A convolution over the pixels before, and of the pixel itself what `visible` says.

    ``weight`` (out_channels, in_channels, taps) holds the kernel up to its centre, row by row; the rest would be 0.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        size: Height and width of the whole kernel, odd.
        groups: Channels of the picture.
        own: See `visible`.

    >>> output, above = MaskedConv(1, 8, 7, groups=1, own=False)(torch.zeros(2, 1, 5, 6))
    >>> output.shape, above.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 1, 3, 6]))
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, size: int, *, groups: int, own: bool = True):
        super().__init__()
        self.size, self.reach = size, size // 2
        taps = self.reach * (size + 1) + 1
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, taps))
        self.bias = nn.Parameter(torch.empty(out_channels))
        mask = torch.ones_like(self.weight)
        mask[..., -1] = visible(out_channels, in_channels, groups, own=own)
        self.register_buffer("mask", mask, persistent=False)
        for parameter in (self.weight, self.bias):  # as in torch.nn.Conv2d
            nn.init.uniform_(parameter, -1 / math.sqrt(in_channels * taps), 1 / math.sqrt(in_channels * taps))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over rows (B, C, H, W); the state is the ``size // 2`` rows above, zeros at the top of the picture."""
        reach = self.reach
        x = F.pad(x, (0, 0, reach, 0)) if state is None else torch.cat((state, x), dim=2)
        kernel = F.pad(self.weight * self.mask, (0, reach)).unflatten(2, (reach + 1, self.size))
        return F.conv2d(x, kernel, self.bias, padding=(0, reach)), x[:, :, x.shape[2] - reach :]


class RowLSTM(nn.Module):
    """The Row LSTM: each pixel sees the triangle of pixels that opens upwards from it, and its left neighbour.

    Source: section 3.1; the masked 1 x 3 convolution of the input is a product with the pixel and its left neighbour.

    Args:
        channels: Channels of the input, C.
        hidden_size: Channels of the output.
        groups: Channels of the picture.

    >>> RowLSTM(4, 8, groups=1)(torch.zeros(2, 4, 5, 6))[0].shape
    torch.Size([2, 8, 5, 6])
    """

    mask: Tensor

    def __init__(self, channels: int, hidden_size: int, *, groups: int):
        super().__init__()
        self.cell = RowConvLSTM(2 * channels, hidden_size, "down", forget_bias=FORGET_BIAS)
        own = visible(hidden_size, channels, groups, own=True)
        self.register_buffer("mask", torch.cat((own, torch.ones_like(own)), dim=1).repeat(4, 1), persistent=False)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over rows (B, C, H, W); the state is h and c of the row above, both (B, hidden_size, W)."""
        cell = self.cell
        x = torch.cat((x, F.pad(x, (1, -1))), dim=1)  # beside each pixel its left neighbour
        return conv_lstm_scan(x, cell.weight_ih * self.mask, cell.weight_hh, cell.bias_ih, cell.bias_hh, state)


class DiagonalLSTM(nn.Module):
    """An LSTM that runs along the diagonals from the upper left: h of a pixel follows from h of its left and upper one.

    The states c run along the rows. A map whose row r is shifted to the right by r pixels has its diagonals in columns,
    which `conv_lstm_scan` then runs over. In the corners that the shift leaves empty there is no bias either, so the
    states there stay zero.

    Source: section 3.2.

    Args:
        channels: Channels of the input, C.
        hidden_size: Channels of the output.
        groups: Channels of the picture.

    >>> output, above = DiagonalLSTM(4, 8, groups=1)(torch.zeros(2, 4, 5, 6))
    >>> output.shape, above.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 6]))
    """

    mask: Tensor

    def __init__(self, channels: int, hidden_size: int, *, groups: int):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, channels))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size, 2))  # from above, from the left
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.register_buffer("mask", visible(hidden_size, channels, groups, own=True).repeat(4, 1), persistent=False)
        for parameter, inputs in ((self.weight_ih, hidden_size), (self.weight_hh, 2 * hidden_size)):
            nn.init.uniform_(parameter, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
        nn.init.zeros_(self.bias)
        nn.init.constant_(self.bias[hidden_size : 2 * hidden_size], FORGET_BIAS)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over rows (B, C, H, W); the state is h of the row above, (B, hidden_size, W)."""
        inputs, weights = [x, torch.ones_like(x[:, :1])], [self.weight_ih * self.mask, self.bias[:, None]]
        if state is not None:
            inputs.append(F.pad(state[:, :, None], (0, 0, 0, x.shape[2] - 1)))  # beside the first row
            weights.append(self.weight_hh[..., 0])
        diagonals = skew(torch.cat(inputs, dim=1))
        weight_hh = F.pad(self.weight_hh, (0, 1))  # nothing comes from below
        output = unskew(conv_lstm_scan(diagonals.mT, torch.cat(weights, dim=1), weight_hh)[0].mT)
        return output, output[:, :, -1]


class DiagonalBiLSTM(nn.Module):
    """Two `DiagonalLSTM`, from the upper left and from the upper right: each pixel sees all that come before it.

    What comes from the right is moved down by a row, since in its own row it has seen later pixels.

    Source: section 3.2.

    Args:
        channels: Channels of the input, C.
        hidden_size: Channels of the output.
        groups: Channels of the picture.

    >>> DiagonalBiLSTM(4, 8, groups=1)(torch.zeros(2, 4, 5, 6))[0].shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, channels: int, hidden_size: int, *, groups: int):
        super().__init__()
        self.left = DiagonalLSTM(channels, hidden_size, groups=groups)
        self.right = DiagonalLSTM(channels, hidden_size, groups=groups)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over rows (B, C, H, W); the state is that of both."""
        from_left, from_right = state if state is not None else (None, None)
        left, left_state = self.left(x, from_left)
        right, right_state = self.right(x.flip(3), from_right)
        top = torch.zeros_like(right_state) if from_right is None else from_right
        right = torch.cat((top[:, :, None], right[:, :, :-1]), dim=2).flip(3)
        return left + right, (left_state, right_state)


class CausalResidual(nn.Module):
    """A layer, a ReLU where it has none of its own, and a 1 x 1 convolution whose output is added to the input.

    Args:
        layer: Maps (B, channels, H, W) and its state to (B, hidden_size, H, W) and its state.
        hidden_size: Channels of its output.
        channels: Channels of the input.
        groups: Channels of the picture.
        relu: Whether a ReLU follows the layer.
    """

    def __init__(self, layer: nn.Module, hidden_size: int, channels: int, *, groups: int, relu: bool):
        super().__init__()
        self.layer, self.relu = layer, nn.ReLU() if relu else nn.Identity()
        self.widen = MaskedConv(hidden_size, channels, 1, groups=groups)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over rows (B, channels, H, W); the state is that of the layer."""
        y, state = self.layer(x, state)
        return x + self.widen(self.relu(y))[0], state


def skew(x: Tensor) -> Tensor:
    """Shift row r to the right by r pixels: (B, C, H, W) -> (B, C, H, W + H - 1), zeros in the corners.

    >>> skew(torch.tensor([[[[1, 2], [3, 4], [5, 6]]]]))[0, 0].tolist()
    [[1, 2, 0, 0], [0, 3, 4, 0], [0, 0, 5, 6]]
    """
    height, width = x.shape[2:]
    rows = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, height)).flatten(1, 2)  # each row and then ``height`` zeros
    return rows[:, :-height].unflatten(1, (height, width + height - 1)).permute(0, 3, 1, 2)


def unskew(x: Tensor) -> Tensor:
    """What `skew` makes (B, C, H, W + H - 1) of: (B, C, H, W)."""
    height, diagonals = x.shape[2:]
    rows = F.pad(x.permute(0, 2, 3, 1).flatten(1, 2), (0, 0, 0, height)).unflatten(1, (height, diagonals + 1))
    return rows[:, :, : diagonals + 1 - height].permute(0, 3, 1, 2)
