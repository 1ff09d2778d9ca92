"""Scores of masks of sentences against loops over sets of pixels."""

import pytest
import torch

from sweepseg.metrics_referring import ReferringScores


def by_hand(masks, targets):
    both = either = 0
    ious = []
    for mask, target in zip(masks.tolist(), targets.tolist(), strict=True):
        places = [(row, column) for row in range(len(mask)) for column in range(len(mask[0]))]
        counted = {p for p in places if target[p[0]][p[1]] != 255}
        given = {p for p in counted if mask[p[0]][p[1]]}
        wanted = {p for p in counted if target[p[0]][p[1]]}
        both, either = both + len(given & wanted), either + len(given | wanted)
        ious.append(len(given & wanted) / len(given | wanted) if given | wanted else 1.0)
    return {
        "overall_iou": both / either,
        "mean_iou": sum(ious) / len(ious),
        "precision_at_50": sum(iou > 0.5 for iou in ious) / len(ious),
    }


@pytest.fixture
def examples():
    """Sentences that are met well, half, not at all, and one that means nothing and finds nothing."""
    draw = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (24, 5, 6), generator=draw)
    flipped = torch.rand(24, 5, 6, generator=draw) < torch.linspace(0, 1, 24)[:, None, None]
    masks = torch.where(flipped, 1 - targets, targets).to(torch.uint8)
    targets[:, 0, :2] = 255
    targets[3], masks[3] = 0, 0
    targets[4], masks[4] = torch.tensor([1, 1, 1, 1, 0, 0]), torch.tensor([1, 1, 0, 0, 0, 0])  # an IoU of just 1/2
    return masks, targets


@pytest.mark.parametrize("batch", [1, 5, 24])
def test_scores_are_those_of_sets_of_pixels_in_any_batching(examples, batch):
    metric = ReferringScores()
    for mask, target in zip(*(part.split(batch) for part in examples), strict=True):
        metric.update(mask, target)
    expected = by_hand(*examples)
    assert 0.2 < expected["precision_at_50"] < 0.8 and expected["overall_iou"] != pytest.approx(expected["mean_iou"])
    assert {name: score.item() for name, score in metric.compute().items()} == pytest.approx(expected)


def test_without_sentences_there_is_no_score_and_shapes_have_to_agree():
    metric = ReferringScores()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert all(score.isnan() for score in metric.compute().values())
    with pytest.raises(ValueError, match=r"mask has shape \(1, 2, 2\), target \(1, 2, 3\)"):
        metric.update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))
