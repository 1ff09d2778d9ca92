"""What all tasks promise; the numbers of each stand in its own file."""

import pytest
import torch

from sweepseg.losses import combined
from sweepseg.tasks import TASKS, Binary, Multiclass, Multilabel

EVERY = [Binary(), Multiclass(3), Multilabel(3), Multilabel(1), Multiclass(255)]


def example(task):
    """Random logits and a mask decoded from them, some of it ignored."""
    logits = torch.randn(2, task.num_logits, 5, 4, generator=torch.Generator().manual_seed(0))
    target = task.decode(logits).long()
    target[..., 0] = task.ignore_index
    return logits, target


@pytest.mark.parametrize("task", EVERY, ids=str)
class TestEveryTask:
    def test_is_rebuilt_from_its_name_and_number_of_classes(self, task):
        assert TASKS[task.name](task.num_classes) == task

    def test_probabilities_are_float32_in_the_shape_of_the_logits(self, task):
        logits, _ = example(task)
        for given in (logits, logits.bfloat16()):
            probabilities = task.probabilities(given)
            assert probabilities.dtype == torch.float32
            assert probabilities.shape == logits.shape
            assert (probabilities > 0).all() and (probabilities < 1).all()

    def test_mask_is_bytes_that_its_metric_takes(self, task):
        logits, target = example(task)
        mask = task.decode(logits)
        assert mask.dtype == torch.uint8
        metric = task.metric()
        metric.update(mask, target)
        scores = metric.compute()
        assert scores["mean_iou"] == 1
        assert scores["iou"].numel() == task.num_classes

    def test_loss_is_the_sum_of_its_terms_for_this_task(self, task):
        logits, target = example(task)
        terms = {"cross_entropy": 1.0, "dice": 0.5}
        weights = torch.linspace(0.5, 2, task.num_classes)
        expected = combined(terms, task=task.name, class_weights=weights, label_smoothing=0.1)(logits, target)
        assert task.loss(terms, weights, 0.1)(logits, target) == expected
        assert task.loss(terms)(logits, target) == combined(terms, task=task.name)(logits, target)

    def test_ignore_index_reaches_loss_and_metric(self, task):
        logits, target = example(task)
        other = TASKS[task.name](task.num_classes, ignore_index=-1)
        renamed = target.masked_fill(target == 255, -1)
        assert other.loss({"focal": 1.0})(logits, renamed) == task.loss({"focal": 1.0})(logits, target)
        metric = other.metric()
        metric.update(task.decode(logits), renamed)
        assert metric.compute()["mean_iou"] == 1

    @pytest.mark.parametrize("junk", [float("nan"), float("inf"), float("-inf")])
    def test_logits_that_are_not_finite_are_refused(self, task, junk):
        logits, _ = example(task)
        logits[1, 0, 2, 3] = junk
        with pytest.raises(ValueError, match="non-finite"):
            task.decode(logits)

    def test_logits_of_another_number_of_channels_are_refused(self, task):
        with pytest.raises(ValueError, match=f"wants \\(batch, {task.num_logits}, rows, columns\\)"):
            task.decode(torch.zeros(1, task.num_logits + 1, 4, 4))
