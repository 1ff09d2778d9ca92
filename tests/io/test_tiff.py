import io
import struct
import sys

import numpy as np
import pytest
import tifffile

from sweepseg.errors import InputError
from sweepseg.io.decode import decode
from sweepseg.io.picture import MAX_PIXELS

from .corpus import DEEP_RGB, GREY, RGB, encoded, first_directory, five, tiff


@pytest.fixture
def read(tmp_path):
    def read(data):
        (tmp_path / "x.tif").write_bytes(data)
        return decode(tmp_path / "x.tif", MAX_PIXELS)

    return read


def with_tag(data, tag, value):
    """A little-endian TIFF whose first directory has another value for a tag of one short."""
    (start,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[start : start + 2])
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack("<H", data[entry : entry + 2])[0] == tag:
            return data[: entry + 8] + struct.pack("<HH", value, 0) + data[entry + 12 :]
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_only_lossy_compression_is_called_so(read, compression):
    assert read(encoded(RGB, "TIFF", compression=compression)).lossy == (compression == "jpeg")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", "float64"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_every_type_of_sample_arrives_unchanged(read, dtype, bigtiff):
    values = np.arange(10 * 12 * 5).reshape(10, 12, 5).astype(dtype)
    picture = read(tiff(values, planarconfig="contig", bigtiff=bigtiff))
    assert picture.pixels.dtype == dtype and np.array_equal(picture.pixels, values)
    assert picture.bits == values.itemsize * 8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (with_tag(tiff(DEEP_RGB, photometric="rgb"), 262, 5), "photometric interpretation 5"),
        (with_tag(five(np.zeros((9, 9, 5), np.float32)), 262, 0), "0 is white"),
        (tiff(np.zeros((3, 9, 9), np.uint8), volumetric=True), "a volume"),
        (first_directory(encoded(RGB, "TIFF"), next_directory=8)[:4] + struct.pack("<I", 0), "directory is missing"),
        (with_tag(encoded(RGB, "TIFF"), 256, 60_000), "cannot hold 60000x40"),
        (with_tag(encoded(RGB, "TIFF", compression="tiff_deflate"), 256, 100), "cannot be read"),
    ],
    ids=["cmyk", "white float", "volume", "no directory", "forged width", "forged width packed"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_be_read_exactly_is_refused(read, data, reason):
    with pytest.raises(InputError, match=reason):
        read(data)


def test_many_channels_count_as_many_pixels(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(np.zeros((10, 10, 40), np.uint8), planarconfig="contig"))
    assert decode(tmp_path / "x.tif", 1000).pixels.shape == (10, 10, 40)
    with pytest.raises(InputError, match="too many"):
        decode(tmp_path / "x.tif", 999)


def test_a_preview_before_the_image_is_refused_but_overviews_after_it_are_passed_over(read):
    def file(*kinds):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            for kind in kinds:
                writer.write(GREY, photometric="minisblack", subfiletype=kind)
        return buffer.getvalue()

    assert np.array_equal(np.asarray(read(file(0, 1, 1)).pixels), GREY)
    with pytest.raises(InputError, match="pages"):
        read(file(1, 0))


def test_without_tifffile_the_remedy_is_named_and_common_kinds_are_read(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert np.array_equal(np.asarray(read(encoded(RGB, "TIFF")).pixels), RGB)
    with pytest.raises(InputError, match=r'pip install "sweepseg\[tiff\]"'):
        read(tiff(DEEP_RGB, photometric="rgb"))


def test_odd_tags_that_are_not_needed_are_no_news(read, caplog):
    nodata = (42113, "s", 0, "0.0", True)  # as GDAL writes it, also for whole numbers, where tifffile wants "0"
    values = np.zeros((10, 12, 5), np.uint8)
    assert np.array_equal(read(tiff(values, planarconfig="contig", extratags=[nodata])).pixels, values)
    assert not caplog.records
