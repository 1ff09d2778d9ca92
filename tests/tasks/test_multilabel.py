import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.tasks.multilabel import Multilabel


def test_decodes_each_class_by_itself():
    logits = torch.tensor([[[[2.0, -1.0]], [[1.0, -3.0]], [[-0.5, 0.0]]]])
    assert Multilabel(3).decode(logits).tolist() == [[[[1, 0]], [[1, 0]], [[0, 0]]]]


def test_probabilities_are_independent():
    probabilities = Multilabel(2).probabilities(torch.tensor([0.0, 4.0]).view(1, 2, 1, 1)).flatten()
    torch.testing.assert_close(probabilities, torch.tensor([0.5, 0.98201379]))


def test_needs_a_class():
    with pytest.raises(UsageError, match="0 classes for task multilabel"):
        Multilabel(0)
