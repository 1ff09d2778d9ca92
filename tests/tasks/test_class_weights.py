import pytest
import torch
from torch.testing import assert_close

from sweepseg.tasks.class_weights import class_weights


def test_median_frequency_by_hand():
    """Class 2 has a tenth of all pixels, but half of the only image that holds it."""
    counts = torch.tensor([[80, 20, 0], [60, 40, 0], [5, 5, 10]])
    frequency = torch.tensor([145 / 220, 65 / 220, 10 / 20])
    assert_close(class_weights(counts), 0.5 / frequency)
    assert_close(class_weights(counts, "inverse_sqrt"), (0.5 / frequency).sqrt())
    with pytest.raises(AssertionError, match="not close"):  # frequencies over all images are something else
        assert_close(class_weights(counts), class_weights(counts.sum(0)))


def test_the_median_of_two_classes_lies_between_them():
    assert_close(class_weights(torch.tensor([75, 25])), torch.tensor([0.5 / 0.75, 0.5 / 0.25]))


@pytest.mark.parametrize("method", ["median_frequency", "inverse_sqrt"])
class TestEveryMethod:
    def test_equal_counts_weigh_one(self, method):
        assert_close(class_weights(torch.tensor([7, 7, 7, 7]), method), torch.ones(4))

    def test_rare_classes_weigh_more(self, method):
        weights = class_weights(torch.tensor([1000, 100, 10, 1]), method)
        assert (weights.diff() > 0).all()

    def test_a_class_that_never_occurs_weighs_one_and_changes_nothing(self, method):
        counts = torch.tensor([60, 30, 10])
        expected = torch.cat([class_weights(counts, method), torch.ones(1)])
        assert_close(class_weights(torch.tensor([60, 30, 10, 0]), method), expected)


@pytest.mark.parametrize(
    ("counts", "method", "message"),
    [
        (torch.zeros(3), "median_frequency", "some positive"),
        (torch.tensor([3, -1]), "median_frequency", "none negative"),
        (torch.tensor(3), "median_frequency", r"give \(images, classes\) or \(classes,\)"),
        (torch.tensor([3, 1]), "inverse", "choose median_frequency or inverse_sqrt"),
    ],
)
def test_counts_that_make_no_sense_are_refused(counts, method, message):
    with pytest.raises(ValueError, match=message):
        class_weights(counts, method)
