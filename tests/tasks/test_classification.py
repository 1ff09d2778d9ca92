"""Classification against torch's own cross-entropy and numbers worked by hand."""

import pytest
import torch
import torch.nn.functional as F

from sweepseg.errors import UsageError
from sweepseg.tasks import Classification


def test_decodes_the_largest_logit_and_the_lower_of_equals():
    logits = torch.tensor([[0.0, 3.0, 1.0], [1.0, 1.0, 0.0], [0.0, 2.0, 2.0]])
    assert Classification(3).decode(logits).tolist() == [1, 0, 1]


def test_answer_is_the_name_of_the_class_with_its_share_of_the_softmax():
    (answer,) = Classification(3).answers(torch.tensor([[1.0, 1.0, 2.0]]).log(), ["ant", "bee", "fly"])
    assert answer.text == "fly" and answer.probability == pytest.approx(0.5)


def test_loss_is_cross_entropy_of_images():
    logits, target = torch.randn(5, 4), torch.tensor([0, 3, -1, 2, 2])
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    ours = Classification(4).loss({"cross_entropy": 1.0}, weights)(logits, target)
    torch.testing.assert_close(ours, F.cross_entropy(logits, target, weights, ignore_index=-1))
    smooth = Classification(4).loss({"cross_entropy": 2.0}, None, 0.1)(logits, target)
    torch.testing.assert_close(smooth, 2 * F.cross_entropy(logits, target, ignore_index=-1, label_smoothing=0.1))


def test_report_shows_classes_and_who_was_taken_for_whom():
    metric = Classification(2).metric()
    metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1]))
    by_class, matrix, line = Classification(2).report(metric.compute(), ("cat", "dog"))
    assert by_class == [["class", "class_accuracy", "precision"], ["cat", "50.0", "100.0"], ["dog", "100.0", "66.7"]]
    assert matrix == [["is \\ taken for", "cat", "dog"], ["cat", "1", "1"], ["dog", "0", "2"]]
    assert line == "accuracy 75.00, error 25.00"


def test_a_matrix_too_wide_for_a_terminal_is_left_out():
    metric = Classification(21).metric()
    metric.update(torch.arange(21), torch.arange(21))
    assert len(Classification(21).report(metric.compute(), [*map(str, range(21))])) == 2


@pytest.mark.parametrize("num_classes", [0, 1])
def test_takes_at_least_two_classes(num_classes):
    with pytest.raises(UsageError, match=f"{num_classes} classes for task classification; name at least two"):
        Classification(num_classes)
