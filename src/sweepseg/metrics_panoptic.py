"""Panoptic quality: how many segments are found, and how well; counts are pooled over the data set."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric


class PanopticQuality(Metric):
    """PQ, and its parts SQ and RQ, of things and stuff.

    A found segment and a true one of its class match if their intersection over union is more than 1/2; there the area
    of the found one that the truth leaves void does not count. Then

        PQ = sum of IoU over matches / (TP + FP / 2 + FN / 2) = SQ x RQ,  SQ = that sum / TP

    True crowds match nothing and are not missed, and a found segment that lies by more than half in void and in crowds
    of its class is no FP. ``compute()`` returns ``class_pq``, ``class_sq`` and ``class_rq`` (K,), NaN for a class that
    is neither there nor found, and their means over classes: ``pq``, ``sq`` and ``rq`` of all, ``pq_things`` and so on,
    ``pq_stuff`` and so on.

    Source: Kirillov et al. 2019, Panoptic Segmentation, arXiv:1801.00868, section 4; void and crowds as in 4.2.

    Args:
        num_classes: K.
        stuff: Indices of the classes that have no objects.

    >>> metric = PanopticQuality(2, stuff=[0])
    >>> target = torch.tensor([[[[0, 0, 1, 1, 2]], [[0, 0, 1, 1, 1]]]])  # number and class of the segment of each pixel
    >>> found = torch.tensor([[[[0, 0, 9, 9, 9]], [[0, 0, 1, 1, 1]]]])
    >>> metric.update(found, target)
    >>> {name: round(score.item(), 3) for name, score in metric.compute().items() if name.startswith("pq")}
    {'pq': 0.722, 'pq_things': 0.444, 'pq_stuff': 1.0}
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    sums: Tensor

    def __init__(self, num_classes: int, stuff: Sequence[int] = ()):
        super().__init__()
        self.num_classes, self.stuff = num_classes, frozenset(stuff)
        self.add_state(
            "sums", torch.zeros(4, num_classes, dtype=torch.float64), dist_reduce_fx="sum"
        )  # IoU, TP, FP, FN

    def update(self, found: Tensor, target: Tensor) -> None:
        """Add pictures. A segment is all pixels of one number and one class; that of stuff may have any number.

        Args:
            found: Number and class (0 to K - 1, less for void) of the segment of each pixel, int64 (B, 2, H, W).
            target: The same, and optionally whether it is a crowd, int64 (B, 2 or 3, H, W).
        """
        for one, truth in zip(found.cpu().numpy(), target.cpu().numpy(), strict=True):
            self._add(one, truth)

    def _add(self, found: np.ndarray, target: np.ndarray) -> None:
        there, labels, _ = _segments(found)
        true, true_labels, crowds = _segments(target)
        table = np.zeros((len(labels) + 1, len(true_labels) + 1))  # pixels shared, first of all with void
        np.add.at(table, (there, true), 1)
        areas, true_areas = table[1:].sum(1), table[:, 1:].sum(0)
        shared, void = table[1:, 1:], table[1:, 0]
        same = labels[:, None] == true_labels
        iou = shared / (areas[:, None] + true_areas - shared - void[:, None])
        match = (iou > 0.5) & same & ~crowds
        excused = void + (shared * (same & crowds)).sum(1)
        wrong, missed = ~match.any(1) & (excused <= areas / 2), ~match.any(0) & ~crowds
        rows, columns = match.nonzero()
        for place, (classes, weights) in enumerate(
            (
                (labels[rows], iou[rows, columns]),
                (labels[rows], np.ones(len(rows))),
                (labels[wrong], np.ones(wrong.sum())),
                (true_labels[missed], np.ones(missed.sum())),
            )
        ):
            self.sums[place] += torch.from_numpy(np.bincount(classes, weights, self.num_classes)).to(self.sums.device)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        iou, hits, wrong, missed = self.sums
        whole = hits + (wrong + missed) / 2
        counted = whole > 0
        by_class = {
            "pq": iou / whole,
            "sq": (iou / hits.clamp_min(1)).where(counted, torch.nan),
            "rq": hits / whole,
        }
        stuff = torch.tensor([label in self.stuff for label in range(self.num_classes)], device=iou.device)
        kinds = {"": counted, "_things": counted & ~stuff, "_stuff": counted & stuff}
        means = {f"{name}{kind}": by_class[name][chosen].mean() for kind, chosen in kinds.items() for name in by_class}
        return means | {f"class_{name}": values for name, values in by_class.items()}


def _segments(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pixel the place of its segment, from 1, 0 for void, (H, W); and class and crowd of the segments."""
    size = planes.shape[1:]
    planes = np.concatenate([planes, np.zeros_like(planes[:1])])[:3].reshape(3, -1)  # no crowd unless it says so
    found, place = np.unique(np.where(planes[1] < 0, -1, planes), axis=1, return_inverse=True)
    kept = found[1] >= 0
    ranks = np.where(kept, np.cumsum(kept), 0)
    return ranks[place.ravel()].reshape(size), found[1][kept], found[2][kept].astype(bool)
