"""Metrics of what is said of images as wholes: their class, or what they read; counts are pooled over the data set."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from .metrics import ConfusionMatrix


class ClassMatrix(ConfusionMatrix):
    """Counts of (true, predicted) classes of images, and the scores that follow from them.

    ``compute()`` returns ``accuracy`` (top-1) and ``error``, its complement; for each class (K,) ``class_accuracy``,
    the share of its images that were recognised, and ``precision``, the share of those taken for it that were of it;
    ``mean_class_accuracy``; and the ``matrix`` (K, K), row = true, column = predicted. A class without an image to be
    measured by is NaN and stands outside the mean.

    Args:
        num_classes: Number of classes K.
        ignore_index: True class of images that do not count.

    >>> metric = ClassMatrix(num_classes=2)
    >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]))
    >>> metric.compute()["accuracy"]
    tensor(0.7500, dtype=torch.float64)
    """

    def __init__(self, num_classes: int, ignore_index: int = -1):
        super().__init__(num_classes, ignore_index)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        scores, hits = super().compute(), self.matrix.diag().double()
        return {
            "accuracy": scores["global_accuracy"],
            "error": 1 - scores["global_accuracy"],
            "mean_class_accuracy": scores["mean_class_accuracy"],
            "class_accuracy": scores["class_accuracy"],
            "precision": hits / self.matrix.sum(0),
            "matrix": self.matrix,
        }


class TextErrors(Metric):
    """Texts that are read right, and the characters that have to be changed in those that are not.

    ``compute()`` returns ``string_accuracy``, the share of texts without any fault, and ``character_error_rate``: the
    insertions, deletions and replacements that turn what was read into the truth, over the characters of the truth.
    Both are NaN without any text.

    Args:
        ignore_index: What fills up texts to one length.

    >>> metric = TextErrors()
    >>> metric.update(torch.tensor([[1, 2, 3], [4, -1, -1]]), torch.tensor([[1, 3], [4, -1]]))
    >>> {name: score.item() for name, score in metric.compute().items()}
    {'string_accuracy': 0.5, 'character_error_rate': 0.3333333333333333}
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False
    counts: Tensor

    def __init__(self, ignore_index: int = -1):
        super().__init__()
        self.ignore_index = ignore_index
        # texts, right ones, characters, faults
        self.add_state("counts", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, read: Tensor, target: Tensor) -> None:
        """Add texts: what was ``read``, int64 (B, any), and the truth (B, any).

        Raises:
            ValueError: They are not as many.
        """
        if len(read) != len(target):
            raise ValueError(f"{len(read)} texts were read, {len(target)} are there; give as many of both")
        for ours, theirs in zip(read.tolist(), target.tolist(), strict=True):
            ours, theirs = ([one for one in text if one != self.ignore_index] for text in (ours, theirs))
            faults = edit_distance(ours, theirs)
            self.counts += torch.tensor([1, faults == 0, len(theirs), faults], device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        texts, right, characters, faults = self.counts.double()
        rate = faults / characters if characters else faults * math.nan
        return {"string_accuracy": right / texts, "character_error_rate": rate}


def edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements that turn one sequence into the other.

    Source: Wagner and Fischer 1974, The String-to-String Correction Problem, Journal of the ACM 21(1).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = [*range(len(second) + 1)]  # distances of the beginnings of ``second`` from that of ``first`` so far
    for i, one in enumerate(first, 1):
        above, row = row, [i]
        for j, other in enumerate(second, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (one != other)))
    return row[-1]
