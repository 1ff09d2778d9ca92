"""A model as an ordered list of stages, so that whole pictures and strips of rows run the same description."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}  # of memory, by the dimensions of a map


class Local(nn.Module):
    """A stage whose output rows see only nearby input rows.

    Args:
        module: Maps its inputs, all (B, C, H, W) of one height and width, to one map.
        inputs: Names of earlier stages, or "image".
        halo: Input rows that an output row sees beyond its own place, above and below.
        stride: Input rows that one output row stands for.
        upscale: Output rows that one input row becomes.
    """

    def __init__(self, module: nn.Module, inputs: Sequence[str], *, halo: int, stride: int = 1, upscale: int = 1):
        super().__init__()
        self.module, self.inputs = module, tuple(inputs)
        self.halo, self.stride, self.upscale = halo, stride, upscale

    def forward(self, *maps: Tensor) -> Tensor:
        """Run the module."""
        return self.module(*maps)


class Swept(nn.Module):
    """A stage that is pointwise but for sweeps, and so carries a state from strip to strip.

    Args:
        module: Maps (map, state) to (map, state), height and width kept.
        inputs: The name of one earlier stage.
        strips: Whether carrying the state downwards is all it needs; otherwise it needs the whole map.
    """

    def __init__(self, module: nn.Module, inputs: Sequence[str], *, strips: bool):
        super().__init__()
        self.module, self.inputs, self.strips = module, tuple(inputs), strips

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Run the module from the state after the rows above; None at the top of the picture."""
        return self.module(x, state)


class StagedModel(nn.Module):
    """A segmentation network as an ordered list of stages; the last one gives the logits.

    Args:
        stages: Name -> stage, each using only earlier names or "image".
        total_stride: The image is padded once, below and to the right by replication, to a multiple of this.
        in_channels: Channels of the image.
        dimensions: 2 for images, 3 for volumes (B, in_channels, D, H, W), which are padded behind too.
    """

    def __init__(
        self, stages: Mapping[str, Local | Swept], *, total_stride: int, in_channels: int, dimensions: Literal[2, 3] = 2
    ):
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.total_stride, self.in_channels, self.dimensions = total_stride, in_channels, dimensions

    @property
    def streamable(self) -> bool:
        """Whether the model can run on strips of rows from the top with bounded memory; volumes have no rows."""
        return self.dimensions == 2 and all(stage.strips for stage in self.stages.values() if isinstance(stage, Swept))

    def forward(self, image: Tensor) -> Tensor:
        """Segment images.

        Args:
            image: (B, in_channels, H, W) of any height and width, normalised as in training; (B, in_channels, D, H, W)
                where ``dimensions`` is 3.

        Returns:
            logits (B, num_classes, H, W), or (B, num_classes, D, H, W).
        """
        return self.run_stages(image, map_of)

    def run_stages(self, image: Tensor, run: Callable[[str, Local | Swept, list[Tensor]], Tensor]) -> Tensor:
        """`forward` with ``run(name, stage, inputs) -> map`` in place of calling the stages."""
        check_image(image, self.in_channels, self.dimensions)
        maps = {"image": padded(image, self.total_stride)}
        last = ""
        for last, stage in self.stages.items():
            assert isinstance(stage, Local | Swept)
            maps[last] = run(last, stage, [maps[name] for name in stage.inputs])
        return cropped(maps[last], image.shape[2:])


def map_of(name: str, stage: Local | Swept, inputs: list[Tensor]) -> Tensor:
    """The map that a stage makes of its inputs, from the top of the picture."""
    return stage(*inputs)[0] if isinstance(stage, Swept) else stage(*inputs)


def dimensions_of(network: nn.Module) -> int:
    """2 where a network takes images (B, C, H, W), 3 where it takes volumes (B, C, D, H, W)."""
    return getattr(network, "dimensions", 2)


def padded(image: Tensor, multiple: int) -> Tensor:
    """An image (B, C, H, W) or volume (B, C, D, H, W), each axis continued by replication to a multiple."""
    amounts = [amount for length in reversed(image.shape[2:]) for amount in (0, -length % multiple)]
    return F.pad(image, amounts, mode="replicate") if any(amounts) else image


def cropped(x: Tensor, size: Sequence[int]) -> Tensor:
    """The beginning of a map (B, C, ...) along each axis, a view of this size."""
    for axis, length in enumerate(size, 2):
        x = x.narrow(axis, 0, length)
    return x


def check_image(image: Tensor, in_channels: int, dimensions: int = 2) -> None:
    """Raise a ValueError unless ``image`` is (B, in_channels, H, W), or (B, in_channels, D, H, W), and not empty."""
    if image.dim() != 2 + dimensions or image.shape[1] != in_channels or 0 in image.shape[2:]:
        shape, what = tuple(image.shape), "an image" if dimensions == 2 else "a volume"
        axes, least = ("H, W", "H and W") if dimensions == 2 else ("D, H, W", "D, H and W")
        raise ValueError(f"got {what} tensor of shape {shape}; give (B, {in_channels}, {axes}) with {least} at least 1")


def check_num_classes(num_classes: int) -> None:
    """Raise a ValueError unless ``num_classes`` is 1 to 255: index masks are bytes, and 255 means ignored."""
    if not 1 <= num_classes <= 255:
        raise ValueError(f"num_classes is {num_classes}; give 1 to 255")
