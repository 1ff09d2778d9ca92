import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.tasks.binary import Binary


def test_decodes_what_is_more_likely_than_not():
    logits = torch.tensor([[[[-5.0, -0.01, 0.0], [0.01, 5.0, 90.0]]]])
    assert Binary().decode(logits).tolist() == [[[0, 0, 0], [1, 1, 1]]]
    assert Binary().probabilities(logits)[0, 0, 0, 2] == 0.5


def test_metric_is_over_both_labels_and_names_the_foreground():
    metric = Binary().metric()
    metric.update(torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[1, 0, 0, 0]]]))
    scores = metric.compute()
    assert scores["foreground_iou"] == 1 / 2
    assert scores["mean_iou"] == (1 / 2 + 2 / 3) / 2


@pytest.mark.parametrize("num_classes", [1, 3])
def test_has_two_classes(num_classes):
    with pytest.raises(UsageError, match=f"{num_classes} classes for task binary, which has two"):
        Binary(num_classes)
