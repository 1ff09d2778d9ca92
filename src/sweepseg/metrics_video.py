"""Scores of videos: region and boundary as DAVIS counts them, and how consistent labels are from frame to frame."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .metrics import within


def region_similarity(mask: Tensor, target: Tensor) -> Tensor:
    """J of each frame: intersection over union of the object; 1 where both are empty.

    Args:
        mask: Predicted objects, bool (T, H, W).
        target: True objects, bool (T, H, W).

    Returns:
        float64 (T,) in [0, 1].

    Source: Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation".

    >>> region_similarity(torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]]))
    tensor([0.5000], dtype=torch.float64)
    """
    union = (mask | target).sum((1, 2))
    return ((mask & target).sum((1, 2)).double() / union).masked_fill(union == 0, 1.0)


def boundary_accuracy(mask: Tensor, target: Tensor, tolerance: float = 0.008) -> Tensor:
    """F of each frame: F1 of the object's boundary, whose pixels may lie a little off.

    Precision is the share of predicted boundary pixels within the tolerance of a true one, recall that of true ones
    within it of a predicted one. Where one boundary is empty, precision or recall is 1 and the other 0; where both are,
    F is 1.

    Args:
        mask: Predicted objects, bool (T, H, W).
        target: True objects, bool (T, H, W).
        tolerance: Distance as a fraction of the image's diagonal, rounded up to whole pixels.

    Returns:
        float64 (T,) in [0, 1].

    Source: as `region_similarity`; a boundary pixel is one that differs from its neighbour to the right, below or
    between the two (Martin et al. 2004), matched by dilation with a disk in place of a bipartite matching.
    """
    radius = math.ceil(tolerance * math.hypot(*mask.shape[1:]))
    predicted, true = _contour(mask), _contour(target)
    precision = _share(predicted & within(radius, true), predicted, true)
    recall = _share(true & within(radius, predicted), true, predicted)
    return (2 * precision * recall / (precision + recall)).nan_to_num(0.0)


def video_consistency(masks: Tensor, targets: Tensor, frames: int = 8, ignore_index: int = 255) -> float:
    """VC: of the pixels whose true label stays the same for some frames, the share that is right in all of them.

    Args:
        masks: Predicted labels (T, H, W).
        targets: True labels (T, H, W).
        frames: How many frames in a row.
        ignore_index: True label of pixels that do not count.

    Returns:
        The mean over all such runs of frames, in [0, 1]; NaN if there is none, or no pixel that stays.

    Source: Miao et al. 2021, "VSPW: A Large-scale Dataset for Video Scene Parsing in the Wild", section 5.1.

    >>> video_consistency(torch.tensor([[[1, 0]], [[1, 1]]]), torch.tensor([[[1, 0]], [[1, 0]]]), frames=2)
    0.5
    """
    shares = []
    for first in range(len(targets) - frames + 1):
        run = slice(first, first + frames)
        stays = (targets[run] == targets[first]).all(0) & (targets[first] != ignore_index)
        if stays.any():
            shares.append((masks[run] == targets[run]).all(0)[stays].double().mean().item())
    return sum(shares) / len(shares) if shares else math.nan


def statistics(scores: Tensor) -> dict[str, float]:
    """Mean, recall and decay of the scores of a video's frames.

    Args:
        scores: J or F of each frame in its order, (T,).

    Returns:
        ``mean``; ``recall``, the share of frames above 0.5; ``decay``, the mean of the first quarter of the video less
        that of the last, where neighbouring quarters share a frame. NaN without a frame.

    Source: as `region_similarity`, section 4; the quarters end where those of its evaluation code do.

    >>> statistics(torch.tensor([1.0, 0.75, 0.5, 0.25]))
    {'mean': 0.625, 'recall': 0.5, 'decay': 0.5}
    """
    if not len(scores):
        return dict.fromkeys(("mean", "recall", "decay"), math.nan)
    wide = scores.double()
    quarters = [math.floor(1 + part * (len(wide) - 1) / 4 + 0.5 + 1e-10) - 1 for part in range(5)]
    first, last = wide[: quarters[1] + 1], wide[quarters[3] :]
    values = {"mean": wide.mean(), "recall": (wide > 0.5).double().mean(), "decay": first.mean() - last.mean()}
    return {name: value.item() for name, value in values.items()}


def davis_scores(mask: Tensor, target: Tensor) -> dict[str, float]:
    """J, F and their mean for the object of one video.

    Args:
        mask: Predicted object, bool (T, H, W).
        target: True object, bool (T, H, W).

    Returns:
        ``J`` and ``F``, their mean ``J&F``, and of both ``_recall`` and ``_decay``; see `statistics`.
    """
    scores: dict[str, float] = {}
    for name, values in (("J", region_similarity(mask, target)), ("F", boundary_accuracy(mask, target))):
        found = statistics(values)
        scores |= {name: found["mean"], f"{name}_recall": found["recall"], f"{name}_decay": found["decay"]}
    return {"J&F": (scores["J"] + scores["F"]) / 2, **scores}


def mean_scores(videos: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over the videos in which it is not NaN; NaN where it is in all.

    >>> mean_scores([{"J": 0.5, "VC": 1.0}, {"J": 1.0, "VC": math.nan}])
    {'J': 0.75, 'VC': 1.0}
    """
    means = {}
    for name in videos[0] if videos else ():
        values = [video[name] for video in videos if not math.isnan(video[name])]
        means[name] = sum(values) / len(values) if values else math.nan
    return means


def _contour(members: Tensor) -> Tensor:
    """Pixels that differ from a neighbour to the right, below or to the lower right, bool (T, H, W)."""
    contour = torch.zeros_like(members)
    contour[:, :-1] |= members[:, :-1] ^ members[:, 1:]
    contour[:, :, :-1] |= members[:, :, :-1] ^ members[:, :, 1:]
    contour[:, :-1, :-1] |= members[:, :-1, :-1] ^ members[:, 1:, 1:]
    return contour


def _share(matched: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Share of a boundary that is matched, float64 (T,); of an empty one 1."""
    total = own.sum((1, 2))
    return (matched.sum((1, 2)).double() / total).masked_fill(total == 0, 1.0)
