import io

import numpy as np
import pytest

from sweepseg.errors import InputError
from sweepseg.io.header import exceeds, read_header
from sweepseg.io.images import read_image

from .corpus import RGB, accepted, encoded, exif, png, refused, tiff


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("file", [*accepted(), *refused()], ids=lambda file: file.row)
def test_what_exceeds_is_what_read_image_refuses_for_its_pixels(file, tmp_path):
    path = tmp_path / file.name
    path.write_bytes(file.data if hasattr(file, "data") else file.bad)

    for limit in (1, 1919, 1920, 2399, 2400, 100_000_000):
        try:
            read_image(path, max_pixels=limit)
        except InputError as error:
            if "pixels are too many" in error.reason:
                assert exceeds(path, limit)
        else:
            assert not exceeds(path, limit)


TURNED = encoded(RGB, "PNG", exif=exif(6))
END = png(1, 1, 8, 0, b"\0\0")[-12:]


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (TURNED, "turned"),
        (encoded(RGB, "JPEG", exif=exif(3)), "turned"),
        (encoded(RGB, "TIFF", tiffinfo={274: 8}), "turned"),
        (encoded(RGB, "PNG")[:-12] + TURNED[TURNED.index(b"eXIf") - 4 :][:38] + END, "turned"),
        (encoded(RGB, "PNG", exif=exif(1)), None),
        (encoded(RGB, "JPEG", progressive=True), "progressive"),
        (png(1, 1, 8, 0, b"\0\0", interlace=1), "interlaced"),
        (encoded(RGB, "TIFF", save_all=True, append_images=[]), None),
        (tiff(np.zeros((3, 16, 16), np.uint8), volumetric=True, tile=(1, 16, 16)), "volumes"),
        (tiff(np.zeros((4, 5, 4), np.uint8), photometric="separated"), "colour"),
        (tiff(np.zeros((4, 5))), "64-bit"),
    ],
    ids=[
        "png",
        "jpeg",
        "tiff",
        "behind the pixels",
        "upright",
        "progressive",
        "interlaced",
        "page",
        "volume",
        "cmyk",
        "12",
    ],
)
def test_what_cannot_be_read_in_parts(data, trouble):
    found = read_header(io.BytesIO(data)).trouble
    assert trouble in found if trouble else found is None
