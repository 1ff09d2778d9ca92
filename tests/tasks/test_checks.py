import pytest
import torch

from sweepseg.tasks.checks import check_logits


def test_says_how_many_values_are_not_finite_and_where_the_first_is():
    logits = torch.zeros(2, 3, 4, 5)
    logits[1, 2, 3, 4] = torch.nan
    logits[1, 0, 2, 1] = torch.inf
    with pytest.raises(ValueError, match=r"2 non-finite values .* in image 1, channel 0, row 2, column 1"):
        check_logits(logits, 3)


def test_says_what_shape_is_wanted():
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\); this task wants \(batch, 3, rows, columns\)"):
        check_logits(torch.zeros(3, 4, 5), 3)


def test_passes_finite_logits_of_any_size():
    check_logits(torch.full((1, 1, 1, 1), -1e38), 1)
    check_logits(torch.zeros(0, 2, 4, 4), 2)
