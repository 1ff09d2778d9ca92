import io

import numpy as np
import pytest
from PIL import Image

from sweepseg.io.png import Header, Writer, chunk_kinds, decode16

from .corpus import DEEP_GREY, DEEP_RGB, GREY, RGB, deep_png, encoded, flipped, png

PIXELS = {1: DEEP_GREY[..., None], 2: DEEP_RGB[..., :2], 3: DEEP_RGB, 4: np.dstack([DEEP_RGB, DEEP_GREY])}


@pytest.mark.parametrize("channels", PIXELS)
@pytest.mark.parametrize("values", [60_000, 5])  # few values make ties in the last filter
@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]], ids=str)
def test_every_filter_and_colour_type_gives_the_16_bits_that_were_written(kinds, channels, values):
    pixels = PIXELS[channels][:9, :11] % values
    data = deep_png(pixels, kinds)
    assert np.array_equal(decode16(data), pixels)
    if channels == 3:  # Pillow, which keeps the upper 8 bits, checks the writer
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels >> 8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 13), (13, 1)])
def test_single_rows_and_columns(shape):
    pixels = DEEP_RGB[: shape[0], : shape[1]]
    assert np.array_equal(decode16(deep_png(pixels, [4])), pixels)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (flipped(deep_png(DEEP_RGB, [1]), 2000), "checksum"),
        (png(48, 40, 16, 2, bytes(289) * 39), "ends early"),
        (png(48, 40, 16, 2, b"\5" + bytes(289 * 40 - 1)), "choice"),
        (png(1, 1, 16, 2, bytes(7), interlace=1), "interlac"),
    ],
    ids=["flipped byte", "row missing", "unknown filter", "interlaced"],
)
def test_damage_is_an_error(data, message):
    with pytest.raises(ValueError, match=message):
        decode16(data)


def test_more_data_than_pixels_is_not_inflated():
    data = png(2, 2, 16, 2, bytes(13 * 2) + bytes(50_000_000))
    assert decode16(data).shape == (2, 2, 3)


def test_header():
    header = Header.parse(png(48, 40, 16, 6, b"")[:29])
    assert (header.width, header.height, header.bits, header.channels) == (48, 40, 16, 4)


@pytest.mark.parametrize("palette", [None, [(0, 0, 0)], [(i, 255 - i, 7) for i in range(256)]])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_written_bands_are_what_pillow_reads(rows, palette):
    pixels = (GREY % np.uint16(len(palette))).astype(np.uint8) if palette else RGB
    file = io.BytesIO()
    writer = Writer(file, 40, 48, palette)
    for top in range(0, 40, rows):
        writer.write(pixels[top : top + rows])
    writer.finish()
    with Image.open(io.BytesIO(file.getvalue())) as image:  # checks the checksums too
        assert np.array_equal(np.asarray(image), pixels)
        if palette:
            assert np.array_equal(np.asarray(image.convert("RGB")), np.array(palette, np.uint8)[pixels])


def test_chunk_kinds():
    assert [*chunk_kinds(io.BytesIO(encoded(RGB, "PNG")))] == [b"IHDR", b"IDAT", b"IEND"]
    assert [*chunk_kinds(io.BytesIO(png(1, 1, 8, 0, b"\0\0")[:50]))] == [b"IHDR", b"IDAT"]
