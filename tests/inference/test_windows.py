"""Windows against `segment`, which has the whole image in memory."""

from collections.abc import Iterator

import numpy as np
import pytest
from inference.models import model

from sweepseg.inference import windows
from sweepseg.inference.segment import segment
from sweepseg.inference.windows import segment_windows
from sweepseg.io.image_windows import Windows

RANDOM = np.random.default_rng(0)
PROBABILITY = 1e-5


class Array(Windows):
    """An image in memory, which counts how often its first row is read."""

    def __init__(self, pixels: np.ndarray, from_top: bool):
        self.pixels, self.from_top, self.dtype = pixels, from_top, pixels.dtype
        self.height, self.width, self.channels = pixels.shape
        self.reads = 0

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        self.reads += top == left == 0
        return self.pixels[top:bottom, left:right]


def joined(parts: Iterator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask and probabilities of the whole image, which the windows must tile row by row, each row from the left."""
    masks, probabilities = [], []
    row: list = []
    top = left = 0
    for box, result in parts:
        assert (box.top, box.left) == (top, left)
        row.append(result)
        left = box.right
        if left == width:
            masks.append(np.concatenate([part.mask for part in row], axis=-1))
            probabilities.append(np.concatenate([part.probabilities for part in row], axis=-1))
            row, top, left = [], box.bottom, 0
    assert top == height
    return np.concatenate(masks, axis=-2), np.concatenate(probabilities, axis=-2)


@pytest.mark.parametrize("from_top", [False, True])
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
def test_windows_say_what_segment_says(pixels, options, from_top, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "BAND", 2000)
    segmenter, height, width = model(**options), *pixels.shape[:2]
    whole = segment(segmenter, pixels)
    image = Array(pixels, from_top)
    parts = segment_windows(segmenter, image, tmp_path, window=32, strip=32)
    mask, probabilities = joined(parts, height, width)
    np.testing.assert_allclose(probabilities, whole.probabilities, rtol=0, atol=PROBABILITY)
    certain = (np.abs(np.diff(np.sort(whole.probabilities, axis=0)[-2:], axis=0)) > PROBABILITY).all(axis=0)
    if options.get("task") != "multiclass":
        certain = np.abs(whole.probabilities - 0.5) > PROBABILITY
        certain = certain if options.get("task") == "multilabel" else certain[0]
    np.testing.assert_array_equal(mask[certain], whole.mask[certain])
    assert certain.mean() > 0.99
    assert (image.reads == 1) is from_top
    assert not list(tmp_path.iterdir())


def test_planted_fault_is_far_outside_of_the_tolerance(tmp_path):
    class Shifted(Array):
        def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
            return np.roll(self.pixels, 1, axis=1)[top:bottom, left:right]

    pixels, segmenter = RANDOM.integers(0, 256, (97, 131, 3), np.uint8), model()
    parts = segment_windows(segmenter, Shifted(pixels, False), tmp_path, window=32, strip=32)
    _, probabilities = joined(parts, 97, 131)
    assert np.abs(probabilities - segment(segmenter, pixels).probabilities).max() > 100 * PROBABILITY


@pytest.mark.parametrize("from_top", [False, True])
def test_files_go_when_the_caller_stops(from_top, tmp_path):
    parts = segment_windows(model(), Array(np.zeros((64, 64, 3), np.uint8), from_top), tmp_path, window=32, strip=32)
    next(parts)
    assert list(tmp_path.iterdir())
    parts.close()
    assert not list(tmp_path.iterdir())
