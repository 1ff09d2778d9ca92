"""Convolutions, the map that they give as a sequence, two recurrent layers, and a decoder; and its control.

The first layer reads the cells of the map in raster order, the second one reads what it found from the end. So every
pixel of the result sees the whole picture, where two layers in one direction would see what lies above alone.
"""

from collections.abc import Callable, Sequence

from torch import nn

from ...cells import LSTM
from ...layers.blocks import ConvNorm, ConvPool, recurrent_stage
from ...layers.merge import Concat
from ...layers.stages import Local, StagedModel, Swept, check_num_classes
from ...layers.sweep import Sweep, Sweeps
from ...orders import backward, raster


class ConvThenRecurrent(StagedModel):
    """Convolutions with max-pooling, recurrent layers there and back along the map, transposed convolutions.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels of the convolutions, each of which halves height and width.
        dense: Channels of a cell of the map as a step of the sequence.
        units: Channels of the recurrent layers.
        cell: Makes a cell of an input size and a hidden size, such as `LSTM` or `OutputElman`.
        control: Replace each recurrent layer by a 7 x 7 depthwise convolution of as many parameters, with a ReLU.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        widths: Sequence[int],
        dense: int,
        units: Sequence[int],
        cell: Callable[[int, int], nn.Module] = LSTM,
        control: bool = False,
    ):
        check_num_classes(num_classes)
        stages: dict[str, Local | Swept] = {}
        source, channels = "image", in_channels
        for level, width in enumerate(widths, 1):
            stages[f"conv{level}"] = Local(ConvPool(channels, width), [source], halo=1, stride=2)
            source, channels = f"conv{level}", width
        stages["dense"] = Local(ConvNorm(channels, dense, kernel=1), [source], halo=0)
        source, channels = "dense", dense
        for i, hidden in enumerate(units):
            order = backward(raster) if i % 2 else raster
            layer = Sweeps([Sweep(cell(channels, hidden), order)], Concat())
            stages[f"recurrent{i + 1}"] = recurrent_stage(source, channels, layer, hidden, control=control)
            source, channels = f"recurrent{i + 1}", hidden
        for level in range(len(widths)):
            stages[f"up{level + 1}"] = Local(_double(channels), [source], halo=0, upscale=2)
            source = f"up{level + 1}"
        stages["head"] = Local(nn.Conv2d(channels, num_classes, 1), [source], halo=0)
        super().__init__(stages, total_stride=2 ** len(widths), in_channels=in_channels)


def _double(channels: int) -> nn.Sequential:
    """A transposed convolution with batch norm, as the states of a recurrent layer are small when training begins."""
    transposed = nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
    return nn.Sequential(transposed, nn.BatchNorm2d(channels), nn.ReLU())


def conv_lstm(num_classes: int, in_channels: int = 3) -> ConvThenRecurrent:
    """About 0.2 M parameters; convolutions of 32, 64 and 128, a dense layer of 128, LSTMs of 64 and 32 units at 1/8.

    >>> import torch
    >>> conv_lstm(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return _conv_lstm(num_classes, in_channels, control=False)


def conv_lstm_control(num_classes: int, in_channels: int = 3) -> ConvThenRecurrent:
    """`conv_lstm` with each LSTM replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _conv_lstm(num_classes, in_channels, control=True)


def _conv_lstm(num_classes: int, in_channels: int, *, control: bool) -> ConvThenRecurrent:
    return ConvThenRecurrent(num_classes, in_channels, widths=(32, 64, 128), dense=128, units=(64, 32), control=control)
