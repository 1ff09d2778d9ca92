"""Measuring a model on a split: one picture at a time, one pooled confusion matrix, no logits kept."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor, nn

from ..data.clips import read_clip, sequences
from ..data.dataset import DataSet, Sample
from ..data.pairs import read_told
from ..layers.stages import LAYOUT
from ..metrics import BoundaryF1
from ..metrics_video import davis_scores, mean_scores, video_consistency
from ..models.segmenter import Segmenter
from . import Task


def evaluate(
    model: nn.Module,
    dataset: DataSet,
    split: str,
    task: Task,
    *,
    in_channels: int,
    boundary: bool = False,
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> dict[str, Tensor]:
    """Scores of a model on the annotated pictures of a split; one that remembers sees videos frame by frame.

    Args:
        model: A `Segmenter`, or what maps images (1, C, H, W) in [0, 1] to logits; in evaluation mode. Volumes, which
            are (1, C, D, H, W), need a model for volumes.
        dataset: The data set.
        split: One of its splits.
        task: Decodes logits and gives the metric.
        in_channels: C.
        boundary: Whether to measure the boundary F1 too, which takes longer, where a pixel has one label; not of
            volumes.
        progress: Hands the samples on and may draw a bar.

    Returns:
        The scores of the task's metric, and with ``boundary`` those of `metrics.BoundaryF1`.
    """
    metrics = [task.metric()]
    if boundary and task.outlined and not dataset.volumes:
        metrics.append(BoundaryF1(task.num_classes))
    for _, mask, target in masks(model, dataset, split, task, in_channels=in_channels, progress=progress):
        for metric in metrics:
            metric.update(mask, target)
    return {name: score for metric in metrics for name, score in metric.compute().items()}


def evaluate_videos(
    model: nn.Module,
    dataset: DataSet,
    split: str,
    task: Task,
    *,
    in_channels: int,
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> dict[str, float]:
    """Scores of a model on the videos of a split, each by itself; arguments are those of `evaluate`, no multilabel.

    Returns:
        ``video_consistency`` over 8 annotated frames, and for binary tasks those of `metrics_video.davis_scores`; means
        over videos.
    """
    found = masks(model, dataset, split, task, in_channels=in_channels, progress=progress)
    scores = []
    for _, frames in groupby(found, key=itemgetter(0)):
        pairs = [(mask, target) for _, mask, target in frames]
        mask, target = (torch.cat(part) for part in zip(*pairs, strict=True))
        scores.append({"video_consistency": video_consistency(mask, target, ignore_index=task.ignore_index)})
        if task.name == "binary":
            scores[-1] |= davis_scores(mask == 1, target == 1)
    return mean_scores(scores)


def masks(
    model: nn.Module,
    dataset: DataSet,
    split: str,
    task: Task,
    *,
    in_channels: int,
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The annotated frames of each video of a split in their order; see `data.clips.sequences`.

    Yields:
        The name of the video, the mask and the target, both (1, H, W), for multilabel (1, K, H, W), and of the task's
        own form where it says something of the whole picture. A model that remembers has seen all frames before, those
        without annotation too.
    """
    device = next(model.parameters()).device
    memory = model if isinstance(model, Segmenter) and model.remembers else None
    videos = sequences(dataset.splits[split])
    video_of = {frame.name: name for name, frames in videos.items() for frame in frames}
    video = state = None
    for sample in progress([frame for frames in videos.values() for frame in frames]):
        if not sample.annotated and memory is None:
            continue
        pixels, target = read_clip(dataset, (sample,), in_channels)
        layout = LAYOUT[pixels.ndim - 2]
        image = torch.from_numpy(pixels).to(device, memory_format=layout)  # (1, C, H, W) or (1, C, D, H, W)
        told = [torch.from_numpy(one)[None].to(device) for one in read_told(dataset, sample)]
        with torch.inference_mode():
            if memory is not None:
                logits, state = memory.run(image[:, None], state if video_of[sample.name] == video else None)
                mask = task.decode(logits[:, 0]).cpu()
            else:
                mask = task.decode(model(image, *told)).cpu()
        video = video_of[sample.name]
        if sample.annotated:
            yield video, mask, torch.from_numpy(target)
