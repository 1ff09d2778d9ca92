import os
import resource

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio import Affine

from sweepseg.errors import OutputError
from sweepseg.io.image_windows import Georeference
from sweepseg.io.mask_windows import geotiff_windows, png_windows

from .corpus import GREY, RGB

PALETTE = [(0, 0, 0), (255, 0, 0), (9, 8, 7)]
MASK = GREY % 3
PLACE = Georeference(rasterio.CRS.from_epsg(32633), Affine(2, 0, 500_000, 0, -3, 5_000_000), 2)


def write_all(write, pixels: np.ndarray, rows: int, columns: int) -> None:
    for top in range(0, pixels.shape[0], rows):
        for left in range(0, pixels.shape[1], columns):
            write(left, pixels[top : top + rows, left : left + columns])


WINDOWS = [(7, 11), (40, 48), (1, 48), (13, 1), (100, 100)]


@pytest.mark.parametrize("window", WINDOWS)
def test_png_holds_its_windows(window, tmp_path):
    with png_windows(tmp_path / "new" / "mask.png", *MASK.shape, PALETTE) as write:
        write_all(write, MASK, *window)
    with Image.open(tmp_path / "new" / "mask.png") as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image), MASK)
        assert np.array_equal(np.asarray(image.convert("RGB")), np.array(PALETTE, np.uint8)[MASK])
    with png_windows(tmp_path / "colour.png", *MASK.shape) as write:
        write_all(write, RGB, *window)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "colour.png")), RGB)
    assert os.listdir(tmp_path / "new") == ["mask.png"]


@pytest.mark.parametrize("window", WINDOWS)
def test_geotiff_holds_its_windows_and_lies_where_its_image_lies(window, tmp_path):
    with geotiff_windows(tmp_path / "mask.tif", *MASK.shape, PALETTE, PLACE) as write:
        write_all(write, MASK, *window)
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert np.array_equal(file.read(1), MASK)
        assert (file.crs, file.transform, file.nodata) == PLACE
        assert [file.colormap(1)[i][:3] for i in range(3)] == PALETTE
        assert file.profile["tiled"] and file.profile["compress"] == "deflate"
    assert np.array_equal(tifffile.imread(tmp_path / "mask.tif"), MASK)
    assert os.listdir(tmp_path) == ["mask.tif"]


@pytest.mark.parametrize(("nodata", "kept"), [(0, 0), (255, 255), (-9999, None), (np.nan, None), (1.5, None)])
def test_value_of_missing_pixels_is_kept_where_a_byte_holds_it(nodata, kept, tmp_path):
    with geotiff_windows(tmp_path / "mask.tif", *MASK.shape, PALETTE, PLACE._replace(nodata=nodata)) as write:
        write(0, MASK)
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert file.nodata == kept


def outputs(tmp_path) -> list:
    return [
        png_windows(tmp_path / "mask", 4000, 48, PALETTE),
        geotiff_windows(tmp_path / "mask", 4000, 48, PALETTE, PLACE),
    ]


@pytest.mark.parametrize("kind", [0, 1])
def test_what_is_not_complete_is_not_there(kind, tmp_path):
    with pytest.raises(KeyboardInterrupt), outputs(tmp_path)[kind] as write:
        write(0, MASK)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", [0, 1])
def test_full_disk_is_an_output_error_and_leaves_the_former_file(kind, tmp_path):
    (tmp_path / "mask").write_bytes(b"former")
    noise = np.random.default_rng(0).integers(0, 256, (4000, 48), np.uint8)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, allowed[1]))  # bytes in one file
    try:
        with pytest.raises(OutputError), outputs(tmp_path)[kind] as write:
            write(0, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert (tmp_path / "mask").read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["mask"]
