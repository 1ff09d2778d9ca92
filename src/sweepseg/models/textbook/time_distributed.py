"""Convolutions on every frame of a video with two recurrent layers over time between them; and its control.

"Time-distributed" is what Keras calls a layer that runs on each frame by itself. Between such layers the recurrent ones
run over the frames of a clip, at each place of the map, each as a residual: x + W h(x).
"""

from collections.abc import Callable, Sequence

from torch import nn

from ...cells import LSTM
from ...layers.blocks import ConvNorm
from ...layers.pixel_rnn import PixelRNN
from ...layers.stages import Local, StagedModel, check_num_classes
from ..video import FrameBlock, TimeBlock, VideoModel


class TimeDistributed(VideoModel):
    """Convolutions to 1/8 of the picture, a recurrence over time, convolutions, another one, and a wide convolution.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels of the convolutions at 1/2, 1/4 and 1/8 of the picture.
        between: Channels of the first convolution between the recurrent layers; the second has ``widths[-1]``.
        units: Channels of the recurrent layers.
        wide: Channels of the last convolution.
        cell: Makes a cell over sequences of an input size and a hidden size: `Elman`, `LSTM`, `GRU`.
        control: Replace the recurrences over time by 7 x 7 depthwise convolutions of as many parameters.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        widths: Sequence[int],
        between: int,
        units: int,
        wide: int,
        cell: Callable[[int, int], nn.Module] = LSTM,
        control: bool = False,
    ):
        check_num_classes(num_classes)
        c2, c4, c8 = widths
        stages = {
            "conv2": Local(ConvNorm(in_channels, c2, stride=2), ["image"], halo=1, stride=2),
            "conv4": Local(ConvNorm(c2, c4, stride=2), ["conv2"], halo=1, stride=2),
            "conv8": Local(ConvNorm(c4, c8, stride=2), ["conv4"], halo=1, stride=2),
            "between": Local(ConvNorm(c8, between), ["conv8"], halo=1),
            "again": Local(ConvNorm(between, c8), ["between"], halo=1),
            "wide": Local(ConvNorm(c8, wide), ["again"], halo=1),
            "head": Local(nn.ConvTranspose2d(wide, num_classes, 8, stride=8), ["wide"], halo=0, upscale=8),
        }
        blocks: dict[str, TimeBlock | FrameBlock] = {}
        for name in ("conv8", "again"):
            block = TimeBlock(PixelRNN(cell(c8, units)), units, c8)
            blocks[name] = FrameBlock(block, c8) if control else block
        super().__init__(StagedModel(stages, total_stride=8, in_channels=in_channels), blocks)


def time_distributed(num_classes: int, in_channels: int = 3) -> TimeDistributed:
    """About 4.5 M parameters; convolutions of 64, 128, 256, 128, 256 and 1024, two LSTMs of 128 units over time at 1/8.

    >>> import torch
    >>> logits, _ = time_distributed(11).run(torch.zeros(1, 2, 3, 9, 14))
    >>> logits.shape
    torch.Size([1, 2, 11, 9, 14])
    """
    return _time_distributed(num_classes, in_channels, control=False)


def time_distributed_control(num_classes: int, in_channels: int = 3) -> TimeDistributed:
    """`time_distributed` without memory: a 7 x 7 depthwise convolution of as many parameters for each LSTM."""
    return _time_distributed(num_classes, in_channels, control=True)


def _time_distributed(num_classes: int, in_channels: int, *, control: bool) -> TimeDistributed:
    return TimeDistributed(
        num_classes, in_channels, widths=(64, 128, 256), between=128, units=128, wide=1024, control=control
    )
