"""Building blocks of the networks: convolutions with norm, and the residual block around a mixer of context."""

import torch
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """3 x 3 (or k x k) convolution, batch norm, ReLU: (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, relu: bool = True):
        layers = [
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class ResidualConv(nn.Module):
    """The basic block of ResNet (He et al. 2016, arXiv:1512.03385): two 3 x 3 convolutions and an identity."""

    halo = 2

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.second(self.first(x)))


class ContextBlock(nn.Module):
    """Pre-norm residual block: a mixer that brings in context, then a pointwise network of two layers.

    With sweeps as the mixer every pixel sees the whole map; with `DepthwiseMixer` it is their no-recurrence control.

    Args:
        channels: Channels C of the map.
        mixer: Maps (map, state) to (map, state), (B, C, H, W) to (B, C, H, W).
        expansion: Hidden channels of the pointwise network over C.
    """

    def __init__(self, channels: int, mixer: nn.Module, *, expansion: int = 2):
        super().__init__()
        self.norm, self.mixer = nn.BatchNorm2d(channels), mixer
        hidden = expansion * channels
        self.pointwise = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        mixed, state = self.mixer(self.norm(x), state)
        x = x + mixed
        return x + self.pointwise(x), state


class SweepMixer(nn.Module):
    """Sweeps with the 1 x 1 convolution that mixes their directions back into the channels.

    Args:
        sweeps: A `Sweeps` module.
        merged_channels: Channels of its output.
        channels: Channels of the map that goes in and comes out.
    """

    def __init__(self, sweeps: nn.Module, merged_channels: int, channels: int):
        super().__init__()
        self.sweeps, self.project = sweeps, nn.Conv2d(merged_channels, channels, 1)

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        merged, state = self.sweeps(x, state)
        return self.project(merged), state


class DepthwiseMixer(nn.Module):
    """The no-recurrence control of `SweepMixer`: a 7 x 7 depthwise convolution between two 1 x 1 convolutions.

    Its width is chosen so that it has the parameters of the mixer it stands for.

    Args:
        channels: Channels C of the map.
        parameters: How many parameters to have; met as closely as whole channels allow.
    """

    halo = 3

    def __init__(self, channels: int, *, parameters: int):
        super().__init__()
        # width * (C + 1) for the way in, width * (49 + 1) depthwise, (width + 1) * C for the way out
        width = round((parameters - channels) / (2 * channels + 51))
        self.enter, self.leave = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        x = self.enter(x)
        with torch.autocast(x.device.type, enabled=False):  # depthwise bfloat16 is many times slower on CPUs
            x = self.depthwise(x.float())
        return self.leave(x), None


def count_parameters(module: nn.Module) -> int:
    """Number of trained values in a module."""
    return sum(p.numel() for p in module.parameters())
