"""Every pixel is background or belongs to one of many objects, which are told apart by their cores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from ..data.distance import border_distance
from ..errors import UsageError
from ..losses import combined
from .checks import check_logits
from .numbered import Numbered

CORE = 0.5  # depth from which a pixel is of the core of its object


@dataclass(frozen=True)
class Instances(Numbered):
    """Objects of K classes, however many, that do not overlap: a class for each pixel, and whether it is of a core.

    The core of an object are the pixels at least half as far from its border as the innermost one, so that every object
    has a core and those of two that touch do not. Logits (B, K + 2, H, W) are those of the background, of the classes,
    and of the cores through a sigmoid. To decode, each core is a seed, and the seeds grow over all pixels that are no
    background, those likelier of a core first (watershed of scikit-image); what no seed reaches is background.

    Source: Bai & Urtasun 2017, Deep Watershed Transform for Instance Segmentation, arXiv:1611.08303, which learns many
    levels of energy and cuts at one of them; here that one is learned.

    Args:
        num_classes: Number of classes of objects K, 1 to 254.
        ignore_index: Target label of pixels that do not count.

    Raises:
        UsageError: ``num_classes`` is out of range, or scikit-image is missing.

    >>> logits = torch.full((1, 3, 1, 7), -9.0)
    >>> logits[0, 1, 0, [0, 1, 2, 3, 5, 6]] = 9.0
    >>> logits[0, 2, 0, [0, 3, 5]] = 9.0
    >>> Instances(1).decode(logits)[0, 0]
    tensor([[1., 1., 2., 2., 0., 3., 3.]])
    """

    name = "instances"

    def __post_init__(self):
        super().__post_init__()
        if find_spec("skimage") is None:
            raise UsageError('objects are told apart by scikit-image; pip install "sweepseg[instances]"')

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probability of the background, of each class, and of cores, in float32, (B, K + 2, H, W)."""
        return torch.cat([logits[:, :-1].float().softmax(1), logits[:, -1:].float().sigmoid()], 1)

    def decode(self, logits: Tensor) -> Tensor:
        """See `Numbered`; the score is the mean probability of the class over the pixels.

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_logits(logits, self.num_logits)
        return torch.stack([torch.from_numpy(_objects(one.cpu().numpy())) for one in self.probabilities(logits)])

    def batch(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Views (C, h, w), and the class of each pixel and whether it is of a core, int64 (B, 2, h, w)."""
        planes = [
            torch.stack([classes, torch.from_numpy(depth(numbers.numpy()) >= CORE).long()])
            for numbers, classes in targets
        ]
        return torch.stack([*images]), torch.stack(planes)

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """``losses.combined`` of the classes and that of the cores, for targets of `batch`."""
        of_classes, of_cores = (
            combined(terms, task=task, ignore_index=self.ignore_index, label_smoothing=label_smoothing)
            for task in ("multiclass", "binary")
        )

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            classes, cores = target.unbind(1)
            cores = cores.where(classes != self.ignore_index, self.ignore_index)
            return of_classes(logits[:, :-1], classes) + of_cores(logits[:, -1:], cores)

        return loss


def depth(numbers: np.ndarray) -> np.ndarray:
    """How far inside of its object each pixel lies: `border_distance` over the largest one in the object.

    Args:
        numbers: Of the object of each pixel, int64 (H, W); 0 and less for none.

    Returns:
        float64 (H, W) in [0, 1], 0 where there is no object.

    >>> depth(np.array([[0, 3, 3, 3, 5, 0]]))
    array([[0., 1., 1., 1., 1., 0.]])
    """
    distance = border_distance(numbers)
    found, position = np.unique(numbers, return_inverse=True)
    largest = np.ones(len(found))  # a distance in an object is 1 and more
    np.maximum.at(largest, position.ravel(), distance.ravel())
    return distance / largest[position].reshape(numbers.shape)


def _objects(probabilities: np.ndarray) -> np.ndarray:
    """`Instances.decode` for the probabilities (K + 2, H, W) of one picture."""
    from skimage.measure import label
    from skimage.segmentation import watershed

    *classes, core = probabilities
    covered = np.argmax(classes, 0) > 0
    numbers = watershed(-core, label(covered & (core > 0.5)), mask=covered)
    members = numbers.ravel()
    areas = np.bincount(members)
    means = np.stack([np.bincount(members, one.ravel()) / areas.clip(1) for one in classes])  # (K + 1, objects + 1)
    found, score = means[1:].argmax(0) + 1, means[1:].max(0)
    found[0] = score[0] = 0
    return np.stack([numbers, found[numbers], score[numbers]]).astype(np.float32)
