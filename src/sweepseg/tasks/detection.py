"""Every picture holds a few objects, which the network gives one a step until it says that there is no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from .checks import check_finite
from .numbered import Numbered


@dataclass(frozen=True)
class Detection(Numbered):
    """Objects of K classes, one a step: logits (B, T, K + 2, H, W) of the mask, of there being one, and of its classes.

    In training the first steps, as many as there are objects, are matched to these by the Hungarian algorithm.

    Source: Romera-Paredes & Torr 2016, Recurrent Instance Segmentation, arXiv:1511.08250, section 3.2 (soft IoU,
    matching, stop); the class as in Salvador et al. 2017, arXiv:1712.00617. They weigh the terms; here each counts one.

    Args:
        num_classes: Number of classes of objects K, 1 to 254.
        ignore_index: Target label of pixels that do not count.

    >>> logits = torch.full((1, 2, 3, 1, 4), -9.0)  # two steps, of which only the first has an object
    >>> logits[0, 0, 1] = logits[0, 0, 0, 0, 1:3] = 9.0
    >>> Detection(1).decode(logits)[0, 0]
    tensor([[0., 1., 1., 0.]])
    """

    name = "detection"
    family = "detection"
    without = Numbered.without | {"loss", "label_smoothing"}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of mask, object and classes in float32, (B, T, K + 2, H, W)."""
        logits = logits.float()
        return torch.cat([logits[:, :, :2].sigmoid(), logits[:, :, 2:].softmax(2)], 2)

    def decode(self, logits: Tensor) -> Tensor:
        """See `Numbered`: each pixel belongs to the step whose mask is the surest of it, if that is above one half.

        Steps count until one says that there is no object. The score is that of the object times that of its class
        times the mean of its mask.

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_finite(logits.transpose(1, 2), ("batch", self.num_logits, "steps", "rows", "columns"))
        return torch.stack([_numbered(one) for one in self.probabilities(logits)])

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """One less the soft IoU, and the cross-entropies of class and of there being an object; mean over pictures.

        Raises:
            UsageError: scipy is missing.
        """
        if find_spec("scipy") is None:
            raise UsageError('objects are matched by scipy; pip install "sweepseg[instances]"')

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            return torch.stack([self._of_picture(*one) for one in zip(logits.float(), target, strict=True)]).mean()

        return loss

    def _of_picture(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of the logits (T, K + 2, H, W) of one picture."""
        numbers, classes = target.flatten(1)
        found = numbers.unique()
        objects = (numbers == found[found > 0][:, None]).float()  # (N, H * W)
        there = (torch.arange(len(logits), device=logits.device) < len(objects)).float()
        of_mask, of_object, of_class = logits.split((1, 1, self.num_classes), 1)
        value = F.binary_cross_entropy_with_logits(of_object.mean((1, 2, 3)), there)
        if not len(objects):
            return value
        masks = of_mask[: len(objects)].flatten(1).sigmoid() * (numbers != self.ignore_index)
        iou = soft_iou(masks, objects)
        step, partner = matching(iou)
        labels = (objects * classes).amax(1).long()[partner] - 1
        return value + F.cross_entropy(of_class.mean((2, 3))[step], labels) + (1 - iou[step, partner]).mean()


def soft_iou(masks: Tensor, objects: Tensor) -> Tensor:
    """Shared over joint area of masks (N, P) in [0, 1] and objects (M, P) of 0 and 1, (N, M).

    >>> soft_iou(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    tensor([[0.3333, 0.0000]])
    """
    shared = masks @ objects.T
    return shared / (masks.sum(1)[:, None] + objects.sum(1) - shared)


def matching(iou: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs (N, M) of the largest sum, each row and column in at most one; row and column of each pair."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(iou.detach().cpu().numpy(), maximize=True)
    return torch.from_numpy(rows).to(iou.device), torch.from_numpy(columns).to(iou.device)


def _numbered(probabilities: Tensor) -> Tensor:
    """`Detection.decode` for the probabilities (T, K + 2, H, W) of one picture."""
    masks, there, classes = probabilities[:, 0], probabilities[:, 1, 0, 0], probabilities[:, 2:, 0, 0]
    masks = masks * (there >= 0.5).cumprod(0)[:, None, None]
    surest, step = masks.max(0)
    step = torch.where(surest > 0.5, step, -1)  # (H, W)
    planes = torch.zeros(3, *step.shape, device=masks.device)
    for number, found in enumerate(step.unique()[step.unique() >= 0].tolist(), 1):
        own = step == found
        probability, label = classes[found].max(0)
        score = there[found] * probability * masks[found][own].mean()
        planes[:, own] = torch.stack([torch.tensor(number), label + 1, score])[:, None].float()
    return planes
