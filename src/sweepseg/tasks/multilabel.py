"""Every pixel may have any of K labels at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..metrics import MultilabelConfusionMatrix
from .checks import check_logits
from .task import Task


@dataclass(frozen=True)
class Multilabel(Task):
    """Yes or no for each pixel and each of ``num_classes`` classes, which may overlap, through sigmoids.

    Args:
        num_classes: Number of classes, at least 1.
        ignore_index: Target label of pixels that do not count, class by class.

    Raises:
        UsageError: ``num_classes`` is less than 1.

    >>> Multilabel(2).decode(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)).flatten()
    tensor([1, 1], dtype=torch.uint8)
    """

    num_classes: int
    ignore_index: int = 255
    name = "multilabel"
    channels = "multilabel"
    outlined = False

    def __post_init__(self):
        if self.num_classes < 1:
            raise UsageError(f"{self.num_classes} classes for task multilabel; name at least one")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probability of each class in float32, (B, num_classes, H, W); they do not add up to 1."""
        return logits.float().sigmoid()

    def decode(self, logits: Tensor) -> Tensor:
        """1 where a class is more likely than not, uint8 (B, num_classes, H, W).

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_logits(logits, self.num_logits)
        return (logits > 0).to(torch.uint8)

    def metric(self) -> MultilabelConfusionMatrix:
        """The metric that takes what ``decode`` returns and the target."""
        return MultilabelConfusionMatrix(self.num_classes, self.ignore_index)
