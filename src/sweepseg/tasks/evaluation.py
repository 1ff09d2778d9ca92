"""Measuring a model on a split: one picture at a time, one pooled confusion matrix, no logits kept."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..data.dataset import Sample, SegmentationSet
from ..data.pairs import read_pair
from ..metrics import BoundaryF1
from . import Task


def evaluate(
    model: nn.Module,
    dataset: SegmentationSet,
    split: str,
    task: Task,
    *,
    in_channels: int,
    boundary: bool = False,
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> dict[str, Tensor]:
    """Scores of a model on the annotated pictures of a split.

    Args:
        model: Maps images (1, C, H, W) in [0, 1] to logits; in evaluation mode.
        dataset: The data set.
        split: One of its splits.
        task: Decodes logits and gives the metric.
        in_channels: C.
        boundary: Whether to measure the boundary F1 too, which takes longer; not for multilabel.
        progress: Hands the samples on and may draw a bar.

    Returns:
        The scores of `metrics.ConfusionMatrix.compute`, and with ``boundary`` those of `metrics.BoundaryF1`.
    """
    device = next(model.parameters()).device
    metrics = [task.metric()]
    if boundary and task.name != "multilabel":
        metrics.append(BoundaryF1(task.num_labels))
    for sample in progress(dataset.splits[split]):
        if sample.mask is None:
            continue
        image, target = read_pair(dataset, sample, in_channels)
        with torch.inference_mode():
            logits = model(torch.from_numpy(image)[None].to(device, memory_format=torch.channels_last))
            mask = task.decode(logits).cpu()
        for metric in metrics:
            metric.update(mask, torch.from_numpy(target)[None])
    return {name: score for metric in metrics for name, score in metric.compute().items()}
