"""SweepNet for volumes: an encoder-decoder whose lower resolutions are swept in six directions, and its control.

As `sweepnet`, with a dimension more: convolutions keep the volume's resolution and bring it to 1/2 and 1/4, where
`ContextBlock`s sweep MinGRU cells both ways along each axis, so every voxel sees the whole volume at linear cost. It
stops at 1/4, because organs that are cut out of a scan are some 30 to 60 voxels wide.

Source: six sweeps over a volume, one for each face, are PyraMiD-LSTM's (Stollenga et al. 2015, arXiv:1506.07452), whose
LSTM sees a neighbourhood of the line before; here each line is by itself and the cell is that of `sweepnet`.
"""

from collections.abc import Sequence

from ..layers.blocks import BATCH_NORM, CONV, ConvNorm, ResidualConv, volume_context_stage
from ..layers.stages import Local, StagedModel, Swept, check_num_classes
from .sweepnet import Fuse, Upscale


class VolumeSweepNet(StagedModel):
    """Encoder-decoder over volumes with sweeps at 1/2 and 1/4 of the resolution.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the volume.
        widths: Channels at 1, 1/2 and 1/4.
        blocks: Context blocks at 1/2 and 1/4.
        control: Replace the sweeps by 7 x 7 x 7 depthwise convolutions of as many parameters.
    """

    def __init__(
        self, num_classes: int, in_channels: int = 1, *, widths: Sequence[int], blocks: Sequence[int], control: bool
    ):
        check_num_classes(num_classes)
        c1, c2, c4 = widths
        stages: dict[str, Local | Swept] = {
            "conv1": Local(ConvNorm(in_channels, c1, dimensions=3), ["image"], halo=1),
            "down2": Local(ConvNorm(c1, c2, stride=2, dimensions=3), ["conv1"], halo=1, stride=2),
            "conv2": Local(ResidualConv(c2, dimensions=3), ["down2"], halo=ResidualConv.halo),
        }
        at2 = _add_context(stages, "context2", "conv2", c2, blocks[0], control)
        stages["down4"] = Local(ConvNorm(c2, c4, stride=2, dimensions=3), [at2], halo=1, stride=2)
        stages["conv4"] = Local(ResidualConv(c4, dimensions=3), ["down4"], halo=ResidualConv.halo)
        at4 = _add_context(stages, "context4", "conv4", c4, blocks[1], control)
        stages["up2"] = Local(Upscale(c4, c2, dimensions=3), [at4], halo=1, upscale=2)
        stages["fuse2"] = Local(Fuse(c2, c2, dimensions=3), ["up2", at2], halo=1)
        stages["up1"] = Local(Upscale(c2, c1, dimensions=3), ["fuse2"], halo=1, upscale=2)
        stages["fuse1"] = Local(Fuse(c1, c1, dimensions=3), ["up1", "conv1"], halo=1)
        stages["head"] = Local(CONV[3](c1, num_classes, 1), ["fuse1"], halo=0)
        super().__init__(stages, total_stride=4, in_channels=in_channels, dimensions=3)


def _add_context(
    stages: dict[str, Local | Swept], name: str, source: str, channels: int, count: int, control: bool
) -> str:
    """Append ``count`` context blocks and a closing norm after the stage ``source``; return the name of the last."""
    for i in range(count):
        stages[f"{name}_{i}"] = volume_context_stage(source, channels, channels // 4, control=control)
        source = f"{name}_{i}"
    stages[f"{name}_norm"] = Local(BATCH_NORM[3](channels), [source], halo=0)  # a residual sum grows with its depth
    return f"{name}_norm"


def sweepnet_volume_small(num_classes: int, in_channels: int = 1) -> VolumeSweepNet:
    """For volumes: about 0.5 M parameters; MinGRU sweeps in six directions at 1/2 and 1/4.

    >>> import torch
    >>> sweepnet_volume_small(3)(torch.zeros(1, 1, 9, 14, 7)).shape
    torch.Size([1, 3, 9, 14, 7])
    """
    return _small(num_classes, in_channels, control=False)


def sweepnet_volume_small_control(num_classes: int, in_channels: int = 1) -> VolumeSweepNet:
    """`sweepnet_volume_small` with each sweep replaced by a 7 x 7 x 7 depthwise convolution of as many parameters."""
    return _small(num_classes, in_channels, control=True)


def _small(num_classes: int, in_channels: int, *, control: bool) -> VolumeSweepNet:
    return VolumeSweepNet(num_classes, in_channels, widths=(16, 32, 64), blocks=(1, 2), control=control)
