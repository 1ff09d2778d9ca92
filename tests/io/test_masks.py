import numpy as np
import pytest
from PIL import Image

from sweepseg.errors import InputError
from sweepseg.io.masks import overlay, read_mask, write_mask

from .corpus import RGB, encoded, exif, png, tiff

MASK = np.random.default_rng(2).integers(0, 5, (40, 48), np.uint8)
PALETTE = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]


def in_palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask, "P")
    image.putpalette(np.array(PALETTE, np.uint8).tobytes())
    return image


@pytest.fixture
def read(tmp_path):
    def read(data, **options):
        (tmp_path / "x.png").write_bytes(data)
        return read_mask(tmp_path / "x.png", **options)

    return read


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda: encoded(MASK, "PNG"), MASK, id="grey"),
        pytest.param(lambda: encoded(in_palette(MASK), "PNG"), MASK, id="18-palette"),
        pytest.param(lambda: encoded(in_palette(MASK), "TIFF"), MASK, id="palette-tiff"),
        pytest.param(lambda: encoded(in_palette(MASK), "BMP"), MASK, id="palette-bmp"),
        pytest.param(lambda: encoded(in_palette(MASK), "PNG", exif=exif(3)), MASK[::-1, ::-1], id="24-turned"),
        pytest.param(lambda: encoded(MASK > 2, "PNG"), (MASK > 2).astype(np.uint8), id="1-bit"),
        pytest.param(lambda: encoded(MASK * np.uint16(999), "PNG"), MASK * np.uint16(999), id="16-bit"),
        pytest.param(lambda: tiff(MASK * np.int32(99_999)), MASK * np.int32(99_999), id="int32"),
        pytest.param(lambda: tiff(MASK * np.uint32(99_999)), MASK * np.int32(99_999), id="uint32"),
        pytest.param(lambda: tiff(MASK.astype(np.int64)), MASK, id="int64"),
    ],
)
def test_indices_arrive_unchanged(read, make, expected):
    mask = read(make())
    assert mask.dtype == expected.dtype and np.array_equal(mask, expected)


def test_colours_need_a_table_that_names_them_all(read):
    data = encoded(in_palette(MASK).convert("RGB"), "PNG")
    table = {color: index for index, color in enumerate(PALETTE)}
    assert np.array_equal(read(data, colors=table), MASK)
    assert read(data, colors=table | {(255, 0, 0): 70_000}).max() == 70_000
    with pytest.raises(InputError, match=r"5 colours without an index: \(0, 0, 0\), \(0, 0, 255\)"):
        read(data)
    del table[9, 9, 9]
    with pytest.raises(InputError, match=r"1 colours without an index: \(9, 9, 9\)"):
        read(data, colors=table)
    with pytest.raises(InputError, match=r", \.\.\.; name them"):
        read(encoded(RGB, "PNG"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(MASK, "JPEG"), "lossy"),
        (encoded(MASK, "WEBP", lossless=True), "lossy"),
        (encoded(MASK, "TIFF", compression="jpeg"), "lossy"),
        (png(4, 1, 2, 0, b"\0\x1b"), "2-bit grey"),
        (tiff(MASK.astype(np.float32)), "float32"),
        (tiff(np.full((2, 2), 2**31, np.uint32)), "31 bits"),
        (tiff(np.zeros((4, 4, 5), np.uint8), planarconfig="contig"), "5 channels"),
        (tiff(np.zeros((4, 4, 3), np.uint16), photometric="rgb"), "3 channels of uint16"),
    ],
    ids=["41-jpeg", "webp", "jpeg-in-tiff", "2-bit", "float", "too-large", "5-channels", "16-bit-colour"],
)
def test_masks_whose_indices_are_in_doubt_are_refused(read, data, reason):
    with pytest.raises(InputError, match=reason):
        read(data)


@pytest.mark.parametrize("palette", [None, PALETTE])
@pytest.mark.parametrize("top", [1, 4, 255, 256, 65535])
def test_written_masks_are_read_back(palette, top, tmp_path):
    mask = np.array([[0, 1], [top, 1]])
    if palette and top > 255:
        with pytest.raises(ValueError, match=r"0\.\.255"):
            write_mask(tmp_path / "x.png", mask, palette)
        return
    write_mask(tmp_path / "x.png", mask, palette)
    assert np.array_equal(read_mask(tmp_path / "x.png"), mask)
    with Image.open(tmp_path / "x.png") as image:  # what any other reader sees
        assert np.array_equal(np.asarray(image), mask)
        assert image.mode == ("P" if palette else "L" if top <= 255 else "I;16")
        if palette:
            assert image.convert("RGB").getpixel((1, 0)) == PALETTE[1]


@pytest.mark.parametrize("mask", [np.zeros((2, 2, 1), int), np.array([[-1]]), np.array([[65536]]), np.ones((2, 2))])
def test_what_is_no_mask_is_not_written(mask, tmp_path):
    with pytest.raises(ValueError, match="wanted"):
        write_mask(tmp_path / "x.png", mask)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
def test_overlay_mixes_colours_and_leaves_background_and_unknown_indices(channels):
    image = np.full((1, 3, channels), 100, np.uint8)
    mixed = overlay(image, np.array([[0, 1, 255]]), [(0, 0, 0), (200, 0, 50)], alpha=0.25)
    assert mixed.dtype == np.uint8
    assert mixed.tolist() == [[[100, 100, 100], [125, 75, 88], [100, 100, 100]]]  # worked by hand
