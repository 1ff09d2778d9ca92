import numpy as np
import pytest
from PIL import Image

from sweepseg.io.images import fit_channels, read_image, to_unit, write_image

from .corpus import DEEP_RGB, GREY, RGB


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_are_scaled_by_their_full_range(dtype):
    image = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(-1, 16, 1)
    unit = to_unit(image)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, image.astype(np.float64) / np.iinfo(dtype).max, rtol=1e-7)
    assert (unit.min(), unit.max()) == (0, 1)


def test_an_explicit_range_becomes_0_to_1():
    image = np.array([[[-1000.0], [0], [3000]]], np.float32)
    np.testing.assert_array_equal(to_unit(image, (-1000, 3000)).ravel(), [0, 0.25, 1])
    twelve_bits = np.array([[[0], [4095]]], np.uint16)
    np.testing.assert_array_equal(to_unit(twelve_bits, (0, 4095)).ravel(), [0, 1])


@pytest.mark.parametrize(
    ("values", "input_range"), [([0, 1.01], None), ([-0.01, 1], None), ([0, np.nan], None), ([0, 11], (0, 10))]
)
def test_values_outside_of_the_range_are_refused_not_clipped(values, input_range):
    with pytest.raises(ValueError, match="input_range"):
        to_unit(np.array(values, np.float32).reshape(1, -1, 1), input_range)


def test_grey_is_repeated_and_rgb_becomes_pillows_luma():
    grey = GREY[..., None]
    assert np.array_equal(fit_channels(grey, 3), np.asarray(Image.fromarray(GREY).convert("RGB")))
    luma = fit_channels(RGB, 1)
    assert luma.dtype == np.uint8
    assert abs(luma[..., 0].astype(int) - np.asarray(Image.fromarray(RGB).convert("L"))).max() <= 1  # it truncates
    assert abs(fit_channels(DEEP_RGB, 1).mean() - DEEP_RGB.mean((0, 1)) @ [0.299, 0.587, 0.114]) < 0.1
    assert fit_channels(DEEP_RGB, 3) is DEEP_RGB


@pytest.mark.parametrize(("channels", "wanted"), [(3, 5), (5, 3), (1, 2), (4, 1)])
def test_other_channels_are_refused(channels, wanted):
    with pytest.raises(ValueError, match=f"has {channels} channels but the model takes {wanted}"):
        fit_channels(np.zeros((2, 2, channels)), wanted)


@pytest.mark.parametrize("image", [RGB, GREY[..., None]], ids=["RGB", "grey"])
def test_written_images_are_read_back_and_carry_no_metadata(image, tmp_path):
    write_image(tmp_path / "x.png", image)
    assert np.array_equal(read_image(tmp_path / "x.png"), image)
    with Image.open(tmp_path / "x.png") as written:
        assert written.info == {}
