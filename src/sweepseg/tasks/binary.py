"""Every pixel is background or foreground."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from ..errors import UsageError
from ..metrics import BinaryConfusionMatrix
from .checks import check_logits
from .task import Task


@dataclass(frozen=True)
class Binary(Task):
    """Background (0) or foreground (1) for each pixel, through the sigmoid of one logit.

    Args:
        num_classes: 2, the background and the foreground.
        ignore_index: Target label of pixels that do not count.

    Raises:
        UsageError: ``num_classes`` is not 2.

    >>> Binary().decode(torch.tensor([[[[-1.0, 0.0, 1.0]]]]))
    tensor([[[0, 0, 1]]], dtype=torch.uint8)
    """

    num_classes: int = 2
    ignore_index: int = 255
    name = "binary"
    channels = "binary"
    num_logits = 1

    def __post_init__(self):
        if self.num_classes != 2:
            raise UsageError(
                f"{self.num_classes} classes for task binary, which has two, background and foreground; "
                "name both, or use task multiclass or multilabel"
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probability of the foreground in float32, (B, 1, H, W)."""
        return logits.float().sigmoid()

    def decode(self, logits: Tensor) -> Tensor:
        """1 where the foreground is more likely than not, uint8 (B, H, W).

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_logits(logits, self.num_logits)
        return (logits[:, 0] > 0).to(torch.uint8)

    def metric(self) -> Metric:
        """The metric that takes what ``decode`` returns and the target."""
        return BinaryConfusionMatrix(self.ignore_index)
