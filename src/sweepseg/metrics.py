"""Segmentation metrics that pool their counts over a whole data set: the same answer for any batching.

``compute()`` returns a dictionary, computed from the counts of all ranks. A class that has nothing to be measured by is
NaN and stands outside every mean.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class ConfusionMatrix(Metric):
    """Counts of (target, predicted) label pairs, and the scores that follow from them.

    ``compute()`` returns per-class tensors (K,), with TP, FP and FN the hits, false pixels and misses of a class,

    - ``iou``: TP / (TP + FP + FN)
    - ``dice``: 2 TP / (2 TP + FP + FN)
    - ``class_accuracy``: TP / (TP + FN), also known as recall

    and scalars: ``mean_iou``, ``mean_dice``, ``mean_class_accuracy``, and ``global_accuracy``, the share of pixels with
    the right label. A class is NaN in ``iou`` and ``dice`` where it is neither in the targets nor predicted, and in
    ``class_accuracy`` where it is not in the targets.

    Args:
        num_classes: Number of labels K.
        ignore_index: Target label of pixels that do not count.

    Attributes:
        matrix: Counts (K, K), int64; row = target, column = predicted.

    >>> metric = ConfusionMatrix(num_classes=3)
    >>> metric.update(torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0, 1], [1, 255]]))
    >>> metric.compute()["iou"]
    tensor([0.5000, 0.5000,    nan], dtype=torch.float64)
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    matrix: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255):
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.add_state("matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, mask: Tensor, target: Tensor) -> None:
        """Add the pixels of predicted labels ``mask`` and true labels ``target``, integers of one shape.

        Raises:
            ValueError: Shapes differ, or a label that counts is not in 0 to K-1.
        """
        mask, target = _labels_that_count(mask, target, self.num_classes, self.ignore_index)
        pairs = torch.bincount(target * self.num_classes + mask, minlength=self.num_classes**2)
        self.matrix += pairs.view_as(self.matrix)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        hits = self.matrix.diag()
        return _scores(hits, false=self.matrix.sum(0) - hits, missed=self.matrix.sum(1) - hits, matrix=self.matrix)


class BinaryConfusionMatrix(ConfusionMatrix):
    """The confusion matrix of background (0) and foreground (1).

    ``compute()`` adds the scalars ``foreground_iou`` and ``foreground_dice``; the means are over both labels.

    Args:
        ignore_index: Target label of pixels that do not count.
    """

    def __init__(self, ignore_index: int = 255):
        super().__init__(2, ignore_index)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        scores = super().compute()
        return scores | {"foreground_iou": scores["iou"][1], "foreground_dice": scores["dice"][1]}


class MultilabelConfusionMatrix(Metric):
    """One 2 x 2 confusion matrix for each of K classes that may overlap.

    ``compute()`` has the keys of ``ConfusionMatrix``; ``global_accuracy`` is the share of right labels of all classes.

    Args:
        num_classes: Number of classes K.
        ignore_index: Target label of pixels that do not count, class by class.

    Attributes:
        matrix: Counts (K, 2, 2), int64; row = target, column = predicted.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    matrix: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255):
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.add_state("matrix", torch.zeros(num_classes, 2, 2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, mask: Tensor, target: Tensor) -> None:
        """Add the labels of ``mask`` and ``target``, both (B, K, H, W) of 0 and 1.

        Raises:
            ValueError: Shapes differ, the channels are not K, or a label that counts is neither 0 nor 1.
        """
        wanted = (len(mask), self.num_classes, *mask.shape[2:])
        if mask.ndim != 4 or mask.shape != wanted or target.shape != wanted:
            raise ValueError(
                f"mask has shape {tuple(mask.shape)}, target {tuple(target.shape)}; "
                f"give both as (batch, {self.num_classes}, rows, columns)"
            )
        for matrix, class_mask, class_target in zip(self.matrix, mask.unbind(1), target.unbind(1), strict=True):
            labels, truth = _labels_that_count(class_mask, class_target, 2, self.ignore_index)
            matrix += torch.bincount(truth * 2 + labels, minlength=4).view(2, 2)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        hits, false, missed = self.matrix[:, 1, 1], self.matrix[:, 0, 1], self.matrix[:, 1, 0]
        return _scores(hits, false=false, missed=missed, matrix=self.matrix.sum(0))


class BoundaryF1(Metric):
    """F1 of class boundaries that may lie a little off: how well outlines are drawn, whatever the areas.

    A boundary pixel of a class has one of its four neighbours outside the class; the image's edge and ignored pixels
    make no boundary. A predicted boundary pixel is right if a true one of its class lies within the tolerance
    (Euclidean distance of the centres), and a true one is found if a predicted one does. ``compute()`` returns
    ``boundary_f1``, 2 P R / (P + R) for each class (K,), from precision P and recall R pooled over all images, and its
    mean ``mean_boundary_f1``. A class with no boundary in the targets nor in the masks is NaN.

    Args:
        num_classes: Number of labels K.
        tolerance: Distance as a fraction of the image diagonal. Below 1 pixel only exact hits count.
        ignore_index: Target label of pixels that do not count.

    Source: Csurka et al. 2013, What is a good evaluation measure for semantic segmentation?, section 3, which averages
    over images; pooled as in Martin et al. 2004.

    >>> metric = BoundaryF1(num_classes=2, tolerance=0.2)  # 1.4 pixels here
    >>> target = torch.tensor([[[0, 0, 0, 1, 1]]]).repeat(1, 5, 1)
    >>> metric.update(target.roll(1, dims=2), target)  # one pixel off, and a false column of 1 at the left
    >>> metric.compute()["boundary_f1"]
    tensor([1.0000, 0.6667], dtype=torch.float64)
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    right: Tensor
    predicted: Tensor
    found: Tensor
    true: Tensor

    def __init__(self, num_classes: int, tolerance: float = 0.0075, ignore_index: int = 255):
        super().__init__()
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.ignore_index = ignore_index
        for name in ("right", "predicted", "found", "true"):
            self.add_state(name, torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, mask: Tensor, target: Tensor) -> None:
        """Add whole images: predicted labels ``mask`` and true labels ``target``, integers (B, H, W).

        Raises:
            ValueError: Shapes differ or are not (B, H, W), or a label that counts is not in 0 to K-1.
        """
        if mask.ndim != 3:
            raise ValueError(f"mask has shape {tuple(mask.shape)}; give (batch, rows, columns)")
        _labels_that_count(mask, target, self.num_classes, self.ignore_index)
        valid = target != self.ignore_index
        radius = self.tolerance * math.hypot(*mask.shape[1:])
        for label in range(self.num_classes):
            predicted, true = _boundary(mask == label, valid), _boundary(target == label, valid)
            self.right[label] += (predicted & within(radius, true)).sum()
            self.found[label] += (true & within(radius, predicted)).sum()
            self.predicted[label] += predicted.sum()
            self.true[label] += true.sum()

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        right, found = self.right.double(), self.found.double()  # P = right / predicted, R = found / true
        f1 = 2 * right * found / (right * self.true + found * self.predicted).clamp_min(1)
        f1 = f1.masked_fill(self.predicted + self.true == 0, math.nan)
        return {"boundary_f1": f1, "mean_boundary_f1": f1.nanmean()}


def _boundary(members: Tensor, valid: Tensor) -> Tensor:
    """Valid member pixels beside a valid pixel that is no member, bool (B, H, W)."""
    inside, outside = members & valid, ~members & valid
    beside = torch.zeros_like(inside)
    beside[:, 1:] |= outside[:, :-1]
    beside[:, :-1] |= outside[:, 1:]
    beside[:, :, 1:] |= outside[:, :, :-1]
    beside[:, :, :-1] |= outside[:, :, 1:]
    return inside & beside


def within(radius: float, points: Tensor) -> Tensor:
    """Pixels at most ``radius`` from one of ``points``, bool (B, H, W): distances down columns, then along rows."""
    height, width = points.shape[1:]
    rows = torch.arange(height, device=points.device, dtype=torch.float32).view(-1, 1)
    above = torch.where(points, rows, -math.inf).cummax(1).values
    below = torch.where(points, rows, math.inf).flip(1).cummin(1).values.flip(1)
    distance = torch.minimum(rows - above, below - rows)
    near = torch.zeros_like(points)
    reach = min(math.floor(radius), width - 1)
    for shift in range(-reach, reach + 1):
        close = distance <= math.sqrt(radius**2 - shift**2)
        near[:, :, max(shift, 0) : width + min(shift, 0)] |= close[:, :, max(-shift, 0) : width - max(shift, 0)]
    return near


def table(scores: Mapping[str, Tensor], names: Sequence[str]) -> list[list[str]]:
    """Per-class scores in percent as rows of text, headed by the column names and closed by the means.

    Args:
        scores: What ``compute()`` of one of these metrics returned.
        names: Class names, K.

    >>> metric = ConfusionMatrix(num_classes=3)
    >>> metric.update(torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0, 1], [1, 255]]))
    >>> for row in table(metric.compute(), ["road", "car", "sky"]):
    ...     print(" | ".join(row))
    class | iou | dice | class_accuracy
    road | 50.0 | 66.7 | 100.0
    car | 50.0 | 66.7 | 50.0
    sky | - | - | -
    mean | 50.0 | 66.7 | 75.0
    """
    columns = [key.removeprefix("mean_") for key in scores if key.startswith("mean_")]
    # torchmetrics squeezes the tensor of a single class
    cells = [[*scores[column].reshape(-1).tolist(), scores[f"mean_{column}"].item()] for column in columns]
    rows = zip([*names, "mean"], *cells, strict=True)
    return [["class", *columns], *([name, *map(percent, values)] for name, *values in rows)]


def percent(score: float) -> str:
    """A score for a table; a dash where there is none."""
    return "-" if math.isnan(score) else f"{100 * score:.1f}"


def _labels_that_count(mask: Tensor, target: Tensor, num_labels: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """``mask`` and ``target`` as flat int64 labels of the pixels that are not ignored."""
    if mask.shape != target.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, target {tuple(target.shape)}; give both the same")
    valid = target != ignore_index
    mask, target = mask[valid].long(), target[valid].long()
    for name, labels in (("mask", mask), ("target", target)):
        if labels.numel() and not (labels.min() >= 0 and labels.max() < num_labels):
            wrong = labels[(labels < 0) | (labels >= num_labels)][0].item()
            raise ValueError(
                f"{name} holds label {wrong}; labels go from 0 to {num_labels - 1} (ignored: {ignore_index})"
            )
    return mask, target


def _scores(hits: Tensor, false: Tensor, missed: Tensor, matrix: Tensor) -> dict[str, Tensor]:
    iou = hits.double() / (hits + false + missed)
    dice = 2 * hits.double() / (2 * hits + false + missed)
    class_accuracy = hits.double() / (hits + missed)
    return {
        "iou": iou,
        "dice": dice,
        "class_accuracy": class_accuracy,
        "mean_iou": iou.nanmean(),
        "mean_dice": dice.nanmean(),
        "mean_class_accuracy": class_accuracy.nanmean(),
        "global_accuracy": matrix.diag().sum().double() / matrix.sum(),
    }
