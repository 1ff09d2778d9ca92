import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from inference.models import model
from processes import PRINT_PEAK

from sweepseg.errors import UsageError
from sweepseg.inference import memory
from sweepseg.inference.memory import check_tile, max_pixels, plan
from sweepseg.io.image_windows import Windows

PEAK = f"""
import sys

import numpy as np
from inference.models import model
from sweepseg.inference.segment import segment

classes, side = map(int, sys.argv[1:])
segment(model("multiclass", classes), np.zeros((side, side, 3), np.uint8))
{PRINT_PEAK}
"""


def child(code: str, *arguments: object) -> int:
    """Bytes that a process of its own takes at most to run some code."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return 1024 * int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(("classes", "side"), [(2, 1024), (100, 512)])
def test_largest_image_allowed_takes_at_most_the_memory_given_and_more_than_a_third_of_it(classes, side):
    used = child(PEAK, classes, side)
    # the memory for which just this image is allowed
    per_pixel = (10**12 - memory.BASE) / max_pixels(model("multiclass", classes), 10**12)
    given = memory.BASE + per_pixel * side**2
    assert used <= given <= 3 * used


IN_PARTS = f"""
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from inference.models import model
from sweepseg.inference.memory import plan
from sweepseg.inference.windows import segment_windows
from sweepseg.inference.work_folder import WorkFolder
from sweepseg.io.windows import open_windows

path, memory = sys.argv[1], int(sys.argv[2])
segmenter = model()
with open_windows(path) as image, TemporaryDirectory() as folder:
    segment_windows(segmenter, image, plan(segmenter, image, memory, written=1), WorkFolder(Path(folder)))
{PRINT_PEAK}
"""


def test_parts_take_at_most_the_memory_given(tmp_path):
    pixels = np.zeros((600, 1200, 3), np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", tile=(256, 256))
    memory = 520_000_000
    assert max_pixels(model(), memory) < 600 * 1200
    assert child(IN_PARTS, tmp_path / "x.tif", memory) <= memory


class Image(Windows):
    """An image of which only the size is asked for."""

    def __init__(self, height: int, width: int):
        self.height, self.width, self.channels, self.dtype, self.from_top = height, width, 3, np.dtype("u2"), False

    def _read(self, *box: int) -> np.ndarray:
        raise AssertionError


def test_parts_are_as_large_as_the_memory_allows():
    sizes = []
    for megabytes in (550, 600, 1000, 4000):
        parts = plan(model(), Image(20_000, 20_000), megabytes * 10**6, written=1)
        sizes.append((parts.window, parts.strip))
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] == ((512, 512), 512)
    assert all(strip % 16 == 0 for _, strip in sizes)  # whole rows of the coarsest map


def test_bytes_that_are_written_count():
    few, many = (plan(model(), Image(20_000, 20_000), 600_000_000, written=written) for written in (1, 25))
    assert few.window > many.window


def test_height_changes_nothing_but_the_temporary_files():
    low, high = (plan(model(), Image(height, 6000), 600_000_000, written=1) for height in (8192, 16384))
    assert (low.window, low.strip) == (high.window, high.strip)
    assert high.temporary_bytes() == pytest.approx(2 * low.temporary_bytes(), rel=1e-3)


@pytest.mark.parametrize("width", [100, 1_000_000])
def test_too_little_memory_for_the_smallest_parts_says_how_much_they_take(width):
    with pytest.raises(ValueError, match=f"^{width}x100 pixels take .* but 436 MB are allowed") as caught:
        plan(model(), Image(100, width), 436_000_000, written=1)
    enough = int(str(caught.value).split(" MB")[0].split()[-1]) + 1
    assert plan(model(), Image(100, width), enough * 10**6, written=1).strip >= 16


def test_more_classes_take_more_memory():
    assert max_pixels(model("multiclass", 200), 10**9) < max_pixels(model("multiclass", 2), 10**9)


def test_values_that_the_model_takes_change_nothing():
    plain, deep = model(), model()
    deep.config = replace(deep.config, input_range=(1000, 4095))
    deep.network.stages["head"].module.project.bias.data.fill_(torch.nan)  # nor what it makes of them
    assert max_pixels(deep, 10**9) == max_pixels(plain, 10**9)
    assert repr(plan(deep, Image(500, 600), 10**9, written=1)) == repr(plan(plain, Image(500, 600), 10**9, written=1))


def test_tiles_that_do_not_fit_are_refused():
    check_tile(model(), 20_000, 900_000_000, tile=512, written=5)
    for arguments in ((20_000, 450_000_000, 512, 5), (20_000, 900_000_000, 4096, 5), (20_000, 900_000_000, 512, 100)):
        width, memory, tile, written = arguments
        with pytest.raises(ValueError, match=f"^tiles of {tile}x{tile} pixels take .* MB, but {memory / 1e6:g} MB"):
            check_tile(model(), width, memory, tile=tile, written=written)


def test_too_little_memory_for_any_image_is_refused():
    with pytest.raises(UsageError, match="300 MB are too little: sweepseg takes 372 MB"):
        max_pixels(model(), 300_000_000)


def test_counting_ends_with_every_tensor_freed():
    with memory._Alive() as alive:
        memory.segment(model(), np.zeros((32, 32, 3), np.uint8))
    assert alive.now == 0 < alive.peak
