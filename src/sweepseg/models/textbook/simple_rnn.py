"""Values of pixels as tokens, two simple recurrent layers over them, and a dense layer at every pixel; and its control.

Each layer reads the picture in four directions. Along one path over all pixels the pixel above is a whole row of steps
away, which is more than a simple recurrent layer remembers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...cells import Elman
from ...layers.blocks import recurrent_stage
from ...layers.merge import Concat
from ...layers.stages import Local, StagedModel, Swept, check_num_classes
from ...layers.sweep import Sweep, Sweeps
from ...orders import FOUR_WAYS


class ValueEmbedding(nn.Module):
    """A learned vector for each value of a channel, summed over channels: (B, in, H, W) -> (B, out, H, W).

    Vectors are learned for a few values, the tokens; a vector between two of them lies on the line between theirs. So
    values that are close mean nearly the same, and a few tokens are enough for pictures of any number of values.

    Args:
        in_channels: Channels of the image.
        out_channels: Length of the vectors.
        tokens: How many values have a vector of their own, from -reach to reach at equal distances.
        reach: In units of the normalised image; what lies beyond counts as -reach or reach.
    """

    values: Tensor

    def __init__(self, in_channels: int, out_channels: int, *, tokens: int = 16, reach: float = 3.0):
        super().__init__()
        self.register_buffer("values", torch.linspace(-reach, reach, tokens), persistent=False)
        self.distance = 2 * reach / (tokens - 1)
        self.vectors = nn.Conv2d(in_channels * tokens, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Embed the values of a normalised image."""
        x = x.clamp(self.values[0], self.values[-1]).unsqueeze(2)
        shares = (1 - (x - self.values.view(-1, 1, 1)).abs() / self.distance).relu()  # (B, in, tokens, H, W)
        return self.vectors(shares.flatten(1, 2))


class SimpleRNN(StagedModel):
    """Simple recurrent layers over the pixels of the picture.

    Args:
        num_classes: Channels of the logits, 1 to 255.
        in_channels: Channels of the image.
        embedding: Length of the vector that stands for the values of a pixel.
        units: Channels of the recurrent layers, a quarter for each direction.
        dense: Channels of the layer before the logits.
        control: Replace each recurrent layer by a 7 x 7 depthwise convolution of as many parameters, with a ReLU.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        embedding: int,
        units: Sequence[int],
        dense: int,
        control: bool,
    ):
        check_num_classes(num_classes)
        stages: dict[str, Local | Swept] = {"tokens": Local(ValueEmbedding(in_channels, embedding), ["image"], halo=0)}
        source, channels = "tokens", embedding
        for i, hidden in enumerate(units, 1):
            layer = Sweeps([Sweep(Elman(channels, hidden // 4), order) for order in FOUR_WAYS], Concat())
            stages[f"recurrent{i}"] = recurrent_stage(source, channels, layer, hidden, control=control)
            source, channels = f"recurrent{i}", hidden
        stages["dense"] = Local(nn.Sequential(nn.Conv2d(channels, dense, 1), nn.ReLU()), [source], halo=0)
        stages["head"] = Local(nn.Conv2d(dense, num_classes, 1), ["dense"], halo=0)
        super().__init__(stages, total_stride=1, in_channels=in_channels)


def simple_rnn(num_classes: int, in_channels: int = 3) -> SimpleRNN:
    """About 6,000 parameters; simple recurrent layers of 64 and 32 units at every pixel, a dense layer of 16.

    >>> simple_rnn(11)(torch.zeros(1, 3, 9, 14)).shape
    torch.Size([1, 11, 9, 14])
    """
    return _simple_rnn(num_classes, in_channels, control=False)


def simple_rnn_control(num_classes: int, in_channels: int = 3) -> SimpleRNN:
    """`simple_rnn` with each recurrent layer replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _simple_rnn(num_classes, in_channels, control=True)


def _simple_rnn(num_classes: int, in_channels: int, *, control: bool) -> SimpleRNN:
    return SimpleRNN(num_classes, in_channels, embedding=16, units=(64, 32), dense=16, control=control)
