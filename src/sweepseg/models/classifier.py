"""Classifiers: layers over a picture, the mean of their map, and a linear layer; each with its control without sweeps.

The map is averaged instead of flattened, so pictures may be of any size.
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..cells import GRU, MinGRU
from ..layers.blocks import ConvNorm, DepthwiseMixer, ResidualConv, Stateless, context_stage, count_parameters
from ..layers.renet import ReNet, split_patches
from ..layers.stages import check_image
from ..layers.sweep import Sweep
from ..orders import FOUR_WAYS, raster


class Classifier(nn.Module):
    """Layers one after the other, the mean over the pixels of their map, dropout, and a linear layer.

    Args:
        layers: Each maps (B, C, H, W) to a map.
        channels: Channels of the last map.
        num_classes: Classes, at least 1.
        in_channels: Channels of the image.
        stride: The image is padded below and to the right by replication to a multiple of this.
        dropout: Probability that a channel of the mean is dropped in training.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        channels: int,
        num_classes: int,
        *,
        in_channels: int,
        stride: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; give at least 1")
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        self.in_channels, self.stride = in_channels, stride

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, num_classes) of normalised images (B, in_channels, H, W) of any height and width."""
        check_image(image, self.in_channels)
        height, width = image.shape[-2:]
        x = F.pad(image, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        return self.head(self.layers(x).mean((2, 3)))


class Patches(nn.Module):
    """Each patch of 2 x 2 pixels as one pixel: (B, C, H, W) -> (B, 4 C, H / 2, W / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Stack the pixels of each patch along channels."""
        return split_patches(x, (2, 2))


def renet_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """ReNet on patches of 2 x 2, twice; 96 units a direction, about 0.9 M parameters.

    Source: Visin et al. 2015, arXiv:1505.00393, section 3 and table 2. There 256 units and two layers of 4096 over the
    flattened map, too slow to train without a GPU; here the mean of the map.

    >>> import torch
    >>> renet_classifier(10, 1)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return _renet(num_classes, in_channels, control=False)


def renet_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`renet_classifier` with each ReNet layer replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _renet(num_classes, in_channels, control=True)


def _renet(num_classes: int, in_channels: int, *, control: bool) -> Classifier:
    hidden = 96
    layers: list[nn.Module] = []
    for channels in (in_channels, 2 * hidden):
        cells = [GRU(size, hidden) for size in (4 * channels, 4 * channels, 2 * hidden, 2 * hidden)]
        renet = ReNet(*cells)
        if control:
            mixer = DepthwiseMixer(4 * channels, 2 * hidden, parameters=count_parameters(renet))
            layers += [Patches(), Stateless(mixer), nn.ReLU()]
        else:
            layers += [Patches(), Stateless(renet)]
    return Classifier(layers, 2 * hidden, num_classes, in_channels=in_channels, stride=4, dropout=0.2)


def sweepnet_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """The encoder of SweepNet at 1/2 and 1/4: convolutions, then MinGRU sweeps in four directions.

    >>> import torch
    >>> sweepnet_classifier(10, 1)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return _sweepnet(num_classes, in_channels, control=False)


def sweepnet_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`sweepnet_classifier` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _sweepnet(num_classes, in_channels, control=True)


def _sweepnet(num_classes: int, in_channels: int, *, control: bool) -> Classifier:
    c1, c2, c4 = 32, 64, 96
    layers: list[nn.Module] = [
        ConvNorm(in_channels, c1),
        ConvNorm(c1, c2, stride=2),
        ResidualConv(c2),
        _context(c2, control),
        ConvNorm(c2, c4, stride=2),
        ResidualConv(c4),
        _context(c4, control),
        _context(c4, control),
        nn.BatchNorm2d(c4),
    ]
    return Classifier(layers, c4, num_classes, in_channels=in_channels, stride=4, dropout=0.2)


def _context(channels: int, control: bool) -> nn.Module:
    hidden = channels // 4
    return _block(channels, [Sweep(MinGRU(channels, hidden), order) for order in FOUR_WAYS], channels, control)


def _block(channels: int, sweeps: Sequence[nn.Module], merged_channels: int, control: bool) -> nn.Module:
    stage = context_stage("image", channels, sweeps, merged_channels, control=control)
    return stage if control else Stateless(stage)


def sequential_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """The pixels as one sequence in raster order (784 steps for 28 x 28): three blocks of MinGRU.

    Source: the task is that of Le, Jaitly and Hinton 2015, arXiv:1504.00941, section 4.2; the cells are those of Feng
    et al. 2024, arXiv:2410.01201.

    >>> import torch
    >>> sequential_classifier(10, 1)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return _sequential(num_classes, in_channels, MinGRU, control=False)


def sequential_classifier_gru(num_classes: int, in_channels: int = 3) -> Classifier:
    """`sequential_classifier` with the cells of `torch.nn.GRU`."""
    return _sequential(num_classes, in_channels, GRU, control=False)


def sequential_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`sequential_classifier` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _sequential(num_classes, in_channels, MinGRU, control=True)


def _sequential(
    num_classes: int, in_channels: int, cell: Callable[[int, int], nn.Module], *, control: bool
) -> Classifier:
    width = 64
    layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 1)]
    for _ in range(3):
        layers.append(_block(width, [Sweep(cell(width, width), raster)], width, control))
    layers.append(nn.BatchNorm2d(width))
    return Classifier(layers, width, num_classes, in_channels=in_channels, stride=1)


def sequential_classifier_gru_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`sequential_classifier_gru` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _sequential(num_classes, in_channels, GRU, control=True)
