"""What tasks that number objects have in common: the target, the scores and how they are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..errors import UsageError
from ..metrics import percent
from ..metrics_instances import InstanceScores
from .task import Rows, Task


@dataclass(frozen=True)
class Numbered(Task):
    """Objects of K classes that do not overlap; targets are number and class of the object of each pixel, (2, H, W).

    `decode` returns number, class and score of the object of each pixel, float32 (B, 3, H, W); numbers start from 1,
    and all three are 0 in the background.

    Args:
        num_classes: Number of classes of objects K, 1 to 254.
        ignore_index: Target label of pixels that do not count.

    Raises:
        UsageError: ``num_classes`` is out of range.
    """

    num_classes: int = 1
    ignore_index: int = -1
    outlined = False
    in_parts = False
    scores: ClassVar = {
        "ap50": "AP50",
        "box_ap50": "AP50 of boxes",
        "object_jaccard": "TP / (TP + FP + FN)",
        "symmetric_best_dice": "SBD",
        "count_error": "mean count error",
    }
    without = frozenset({"teacher", "consistency", "oversample_foreground", "cutmix", "clip_length", "class_weights"})

    def __post_init__(self):
        if not 1 <= self.num_classes <= 254:
            raise UsageError(f"{self.num_classes} classes for task {self.name}, which takes 1 to 254")

    @property
    def num_logits(self) -> int:
        """Those of the classes and two more."""
        return self.num_classes + 2

    def metric(self) -> InstanceScores:
        """The metric that takes what ``decode`` returns and the target."""
        return InstanceScores(self.num_classes, self.ignore_index)

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """Average precision class by class where there are several, then the scores of all."""
        *shares, errors = self.scores
        line = ", ".join(f"{self.scores[name]} {100 * scores[name].item():.1f}" for name in shares)
        line += f", {self.scores[errors]} {scores[errors].item():.2f}"
        if len(classes) == 1:
            return [line]
        rows = zip(classes, *(scores[f"class_{name}"].tolist() for name in shares[:2]), strict=True)
        head = ["class", *(self.scores[name] for name in shares[:2])]
        return [[head, *([name, *map(percent, values)] for name, *values in rows)], line]
