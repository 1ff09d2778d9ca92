"""SweepNet: a small encoder-decoder whose low resolutions are swept in four directions, and its control without sweeps.

Convolutions bring the picture to 1/8 and 1/16 of its size. There a depthwise convolution looks around each pixel, and a
`ContextBlock` sweeps MinGRU cells, or others, along rows and columns, both ways, so every pixel sees the whole picture
at linear cost; a few such pairs follow each other. The decoder adds the finer maps back.
Nothing looks at the whole map but the sweeps (batch norm uses stored statistics at inference), so the causal variant,
which has no bottom-up sweep, runs on strips of rows.

Source: the sweeps are ReNet's (Visin et al. 2015, arXiv:1505.00393) with the cells of Feng et al. 2024, "Were RNNs All
We Needed?", arXiv:2410.01201; block and decoder are the usual pre-norm residual block and feature pyramid.
"""

from collections.abc import Callable, Sequence
from typing import TypedDict

from torch import Tensor, nn

from ..cells import CELLS
from ..layers.blocks import CONV, ConvNorm, DepthwiseResidual, ResidualConv, context_stage
from ..layers.stages import Local, StagedModel, Swept, check_num_classes
from ..layers.sweep import Sweep
from ..orders import FOUR_WAYS, ORDERS, Order, backward

MODE = {2: "bilinear", 3: "trilinear"}


class SweepNet(StagedModel):
    """Encoder-decoder with sweeps at 1/8 and 1/16 of the picture.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        widths: Channels at 1/2, 1/4, 1/8 and 1/16.
        blocks: Context blocks at 1/8 and 1/16.
        units: Units of each sweep at 1/16; at 1/8 they are fewer, as the channels are.
        cell: Class of the cells, called with the sizes of input and state.
        orders: Paths of the sweeps.
        local: Put a `DepthwiseResidual` before each context block.
        detail: Channels at full resolution, for what is a few pixels wide; 0 ends at 1/2 and enlarges the logits.
        control: Replace the sweeps by 7 x 7 depthwise convolutions of as many parameters.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        widths: Sequence[int],
        blocks: Sequence[int],
        units: int,
        cell: Callable[[int, int], nn.Module],
        orders: Sequence[Order],
        local: bool,
        detail: int,
        control: bool,
    ):
        check_num_classes(num_classes)
        c2, c4, c8, c16 = widths

        def context(source: str, channels: int) -> Local | Swept:
            hidden = units * channels // c16
            sweeps = [Sweep(cell(channels, hidden), order) for order in orders]
            return context_stage(source, channels, sweeps, hidden * len(sweeps), control=control)

        stages: dict[str, Local | Swept] = {
            "down2": Local(ConvNorm(in_channels, c2, stride=2), ["image"], halo=1, stride=2),
            "down4": Local(ConvNorm(c2, c4, stride=2), ["down2"], halo=1, stride=2),
            "conv4": Local(ResidualConv(c4), ["down4"], halo=ResidualConv.halo),
            "down8": Local(ConvNorm(c4, c8, stride=2), ["conv4"], halo=1, stride=2),
            "conv8": Local(ResidualConv(c8), ["down8"], halo=ResidualConv.halo),
        }
        at8 = _add_context(stages, "context8", "conv8", c8, blocks[0], context, local)
        stages["down16"] = Local(ConvNorm(c8, c16, stride=2), [at8], halo=1, stride=2)
        at16 = _add_context(stages, "context16", "down16", c16, blocks[1], context, local)
        stages["up8"] = Local(Upscale(c16, c8), [at16], halo=1, upscale=2)
        stages["fuse8"] = Local(Fuse(c8, c8), ["up8", at8], halo=1)
        stages["up4"] = Local(Upscale(c8, c4), ["fuse8"], halo=1, upscale=2)
        stages["fuse4"] = Local(Fuse(c4, c4), ["up4", "conv4"], halo=1)
        stages["up2"] = Local(Upscale(c4, c2), ["fuse4"], halo=1, upscale=2)
        stages["fuse2"] = Local(Fuse(c2, c2), ["up2", "down2"], halo=1)
        if detail:
            stages["conv1"] = Local(ConvNorm(in_channels, detail), ["image"], halo=1)
            stages["up1"] = Local(Upscale(c2, detail), ["fuse2"], halo=1, upscale=2)
            stages["fuse1"] = Local(Fuse(detail, detail), ["up1", "conv1"], halo=1)
            stages["head"] = Local(nn.Conv2d(detail, num_classes, 1), ["fuse1"], halo=0)
        else:
            stages["head"] = Local(Upscale(c2, num_classes), ["fuse2"], halo=1, upscale=2)
        super().__init__(stages, total_stride=16, in_channels=in_channels)


class Upscale(nn.Module):
    """A 1 x 1 convolution, then bilinear upsampling by 2: (B, in, H, W) -> (B, out, 2 H, 2 W); trilinear of volumes."""

    def __init__(self, in_channels: int, out_channels: int, dimensions: int = 2):
        super().__init__()
        self.project, self.mode = CONV[dimensions](in_channels, out_channels, 1), MODE[dimensions]

    def forward(self, x: Tensor) -> Tensor:
        """Upsample a map."""
        return nn.functional.interpolate(self.project(x), scale_factor=2, mode=self.mode, align_corners=False)


class Fuse(nn.Module):
    """Add a finer map of the encoder to a decoder map and refine the sum by a 3 x 3 convolution, all (B, C, H, W)."""

    def __init__(self, lateral_channels: int, channels: int, dimensions: int = 2):
        super().__init__()
        self.lateral = CONV[dimensions](lateral_channels, channels, 1)
        self.refine = ConvNorm(channels, channels, dimensions=dimensions)

    def forward(self, x: Tensor, lateral: Tensor) -> Tensor:
        """Add the lateral map and refine."""
        return self.refine(x + self.lateral(lateral))


def _add_context(
    stages: dict[str, Local | Swept],
    name: str,
    source: str,
    channels: int,
    count: int,
    context: Callable[[str, int], Local | Swept],
    local: bool,
) -> str:
    """Append ``count`` context blocks and a closing norm after the stage ``source``; return the name of the last."""
    for i in range(count):
        if local:
            stages[f"{name}_{i}_local"] = Local(DepthwiseResidual(channels), [source], halo=DepthwiseResidual.halo)
            source = f"{name}_{i}_local"
        stage = context(source, channels)
        source = f"{name}_{i}"
        stages[source] = stage
    stages[f"{name}_norm"] = Local(nn.BatchNorm2d(channels), [source], halo=0)  # a residual sum grows with its depth
    return f"{name}_norm"


class Size(TypedDict):
    """What the builders differ in."""

    widths: Sequence[int]
    blocks: Sequence[int]
    units: int


SIZES: dict[str, Size] = {
    "nano": {"widths": (24, 32, 52, 72), "blocks": (2, 2), "units": 16},
    "small": {"widths": (32, 48, 96, 128), "blocks": (2, 3), "units": 32},
    "base": {"widths": (48, 80, 160, 256), "blocks": (3, 4), "units": 64},
}


def _build(
    size: Size,
    num_classes: int,
    in_channels: int,
    *,
    causal: bool = False,
    control: bool = False,
    cell: str = "mingru",
    order: str = "four_ways",
    local: bool = True,
    detail: int = 0,
) -> SweepNet:
    """A network of a size; causal leaves out what needs the picture's last row before its first, or many rows."""
    if cell not in CELLS:
        raise ValueError(f"cell is {cell!r}; choose from {', '.join(CELLS)}")
    if order not in ("four_ways", *ORDERS):
        raise ValueError(f"order is {order!r}; choose from four_ways, {', '.join(ORDERS)}")
    ways = FOUR_WAYS if order == "four_ways" else (ORDERS[order], backward(ORDERS[order]))
    orders = [way for way in ways if way.strips or not causal]
    if not orders:
        raise ValueError(f"no way of order {order} runs from the first row to the last; leave out causal")
    if detail < 0:
        raise ValueError(f"detail is {detail}; give a number of channels, or 0 for none")
    return SweepNet(
        num_classes,
        in_channels,
        **size,
        cell=CELLS[cell],
        orders=orders,
        local=local and not causal,
        detail=detail,
        control=control,
    )


def sweepnet_nano(num_classes: int, in_channels: int = 3, *, causal: bool = False) -> SweepNet:
    """About 0.3 M parameters; MinGRU sweeps at 1/8 and 1/16."""
    return _build(SIZES["nano"], num_classes, in_channels, causal=causal)


def sweepnet_nano_control(num_classes: int, in_channels: int = 3) -> SweepNet:
    """`sweepnet_nano` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _build(SIZES["nano"], num_classes, in_channels, control=True)


def sweepnet_nano_causal(num_classes: int, in_channels: int = 3) -> SweepNet:
    """`sweepnet_nano` without bottom-up sweeps, for pictures that arrive row by row."""
    return sweepnet_nano(num_classes, in_channels, causal=True)


def sweepnet_nano_causal_control(num_classes: int, in_channels: int = 3) -> SweepNet:
    """`sweepnet_nano_causal` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _build(SIZES["nano"], num_classes, in_channels, causal=True, control=True)


def sweepnet_small(
    num_classes: int,
    in_channels: int = 3,
    *,
    causal: bool = False,
    cell: str = "mingru",
    order: str = "four_ways",
    units: int = SIZES["small"]["units"],
    local: bool = True,
    detail: int = 0,
) -> SweepNet:
    """About 1 M parameters; sweeps at 1/8 and 1/16, of MinGRU cells unless told otherwise.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        causal: Leave out the bottom-up sweeps, so that a picture can arrive row by row, and what ``local`` adds, which
            would have each row wait for many more.
        cell: Key of `cells.CELLS`.
        order: Key of `orders.ORDERS`, walked both ways; or four_ways: along rows and columns, both ways.
        units: Units of each sweep at 1/16, three quarters of them at 1/8; at least 2.
        local: Look around each pixel with a 7 x 7 depthwise convolution before each block of sweeps.
        detail: Channels of a last refinement at full resolution, such as 16, for what is a few pixels wide; by default
            the logits of half the resolution are enlarged.

    >>> import torch
    >>> sweepnet_small(11, cell="gru", order="hilbert")(torch.zeros(1, 3, 45, 70)).shape
    torch.Size([1, 11, 45, 70])
    """
    size: Size = {**SIZES["small"], "units": units}
    return _build(size, num_classes, in_channels, causal=causal, cell=cell, order=order, local=local, detail=detail)


def sweepnet_small_control(
    num_classes: int,
    in_channels: int = 3,
    *,
    cell: str = "mingru",
    order: str = "four_ways",
    units: int = SIZES["small"]["units"],
    local: bool = True,
    detail: int = 0,
) -> SweepNet:
    """`sweepnet_small` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    size: Size = {**SIZES["small"], "units": units}
    return _build(size, num_classes, in_channels, control=True, cell=cell, order=order, local=local, detail=detail)


def sweepnet_small_causal(num_classes: int, in_channels: int = 3) -> SweepNet:
    """`sweepnet_small` without bottom-up sweeps, for pictures that arrive row by row."""
    return sweepnet_small(num_classes, in_channels, causal=True)


def sweepnet_small_causal_control(num_classes: int, in_channels: int = 3) -> SweepNet:
    """`sweepnet_small_causal` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _build(SIZES["small"], num_classes, in_channels, causal=True, control=True)


def sweepnet_base(num_classes: int, in_channels: int = 3, *, causal: bool = False) -> SweepNet:
    """About 4 M parameters; MinGRU sweeps at 1/8 and 1/16."""
    return _build(SIZES["base"], num_classes, in_channels, causal=causal)


def sweepnet_base_control(num_classes: int, in_channels: int = 3) -> SweepNet:
    """`sweepnet_base` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _build(SIZES["base"], num_classes, in_channels, control=True)
