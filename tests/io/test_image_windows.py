import numpy as np
import pytest

from sweepseg.errors import InputError
from sweepseg.io.image_windows import CHUNK, Windows, check_kind


class Array(Windows):
    def __init__(self, pixels: np.ndarray):
        self.path, self.pixels, self.dtype = "x", pixels, pixels.dtype

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return self.pixels[top:bottom, left:right]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_place_in_the_image(value):
    pixels = np.ones((40, 48, 2), np.float32)
    pixels[7, 11, 1] = value
    assert Array(pixels).read(8, 40, 0, 48).min() == 1
    with pytest.raises(InputError, match=r"x: .*\(row, column\) = \(7, 11\)"):
        Array(pixels).read(5, 9, 10, 13)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_kinds_that_are_read(dtype):
    check_kind("x", np.dtype(dtype), (1000, CHUNK // 8000, 2))


@pytest.mark.parametrize(
    ("dtype", "chunk", "reason"),
    [
        ("f8", (1, 1), "values of type float64; save them as uint8"),
        ("i2", (1, 1), "int16"),
        ("u1", (1000, CHUNK // 1000 + 1), "pieces of 32001x1000 pixels take 32 MB each; save it with tiles of 512x512"),
        ("f4", (2000, 2000, 3), "pieces of 2000x2000 pixels take 48 MB each"),
    ],
)
def test_kinds_that_are_refused(dtype, chunk, reason):
    with pytest.raises(InputError, match=reason):
        check_kind("x", np.dtype(dtype), chunk)
