"""CRNN: convolutions down to one row, two bidirectional LSTMs along it, and the characters at each of its places.

Source: Shi, Bai and Yao 2015, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition",
arXiv:1507.05717, table 1. Here a quarter of the paper's channels and units, so that it trains on a CPU, and batch norm
after every convolution.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..cells import LSTM
from ..layers.blocks import ConvNorm, count_parameters
from ..layers.merge import Concat
from ..layers.stages import check_image
from ..layers.sweep import Sweep, Sweeps
from ..orders import backward, rows

HEIGHT = 32  # to which every line is brought, its proportions kept
STRIDE = 4  # columns of a line of that height for each place


class CRNN(nn.Module):
    """Reads lines of text.

    Args:
        num_classes: Characters and the blank, at least 2.
        in_channels: Channels of the image.
        width: Channels of the first convolution and, times 4, units of an LSTM; the paper's is 64.
        control: Replace the LSTMs by depthwise convolutions over 7 places of as many parameters.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, width: int, control: bool):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes is {num_classes}; give at least 2, a character and the blank")
        self.in_channels = in_channels
        c1, c2, c4, c8 = width, 2 * width, 4 * width, 8 * width
        self.convolutions = nn.Sequential(
            ConvNorm(in_channels, c1),
            nn.MaxPool2d(2),  # 16 rows
            ConvNorm(c1, c2),
            nn.MaxPool2d(2),  # 8 rows
            ConvNorm(c2, c4),
            ConvNorm(c4, c4),
            nn.MaxPool2d((2, 1)),  # 4 rows
            ConvNorm(c4, c8),
            ConvNorm(c8, c8),
            nn.MaxPool2d((2, 1)),  # 2 rows
            nn.Conv2d(c8, c8, (2, 1), bias=False),
            nn.BatchNorm2d(c8),
            nn.ReLU(inplace=True),
        )
        both_ways = (rows, backward(rows))
        self.recurrences = nn.ModuleList()
        for _ in range(2):
            recurrence: nn.Module = Sweeps([Sweep(LSTM(c8, c4), order) for order in both_ways], Concat())
            self.recurrences.append(LineMixer(c8, parameters=count_parameters(recurrence)) if control else recurrence)
        self.head = nn.Conv2d(c8, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, num_classes, T) of lines (B, in_channels, H, W), T = W / 4 at a height of 32, rounded up."""
        check_image(image, self.in_channels)
        height, width = image.shape[-2:]
        if height != HEIGHT:
            width = max(1, round(width * HEIGHT / height))
            image = F.interpolate(image, size=(HEIGHT, width), mode="bilinear", antialias=True)
        x = self.convolutions(F.pad(image, (0, -width % STRIDE, 0, 0), mode="replicate"))  # (B, C, 1, T)
        for recurrence in self.recurrences:
            x, _ = recurrence(x)
        return self.head(x).squeeze(2)


class LineMixer(nn.Module):
    """The no-recurrence control of a recurrence along a line: a depthwise convolution over 7 places, and its ReLUs.

    Args:
        channels: Channels of the map (B, channels, 1, T) that goes in and comes out.
        parameters: How many parameters to have; met as closely as whole channels allow.
    """

    def __init__(self, channels: int, *, parameters: int):
        super().__init__()
        # width * (channels + 1) for the way in, width * (7 + 1) depthwise, (width + 1) * channels for the way out
        width = round((parameters - channels) / (2 * channels + 9))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, (1, 7), padding=(0, 3), groups=width),
            nn.ReLU(),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, channels, 1, T) -> (B, channels, 1, T); the state is that of a mixer without one."""
        return self.layers(x), None


def crnn(num_classes: int, in_channels: int = 3) -> CRNN:
    """About 0.5 M parameters.

    >>> import torch
    >>> crnn(11)(torch.zeros(1, 3, 32, 100)).shape
    torch.Size([1, 11, 25])
    """
    return CRNN(num_classes, in_channels, width=16, control=False)


def crnn_control(num_classes: int, in_channels: int = 3) -> CRNN:
    """`crnn` with each bidirectional LSTM replaced by a depthwise convolution over 7 places of as many parameters."""
    return CRNN(num_classes, in_channels, width=16, control=True)
