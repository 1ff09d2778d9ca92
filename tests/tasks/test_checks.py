from dataclasses import replace
from pathlib import Path

import pytest
import torch
from inference.models import model

from sweepseg.data import nuclei_sample
from sweepseg.data.dataset import Sample
from sweepseg.errors import UsageError
from sweepseg.tasks.checks import check_dimensions, check_logits


def test_says_how_many_values_are_not_finite_and_where_the_first_is():
    logits = torch.zeros(2, 3, 4, 5)
    logits[1, 2, 3, 4] = torch.nan
    logits[1, 0, 2, 1] = torch.inf
    with pytest.raises(ValueError, match=r"2 non-finite values .* in image 1, channel 0, row 2, column 1"):
        check_logits(logits, 3)


def test_names_the_slice_of_a_volume():
    logits = torch.zeros(1, 2, 3, 4, 5)
    logits[0, 1, 2, 3, 4] = torch.nan
    with pytest.raises(ValueError, match=r"image 0, channel 1, slice 2, row 3, column 4"):
        check_logits(logits, 2)


def test_volumes_and_images_go_to_their_own_models():
    images = nuclei_sample()
    volumes = replace(images, splits={"train": (Sample("a", Path("a.nii.gz"), None),)})
    for_images, for_volumes = model(), model(builder="sweepnet_volume_small", channels=1)
    check_dimensions(for_images, images)
    check_dimensions(for_volumes, volumes)
    with pytest.raises(
        UsageError, match=r"sweepnet_small takes images, but .* holds volumes; .* sweepnet_volume_small"
    ):
        check_dimensions(for_images, volumes)
    with pytest.raises(
        UsageError, match=r"sweepnet_volume_small takes volumes, but .* holds images; .* sweepnet_small"
    ):
        check_dimensions(for_volumes, images)


def test_says_what_shape_is_wanted():
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\); this task wants \(batch, 3, rows, columns\)"):
        check_logits(torch.zeros(3, 4, 5), 3)


def test_passes_finite_logits_of_any_size():
    check_logits(torch.full((1, 1, 1, 1), -1e38), 1)
    check_logits(torch.zeros(0, 2, 4, 4), 2)
