"""What a task leaves to its base class, with masks."""

import torch

from sweepseg.tasks import Binary, Multiclass


def test_views_and_targets_are_stacked():
    images, targets = [torch.rand(3, 4, 5) for _ in range(2)], [torch.zeros(4, 5), torch.ones(4, 5)]
    batch = Binary().batch(images, targets)
    assert [torch.equal(part[1], whole[1]) for part, whole in zip(batch, (images, targets), strict=True)] == [True] * 2


def test_report_is_the_table_of_classes_and_the_global_accuracy():
    metric = Multiclass(2).metric()
    metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]))
    table, line = Multiclass(2).report(metric.compute(), ("a", "b"))
    assert [row[0] for row in table] == ["class", "a", "b", "mean"] and line == "global accuracy 75.0"


def test_headline_is_the_first_of_the_logged_scores():
    assert Binary.headline({"mean_iou": 0.8314, "global_accuracy": 0.9}) == "mIoU 83.1"
    assert Binary.headline({}) == ""
