"""Learning from pictures without labels: the mean teacher, the average of the model's weights, labels them."""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from ..losses import Scores, cross_entropy
from ..tasks import Task
from .cutmix import cutmix

RAMP_UP = 0.25  # share of the steps


def ramp_up(step: int, steps: int) -> float:
    """How much the teacher counts, up to 1: exp(-5 (1 - t)^2), t rising from 0 to 1 over a share of the steps.

    Source: Tarvainen & Valpola 2017, arXiv:1703.01780, section 3.1.

    >>> round(ramp_up(0, 100), 4), ramp_up(25, 100)
    (0.0067, 1.0)
    """
    return math.exp(-5 * (1 - min(1, step / (RAMP_UP * steps))) ** 2)


def disagreement(
    student: Callable[[Tensor], Tensor],
    taught: Tensor,
    images: Tensor,
    seen: Tensor,
    task: Task,
    draw: np.random.Generator,
    *,
    confidence: float,
) -> Tensor:
    """Cross-entropy of the student, which sees mixed pictures, against what the teacher says of them unmixed.

    Into each picture comes a rectangle of the next one, and with it the teacher's labels. It is the mean over all
    pixels, of which those that the teacher is not sure of count 0.

    Args:
        student: Maps images to logits.
        taught: The teacher's logits of the images.
        images: (B, C, h, w).
        seen: A target of the task's form that is ``task.ignore_index`` where the images show nothing.
        task: A task with masks.
        draw: Draws the rectangles.
        confidence: Least probability of a label to be learned.

    Source: Tarvainen & Valpola 2017, "Mean teachers are better role models", arXiv:1703.01780; with CutMix, French et
    al. 2020, "Semi-supervised semantic segmentation needs strong, varied perturbations", arXiv:1906.01916; labels in
    place of probabilities, with a threshold for each, Sohn et al. 2020, "FixMatch", arXiv:2001.07685, equation 4.

    >>> import torch
    >>> from sweepseg.tasks import Multiclass
    >>> sure, images = torch.tensor([9.0, 0.0]).view(1, 2, 1, 1), torch.zeros(1, 3, 1, 1)
    >>> student, seen = lambda images: torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64)
    >>> disagreement(student, sure, images, seen, Multiclass(2), np.random.default_rng(0), confidence=0.9)  # log 2
    tensor(0.6931)
    """
    scores = Scores(taught.detach(), seen, task.channels, task.ignore_index)
    log_p, labels = scores.log_p.max(1)
    unsure = (log_p.exp() < confidence) | (seen == task.ignore_index)
    mixed, labels = cutmix(images, labels.masked_fill(unsure, task.ignore_index), draw, 1.0)
    loss = cross_entropy(student(mixed), labels, task=task.channels, ignore_index=task.ignore_index)
    return loss * (labels != task.ignore_index).float().mean()
