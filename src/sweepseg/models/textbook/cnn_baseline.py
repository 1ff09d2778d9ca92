"""Two convolutions with pooling and two fully connected layers, at every place of the picture; nothing recurrent.

A fully connected layer over a map of 7 x 7 cells is a 7 x 7 convolution at one place. As a convolution it gives scores
at all places, for pictures of any size.

Source: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038, section 3.1.
"""

from torch import nn

from ...layers.blocks import ConvPool
from ...layers.stages import Local, StagedModel, check_num_classes


class CNNBaseline(StagedModel):
    """The network of two convolutions that recurrent ones are usually compared with.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels of the two convolutions, each with max-pooling.
        hidden: Channels of the first fully connected layer.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, widths: tuple[int, int], hidden: int):
        check_num_classes(num_classes)
        first, second = widths
        connected = nn.Sequential(nn.Conv2d(second, hidden, 7, padding=3), nn.ReLU())
        stages = {
            "conv1": Local(ConvPool(in_channels, first), ["image"], halo=1, stride=2),
            "conv2": Local(ConvPool(first, second), ["conv1"], halo=1, stride=2),
            "connected": Local(connected, ["conv2"], halo=3),
            "head": Local(nn.ConvTranspose2d(hidden, num_classes, 4, stride=4), ["connected"], halo=0, upscale=4),
        }
        super().__init__(stages, total_stride=4, in_channels=in_channels)


def cnn_baseline(num_classes: int, in_channels: int = 3) -> CNNBaseline:
    """About 0.2 M parameters; convolutions of 16 and 32, a layer of 128 that is connected to 28 x 28 pixels.

    >>> import torch
    >>> cnn_baseline(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return CNNBaseline(num_classes, in_channels, widths=(16, 32), hidden=128)
