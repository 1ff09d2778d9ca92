"""Scores of objects against pycocotools and, where it has none, loops over their definitions."""

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sweepseg.metrics_instances import InstanceScores, average_precision, matched, objects_in

SIDE, CLASSES = 24, 2


def picture(draw):
    """Overlapping rectangles, of which each hides those before; a third of the found ones lie a little off."""
    target, found = np.zeros((2, SIDE, SIDE), np.int64), np.zeros((3, SIDE, SIDE), np.float32)
    for number in range(1, draw.integers(1, 9)):
        top, left = draw.integers(0, SIDE - 7, 2)
        height, width = draw.integers(2, 8, 2)
        label = draw.integers(1, CLASSES + 1)
        target[:, top : top + height, left : left + width] = [[[number]], [[label]]]
        if draw.random() < 0.85:
            top, left = np.array([top, left]) + draw.integers(-1, 2, 2).clip(-top, None) * (draw.random() < 0.6)
            label = label if draw.random() < 0.8 else 3 - label
            values = [number + 3, label, draw.integers(1, 20) / 20]  # some scores are equal
            found[:, max(top, 0) : top + height, max(left, 0) : left + width] = np.reshape(values, (3, 1, 1))
    return found, target


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    return [picture(draw) for _ in range(60)]


def score(pictures, **options):
    metric = InstanceScores(CLASSES, **options)
    for found, target in pictures:
        metric.update(torch.from_numpy(found)[None], torch.from_numpy(target)[None])
    return metric.compute()


def listed(planes, image):
    """The objects of a picture as COCO's annotations; [x, y, width, height]."""
    for number in np.unique(planes[0][planes[0] > 0]):
        own = planes[0] == number
        rows, columns = own.nonzero()
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        yield {
            "image_id": image,
            "category_id": int(planes[1][own][0]),
            "segmentation": rle.encode(np.asfortranarray(own.astype(np.uint8))),
            "bbox": [*map(float, box)],
            "area": float(own.sum()),
            "iscrowd": 0,
        } | ({"score": float(planes[2][own][0])} if len(planes) == 3 else {})


def coco(pictures, kind, limit):
    """AP at IoU 0.5 of each class by pycocotools."""
    truth = COCO()
    annotations = [one for image, (_, target) in enumerate(pictures) for one in listed(target, image)]
    truth.dataset = {
        "images": [{"id": image, "height": SIDE, "width": SIDE} for image in range(len(pictures))],
        "categories": [{"id": label} for label in range(1, CLASSES + 1)],
        "annotations": [one | {"id": number} for number, one in enumerate(annotations, 1)],
    }
    truth.createIndex()
    results = truth.loadRes([one for image, (found, _) in enumerate(pictures) for one in listed(found, image)])
    judge = COCOeval(truth, results, kind)
    judge.params.maxDets, judge.params.iouThrs = [limit], np.array([0.5])
    judge.evaluate()
    judge.accumulate()
    return judge.eval["precision"][0, :, :, 0, 0].mean(0)


@pytest.mark.parametrize("limit", [1000, 1])
@pytest.mark.parametrize(("kind", "name"), [("segm", "class_ap50"), ("bbox", "class_box_ap50")])
def test_average_precision_equals_pycocotools(pictures, kind, name, limit):
    wanted = coco(pictures, kind, limit)
    found = score(pictures, limit=limit)
    assert (wanted > 0.1).all() and (wanted < 0.9).all()
    np.testing.assert_allclose(found[name], wanted, rtol=1e-6)
    np.testing.assert_allclose(found[name.removeprefix("class_")], wanted.mean(), rtol=1e-6)


def as_sets(plane):
    return [{*zip(*(plane == number).nonzero(), strict=True)} for number in np.unique(plane[plane > 0])]


def test_hits_dice_and_counts_by_definition(pictures):
    hits = found = true = 0
    dices, errors = [], []
    for maps in pictures:
        first, second = as_sets(maps[0][0]), as_sets(maps[1][0])
        hits += sum(len(a & b) / len(a | b) > 0.5 for a in first for b in second)
        found, true = found + len(first), true + len(second)
        errors.append(abs(len(first) - len(second)))
        best = [
            np.mean([max((2 * len(a & b) / (len(a) + len(b)) for b in others), default=0) for a in ones])
            for ones, others in ((first, second), (second, first))
            if ones
        ]
        dices.append(min(best) if len(best) == 2 else 1.0 - len(best))
    scores = score(pictures)
    assert scores["object_jaccard"].item() == pytest.approx(hits / (found + true - hits))
    assert scores["symmetric_best_dice"].item() == pytest.approx(np.mean(dices))
    assert scores["count_error"].item() == pytest.approx(np.mean(errors)) and np.mean(errors) > 0.1


def maps(numbers, score=0.5):
    labels = np.array([numbers])
    there = (labels > 0).astype(np.int64)
    return np.stack([labels, there, score * there]).astype(np.float32), np.stack([labels, there])


@pytest.mark.parametrize(
    ("found", "true", "expected"),  # jaccard, SBD, count error, AP50
    [
        ([0, 0, 0], [0, 0, 0], (np.nan, 1, 0, np.nan)),
        ([0, 0, 0], [0, 1, 0], (0, 0, 1, 0)),
        ([0, 3, 0], [0, 0, 0], (0, 0, 1, np.nan)),
        ([0, 3, 0], [0, 1, 0], (1, 1, 0, 1)),  # an object of one pixel
        ([1, 1, 2], [7, 7, 4], (1, 1, 0, 1)),
        ([1, 1, 0], [1, -1, -1], (1, 1, 0, 1)),  # what is ignored belongs to nothing
        ([0, 0, 2], [1, 0, -1], (0, 0, 1, 0)),  # an object that lies where nothing counts is none
    ],
)
def test_pictures_with_few_objects_or_none(found, true, expected):
    metric = InstanceScores(1)
    metric.update(torch.from_numpy(maps(found)[0])[None], torch.from_numpy(maps(true)[1])[None])
    scores = metric.compute()
    names = ("object_jaccard", "symmetric_best_dice", "count_error", "ap50")
    np.testing.assert_equal([scores[name].item() for name in names], expected)


def test_the_surest_object_is_matched_first():
    iou = np.array([[0.6, 0.9], [0.0, 0.95]])
    assert matched(iou, np.array([0.9, 0.8]), 0.5).tolist() == [True, False]
    assert matched(iou, np.array([0.8, 0.9]), 0.5).tolist() == [True, True]


def test_average_precision_worked_by_hand():
    hits = np.array([True, False, True])  # precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2
    assert average_precision(np.array([0.9, 0.8, 0.7]), hits, 4) == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)


def test_objects_keep_their_order_and_what_is_ignored_is_none():
    objects = objects_in(np.array([[-1, 9, 0], [3, 9, 9]]))
    assert objects.numbers.tolist() == [3, 9] and objects.areas.tolist() == [1, 3]
    assert objects.boxes.tolist() == [[1, 0, 2, 1], [0, 1, 2, 3]] and objects.first.tolist() == [3, 1]
