"""Convolutions at half of the picture's size, a GRU along the map with dropout, a transposed convolution; its control.

The GRU reads the columns both ways and then the rows of what it found, so that every pixel sees the whole picture.
"""

from torch import nn

from ...cells import GRU
from ...layers.blocks import ConvNorm, recurrent_stage
from ...layers.renet import ReNet
from ...layers.stages import Local, StagedModel, check_num_classes


class ConvThenGRU(StagedModel):
    """Two convolutions, a GRU along the columns and rows of their map, a convolution and a transposed one.

    In training each sequence has one mask for its inputs and one for its state, the same at all steps.

    Source of the masks: Gal & Ghahramani 2016, arXiv:1512.05287.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        width: Channels of the convolutions.
        units: Channels of the GRU along the columns and of that along the rows, half for each direction.
        dropout: Probability that a channel is hidden from the GRU's input, for a whole picture.
        recurrent_dropout: Probability that a channel of the GRU's state is hidden from it, for a whole sequence.
        control: Replace the GRU by a 7 x 7 depthwise convolution of as many parameters, with a ReLU.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        width: int,
        units: int,
        dropout: float,
        recurrent_dropout: float,
        control: bool,
    ):
        check_num_classes(num_classes)
        down, up, right, left = (
            GRU(channels, units // 2, recurrent_dropout=recurrent_dropout) for channels in (width, width, units, units)
        )
        stages = {
            "down": Local(ConvNorm(in_channels, width, stride=2), ["image"], halo=1, stride=2),
            "conv": Local(nn.Sequential(ConvNorm(width, width), nn.Dropout2d(dropout)), ["down"], halo=1),
            "gru": recurrent_stage("conv", width, ReNet(down, up, right, left), units, control=control),
            "after": Local(ConvNorm(units, width), ["gru"], halo=1),
            "head": Local(nn.ConvTranspose2d(width, num_classes, 2, stride=2), ["after"], halo=0, upscale=2),
        }
        super().__init__(stages, total_stride=2, in_channels=in_channels)


def conv_gru(num_classes: int, in_channels: int = 3) -> ConvThenGRU:
    """About 0.24 M parameters; GRUs of 128 units at 1/2, a fifth of its input and of its state hidden in training.

    >>> import torch
    >>> conv_gru(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return _conv_gru(num_classes, in_channels, control=False)


def conv_gru_control(num_classes: int, in_channels: int = 3) -> ConvThenGRU:
    """`conv_gru` with the GRU replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _conv_gru(num_classes, in_channels, control=True)


def _conv_gru(num_classes: int, in_channels: int, *, control: bool) -> ConvThenGRU:
    return ConvThenGRU(
        num_classes, in_channels, width=64, units=128, dropout=0.2, recurrent_dropout=0.2, control=control
    )
