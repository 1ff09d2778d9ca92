"""ReSeg: convolutions of VGG-16, two ReNet layers, two transposed convolutions; and its control without sweeps.

Source: Visin et al. 2016, "ReSeg: A Recurrent Neural Network-based Model for Semantic Segmentation", arXiv:1511.07053;
the convolutions are conv1_1 to conv3_3 of Simonyan & Zisserman 2015, arXiv:1409.1556, table 1, column D. Here they
start from random weights, in the paper from ImageNet's.
"""

from collections.abc import Sequence

from torch import nn

from ..cells import GRU
from ..layers.blocks import recurrent_stage
from ..layers.renet import ReNet
from ..layers.stages import Local, StagedModel, Swept, check_num_classes


class ReSeg(StagedModel):
    """Convolutions to 1/4 of the picture, ReNet layers there, and transposed convolutions back to its size.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels of the convolutions at 1, 1/2 and 1/4.
        hidden_size: Units of each of the four cells of a ReNet layer.
        upsampling_channels: Channels of the transposed convolutions.
        control: Replace each ReNet layer by a 7 x 7 depthwise convolution of as many parameters, with a ReLU.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        widths: Sequence[int],
        hidden_size: int,
        upsampling_channels: int,
        control: bool,
    ):
        check_num_classes(num_classes)
        c1, c2, c4 = widths
        out = 2 * hidden_size
        stages: dict[str, Local | Swept] = {
            "conv1": Local(_convolutions(in_channels, c1, 2), ["image"], halo=2),
            "pool1": Local(nn.MaxPool2d(2), ["conv1"], halo=0, stride=2),
            "conv2": Local(_convolutions(c1, c2, 2), ["pool1"], halo=2),
            "pool2": Local(nn.MaxPool2d(2), ["conv2"], halo=0, stride=2),
            "conv3": Local(_convolutions(c2, c4, 3), ["pool2"], halo=3),
            "renet1": _context("conv3", c4, hidden_size, control),
            "renet2": _context("renet1", out, hidden_size, control),
            "up1": Local(_double(out, upsampling_channels), ["renet2"], halo=0, upscale=2),
            "up2": Local(_double(upsampling_channels, upsampling_channels), ["up1"], halo=0, upscale=2),
            "head": Local(nn.Conv2d(upsampling_channels, num_classes, 1), ["up2"], halo=0),
        }
        super().__init__(stages, total_stride=4, in_channels=in_channels)


def _convolutions(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """3 x 3 convolutions, each with a ReLU. Initial values: He et al. 2015, arXiv:1502.01852, equation 10."""
    layers: list[nn.Module] = []
    for _ in range(count):
        convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers)


def _context(source: str, channels: int, hidden_size: int, control: bool) -> Local | Swept:
    out = 2 * hidden_size
    down, up = (GRU(channels, hidden_size) for _ in range(2))
    right, left = (GRU(out, hidden_size) for _ in range(2))
    return recurrent_stage(source, channels, ReNet(down, up, right, left), out, control=control)


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2), nn.ReLU())


def reseg(num_classes: int, in_channels: int = 3) -> ReSeg:
    """About 2.5 M parameters: two ReNet layers of 100 units a direction on patches of one pixel at 1/4.

    >>> import torch
    >>> reseg(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return _reseg(num_classes, in_channels, control=False)


def reseg_control(num_classes: int, in_channels: int = 3) -> ReSeg:
    """`reseg` with each ReNet layer replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _reseg(num_classes, in_channels, control=True)


def _reseg(num_classes: int, in_channels: int, *, control: bool) -> ReSeg:
    return ReSeg(
        num_classes, in_channels, widths=(64, 128, 256), hidden_size=100, upsampling_channels=50, control=control
    )
