"""A GRU reads each region of the picture, others carry what it found from region to region; and its control.

What a region's GRU ends with is one cell of a map of regions. Sweeps over this map take the place of one long vector of
all regions, which would tie the network to the number of regions and so to one size of picture.
"""

import torch
from torch import Tensor, nn

from ...cells import GRU
from ...layers.blocks import ConvNorm, DepthwiseMixer, count_parameters, recurrent_stage
from ...layers.renet import ReNet, split_patches
from ...layers.stages import Local, StagedModel, check_num_classes


class RegionReader(nn.Module):
    """The last state of a cell that reads each region in raster order: (B, C, H, W) -> (B, hidden, H / side, W / side).

    Args:
        cell: A cell whose state is one tensor.
        side: Rows and columns of a region.
    """

    def __init__(self, cell: nn.Module, side: int):
        super().__init__()
        self.cell, self.side = cell, side

    def forward(self, x: Tensor) -> Tensor:
        """Read a map whose height and width are multiples of ``side``."""
        regions = split_patches(x, (self.side, self.side)).unflatten(1, (x.shape[1], -1))  # (B, C, T, rows, columns)
        _, state = self.cell(regions.permute(0, 3, 4, 2, 1).flatten(0, 1))  # (B * rows, columns, T, C)
        return state.to(x.dtype).unflatten(0, (x.shape[0], -1)).permute(0, 3, 1, 2)


class RegionMixer(nn.Module):
    """The no-recurrence control of `RegionReader`: the mean over each region of a depthwise convolution's map."""

    def __init__(self, channels: int, side: int, *, parameters: int):
        super().__init__()
        self.mixer, self.pool = DepthwiseMixer(channels, parameters=parameters), nn.AvgPool2d(side)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H / side, W / side)."""
        return self.pool(self.mixer(x)[0].relu())


class Join(nn.Module):
    """What is known of a region beside each of its cells: two maps, stacked along channels and convolved."""

    def __init__(self, channels: int):
        super().__init__()
        self.fuse = ConvNorm(2 * channels, channels)

    def forward(self, cells: Tensor, regions: Tensor) -> Tensor:
        """Two maps (B, channels, H, W) -> (B, channels, H, W)."""
        return self.fuse(torch.cat((cells, regions), dim=1))


class RegionGRU(StagedModel):
    """Convolutions at half of the picture's size, a GRU over each region, GRUs over the map of regions, both joined.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        width: Channels of every map, and units of both recurrent layers.
        side: Rows and columns of a region, in cells of two pixels.
        control: Replace the recurrent layers by 7 x 7 depthwise convolutions of as many parameters, with ReLUs.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, width: int, side: int, control: bool):
        check_num_classes(num_classes)
        reader: nn.Module = RegionReader(GRU(width, width), side)
        if control:
            reader = RegionMixer(width, side, parameters=count_parameters(reader))
        between = ReNet(*(GRU(width, width // 2) for _ in range(4)))
        stages = {
            "down": Local(ConvNorm(in_channels, width, stride=2), ["image"], halo=1, stride=2),
            "conv": Local(ConvNorm(width, width), ["down"], halo=1),
            "regions": Local(reader, ["conv"], halo=DepthwiseMixer.halo if control else 0, stride=side),
            "context": recurrent_stage("regions", width, between, width, control=control),
            "spread": Local(nn.Upsample(scale_factor=side), ["context"], halo=0, upscale=side),
            "join": Local(Join(width), ["conv", "spread"], halo=1),
            "head": Local(nn.ConvTranspose2d(width, num_classes, 2, stride=2), ["join"], halo=0, upscale=2),
        }
        super().__init__(stages, total_stride=2 * side, in_channels=in_channels)


def region_gru(num_classes: int, in_channels: int = 3) -> RegionGRU:
    """About 0.18 M parameters; GRUs of 64 units over regions of 16 x 16 pixels and over the map of regions.

    >>> region_gru(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return RegionGRU(num_classes, in_channels, width=64, side=8, control=False)


def region_gru_control(num_classes: int, in_channels: int = 3) -> RegionGRU:
    """`region_gru` with each recurrent layer replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return RegionGRU(num_classes, in_channels, width=64, side=8, control=True)
