"""Metrics of referring segmentation: how well a mask shows what its sentence means."""

import torch
from torch import Tensor
from torchmetrics import Metric


class ReferringScores(Metric):
    """Intersection over union of masks of one object against the rest, each with a sentence of its own.

    ``compute()`` returns ``overall_iou``, all intersections over all unions, in which large objects weigh more;
    ``mean_iou``, the mean over sentences; and ``precision_at_50``, the share of sentences with an IoU above 0.5. An
    empty mask of nothing has an IoU of 1. All are NaN without a sentence.

    Source: Hu et al. 2016, arXiv:1603.06180, section 4.1.

    Args:
        ignore_index: Target label of pixels that do not count.

    >>> metric = ReferringScores()
    >>> metric.update(torch.tensor([[[1, 1, 0]], [[1, 1, 1]]]), torch.tensor([[[1, 0, 0]], [[1, 1, 255]]]))
    >>> {name: round(score.item(), 3) for name, score in metric.compute().items()}
    {'overall_iou': 0.75, 'mean_iou': 0.75, 'precision_at_50': 0.5}
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    intersection: Tensor
    union: Tensor
    ious: Tensor
    found: Tensor
    sentences: Tensor

    def __init__(self, ignore_index: int = 255):
        super().__init__()
        self.ignore_index = ignore_index
        for name in ("intersection", "union", "found", "sentences"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("ious", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, mask: Tensor, target: Tensor) -> None:
        """Add sentences: masks of 0 and 1, integers (B, H, W), and what they should be, of the same shape.

        Raises:
            ValueError: Shapes differ.
        """
        if mask.shape != target.shape:
            raise ValueError(f"mask has shape {tuple(mask.shape)}, target {tuple(target.shape)}; give both the same")
        counted = target != self.ignore_index
        given, wanted = (mask == 1) & counted, target == 1
        intersection, union = ((one).flatten(1).sum(1) for one in (given & wanted, given | wanted))
        iou = torch.where(union > 0, intersection / union.clamp_min(1).double(), 1.0)
        self.intersection += intersection.sum()
        self.union += union.sum()
        self.ious += iou.sum()
        self.found += (iou > 0.5).sum()
        self.sentences += len(mask)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        return {
            "overall_iou": self.intersection.double() / self.union,
            "mean_iou": self.ious / self.sentences,
            "precision_at_50": self.found.double() / self.sentences,
        }
