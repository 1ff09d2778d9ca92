"""A U-Net with four-way GRU sweeps at its two lowest resolutions, and its control without sweeps.

Source: the U-Net is Ronneberger et al. 2015, arXiv:1505.04597, figure 1, with padded convolutions and batch norm; the
sweeps are ReNet's (Visin et al. 2015, arXiv:1505.00393), all four over the same map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..cells import GRU
from ..layers.blocks import ConvNorm, context_stage
from ..layers.stages import Local, StagedModel, Swept, check_num_classes
from ..layers.sweep import Sweep
from ..orders import FOUR_WAYS


class RecurrentUNet(StagedModel):
    """A U-Net of any depth; after the convolutions of its bottom and of the level above stands a context block each.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels at 1, 1/2, 1/4 and so on; the last one is the bottom.
        control: Replace the sweeps by 7 x 7 depthwise convolutions of as many parameters.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, widths: Sequence[int], control: bool):
        check_num_classes(num_classes)
        bottom = len(widths) - 1
        stages: dict[str, Local | Swept] = {}
        skips: list[str] = []
        source, channels = "image", in_channels
        for level, width in enumerate(widths):
            if level > 0:
                stages[f"pool{level}"] = Local(nn.MaxPool2d(2), [source], halo=0, stride=2)
                source = f"pool{level}"
            stages[f"down{level}"] = Local(_pair(channels, width), [source], halo=2)
            source, channels = f"down{level}", width
            if level >= bottom - 1:
                stages[f"context{level}"] = _context(source, width, control)
                source = f"context{level}"
            skips.append(source)
        for level in reversed(range(bottom)):
            width = widths[level]
            stages[f"grow{level}"] = Local(
                nn.ConvTranspose2d(channels, width, 2, stride=2), [source], halo=0, upscale=2
            )
            stages[f"up{level}"] = Local(Join(width), [skips[level], f"grow{level}"], halo=2)
            source, channels = f"up{level}", width
        stages["head"] = Local(nn.Conv2d(channels, num_classes, 1), [source], halo=0)
        super().__init__(stages, total_stride=2**bottom, in_channels=in_channels)


class Join(nn.Module):
    """Two maps (B, C, H, W), stacked along channels and refined by two 3 x 3 convolutions to (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.pair = _pair(2 * channels, channels)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        """Join the encoder's and the decoder's map."""
        return self.pair(torch.cat((skip, x), dim=1))


def _pair(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(in_channels, out_channels), ConvNorm(out_channels, out_channels))


def _context(source: str, channels: int, control: bool) -> Local | Swept:
    hidden = channels // 4
    sweeps = [Sweep(GRU(channels, hidden), order) for order in FOUR_WAYS]
    return context_stage(source, channels, sweeps, hidden * len(sweeps), control=control)


def recurrent_unet_small(num_classes: int, in_channels: int = 3) -> RecurrentUNet:
    """About 2.5 M parameters; GRU sweeps at 1/8 and 1/16.

    >>> recurrent_unet_small(11)(torch.zeros(1, 3, 45, 70)).shape
    torch.Size([1, 11, 45, 70])
    """
    return _small(num_classes, in_channels, control=False)


def recurrent_unet_small_control(num_classes: int, in_channels: int = 3) -> RecurrentUNet:
    """`recurrent_unet_small` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _small(num_classes, in_channels, control=True)


def _small(num_classes: int, in_channels: int, *, control: bool) -> RecurrentUNet:
    return RecurrentUNet(num_classes, in_channels, widths=(16, 32, 64, 128, 256), control=control)
