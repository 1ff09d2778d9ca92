import numpy as np
import pytest
import rasterio
from rasterio import Affine

from sweepseg.errors import InputError
from sweepseg.io import image_windows, raster
from sweepseg.io.image_windows import Georeference
from sweepseg.io.images import read_image
from sweepseg.io.raster import open_raster, read_georeference

from .corpus import DEEP_GREY, DEEP_RGB, GREY, RGB, encoded, exif, tiff

PLACE = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -3, 5_000_000), "nodata": 7}


def geotiff(path, pixels: np.ndarray, **options) -> None:
    """Written by GDAL, so that its own kinds of TIFF are read too."""
    height, width, count = pixels.shape
    settings = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": pixels.dtype} | PLACE
    with rasterio.open(path, "w", **settings | options) as file:
        file.write(np.moveaxis(pixels, -1, 0))


@pytest.mark.parametrize(
    "options",
    [
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "predictor": 2},
        {"bigtiff": "yes", "tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "zstd"},
        {"driver": "COG", "blocksize": 128, "compress": "lzw"},
        {"interleave": "band", "compress": "packbits", "blockysize": 3},
        {"endianness": "big"},
    ],
    ids=["tiled", "bigtiff", "cog", "bands", "big-endian"],
)
def test_kinds_of_geotiff(options, tmp_path):
    geotiff(tmp_path / "x.tif", DEEP_RGB, **options)
    with open_raster(tmp_path / "x.tif") as image:
        assert np.array_equal(image.read(5, 31, 7, 40), DEEP_RGB[5:31, 7:40])
        assert image.georeference == Georeference(PLACE["crs"], PLACE["transform"], PLACE["nodata"])
    assert read_georeference(tmp_path / "x.tif") == image.georeference


def test_grey_jpeg_is_exact_at_any_subsampling(tmp_path):
    grey = np.repeat(GREY[..., None], 3, axis=2)
    for subsampling in (0, 1, 2):
        (tmp_path / "x.jpg").write_bytes(encoded(grey, "JPEG", subsampling=subsampling))
        with open_raster(tmp_path / "x.jpg") as image:
            assert np.array_equal(image.read(0, 40, 0, 48), read_image(tmp_path / "x.jpg"))


@pytest.mark.parametrize("searching", [False, True])  # were GDAL to look for other files, it would find this one
def test_no_other_file_changes_what_is_read(searching, tmp_path, monkeypatch):
    if searching:
        monkeypatch.delitem(raster.OPTIONS, "GDAL_DISABLE_READDIR_ON_OPEN")
        monkeypatch.delitem(raster.OPTIONS, "GDAL_PAM_ENABLED")
    path = tmp_path / "x.tif"
    geotiff(path, RGB, nodata=None)
    (tmp_path / "x.tfw").write_text("9\n0\n0\n9\n1\n1\n")
    geotiff(tmp_path / "x.tif.ovr", RGB[::2, ::2] // 2)
    geotiff(tmp_path / "x.tif.msk", np.zeros((40, 48, 1), np.uint8))
    (tmp_path / "x.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>3</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    with rasterio.open(path) as plain:
        assert plain.nodata == 3  # by itself, GDAL looks beside the file
    with open_raster(path) as image:
        assert image.georeference == Georeference(PLACE["crs"], PLACE["transform"], None)
        assert np.array_equal(image.read(0, 40, 0, 48), RGB)


def test_names_and_contents_that_gdal_would_follow_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    geotiff("real.tif", RGB)
    (tmp_path / "x.tif").write_text(
        "<VRTDataset rasterXSize='48' rasterYSize='40'><VRTRasterBand dataType='Byte' band='1'><SimpleSource>"
        "<SourceFilename>real.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for path in ("x.tif", "/vsimem/x.tif", "GTIFF_DIR:1:real.tif", "zip://x.zip!x.tif"):
        with pytest.raises(InputError, match=r"not an image|no such file"), open_raster(path):
            pass
    for name in ("GTIFF_DIR:1:real.tif", "a?b#c.tif", "\udcff.tif"):
        geotiff("real.tif", RGB)
        (tmp_path / "real.tif").rename(name)
        with open_raster(name) as image:
            assert np.array_equal(image.read(0, 40, 0, 48), RGB)


@pytest.mark.parametrize(("interleave", "megabytes"), [("pixel", "36"), ("band", "12")])
def test_strips_that_would_fill_the_memory_are_refused(interleave, megabytes, tmp_path, monkeypatch):
    monkeypatch.setattr(image_windows, "CHUNK", 11_999_999)
    pixels = np.zeros((2100, 6000, 3), np.uint8)
    geotiff(tmp_path / "x.tif", pixels, interleave=interleave, blockysize=2000, compress="deflate")
    with (
        pytest.raises(InputError, match=f"pieces of 6000x2000 pixels take {megabytes} MB"),
        open_raster(tmp_path / "x.tif"),
    ):
        pass


def test_damage_is_named_in_gdals_words(tmp_path):
    data = encoded(RGB, "PNG")
    (tmp_path / "x.png").write_bytes(data[:-100] + bytes([data[-100] ^ 255]) + data[-99:])
    with open_raster(tmp_path / "x.png") as image, pytest.raises(InputError, match=r"cannot be read: .*IDAT"):
        image.read(0, 40, 0, 48)


def test_without_rasterio_the_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.tif").write_bytes(tiff(DEEP_GREY))
    monkeypatch.setattr(raster, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'48x40 .* pip install "sweepseg\[geo\]"'), open_raster(tmp_path / "x.tif"):
        pass


@pytest.mark.parametrize(
    ("name", "data"),
    [("x.png", encoded(RGB, "PNG")), ("x.bmp", encoded(RGB, "BMP")), ("x.tif", encoded(RGB, "TIFF", exif=exif(6)))],
)
def test_images_that_lie_nowhere(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert read_georeference(tmp_path / name) == Georeference()
