import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.tasks.multiclass import Multiclass


def test_decodes_the_largest_logit_and_the_lower_of_equals():
    logits = torch.tensor([[0.0, 3.0, 1.0], [1.0, 1.0, 0.0], [0.0, 2.0, 2.0]]).T.view(1, 3, 1, 3)
    assert Multiclass(3).decode(logits).tolist() == [[[1, 0, 1]]]


def test_probabilities_add_up_to_one_over_classes():
    probabilities = Multiclass(3).probabilities(torch.tensor([0.0, 0.0, 2.0]).log1p().view(1, 3, 1, 1))
    torch.testing.assert_close(probabilities.flatten(), torch.tensor([0.2, 0.2, 0.6]))


@pytest.mark.parametrize("num_classes", [0, 1, 256])
def test_takes_2_to_255_classes(num_classes):
    with pytest.raises(UsageError, match=f"{num_classes} classes for task multiclass, which takes 2 to 255"):
        Multiclass(num_classes)
