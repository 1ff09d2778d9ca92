"""Two LSTMs along the pixels themselves, a patch of them a step, there and back; and its control."""

from torch import nn

from ...cells import LSTM
from ...layers.blocks import recurrent_stage
from ...layers.merge import Concat
from ...layers.stages import Local, StagedModel, check_num_classes
from ...layers.sweep import Sweep, Sweeps
from ...orders import backward, raster


class PixelLSTM(StagedModel):
    """An LSTM over the patches of the picture in raster order and one back over what it found.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        patch: Rows and columns of a patch, whose pixels are one step together.
        embedding: Length of the vector that a patch becomes.
        hidden_size: Units of each LSTM.
        control: Replace each LSTM by a 7 x 7 depthwise convolution of as many parameters, with a ReLU.
    """

    def __init__(
        self, num_classes: int, in_channels: int = 3, *, patch: int, embedding: int, hidden_size: int, control: bool
    ):
        check_num_classes(num_classes)
        patches = nn.Conv2d(in_channels, embedding, patch, stride=patch)
        forth = Sweeps([Sweep(LSTM(embedding, hidden_size), raster)], Concat())
        back = Sweeps([Sweep(LSTM(hidden_size, hidden_size), backward(raster))], Concat())
        stages = {
            "patches": Local(patches, ["image"], halo=0, stride=patch),
            "forth": recurrent_stage("patches", embedding, forth, hidden_size, control=control),
            "back": recurrent_stage("forth", hidden_size, back, hidden_size, control=control),
            "head": Local(
                nn.ConvTranspose2d(hidden_size, num_classes, patch, stride=patch), ["back"], halo=0, upscale=patch
            ),
        }
        super().__init__(stages, total_stride=patch, in_channels=in_channels)


def pixel_lstm(num_classes: int, in_channels: int = 3) -> PixelLSTM:
    """About 0.9 M parameters; two LSTMs of 256 units over patches of 4 x 4 pixels.

    >>> import torch
    >>> pixel_lstm(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return _pixel_lstm(num_classes, in_channels, control=False)


def pixel_lstm_control(num_classes: int, in_channels: int = 3) -> PixelLSTM:
    """`pixel_lstm` with each LSTM replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _pixel_lstm(num_classes, in_channels, control=True)


def _pixel_lstm(num_classes: int, in_channels: int, *, control: bool) -> PixelLSTM:
    return PixelLSTM(num_classes, in_channels, patch=4, embedding=64, hidden_size=256, control=control)
