"""Referring segmentation: a GRU reads the sentence, and what it read steers the sweeps over the picture; two controls.

The sentence scales and shifts the channels of the map before each context block and of the decoder, so that "left of
the three" can make one block mark the three and the next sweep away from it.

Source: Hu, Rohrbach and Darrell 2016, "Segmentation from Natural Language Expressions", arXiv:1603.06180 (a recurrent
encoding of the sentence, joined to the map at every place), and Liu et al. 2017, "Recurrent Multimodal Interaction for
Referring Image Segmentation", arXiv:1703.07939 (several steps of it). The sentence is joined as in Perez et al. 2018,
"FiLM: Visual Reasoning with a General Conditioning Layer", arXiv:1709.07871; encoder and decoder are SweepNet's.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from ..cells import GRU, MinGRU
from ..data.words import FIRST
from ..layers.blocks import ContextBlock, ConvNorm, DepthwiseMixer, ResidualConv, SweepMixer, count_parameters
from ..layers.merge import Concat
from ..layers.stages import check_image, check_num_classes, cropped, padded
from ..layers.sweep import Sweep, Sweeps
from ..orders import FOUR_WAYS
from .sweepnet import Fuse, Upscale

STRIDE = 8  # to multiples of which the image is padded


class Reader(nn.Module):
    """What a sentence says, as the state of a GRU after its last word; zeros where there is none.

    Args:
        num_words: Numbers that words can have; 0 stands for no word and fills up sentences at their end.
        embedding: Channels of a word.
        units: Units of the GRU.
    """

    def __init__(self, num_words: int, embedding: int, units: int):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(num_words, embedding, padding_idx=0), GRU(embedding, units)

    def forward(self, words: Tensor) -> Tensor:
        """(B, L) int64 -> (B, units)."""
        states, _ = self.cell(self.embedding(words))  # (B, L, units)
        states = nn.functional.pad(states, (0, 0, 1, 0))
        return states[torch.arange(len(words), device=words.device), (words != 0).sum(1)]


class Modulation(nn.Module):
    """Scale and shift each channel as the sentence says (FiLM); at first hardly.

    Args:
        units: Of the `Reader`.
        channels: Channels C of the map.
    """

    def __init__(self, units: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(units, 2 * channels)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """(B, C, H, W) and (B, units) -> (B, C, H, W)."""
        scale, shift = self.linear(said)[..., None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class Step(nn.Module):
    """A context block over a map that the sentence has modulated.

    Args:
        channels: Channels C of the map.
        units: Of the `Reader`.
        control: Replace the sweeps by 7 x 7 depthwise convolutions of as many parameters.
    """

    def __init__(self, channels: int, units: int, *, control: bool):
        super().__init__()
        sweeps = [Sweep(MinGRU(channels, channels // 4), order) for order in FOUR_WAYS]
        mixer: nn.Module = SweepMixer(Sweeps(sweeps, Concat()), channels // 4 * len(sweeps), channels)
        if control:
            mixer = DepthwiseMixer(channels, parameters=count_parameters(mixer))
        self.modulation, self.block = Modulation(units, channels), ContextBlock(channels, mixer)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """(B, C, H, W) and (B, units) -> (B, C, H, W)."""
        return self.block(self.modulation(x, said))[0]


class ReferringSweepNet(nn.Module):
    """Encoder-decoder with sweeps at 1/4 and 1/8 of the picture, which a sentence modulates.

    Args:
        num_classes: Channels of the logits.
        in_channels: Channels of the image.
        num_words: Numbers that words can have, see `data.words`.
        widths: Channels at 1/2, 1/4 and 1/8.
        blocks: Context blocks at 1/4 and 1/8.
        units: Units of the GRU that reads; half as many channels has a word.
        control: Replace the sweeps by 7 x 7 depthwise convolutions of as many parameters.
        wordless: Replace the sentence by nothing.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        num_words: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        units: int,
        control: bool = False,
        wordless: bool = False,
    ):
        super().__init__()
        check_num_classes(num_classes)
        if num_words < FIRST:
            raise ValueError(f"num_words is {num_words}; give at least {FIRST}, for no word and for unknown ones")
        c2, c4, c8 = widths
        self.in_channels, self.units = in_channels, units
        self.reader = None if wordless else Reader(num_words, units // 2, units)
        self.down2, self.down4, self.down8 = (
            ConvNorm(a, b, stride=2) for a, b in ((in_channels, c2), (c2, c4), (c4, c8))
        )
        self.conv4, self.conv8 = ResidualConv(c4), ResidualConv(c8)
        self.context4 = nn.ModuleList(Step(c4, units, control=control) for _ in range(blocks[0]))
        self.context8 = nn.ModuleList(Step(c8, units, control=control) for _ in range(blocks[1]))
        self.norm4, self.norm8 = nn.BatchNorm2d(c4), nn.BatchNorm2d(c8)
        self.up4, self.modulation4, self.fuse4 = Upscale(c8, c4), Modulation(units, c4), Fuse(c4, c4)
        self.up2, self.fuse2 = Upscale(c4, c2), Fuse(c2, c2)
        self.head = Upscale(c2, num_classes)

    def forward(self, image: Tensor, words: Tensor | None = None) -> Tensor:
        """Logits (B, num_classes, H, W) of images (B, in_channels, H, W) and sentences (B, L) int64.

        Without a sentence the network is told nothing, as by a sentence of no words.
        """
        check_image(image, self.in_channels)
        said = image.new_zeros(len(image), self.units)
        if words is not None and self.reader is not None:
            said = self.reader(words)
        at2 = self.down2(padded(image, STRIDE))
        at4 = self.conv4(self.down4(at2))
        for step in self.context4:
            at4 = step(at4, said)
        at4 = self.norm4(at4)
        x = self.conv8(self.down8(at4))
        for step in self.context8:
            x = step(x, said)
        x = self.modulation4(self.up4(self.norm8(x)), said)
        x = self.fuse2(self.up2(self.fuse4(x, at4)), at2)
        return cropped(self.head(x), image.shape[2:])


class Size(TypedDict):
    """What a size decides."""

    widths: Sequence[int]
    blocks: Sequence[int]
    units: int


SIZE: Size = {"widths": (32, 64, 96), "blocks": (2, 3), "units": 128}


def sweepnet_referring(num_classes: int, in_channels: int = 3, *, num_words: int = FIRST) -> ReferringSweepNet:
    """About 0.8 M parameters; told by a sentence what to find.

    Args:
        num_classes: Channels of the logits, 1 for background and object.
        in_channels: Channels of the image.
        num_words: Numbers that words can have, at least 2; training counts them.

    >>> sweepnet_referring(1, num_words=30)(torch.zeros(1, 3, 45, 70), torch.tensor([[2, 7, 3]])).shape
    torch.Size([1, 1, 45, 70])
    """
    return ReferringSweepNet(num_classes, in_channels, num_words=num_words, **SIZE)


def sweepnet_referring_control(num_classes: int, in_channels: int = 3, *, num_words: int = FIRST) -> ReferringSweepNet:
    """`sweepnet_referring` with each sweep replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return ReferringSweepNet(num_classes, in_channels, num_words=num_words, **SIZE, control=True)


def sweepnet_referring_wordless(num_classes: int, in_channels: int = 3, *, num_words: int = FIRST) -> ReferringSweepNet:
    """`sweepnet_referring` that does not read the sentence: how far the pictures alone lead."""
    return ReferringSweepNet(num_classes, in_channels, num_words=num_words, **SIZE, wordless=True)
