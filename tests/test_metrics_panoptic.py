"""Panoptic quality against torchmetrics and, for crowds and void, by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality as Theirs

from sweepseg.metrics_panoptic import PanopticQuality

CLASSES, STUFF = 4, [0, 2]


def picture(draw, void):
    """Rectangles of objects and stuff over each other, and a found picture that is partly another."""
    target, found = (np.zeros((2, 20, 24), np.int64) for _ in range(2))
    for number in range(1, 9):
        top, left = draw.integers(0, 14, 2)
        height, width = draw.integers(3, 12, 2)
        label = int(draw.integers(1, CLASSES))
        number = 0 if label in STUFF else number
        target[:, top : top + height, left : left + width] = [[[number]], [[label]]]
        if draw.random() < 0.8:
            top, left = np.array([top, left]) + draw.integers(0, 3, 2)
            label = label if draw.random() < 0.8 else 3
            found[:, top : top + height, left : left + width] = [[[number + 5]], [[label]]]
    if void:
        target[:, 3:7] = -1
    return found, target


@pytest.mark.parametrize("void", [False, True])
def test_is_that_of_torchmetrics(void):
    draw = np.random.default_rng(0)
    ours = PanopticQuality(CLASSES, STUFF)
    theirs = Theirs(
        things={1, 3}, stuffs={*STUFF}, allow_unknown_preds_category=True, return_sq_and_rq=True, return_per_class=True
    )
    for found, target in (picture(draw, void) for _ in range(20)):
        ours.update(torch.from_numpy(found)[None], torch.from_numpy(target)[None])
        pairs = (torch.from_numpy(one[::-1].copy()).permute(1, 2, 0)[None] for one in (found, target))
        theirs.update(*(torch.where(pair < 0, 99, pair) for pair in pairs))  # an unknown category is void
    scores, wanted = ours.compute(), theirs.compute().double()  # of classes 1, 3, 0, 2
    for column, name in enumerate(("pq", "sq", "rq")):
        torch.testing.assert_close(scores[f"class_{name}"][[1, 3, 0, 2]], wanted[..., column].flatten())
        assert 0.2 < scores[name] < 0.95
        torch.testing.assert_close(scores[f"{name}_things"], wanted[..., :2, column].mean())
        torch.testing.assert_close(scores[f"{name}_stuff"], wanted[..., 2:, column].mean())


def quality(found, target, crowd=None, classes=2):
    """Scores of one row of pixels, of which class and number are one, except for class 0, which is stuff."""
    metric = PanopticQuality(classes, [0])
    planes = [torch.stack([one, one.clamp_max(1)])[:, None] for one in map(torch.tensor, (found, target))]
    if crowd is not None:
        planes[1] = torch.cat([planes[1], torch.tensor(crowd)[None, None]])
    metric.update(*(one[None] for one in planes))
    return {name: score.tolist() for name, score in metric.compute().items()}


def test_an_iou_of_one_half_is_no_match():
    scores = quality([1, 1, 1, 1, 0], [1, 1, 0, 0, 0])  # 2 of 4
    assert scores["class_pq"][1] == scores["class_rq"][1] == scores["class_sq"][1] == 0
    scores = quality([1, 1, 1, 0, 0], [1, 1, 0, 0, 0])  # 2 of 3 pixels, and 2 of 3
    assert scores["class_pq"] == pytest.approx([2 / 3, 2 / 3]) and scores["rq"] == 1


def test_void_does_not_count():
    scores = quality([1, 1, 1, 1, 0], [1, -1, -1, -1, 0])  # would be 1 of 4
    assert scores["pq"] == scores["pq_things"] == scores["pq_stuff"] == 1
    assert quality([1, 1, 1, 0, 0], [-1, -1, 0, 0, 0])["class_pq"][0] == pytest.approx(2 / 3)  # and no FP
    assert np.isnan(quality([1, 1, 1, 0, 0], [-1, -1, 0, 0, 0])["class_pq"][1])
    assert quality([1, 1, 1, 1, 0], [-1, -1, 0, 0, 0])["class_pq"][1] == 0  # not more than half of it is void
    assert quality([-1, -1, 0], [1, 1, 0])["class_rq"] == [0 + 1, 0]  # what is not found is missed


def test_crowds_match_nothing_and_excuse_what_lies_in_them():
    crowd = [0, 1, 1, 1, 0]
    scores = quality([1, 2, 2, 3, 0], [1, 9, 9, 9, 0], crowd)
    assert scores["class_pq"] == [1, 1]  # neither an FN for the crowd nor FPs for what is found in it
    assert quality([1, -1, -1, -1, 0], [1, 9, 9, 9, 0], crowd)["class_pq"] == [1, 1]
    equal = quality([0, 9, 9, 9, 0], [0, 9, 9, 9, 0], crowd)["class_pq"]
    assert equal[0] == 1 and np.isnan(equal[1])  # not even what is equal to a crowd matches it
    scores = quality([1, 0, 0, 0, 0], [1, 9, 9, 9, 0], crowd)  # stuff that was found there is of another class
    assert scores["class_pq"][0] == 0 and scores["class_pq"][1] == 1


def test_classes_that_are_not_there_are_left_out_of_the_means():
    scores = quality([1, 1, 0], [1, 1, 0], classes=5)
    assert scores["pq"] == 1 and np.isnan(scores["class_pq"][2:]).all()
    assert np.isnan(quality([1], [1])["pq_stuff"])
