"""A model as an ordered list of stages, so that whole pictures and strips of rows run the same description."""

from collections.abc import Callable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn


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
    """

    def __init__(self, stages: Mapping[str, Local | Swept], *, total_stride: int, in_channels: int):
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.total_stride, self.in_channels = total_stride, in_channels

    @property
    def streamable(self) -> bool:
        """Whether the model can run on strips of rows from the top with bounded memory."""
        return all(stage.strips for stage in self.stages.values() if isinstance(stage, Swept))

    def forward(self, image: Tensor) -> Tensor:
        """Segment images.

        Args:
            image: (B, in_channels, H, W) of any height and width, normalised as in training.

        Returns:
            logits (B, num_classes, H, W).
        """
        return self.run_stages(image, map_of)

    def run_stages(self, image: Tensor, run: Callable[[str, Local | Swept, list[Tensor]], Tensor]) -> Tensor:
        """`forward` with ``run(name, stage, inputs) -> map`` in place of calling the stages."""
        check_image(image, self.in_channels)
        height, width = image.shape[-2:]
        padding = (-width % self.total_stride, -height % self.total_stride)
        maps = {"image": F.pad(image, (0, padding[0], 0, padding[1]), mode="replicate") if any(padding) else image}
        last = ""
        for last, stage in self.stages.items():
            assert isinstance(stage, Local | Swept)
            maps[last] = run(last, stage, [maps[name] for name in stage.inputs])
        return maps[last][..., :height, :width]


def map_of(name: str, stage: Local | Swept, inputs: list[Tensor]) -> Tensor:
    """The map that a stage makes of its inputs, from the top of the picture."""
    return stage(*inputs)[0] if isinstance(stage, Swept) else stage(*inputs)


def check_image(image: Tensor, in_channels: int) -> None:
    """Raise a ValueError unless ``image`` is (B, in_channels, H, W) and not empty."""
    if image.dim() != 4 or image.shape[1] != in_channels or 0 in image.shape[-2:]:
        shape = tuple(image.shape)
        raise ValueError(f"got an image tensor of shape {shape}; give (B, {in_channels}, H, W) with H and W at least 1")


def check_num_classes(num_classes: int) -> None:
    """Raise a ValueError unless ``num_classes`` is 1 to 255: index masks are bytes, and 255 means ignored."""
    if not 1 <= num_classes <= 255:
        raise ValueError(f"num_classes is {num_classes}; give 1 to 255")
