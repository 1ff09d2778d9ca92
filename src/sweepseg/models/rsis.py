"""RSIS: a pyramid of ConvLSTMs that gives one object a step, with its class and whether to go on; and its control.

Source: Salvador et al. 2017, "Recurrent Neural Networks for Semantic Instance Segmentation", arXiv:1712.00617, section
3. Here a small encoder that is trained from scratch, and maps are added where the paper stacks them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cells.conv_lstm import ConvLSTM
from ..layers.blocks import ConvNorm, DepthwiseMixer, ResidualConv, count_parameters
from ..layers.stages import check_image


class RSIS(nn.Module):
    """One object a step.

    At each step the ConvLSTMs run from the coarsest map to the finest. Each takes the encoder's map of its resolution
    and the output of the one below, and remembers by its state what was given before. The finest output becomes the
    mask. The largest values of all of them and the means of the encoder's maps over the mask, of which the paper knows
    only the former, tell the class and whether there is an object at all.

    Args:
        num_classes: Logits of a step: 2, and one for each class.
        in_channels: Channels of the image.
        widths: Channels of the encoder at 1/2, 1/4, 1/8 and so on.
        hidden: Channels of the ConvLSTMs at these resolutions.
        steps: Objects at most, T.
        control: Replace each ConvLSTM by a 7 x 7 depthwise convolution of as many parameters without a state, and tell
            it the step by a learned vector.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        widths: Sequence[int],
        hidden: Sequence[int],
        steps: int,
        control: bool,
    ):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes is {num_classes}; give at least 2, for the mask and for going on")
        self.in_channels, self.steps = in_channels, steps
        pairs = zip([in_channels, *widths], widths, strict=False)
        self.down = nn.ModuleList(nn.Sequential(ConvNorm(a, b, stride=2), ResidualConv(b)) for a, b in pairs)
        self.lateral = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths, hidden, strict=True))
        self.rise = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(hidden))
        self.cells = nn.ModuleList(_Unremembering(size) if control else ConvLSTM(size, size, 3) for size in hidden)
        self.slots = nn.Parameter(torch.randn(steps, hidden[-1])) if control else None
        self.mask = nn.Conv2d(hidden[0], 1, 1)
        self.facts = nn.Linear(sum(hidden) + sum(widths), num_classes - 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, T, num_classes, H, W) of images (B, in_channels, H, W).

        Of each step the mask, whether there is an object, and its classes, the latter all the same at every pixel.
        """
        check_image(image, self.in_channels)
        height, width = image.shape[-2:]
        stride = 2 ** len(self.down)
        x = F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")
        encoded, maps = [], []
        for down, lateral in zip(self.down, self.lateral, strict=True):
            x = down(x)
            encoded.append(x)
            maps.append(lateral(x))
        masks, facts = [], []
        states: list = [None] * len(maps)
        for step in range(self.steps):
            seen = []
            for level in reversed(range(len(maps))):
                given = maps[level]
                if level + 1 < len(maps):
                    given = given + _doubled(self.rise[level](x))
                elif self.slots is not None:
                    given = given + self.slots[step][:, None, None]
                x, states[level] = self.cells[level](given, states[level])
                seen.append(x.amax((2, 3)))
            mask = self.mask(x)
            masks.append(_doubled(mask)[..., :height, :width])
            inside = mask.detach().float().sigmoid().to(x.dtype)  # masks are for finding objects, not for naming them
            facts.append(self.facts(torch.cat([*seen[::-1], *(_mean_inside(one, inside) for one in encoded)], 1)))
        of_step = torch.stack(facts, 1)[..., None, None].expand(-1, -1, -1, height, width)
        return torch.cat([torch.stack(masks, 1), of_step], 2)


class _Unremembering(nn.Module):
    """The no-recurrence control of a ConvLSTM: a `DepthwiseMixer` and a ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.mixer = DepthwiseMixer(channels, parameters=count_parameters(ConvLSTM(channels, channels, 3)))

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.mixer(x)[0].relu(), None


def _mean_inside(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of a map (B, C, h, w) over a mask (B, 1, H, W) in [0, 1] of a larger or the same size, (B, C)."""
    shares = F.adaptive_avg_pool2d(mask, (x.shape[-2], x.shape[-1])).flatten(2)  # (B, 1, h * w)
    return (x.flatten(2) * shares).sum(2) / (shares.sum(2) + 1e-3)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def rsis(num_classes: int, in_channels: int = 3) -> RSIS:
    """About 1.3 M parameters; up to 8 objects, for pictures of few objects.

    >>> rsis(12)(torch.zeros(1, 3, 40, 50)).shape
    torch.Size([1, 8, 12, 40, 50])
    """
    return _small(num_classes, in_channels, control=False)


def rsis_control(num_classes: int, in_channels: int = 3) -> RSIS:
    """`rsis` with each ConvLSTM replaced by a 7 x 7 depthwise convolution of as many parameters and without a state."""
    return _small(num_classes, in_channels, control=True)


def _small(num_classes: int, in_channels: int, control: bool) -> RSIS:
    return RSIS(num_classes, in_channels, widths=(32, 48, 96, 128), hidden=(16, 32, 48, 64), steps=8, control=control)
