"""Networks for video: a segmentation network some of whose stages are followed by a recurrence over time.

The recurrence is a residual, so that training begins with the network for single pictures, and a picture is a video of
one frame: whatever takes a `StagedModel` takes these too.

Source: a convolutional GRU or LSTM between encoder and decoder, as in Valipour et al. 2016, "Recurrent Fully
Convolutional Networks for Video Segmentation", arXiv:1606.00487; the residual and its start at zero are ours.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from ..cells.conv_gru import ConvGRU
from ..layers.blocks import DepthwiseMixer, count_parameters, start_at_zero
from ..layers.conv_rnn import ConvRNN, check_video
from ..layers.stages import Local, StagedModel, Swept, map_of
from .sweepnet import sweepnet_small

State = dict[str, Tensor | tuple[Tensor, ...]]  # of each stage that carries something from frame to frame


def detached(state: State) -> State:
    """The state without its history, so that gradients end here."""
    return {
        name: part.detach() if isinstance(part, Tensor) else tuple(one.detach() for one in part)
        for name, part in state.items()
    }


class TimeBlock(nn.Module):
    """A residual recurrence over time, which starts as the identity: x + project(recurrence(x)).

    Args:
        recurrence: Maps (clip, state) to (clip, state), (B, T, channels, H, W) to (B, T, hidden_size, H, W); a
            `ConvRNN` or `PixelRNN`.
        hidden_size: Channels of its output.
        channels: Channels of the map that goes in and comes out.
    """

    def __init__(self, recurrence: nn.Module, hidden_size: int, channels: int):
        super().__init__()
        self.recurrence, self.project = recurrence, nn.Conv2d(hidden_size, channels, 1)
        start_at_zero(self.project)

    def forward(self, clip: Tensor, state=None) -> tuple[Tensor, object]:
        """(B, T, channels, H, W) and the state -> the same shape and the new state."""
        output, state = self.recurrence(clip, state)
        return clip + self.project(output.flatten(0, 1)).unflatten(0, clip.shape[:2]), state


class FrameBlock(nn.Module):
    """The no-recurrence control of `TimeBlock`: x + mixer(x), frame by frame.

    Args:
        block: The block it stands for, whose parameters it has as closely as whole channels allow.
        channels: Channels of the map (B, channels, H, W) that goes in and comes out.
    """

    halo = DepthwiseMixer.halo

    def __init__(self, block: TimeBlock, channels: int):
        super().__init__()
        self.mixer = DepthwiseMixer(channels, parameters=count_parameters(block))
        start_at_zero(self.mixer.leave)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return x + self.mixer(x)[0]


class Timed(Local):
    """A stage that also carries a state from frame to frame; without one, in a single picture, it is local.

    Args:
        block: Maps (clip, state) to (clip, state).
        inputs: The name of one earlier stage.
        halo: Rows that an output row sees beyond its own place within one frame, above and below.
    """

    def forward(self, *maps: Tensor) -> Tensor:
        """The first frame of a video, (B, C, H, W) -> (B, C, H, W)."""
        (x,) = maps
        return self.module(x.unsqueeze(1))[0].squeeze(1)


class VideoModel(StagedModel):
    """A segmentation network with memory of earlier frames.

    Args:
        model: A network for single pictures; it is taken apart.
        blocks: Name of a stage -> the `TimeBlock` that follows it, or its `FrameBlock`.
        halo: Rows that a `TimeBlock` sees beyond a row's own place within one frame: the cell's kernel // 2.

    Raises:
        ValueError: The network has no stage of such a name, or it is the last.
    """

    def __init__(self, model: StagedModel, blocks: Mapping[str, TimeBlock | FrameBlock], *, halo: int = 0):
        last = [*model.stages][-1]
        for name in blocks:
            if name not in model.stages or name == last:
                raise ValueError(f"no stage {name!r} to follow; choose from {', '.join([*model.stages][:-1])}")
        stages: dict[str, Local | Swept] = {}
        for name, stage in model.stages.items():
            assert isinstance(stage, Local | Swept)
            stage.inputs = tuple(f"{source}_time" if source in blocks else source for source in stage.inputs)
            stages[name] = stage
            if name in blocks:
                block = blocks[name]
                stages[f"{name}_time"] = (
                    Timed(block, [name], halo=halo)
                    if isinstance(block, TimeBlock)
                    else Local(block, [name], halo=block.halo)
                )
        super().__init__(stages, total_stride=model.total_stride, in_channels=model.in_channels)

    @property
    def remembers(self) -> bool:
        """Whether it carries a state from frame to frame; the control does not."""
        return any(isinstance(stage, Timed) for stage in self.stages.values())

    def run(self, clip: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Segment the next frames of videos; what is not recurrent over time takes all of them at once.

        Args:
            clip: (B, T, in_channels, H, W), normalised as in training; T = 1 for frame by frame.
            state: What the call for the frames before returned, for videos of this height and width; None where a
                video begins.

        Returns:
            logits (B, T, num_classes, H, W), those that single frames would give one after the other, and the state.

        Raises:
            ValueError: The clip has another shape.
        """
        check_video(clip)
        before, after = state or {}, State()

        def run(name: str, stage: Local | Swept, inputs: list[Tensor]) -> Tensor:
            if not isinstance(stage, Timed):
                return map_of(name, stage, inputs)
            output, after[name] = stage.module(inputs[0].unflatten(0, clip.shape[:2]), before.get(name))
            return output.flatten(0, 1)

        logits = self.run_stages(clip.flatten(0, 1), run)
        return logits.unflatten(0, clip.shape[:2]), after


def sweepnet_small_video(num_classes: int, in_channels: int = 3) -> VideoModel:
    """`sweepnet_small` with a ConvGRU over time at 1/8 and 1/16, about 1.2 M parameters.

    >>> import torch
    >>> logits, state = sweepnet_small_video(11).run(torch.zeros(1, 2, 3, 45, 70))
    >>> logits.shape, [*state]
    (torch.Size([1, 2, 11, 45, 70]), ['context8_norm_time', 'context16_norm_time'])
    """
    return _small(num_classes, in_channels, lambda block, channels: block)


def sweepnet_small_video_control(num_classes: int, in_channels: int = 3) -> VideoModel:
    """`sweepnet_small_video` without memory: a 7 x 7 depthwise convolution of as many parameters for each ConvGRU."""
    return _small(num_classes, in_channels, FrameBlock)


def _small(num_classes: int, in_channels: int, block: Callable[[TimeBlock, int], TimeBlock | FrameBlock]) -> VideoModel:
    blocks = {}
    for name, channels in (("context8_norm", 96), ("context16_norm", 128)):
        hidden = channels // 4
        blocks[name] = block(TimeBlock(ConvRNN(ConvGRU(channels, hidden, 3)), hidden, channels), channels)
    return VideoModel(sweepnet_small(num_classes, in_channels), blocks, halo=1)
