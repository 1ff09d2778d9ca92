"""Scores of videos against cases worked by hand, and against scipy and numpy doing what DAVIS's papers say."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from sweepseg.metrics_video import boundary_accuracy, davis_scores, region_similarity, statistics, video_consistency


def square(top, left, side=10, size=(40, 50)):
    frame = torch.zeros(size, dtype=torch.bool)
    frame[top : top + side, left : left + side] = True
    return frame


NOTHING = torch.zeros(40, 50, dtype=torch.bool)


@pytest.mark.parametrize(
    ("mask", "target", "j", "f"),
    [
        (square(5, 5), square(5, 5), 1, 1),
        (square(5, 5), square(5, 10), 50 / 150, None),
        (square(5, 5), square(25, 30), 0, 0),
        (NOTHING, NOTHING, 1, 1),
        (NOTHING, square(5, 5), 0, 0),
        (square(5, 5), NOTHING, 0, 0),
        (square(5, 5), square(6, 5), 90 / 110, 1),  # one pixel off is within the tolerance, ceil(0.008 * 64)
    ],
)
def test_region_and_boundary_by_hand(mask, target, j, f):
    assert region_similarity(mask[None], target[None]).item() == pytest.approx(j)
    if f is not None:
        assert boundary_accuracy(mask[None], target[None]).item() == pytest.approx(f)


def contour(frame):
    """Compared pixel by pixel with right, lower and lower right."""
    result = np.zeros_like(frame)
    height, width = frame.shape
    for row, column in np.ndindex(frame.shape):
        others = [(row, column + 1), (row + 1, column), (row + 1, column + 1)]
        result[row, column] = any(
            frame[other] != frame[row, column] for other in others if other[0] < height and other[1] < width
        )
    return result


def boundary_f(mask, target, tolerance):
    mask, target = contour(mask), contour(target)
    radius = math.ceil(tolerance * math.hypot(*mask.shape))
    row, column = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = row**2 + column**2 <= radius**2
    precision = (mask & ndimage.binary_dilation(target, disk)).sum() / mask.sum()
    recall = (target & ndimage.binary_dilation(mask, disk)).sum() / target.sum()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("tolerance", [0.008, 0.03, 0.05])
def test_boundary_is_that_of_scipy(tolerance):
    draw = np.random.default_rng(0)
    masks, targets = (
        np.stack([ndimage.gaussian_filter(draw.random((37, 61)), 3) > 0.5 for _ in range(4)]) for _ in range(2)
    )
    expected = [boundary_f(mask, target, tolerance) for mask, target in zip(masks, targets, strict=True)]
    found = boundary_accuracy(torch.from_numpy(masks), torch.from_numpy(targets), tolerance)
    np.testing.assert_allclose(found.numpy(), expected)
    assert min(expected) > 0.1 and max(expected) < 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 50, 83])
def test_decay_is_between_the_quarters_that_davis_cuts(count):
    scores = np.random.default_rng(0).random(count)
    ends = np.round(np.linspace(1, count, 5) + 1e-10).astype(int) - 1
    first, *_, last = (scores[ends[i] : ends[i + 1] + 1] for i in range(4))
    found = statistics(torch.from_numpy(scores))
    assert found["decay"] == pytest.approx(first.mean() - last.mean())
    assert (found["mean"], found["recall"]) == (pytest.approx(scores.mean()), pytest.approx((scores > 0.5).mean()))


def test_scores_of_a_video():
    masks = torch.stack([square(5, 5), square(5, 5), NOTHING, NOTHING])
    found = davis_scores(masks, square(5, 5).expand(4, -1, -1))
    once = {"": 0.5, "_recall": 0.5, "_decay": 1.0}
    expected = {f"{name}{key}": value for name in "JF" for key, value in once.items()} | {"J&F": 0.5}
    assert found == pytest.approx({**expected, "J_decay": 1.0, "F_decay": 1.0})


def consistency_by_loop(masks, targets, frames):
    shares = []
    for first in range(len(targets) - frames + 1):
        stays = right = 0
        for row, column in np.ndindex(targets.shape[1:]):
            truth, mask = (one[first : first + frames, row, column] for one in (targets, masks))
            if len(set(truth.tolist())) == 1 and truth[0] != 255:
                stays += 1
                right += (truth == mask).all()
        if stays:
            shares.append(right / stays)
    return np.mean(shares)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_consistency_is_that_of_a_loop(frames):
    draw = np.random.default_rng(0)
    targets = (draw.random((6, 4, 7)) < 0.2).cumsum(0) % 3
    targets[:, 0, 0] = 255
    masks = np.where(draw.random(targets.shape) < 0.2, draw.integers(0, 3, targets.shape), targets)
    found = video_consistency(torch.from_numpy(masks), torch.from_numpy(targets), frames)
    assert found == pytest.approx(consistency_by_loop(masks, targets, frames)) and 0.2 < found < 1


def test_nothing_to_measure_is_nan():
    labels = torch.zeros(3, 2, 2, dtype=torch.long)
    assert math.isnan(video_consistency(labels, labels, frames=4))
    assert math.isnan(video_consistency(labels, labels + 255, frames=2))
    assert all(map(math.isnan, statistics(torch.zeros(0)).values()))
