"""Windows hold what `read_image` gives, whatever the file."""

import numpy as np
import pytest

from sweepseg.errors import InputError
from sweepseg.io.images import read_image
from sweepseg.io.windows import open_windows

from .corpus import RGB, accepted, encoded, refused, tiff

NOT_IN_PARTS = {
    "7": "libjpeg: ",  # Pillow does not mind a byte that is wrong
    "9-bmp": "48x40 pixels are too large for memory, and BMP images cannot be read in parts",
    "9-webp": "WebP images",
    "16": "CMYK JPEGs",
}
JPEG = 4  # levels between what two decoders make of smooth colour at half resolution


def read_window(path, *box: int) -> np.ndarray:
    with open_windows(path) as image:
        return image.read(*box)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("file", accepted(), ids=lambda file: file.row)
def test_windows_are_parts_of_the_image(file, tmp_path):
    path = tmp_path / file.name
    path.write_bytes(file.data)
    if file.row in NOT_IN_PARTS:
        with pytest.raises(InputError, match=NOT_IN_PARTS[file.row]):
            read_window(path, 0, 40, 0, 48)
        return
    whole = read_image(path)
    height, width, channels = whole.shape
    for top, bottom, left, right in (
        (height // 3, height - height // 4, width // 4, width - width // 5),
        (0, height, 0, width),
        (height - 1, height, width - 1, width),
    ):
        part = read_window(path, top, bottom, left, right)
        assert part.dtype == whole.dtype and part.shape == (bottom - top, right - left, channels)
        difference = np.abs(part.astype(float) - whole[top:bottom, left:right])
        assert difference.max() <= (JPEG if file.tolerance else 0)


TOO_LARGE_IN_MEMORY = {"31"}  # what is wrong with these is only their size


@pytest.mark.parametrize("file", refused(), ids=lambda file: file.row)
def test_what_is_refused_whole_is_refused_in_parts(file, tmp_path):
    path = tmp_path / file.name
    path.write_bytes(file.bad)
    if file.row in TOO_LARGE_IN_MEMORY:
        assert read_window(path, 11_000, 11_010, 0, 10).shape == (10, 10, 1)
        return
    with pytest.raises(InputError), open_windows(path) as image:
        image.read(0, image.height, 0, image.width)


@pytest.mark.parametrize(
    ("data", "from_top"),
    [
        (encoded(RGB, "PNG"), True),
        (encoded(RGB, "JPEG"), True),
        (tiff(RGB, photometric="rgb", rowsperstrip=8, compression="zlib"), True),
        (tiff(RGB, photometric="rgb", tile=(16, 16)), False),
    ],
    ids=["png", "jpeg", "strips", "tiles"],
)
def test_which_images_are_best_read_once_from_the_top(data, from_top, tmp_path):
    (tmp_path / "x").write_bytes(data)
    with open_windows(tmp_path / "x") as image:
        assert image.from_top is from_top
