import numpy as np
import pytest
from PIL import Image

from sweepseg.errors import InputError
from sweepseg.io.picture import check_size, upright


@pytest.mark.parametrize("orientation", [0, *Image.Transpose, 9])
def test_upright_does_what_pillow_does(orientation):
    """EXIF 2..8 in the order of Pillow's transposing methods; anything unknown is left as it is."""
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation -> Image.Transpose
    expected = Image.fromarray(stored)
    if orientation in exif:
        expected = expected.transpose(Image.Transpose(exif[orientation]))
    assert np.array_equal(upright(stored, orientation), np.asarray(expected))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"size": (0, 10)}, "0x10 is no image"),
        ({"size": (10, -1)}, "no image"),
        ({"max_pixels": 99}, "10x10 pixels are too many"),
        ({"expansion": 0.9}, "100 bytes cannot hold 10x10"),
        ({"bits": 9}, "100 bytes cannot hold"),
    ],
)
def test_check_size_stands_exactly_at_its_limits(change, reason, tmp_path):
    (tmp_path / "x").write_bytes(bytes(100))
    arguments = {"size": (10, 10), "bits": 8, "expansion": 1, "max_pixels": 100} | change
    with open(tmp_path / "x", "rb") as file:
        if reason is None:
            check_size("x", file, **arguments)
        else:
            with pytest.raises(InputError, match=reason):
                check_size("x", file, **arguments)
