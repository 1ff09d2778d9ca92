"""Building blocks of the networks: convolutions with norm, and the residual block around a mixer of context."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..cells import MinGRU
from .merge import Concat
from .stages import Local, Swept
from .sweep import Sweep, Sweeps
from .volume import six_ways

CONV = {2: nn.Conv2d, 3: nn.Conv3d}  # by the dimensions of a map: 2 for images (H, W), 3 for volumes (D, H, W)
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class ConvNorm(nn.Sequential):
    """3 x 3 (or k x k) convolution, batch norm, ReLU: (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)).

    With ``dimensions=3`` the same over volumes (B, in, D, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        relu: bool = True,
        dimensions: int = 2,
    ):
        layers = [
            CONV[dimensions](in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
            BATCH_NORM[dimensions](out_channels),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class ConvPool(nn.Sequential):
    """`ConvNorm`, then max-pooling: (B, in, H, W) -> (B, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(ConvNorm(in_channels, out_channels), nn.MaxPool2d(2))


def start_at_zero(layer: nn.Module) -> None:
    """Make the last layer of a residual branch give 0, so that its block starts as the identity.

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv:1706.02677, section 5.1.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ResidualConv(nn.Module):
    """The basic block of ResNet (He et al. 2016, arXiv:1512.03385): two 3 x 3 convolutions and an identity."""

    halo = 2

    def __init__(self, channels: int, dimensions: int = 2):
        super().__init__()
        self.first = ConvNorm(channels, channels, dimensions=dimensions)
        self.second = ConvNorm(channels, channels, relu=False, dimensions=dimensions)
        start_at_zero(self.second[1])
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W), or with a D in front of the H."""
        return self.activation(x + self.second(self.first(x)))


class ContextBlock(nn.Module):
    """Pre-norm residual block: a mixer that brings in context, then a pointwise network of two layers.

    With sweeps as the mixer every pixel sees the whole map; with `DepthwiseMixer` it is their no-recurrence control.

    Args:
        channels: Channels C of the map.
        mixer: Maps (map, state) to (map, state), (B, C, H, W) to (B, C, H, W).
        expansion: Hidden channels of the pointwise network over C.
        dimensions: 2, or 3 for maps (B, C, D, H, W).
    """

    def __init__(self, channels: int, mixer: nn.Module, *, expansion: int = 2, dimensions: int = 2):
        super().__init__()
        conv, norm, hidden = CONV[dimensions], BATCH_NORM[dimensions], expansion * channels
        self.norm, self.mixer = norm(channels), mixer
        self.pointwise = nn.Sequential(norm(channels), conv(channels, hidden, 1), nn.ReLU(), conv(hidden, channels, 1))
        start_at_zero(self.pointwise[-1])

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """(B, C, H, W) and the mixer's state -> (B, C, H, W) and the mixer's new state."""
        mixed, state = self.mixer(self.norm(x), state)
        x = x + mixed
        return x + self.pointwise(x), state


class DepthwiseResidual(nn.Module):
    """A 7 x 7 depthwise convolution of the normalised map, added to it: what lies close by, for every channel itself.

    Source: Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545, section 2.5.

    Args:
        channels: Channels of the map.
    """

    halo = 3

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        start_at_zero(self.depthwise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return x + in_own_precision(self.depthwise, self.norm(x))


class SweepMixer(nn.Module):
    """Sweeps with the 1 x 1 convolution that mixes their directions back into the channels.

    Args:
        sweeps: A `Sweeps` or `VolumeSweeps` module.
        merged_channels: Channels of its output.
        channels: Channels of the map that goes in and comes out.
        dimensions: 2, or 3 for maps (B, C, D, H, W).
    """

    def __init__(self, sweeps: nn.Module, merged_channels: int, channels: int, *, dimensions: int = 2):
        super().__init__()
        self.sweeps, self.project = sweeps, CONV[dimensions](merged_channels, channels, 1)

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """(B, C, H, W) and the sweeps' states -> (B, channels, H, W) and their new states."""
        merged, state = self.sweeps(x, state)
        return self.project(merged), state


class DepthwiseMixer(nn.Module):
    """The no-recurrence control of sweeps: a 7 x 7 depthwise convolution between two 1 x 1 convolutions.

    Over volumes it is one of 7 x 7 x 7. Its width is chosen so that it has the parameters of the sweeps it stands for.

    Args:
        channels: Channels C of the map.
        out_channels: Channels of the output. Default: C.
        parameters: How many parameters to have; met as closely as whole channels allow.
        dimensions: 2, or 3 for maps (B, C, D, H, W).
    """

    halo = 3

    def __init__(self, channels: int, out_channels: int | None = None, *, parameters: int, dimensions: int = 2):
        super().__init__()
        out_channels, conv = out_channels or channels, CONV[dimensions]
        # width * (C + 1) for the way in, width * (49 + 1) depthwise, (width + 1) * out_channels for the way out
        width = round((parameters - out_channels) / (channels + out_channels + 7**dimensions + 2))
        self.enter, self.leave = conv(channels, width, 1), conv(width, out_channels, 1)
        self.depthwise = conv(width, width, 7, padding=3, groups=width)

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """(B, C, H, W) -> (B, out_channels, H, W); the state is that of a mixer without one."""
        return self.leave(in_own_precision(self.depthwise, self.enter(x))), None


def in_own_precision(depthwise: nn.Module, x: Tensor) -> Tensor:
    """Run a depthwise convolution in the precision of its weights, as in bfloat16 it is many times slower on CPUs."""
    with torch.autocast(x.device.type, enabled=False):
        return depthwise(x.to(next(depthwise.parameters()).dtype))


class Stateless(nn.Module):
    """A block whose mixer carries no state, as a function of the map alone."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.block(x)[0]


def context_stage(
    source: str, channels: int, sweeps: Sequence[nn.Module], merged_channels: int, *, control: bool
) -> Local | Swept:
    """A stage with a `ContextBlock` around sweeps, or its no-recurrence control with as many parameters.

    Args:
        source: The stage whose map (B, channels, H, W) goes in.
        channels: Channels of that map and of the one that comes out.
        sweeps: The sweeps, whose outputs are stacked along channels; cells over maps among them need the whole map.
        merged_channels: Channels of their outputs together.
        control: Put a `DepthwiseMixer` in their place.
    """
    mixer = SweepMixer(Sweeps(sweeps, Concat()), merged_channels, channels)
    strips = all(isinstance(sweep, Sweep) and sweep.order.strips for sweep in sweeps)
    return _context_stage(source, channels, mixer, strips=strips, control=control, dimensions=2)


def volume_context_stage(source: str, channels: int, hidden_size: int, *, control: bool) -> Local | Swept:
    """`context_stage` over volumes (B, channels, D, H, W), swept in six directions by MinGRU cells.

    Args:
        source: The stage whose map goes in.
        channels: Channels of that map and of the one that comes out.
        hidden_size: Channels of each of the six sweeps.
        control: Put a `DepthwiseMixer` in their place.
    """
    sweeps = six_ways(lambda: MinGRU(channels, hidden_size))
    mixer = SweepMixer(sweeps, 6 * hidden_size, channels, dimensions=3)
    return _context_stage(source, channels, mixer, strips=False, control=control, dimensions=3)


def _context_stage(
    source: str, channels: int, mixer: SweepMixer, *, strips: bool, control: bool, dimensions: int
) -> Local | Swept:
    if control:
        depthwise = DepthwiseMixer(channels, parameters=count_parameters(mixer), dimensions=dimensions)
        start_at_zero(depthwise.leave)
        block = ContextBlock(channels, depthwise, dimensions=dimensions)
        return Local(Stateless(block), [source], halo=DepthwiseMixer.halo)
    start_at_zero(mixer.project)
    return Swept(ContextBlock(channels, mixer, dimensions=dimensions), [source], strips=strips)


def recurrent_stage(source: str, channels: int, layer: nn.Module, out_channels: int, *, control: bool) -> Local | Swept:
    """A stage that is a recurrent layer and nothing else, or its no-recurrence control with as many parameters.

    Args:
        source: The stage whose map (B, channels, H, W) goes in.
        channels: Channels of that map.
        layer: Maps (map, state) to (map, state), (B, channels, H, W) to (B, out_channels, H, W): `Sweeps` or `ReNet`.
        out_channels: Channels of its output.
        control: Put a `DepthwiseMixer` with a ReLU in its place.
    """
    if control:
        mixer = DepthwiseMixer(channels, out_channels, parameters=count_parameters(layer))
        return Local(nn.Sequential(Stateless(mixer), nn.ReLU()), [source], halo=DepthwiseMixer.halo)
    strips = all(sweep.order.strips for sweep in layer.modules() if isinstance(sweep, Sweep))
    return Swept(layer, [source], strips=strips)


def count_parameters(module: nn.Module) -> int:
    """Number of trained values in a module."""
    return sum(p.numel() for p in module.parameters())
