"""PixelRNN: pictures pixel by pixel, each from those before it, by Row LSTM or Diagonal BiLSTM; and the controls.

Source: van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..layers.causal import CausalResidual, DiagonalBiLSTM, MaskedConv, RowLSTM
from ..layers.stages import check_image


class PixelPredictor(nn.Module):
    """How likely each value of a pixel is after the pixels before it: a masked convolution, residual layers, a head.

    Args:
        num_classes: Values that a channel of a pixel can have, 2 to 256.
        in_channels: Channels of the picture.
        width: Channels of the maps.
        hidden_size: Channels in the layers.
        depth: Number of layers.
        layer: Makes a layer from (width, hidden_size, groups=in_channels).
        relu: Whether a ReLU follows each layer.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        width: int,
        hidden_size: int,
        depth: int,
        layer: Callable[..., nn.Module],
        relu: bool = False,
    ):
        super().__init__()
        if not 2 <= num_classes <= 256:
            raise ValueError(f"num_classes is {num_classes}; give 2 to 256, the values of a channel")
        groups = in_channels
        self.num_classes, self.in_channels = num_classes, in_channels
        self.first = MaskedConv(in_channels, width, 7, groups=groups, own=False)
        self.blocks = nn.ModuleList(
            CausalResidual(layer(width, hidden_size, groups=groups), hidden_size, width, groups=groups, relu=relu)
            for _ in range(depth)
        )
        self.hidden = MaskedConv(width, width, 1, groups=groups)
        self.last = MaskedConv(width, in_channels * num_classes, 1, groups=groups)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, num_classes, in_channels, H, W) of normalised pictures (B, in_channels, H, W)."""
        return self.run(image)[0]

    def run(self, rows: Tensor, state: list[Any] | None = None) -> tuple[Tensor, list[Any]]:
        """Run over the next rows of pictures.

        Args:
            rows: (B, in_channels, H, W).
            state: What the call for the rows above returned; None at the top.

        Returns:
            Logits (B, num_classes, in_channels, H, W) and the state after the rows.
        """
        check_image(rows, self.in_channels)
        layers = [self.first, *self.blocks]
        x, states = rows, []
        for layer, before in zip(layers, state or [None] * len(layers), strict=True):
            x, after = layer(x, before)
            states.append(after)
        x = self.last(torch.relu(self.hidden(torch.relu(x))[0]))[0]
        return x.unflatten(1, (self.in_channels, self.num_classes)).transpose(1, 2), states


def pixel_rnn_row(num_classes: int, in_channels: int = 3) -> PixelPredictor:
    """Four Row LSTMs of 32 channels.

    >>> pixel_rnn_row(2, 1)(torch.zeros(1, 1, 28, 28)).shape
    torch.Size([1, 2, 1, 28, 28])
    """
    return PixelPredictor(num_classes, in_channels, width=64, hidden_size=32, depth=4, layer=RowLSTM)


def pixel_rnn_row_control(num_classes: int, in_channels: int = 3) -> PixelPredictor:
    """`pixel_rnn_row` with each LSTM replaced by a masked 5 x 5 convolution of as many parameters."""
    return _convolutions(num_classes, in_channels, width=64, hidden_size=35, depth=4)


def pixel_rnn_diagonal(num_classes: int, in_channels: int = 3) -> PixelPredictor:
    """Two Diagonal BiLSTMs of 32 channels.

    >>> pixel_rnn_diagonal(2, 1)(torch.zeros(1, 1, 28, 28)).shape
    torch.Size([1, 2, 1, 28, 28])
    """
    return PixelPredictor(num_classes, in_channels, width=64, hidden_size=32, depth=2, layer=DiagonalBiLSTM)


def pixel_rnn_diagonal_control(num_classes: int, in_channels: int = 3) -> PixelPredictor:
    """`pixel_rnn_diagonal` with each layer replaced by a masked 5 x 5 convolution of as many parameters."""
    return _convolutions(num_classes, in_channels, width=64, hidden_size=40, depth=2)


def _convolutions(num_classes: int, in_channels: int, *, width: int, hidden_size: int, depth: int) -> PixelPredictor:
    def layer(width: int, hidden_size: int, *, groups: int) -> MaskedConv:
        return MaskedConv(width, hidden_size, 5, groups=groups)

    return PixelPredictor(
        num_classes, in_channels, width=width, hidden_size=hidden_size, depth=depth, layer=layer, relu=True
    )
