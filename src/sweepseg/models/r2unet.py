"""R2U-Net: a U-Net of recurrent convolutions with residuals; and its control, where each convolution runs once.

Source: Alom et al. 2018, "Recurrent Residual Convolutional Neural Network based on U-Net (R2U-Net) for Medical Image
Segmentation", arXiv:1802.06955, equations 1 to 3. Every step of a recurrence has a batch norm of its own, as in Liao &
Poggio 2016, arXiv:1604.03640, because the statistics of the steps differ.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..layers.blocks import ConvNorm
from ..layers.stages import Local, StagedModel, Swept, check_num_classes


class R2UNet(StagedModel):
    """A U-Net of any depth with a residual block of two recurrent convolutions at each level, down and up.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels at 1, 1/2, 1/4 and so on; the last one is the bottom.
        steps: How often the output of a recurrent convolution comes back to it; t of the paper.
        control: Replace each recurrent convolution by two plain ones of as many parameters.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, widths: Sequence[int], steps: int, control: bool):
        check_num_classes(num_classes)
        bottom = len(widths) - 1
        stages: dict[str, Local | Swept] = {}
        source, channels = "image", in_channels
        for level, width in enumerate(widths):
            if level > 0:
                stages[f"pool{level}"] = Local(nn.MaxPool2d(2), [source], halo=0, stride=2)
                source = f"pool{level}"
            stages[f"down{level}"] = _block([source], channels, width, steps, control)
            source, channels = f"down{level}", width
        for level in reversed(range(bottom)):
            width = widths[level]
            grow = nn.ConvTranspose2d(channels, width, 2, stride=2)
            stages[f"grow{level}"] = Local(grow, [source], halo=0, upscale=2)
            stages[f"up{level}"] = _block([f"down{level}", f"grow{level}"], 2 * width, width, steps, control)
            source, channels = f"up{level}", width
        stages["head"] = Local(nn.Conv2d(channels, num_classes, 1), [source], halo=0)
        super().__init__(stages, total_stride=2**bottom, in_channels=in_channels)


class RecurrentConv(nn.Module):
    """O(t) = ReLU(norm_t(W_f * x + W_r * O(t - 1))) for t = 0 to ``steps`` with O(-1) = 0; gives the last.

    Args:
        channels: Channels of input and output.
        steps: The last t.
    """

    def __init__(self, channels: int, steps: int):
        super().__init__()
        self.forward_conv, self.recurrent_conv = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(steps + 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        driven = self.forward_conv(x)
        first, *later = self.norms
        output = torch.relu(first(driven))
        for norm in later:
            output = torch.relu(norm(driven + self.recurrent_conv(output)))
        return output


class ResidualBlock(nn.Module):
    """Maps, stacked along channels and brought to a width by a 1 x 1 convolution, and what a branch adds to them."""

    def __init__(self, in_channels: int, channels: int, branch: nn.Module):
        super().__init__()
        self.enter, self.branch = nn.Conv2d(in_channels, channels, 1), branch

    def forward(self, *maps: Tensor) -> Tensor:
        """One or two maps (B, C, H, W) -> (B, channels, H, W)."""
        x = self.enter(torch.cat(maps, dim=1))
        return x + self.branch(x)


def _block(inputs: Sequence[str], in_channels: int, channels: int, steps: int, control: bool) -> Local:
    if control:
        branch, halo = nn.Sequential(*(ConvNorm(channels, channels) for _ in range(4))), 4
    else:
        branch, halo = nn.Sequential(*(RecurrentConv(channels, steps) for _ in range(2))), 2 * (1 + steps)
    return Local(ResidualBlock(in_channels, channels, branch), inputs, halo=halo)


def r2unet(num_classes: int, in_channels: int = 3) -> R2UNet:
    """About 1 M parameters; every recurrent convolution sees its own output twice.

    >>> r2unet(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return _r2unet(num_classes, in_channels, control=False)


def r2unet_control(num_classes: int, in_channels: int = 3) -> R2UNet:
    """`r2unet` with each recurrent convolution replaced by two plain ones of as many parameters."""
    return _r2unet(num_classes, in_channels, control=True)


def _r2unet(num_classes: int, in_channels: int, *, control: bool) -> R2UNet:
    return R2UNet(num_classes, in_channels, widths=(16, 32, 64, 128), steps=2, control=control)
