"""Objects over a mask: by hand, and through COCO's files and panoptic quality."""

import numpy as np
import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.inference.objects import FoundObject, FoundObjects
from sweepseg.inference.panoptic import annotate, merge
from sweepseg.io.coco_panoptic import Panoptic, planes_of, read_ids, read_panoptic, write_ids, write_panoptic
from sweepseg.metrics_panoptic import PanopticQuality
from sweepseg.models.segmenter import ModelConfig

CLASSES = ("grass", "cow", "sky", "dog")
MASK = np.array([[2, 2, 2, 1], [0, 1, 1, 0], [0, 3, 0, 0]])  # the cow above on the right has no object


@pytest.fixture
def found():
    numbers = np.array([[0, 0, 0, 0], [0, 1, 2, 2], [0, 3, 3, 0]], np.int32)
    objects = tuple(
        FoundObject(number, label, 0.9, (0, 0, 3, 4), 1) for number, label in enumerate(("cow", "cow", "dog"), 1)
    )
    looks = {"palette": ((1, 1, 1), (2, 2, 2)), "mean": (0.0,), "std": (1.0,)}
    config = ModelConfig(builder="sweepnet_small", task="instances", classes=("dog", "cow"), **looks)
    return FoundObjects(numbers, np.zeros((4, 3, 4)), np.zeros((3, 3, 4)), config, objects=objects)


def test_objects_lie_over_the_mask_and_things_without_an_object_are_void(found):
    numbers, labels = merge(found, CLASSES, MASK)
    assert (numbers == found.mask).all()
    assert labels.tolist() == [[2, 2, 2, -1], [0, 1, 1, 1], [0, 3, 3, 0]]
    assert merge(found, CLASSES)[1].tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 3, 3, 0]]


def test_files_hold_what_was_merged(found, tmp_path):
    planes = merge(found, CLASSES, MASK)
    ids, annotation = annotate(planes, [10, 20, 30, 40], image_id=7, file_name="a.png")
    kinds = tuple({"id": 10 * (i + 1), "name": name, "isthing": i % 2} for i, name in enumerate(CLASSES))
    write_ids(tmp_path / "a.png", ids)
    write_panoptic(tmp_path / "a.json", Panoptic((annotation,), kinds))
    (again,) = read_panoptic(tmp_path / "a.json").annotations
    assert sorted((one.category_id, one.area) for one in again.segments) == [
        (10, 3),
        (20, 1),
        (20, 2),
        (30, 3),
        (40, 2),
    ]
    read = planes_of(read_ids(tmp_path / "a.png", again.segments), again.segments, {10: 0, 20: 1, 30: 2, 40: 3})
    metric = PanopticQuality(4, stuff=(0, 2))
    metric.update(torch.from_numpy(read[None, :2]), torch.from_numpy(planes)[None])
    assert metric.compute()["pq"] == 1


def test_what_does_not_fit_is_refused(found):
    with pytest.raises(UsageError, match="objects can be dog, which is not among the classes grass, cow"):
        merge(found, ("grass", "cow"))
    with pytest.raises(UsageError, match=r"the mask is \(2, 4\), the objects are \(3, 4\)"):
        merge(found, CLASSES, MASK[:2])
