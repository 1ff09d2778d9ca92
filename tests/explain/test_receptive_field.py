"""Receptive fields of sums worked by hand."""

import pytest
import torch
from explain.networks import Sum3x3, Weighted, segmenter

from sweepseg.errors import UsageError
from sweepseg.explain.receptive_field import effective_receptive_field, radius
from sweepseg.explain.region import Region

CENTRE = Region.of_pixel(4, 4)


@pytest.mark.parametrize(("count", "profile"), [(1, [1, 1, 1]), (2, [1, 2, 3, 2, 1]), (3, [1, 3, 6, 7, 6, 3, 1])])
def test_convolutions_of_ones_see_their_binomial(count, profile):
    field = effective_receptive_field(segmenter(Sum3x3(count)), torch.rand(1, 1, 9, 9), CENTRE)
    line = torch.zeros(9)
    line[4 - count : 5 + count] = torch.tensor(profile).float()
    torch.testing.assert_close(field, torch.outer(line, line))


def test_channels_and_logits_are_averaged_as_squares():
    weights = torch.zeros(1, 2, 9, 9)
    weights[0, 0, 2, 2], weights[0, 1, 2, 2], weights[0, 0, 5, 5] = 3.0, 4.0, 5.0
    model = segmenter(Weighted(weights), mean=(0.5, 0.5), std=(1.0, 1.0))
    field = effective_receptive_field(model, torch.rand(1, 2, 9, 9), CENTRE)
    assert field[2, 2] == field[5, 5] == pytest.approx((25 / 2) ** 0.5)
    # alike logits: each mixture is a multiple of the field, wherever its weights have opposite signs
    two = segmenter(Weighted(torch.cat([weights, -weights])), "multiclass", mean=(0.5, 0.5), std=(1.0, 1.0))
    mixed = effective_receptive_field(two, torch.rand(1, 2, 9, 9), CENTRE)
    assert mixed[2, 2] == pytest.approx(mixed[5, 5].item()) and mixed.count_nonzero() == 2
    assert 0.3 < mixed[2, 2] / field[2, 2] < 3


def test_radius_of_a_disc():
    rows, columns = torch.meshgrid(torch.arange(201.0), torch.arange(201.0), indexing="ij")
    disc = (torch.hypot(rows - 100, columns - 100) <= 80).float()
    assert radius(disc, Region.of_pixel(100, 100), 0.25) == pytest.approx(40, abs=1)
    assert radius(disc, Region.of_pixel(100, 100), 1.0) == pytest.approx(80, abs=1)


def test_a_place_outside_of_the_picture_is_refused():
    with pytest.raises(UsageError, match="do not lie in it"):
        effective_receptive_field(segmenter(Sum3x3(1)), torch.rand(1, 1, 4, 4), CENTRE)
