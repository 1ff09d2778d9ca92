"""Every pixel has exactly one of K labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..metrics import ConfusionMatrix
from .checks import check_logits
from .task import Task


@dataclass(frozen=True)
class Multiclass(Task):
    """One label out of ``num_classes`` for each pixel, through a softmax over as many logits.

    Args:
        num_classes: Number of labels, 2 to 255; index masks are bytes.
        ignore_index: Target label of pixels that do not count.

    Raises:
        UsageError: ``num_classes`` is out of range.

    >>> Multiclass(3).decode(torch.tensor([0.1, 2.0, -1.0]).view(1, 3, 1, 1))
    tensor([[[1]]], dtype=torch.uint8)
    """

    num_classes: int
    ignore_index: int = 255
    name = "multiclass"

    def __post_init__(self):
        if not 2 <= self.num_classes <= 255:
            raise UsageError(
                f"{self.num_classes} classes for task multiclass, which takes 2 to 255; "
                "one class against the background is task binary with the classes background and foreground"
            )

    def decode(self, logits: Tensor) -> Tensor:
        """The most likely label of each pixel, uint8 (B, H, W); the lower one of equals.

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_logits(logits, self.num_logits)
        return logits.argmax(1).to(torch.uint8)

    def metric(self) -> ConfusionMatrix:
        """The metric that takes what ``decode`` returns and the target."""
        return ConfusionMatrix(self.num_classes, self.ignore_index)
