"""Metrics of objects: how many are found, how well, and how surely; counts are pooled over the data set."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

RECALLS = np.linspace(0, 1, 101)  # at which COCO reads precision


class Objects(NamedTuple):
    """The N objects of a picture, in the order of their numbers.

    Attributes:
        numbers: Their numbers in the label map, (N,).
        first: The place of the first pixel of each in the flattened map, (N,).
        areas: Their pixels, (N,).
        boxes: First row, first column, one past the last of both, (N, 4).
    """

    numbers: np.ndarray
    first: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray


def objects_in(labels: np.ndarray) -> Objects:
    """What a label map (H, W) holds; 0 is background, less than 0 ignored.

    >>> objects_in(np.array([[0, 7, 7], [2, 0, 7]])).boxes.tolist()
    [[1, 0, 2, 1], [0, 1, 2, 3]]
    """
    numbers, first, position, areas = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    row, column = np.indices(labels.shape).reshape(2, -1)
    boxes = np.zeros((len(numbers), 4), np.int64)
    boxes[:, :2] = max(labels.shape)
    for side, (place, values) in enumerate(
        ((np.minimum, row), (np.minimum, column), (np.maximum, row), (np.maximum, column))
    ):
        place.at(boxes[:, side], position.ravel(), values + side // 2)
    kept = numbers > 0
    return Objects(numbers[kept], first[kept], areas[kept], boxes[kept])


def shared_pixels(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pixels that each object of one label map (H, W) shares with each of another, int64 (N, M)."""
    (numbers, row), (other_numbers, column) = (np.unique(one, return_inverse=True) for one in (labels, others))
    size = len(numbers), len(other_numbers)
    table = np.bincount(row.ravel() * size[1] + column.ravel(), minlength=size[0] * size[1]).reshape(size)
    return table[numbers > 0][:, other_numbers > 0]


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) and (M, 4) of `Objects`, (N, M).

    >>> box_iou(np.array([[0, 0, 2, 2]]), np.array([[0, 1, 2, 3]])).round(3)
    array([[0.333]])
    """
    start = np.maximum(boxes[:, None, :2], others[:, :2])
    end = np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (end - start).clip(0).prod(2)
    areas, other_areas = ((one[:, 2:] - one[:, :2]).prod(1) for one in (boxes, others))
    return shared / (areas[:, None] + other_areas - shared)


def matched(iou: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Whether each detection finds an object, the surest first: the best of those that no surer one has taken.

    Source: COCOeval.evaluateImg of pycocotools, without crowds.

    Args:
        iou: Of detections and objects, (N, M).
        scores: How sure the detections are, (N,).
        threshold: IoU that is enough.

    Returns:
        Booleans (N,).
    """
    free, hits = iou * (iou >= threshold), np.zeros(len(iou), bool)
    for one in np.argsort(-scores, kind="stable") if iou.size else ():
        best = free[one].argmax()
        hits[one] = free[one, best] > 0
        free[:, best] *= not hits[one]
    return hits


def average_precision(scores: np.ndarray, hits: np.ndarray, objects: int) -> float:
    """Mean over 101 recalls of the best precision at this recall or a higher one; NaN without an object.

    Source: Lin et al. 2014, Microsoft COCO, arXiv:1405.0312; COCOeval.accumulate of pycocotools.

    >>> average_precision(np.array([0.9, 0.8]), np.array([True, False]), 1)
    1.0
    """
    if not objects:
        return np.nan
    right = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    place = np.searchsorted(right / objects, RECALLS)
    return float(np.append(precision, 0)[place].mean())


class InstanceScores(Metric):
    """Scores of numbered objects against true ones.

    ``compute()`` returns

    - ``ap50``: average precision at IoU 0.5 by COCO's rule, of the 1000 surest objects of a class and picture, and
      ``box_ap50``, the same of their boxes; ``class_ap50`` and ``class_box_ap50`` by class (K,), NaN without an object
    - ``object_jaccard``: TP / (TP + FP + FN), all classes as one, where a TP has an IoU above 0.5 with a true object
    - ``symmetric_best_dice``: the lower of the mean over found objects of the best Dice with a true one, and over true
      objects with a found one; mean over pictures, 1 where there is nothing to be found and nothing was (Scharr et al.
      2016, Leaf segmentation in plant phenotyping, Machine Vision and Applications 27)
    - ``count_error``: how many objects too many or too few, mean over pictures

    Args:
        num_classes: K.
        ignore_index: Number of pixels that do not count.
        limit: Objects of a class and picture that count for the average precision.

    >>> metric = InstanceScores(1)
    >>> target = torch.tensor([[[[1, 1, 0, 2]], [[1, 1, 0, 1]]]])  # numbers and classes of objects
    >>> found = torch.tensor([[[[5, 5, 5, 0]], [[1, 1, 1, 0]], [[0.9, 0.9, 0.9, 0]]]])  # and how sure they are
    >>> metric.update(found, target)
    >>> {name: round(score.item(), 3) for name, score in metric.compute().items() if not name.startswith("class")}
    {'ap50': 0.505, 'box_ap50': 0.505, 'object_jaccard': 0.5, 'symmetric_best_dice': 0.4, 'count_error': 1.0}
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    counts: Tensor
    sums: Tensor
    objects: Tensor
    detections: list[Tensor]

    def __init__(self, num_classes: int, ignore_index: int = -1, limit: int = 1000):
        super().__init__()
        self.num_classes, self.ignore_index, self.limit = num_classes, ignore_index, limit
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")  # TP, FP, FN
        self.add_state("sums", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")  # Dice, count error, pictures
        self.add_state("objects", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("detections", [], dist_reduce_fx="cat")  # class, score, hit by mask, hit by box: (N, 4)

    def update(self, found: Tensor, target: Tensor) -> None:
        """Add pictures.

        Args:
            found: Number, class (1 to K) and score of the object of each pixel, (B, 3, H, W).
            target: Number and class of the object of each pixel, int64 (B, 2, H, W).
        """
        for one, truth in zip(found.double().numpy(), target.numpy(), strict=True):
            self._add(one, truth)

    def _add(self, found: np.ndarray, target: np.ndarray) -> None:
        labels = np.where(target[0] == self.ignore_index, 0, found[0]).astype(np.int64)
        there, true = objects_in(labels), objects_in(target[0])
        shared = shared_pixels(labels, target[0])
        areas = there.areas[:, None] + true.areas
        iou, dice = shared / (areas - shared), 2 * shared / areas
        hits = int((iou > 0.5).any(1).sum())  # objects do not overlap, so none has two partners above one half
        self.counts += torch.tensor([hits, len(there.areas) - hits, len(true.areas) - hits])
        none = float(len(there.areas) == len(true.areas))
        best = min(dice.max(0).mean(), dice.max(1).mean()) if iou.size else none
        self.sums += torch.tensor([best, abs(len(there.areas) - len(true.areas)), 1.0], dtype=torch.float64)

        classes, scores = found[1].ravel()[there.first], found[2].ravel()[there.first]
        true_classes = target[1].ravel()[true.first]
        boxes = box_iou(there.boxes, true.boxes)
        for label in range(1, self.num_classes + 1):
            own, wanted = np.flatnonzero(classes == label), true_classes == label
            own = own[np.argsort(-scores[own], kind="stable")][: self.limit]
            self.objects[label - 1] += int(wanted.sum())
            columns = [matched(one[own][:, wanted], scores[own], 0.5) for one in (iou, boxes)]
            self.detections.append(torch.from_numpy(np.stack([classes[own], scores[own], *columns], 1)))

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        rows = torch.cat([torch.zeros(0, 4).double(), *self.detections]).numpy()
        by_class = torch.full((2, self.num_classes), torch.nan, dtype=torch.float64)
        for k, objects in enumerate(self.objects.tolist()):
            own = rows[rows[:, 0] == k + 1]
            for part in range(2):
                by_class[part, k] = average_precision(own[:, 1], own[:, 2 + part] > 0, objects)
        means = by_class.nanmean(1)
        return {
            "ap50": means[0],
            "box_ap50": means[1],
            "object_jaccard": self.counts[0].double() / self.counts.sum(),
            "symmetric_best_dice": self.sums[0] / self.sums[2],
            "count_error": self.sums[1] / self.sums[2],
            "class_ap50": by_class[0],
            "class_box_ap50": by_class[1],
        }
