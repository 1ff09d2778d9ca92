"""Windows against `segment`, which has the whole image in memory."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from inference.models import model

from sweepseg.inference import windows
from sweepseg.inference.map_files import Box
from sweepseg.inference.out_of_core import OutOfCore
from sweepseg.inference.segment import segment
from sweepseg.inference.tiles import Tiles
from sweepseg.inference.windows import Array, Copy, bands, segment_windows
from sweepseg.inference.work_folder import WorkFolder
from sweepseg.models.segmenter import Segmenter

RANDOM = np.random.default_rng(0)


def masks_of(segmenter: Segmenter, pixels: np.ndarray, folder: Path) -> np.ndarray:
    size = pixels.shape[:2]
    with closing(WorkFolder(folder)) as work:
        runner = OutOfCore(segmenter.network, *size, window=(32, 32), strip=32)
        return segment_windows(segmenter, Array(pixels, "x"), runner, work).read(Box(0, size[0], 0, size[1]))[0].numpy()


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (RANDOM.integers(0, 256, (97, 131, 3), np.uint8), {}),
        (RANDOM.integers(0, 65536, (64, 40, 3), np.uint16), {"task": "multiclass", "classes": 5}),
        (RANDOM.random((33, 70, 1), np.float32), {"task": "multilabel"}),
        (RANDOM.integers(0, 256, (1, 1, 3), np.uint8), {"channels": 1}),
    ],
    ids=["uint8", "uint16", "float", "colour to grey"],
)
def test_windows_say_what_segment_says(pixels, options, tmp_path):
    segmenter = model(**options)
    whole, masks = segment(segmenter, pixels), masks_of(segmenter, pixels, tmp_path)
    certain = (np.abs(np.diff(np.sort(whole.probabilities, axis=0)[-2:], axis=0)) > 1e-5).all(axis=0)
    if options.get("task") != "multiclass":
        certain = np.abs(whole.probabilities - 0.5) > 1e-5
    np.testing.assert_array_equal((masks == whole.mask) | ~certain, True)
    assert certain.mean() > 0.99 and len(masks) == (2 if options.get("task") == "multilabel" else 1)


def test_planted_fault_changes_masks(tmp_path):
    pixels, segmenter = RANDOM.integers(0, 256, (97, 131, 3), np.uint8), model()
    masks = masks_of(segmenter, np.roll(pixels, 1, axis=1), tmp_path)
    assert (masks[0] != segment(segmenter, pixels).mask).mean() > 0.01


def test_tiles_give_the_mask_of_an_image_that_is_one_tile(tmp_path):
    pixels, segmenter = RANDOM.integers(0, 256, (40, 50, 3), np.uint8), model("multiclass", 5)
    with closing(WorkFolder(tmp_path)) as work:
        runner = Tiles(segmenter.network, 5, 40, 50, tile=64, overlap=0.25)
        masks = segment_windows(segmenter, Array(pixels, "x"), runner, work)
        np.testing.assert_array_equal(masks.read(Box(0, 40, 0, 50))[0, 0], segment(segmenter, pixels).mask)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_copy_reads_an_image_once_from_the_top(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "BAND", 600)

    class FromTop(Array):
        from_top = True
        row = 0

        def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
            assert (top, left, right) == (self.row, 0, self.width)
            self.row = bottom
            return super()._read(top, bottom, left, right)

    pixels = RANDOM.integers(0, 256, (23, 31, 2)).astype(dtype)
    image = FromTop(pixels, "x")
    with closing(WorkFolder(tmp_path)) as work:
        copy = Copy(image, work)
        assert work.step == len(bands(image)) > 2 and image.row == 23
        np.testing.assert_array_equal(copy.read(3, 20, 5, 31), pixels[3:20, 5:])
    assert bands(copy) == [] and (copy.path, copy.from_top, copy.dtype) == ("x", False, dtype)
