"""Every pixel is of what a sentence means, or it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..metrics_referring import ReferringScores
from .binary import Binary
from .task import Rows


@dataclass(frozen=True)
class Referring(Binary):
    """`Binary`, where a sentence says what the foreground is.

    A view is the whole picture as it is: a flip would make left right, a crop or a paste could add or take away what
    the sentence speaks of.

    Args:
        num_classes: 2, the background and what is meant.
        ignore_index: Target label of pixels that do not count.

    Raises:
        UsageError: ``num_classes`` is not 2.

    Source: Hu et al. 2016, arXiv:1603.06180.
    """

    name = "referring"
    family = "referring"
    outlined = False
    in_parts = False
    scores: ClassVar = {"overall_iou": "overall IoU", "mean_iou": "mean IoU", "precision_at_50": "precision@0.5"}
    without = frozenset(
        {
            *("crop", "scale", "flip", "flip_vertical", "rotate", "oversample_foreground", "cutmix", "clip_length"),
            *("teacher", "consistency", "class_weights"),
        }
    )

    def batch(
        self, images: Sequence[Tensor], targets: Sequence[Tensor], words: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """Pictures, masks and words (B, L).

        Smaller pictures are continued to the right and below by their border, which is ignored, shorter sentences by 0.
        """
        size = [max(image.shape[axis] for image in images) for axis in (-2, -1)]
        amounts = [(0, size[1] - image.shape[-1], 0, size[0] - image.shape[-2]) for image in images]
        wide = [F.pad(image, amount, mode="replicate") for image, amount in zip(images, amounts, strict=True)]
        ignored = [
            F.pad(target, amount, value=self.ignore_index) for target, amount in zip(targets, amounts, strict=True)
        ]
        return *super().batch(wide, ignored), pad_sequence([*words], batch_first=True)

    def metric(self) -> ReferringScores:
        """The metric that takes what ``decode`` returns and the target."""
        return ReferringScores(self.ignore_index)

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """All scores in a line."""
        return [", ".join(f"{label} {100 * scores[name].item():.1f}" for name, label in self.scores.items())]
