import io
import sys

import numpy as np
import pytest
from PIL import Image

from sweepseg.errors import UsageError
from sweepseg.explain.picture import draw_attribution, draw_fields
from sweepseg.explain.region import Region

PIXEL = Region.of_pixel(2, 3)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_what_counts_for_is_red_and_what_counts_against_blue(channels):
    image, found = np.full((6, 8, channels), 0.5, np.float32), np.zeros((6, 8), np.float32)

    def reddest(value):
        found[:3] = value
        drawn = pixels(draw_attribution(image, PIXEL, found, "x"))
        return ((drawn[..., 0] - drawn[..., 2]) > 60).sum() - ((drawn[..., 2] - drawn[..., 0]) > 60).sum()

    found[4, 4] = -1e-9  # of either sign
    assert reddest(1.0) > 1000 and reddest(-1.0) < -1000


def test_receptive_fields_stand_side_by_side_in_powers_of_ten():
    image, field = np.zeros((6, 6, 3), np.float32), np.full((6, 6), 1.0)
    field[:3] = 1e-2
    one, two = (pixels(draw_fields(image, PIXEL, [("a", field)] * count)) for count in (1, 2))
    assert two.shape[1] > 1.4 * one.shape[1]
    assert (draw_fields(image, PIXEL, [("a", 7 * field)])) == draw_fields(image, PIXEL, [("a", field)])
    faint = pixels(
        draw_fields(image, PIXEL, [("a", field.clip(max=1e-2) + (field > 0.5) * 1e2)])
    )  # 1e-4 of the largest
    assert (faint != one).any()


def test_a_field_of_zeros_is_drawn_and_missing_matplotlib_said(monkeypatch):
    image, nothing = np.zeros((6, 6, 3), np.float32), np.zeros((6, 6))
    assert pixels(draw_fields(image, PIXEL, [("a", nothing)])).size
    assert pixels(draw_attribution(image, PIXEL, nothing, "a")).size
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'pip install "sweepseg\[explain\]"'):
        draw_fields(image, PIXEL, [("a", nothing)])
