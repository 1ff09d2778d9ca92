"""Maps of numbers: what files hold, what is unknown, and what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from sweepseg.errors import InputError
from sweepseg.io.maps import read_map, write_map

NODATA = 42113  # GDAL's tag


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 200], [255, 7]], np.uint8),
        np.array([[0, 40000], [65535, 7]], np.uint16),  # nothing wraps
        np.array([[-70000, 2**24], [3, -1]], np.int32),
        np.array([[0.25, -1e9], [np.nan, 7]], np.float32),
        np.array([[0.1, np.nan], [1e12, 7]], np.float64),
        np.array([[-5, 2], [3, 4]], np.int16),
    ],
    ids=lambda values: str(values.dtype),
)
def test_values_are_taken_as_they_stand(tmp_path, values):
    tifffile.imwrite(tmp_path / "a.tif", values)
    files = [tmp_path / "a.tif"]
    if values.dtype in (np.uint8, np.uint16):
        Image.fromarray(values).save(tmp_path / "a.png")
        files.append(tmp_path / "a.png")
    for file in files:
        found = read_map(file)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "missing", "text"),
    [
        (np.float32, np.finfo(np.float32).min, "-3.4028234663852886e+38"),
        (np.float32, 0.1, "0.1"),
        (np.float64, 0.1, "0.1\0"),
        (np.uint16, 65535, "65535 "),
        (np.int16, -9999, "-9999"),
    ],
)
def test_values_that_a_tiff_names_as_missing_are_unknown(tmp_path, dtype, missing, text):
    values = np.array([[1, missing], [missing, 2]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(NODATA, "s", 0, text, True)])
    np.testing.assert_array_equal(read_map(tmp_path / "a.tif"), [[1, np.nan], [np.nan, 2]])


def test_an_unsigned_map_has_no_missing_value_below_0(tmp_path):
    values = np.array([[55537, 1]], np.uint16)  # -9999, wrapped
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(NODATA, "s", 0, "-9999", True)])
    np.testing.assert_array_equal(read_map(tmp_path / "a.tif"), values)


@pytest.mark.parametrize(
    ("name", "pixels", "reason"),
    [
        ("a.tif", np.array([[0, 1, 2], [3, 4, np.inf]], np.float32), r"inf at \(row, column\) = \(1, 2\); save NaN"),
        ("a.tif", np.array([[-3.4e38, 1]], np.float32), r"-3.4e\+38 at \(row, column\) = \(0, 0\)"),
        ("a.tif", np.array([[1, 1e300]], np.float64), r"1e\+300 at"),
        ("a.png", np.zeros((2, 3, 3), np.uint8), "8 bits of mode RGB; save maps as grey"),
        ("a.png", np.zeros((2, 3), bool), "1 bits of mode 1"),
        ("a.tif", np.zeros((2, 3, 2), np.float32), "2 channels; a map has one"),
        ("a.jpg", np.zeros((2, 3), np.uint8), "lossy compression changes values"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, name, pixels, reason):
    if name.endswith(".tif"):
        planar = {"planarconfig": "contig", "photometric": "minisblack"} if pixels.ndim == 3 else {}
        tifffile.imwrite(tmp_path / name, pixels, **planar)
    else:
        Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(InputError, match=reason):
        read_map(tmp_path / name)


def test_a_missing_value_that_is_no_number_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 2), np.float32), extratags=[(NODATA, "s", 0, "none", True)])
    with pytest.raises(InputError, match="could not convert string to float"):
        read_map(tmp_path / "a.tif")


def test_written_maps_are_read_by_others_to_the_bit(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    values[0, 0] = np.nan
    write_map(tmp_path / "a.tif", values)
    for found in (tifffile.imread(tmp_path / "a.tif"), read_map(tmp_path / "a.tif")):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)
