import os
import subprocess
import sys

import numpy as np
import pytest
from inference.models import model
from processes import PRINT_PEAK

from sweepseg.errors import UsageError
from sweepseg.inference import memory
from sweepseg.inference.memory import max_pixels

PEAK = f"""
import sys

import numpy as np
from inference.models import model
from sweepseg.inference.segment import segment

classes, side = map(int, sys.argv[1:])
segment(model("multiclass", classes), np.zeros((side, side, 3), np.uint8))
{PRINT_PEAK}
"""


def peak(classes: int, side: int) -> int:
    """Bytes that a process of its own takes at most to segment one image."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    child = [sys.executable, "-c", PEAK, str(classes), str(side)]
    return 1024 * int(subprocess.run(child, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(("classes", "side"), [(2, 1024), (100, 512)])
def test_largest_image_allowed_takes_at_most_the_memory_given_and_more_than_a_third_of_it(classes, side):
    used = peak(classes, side)
    # the memory for which just this image is allowed
    per_pixel = (10**12 - memory.BASE) / max_pixels(model("multiclass", classes), 10**12)
    given = memory.BASE + per_pixel * side**2
    assert used <= given <= 3 * used


def test_more_classes_take_more_memory():
    assert max_pixels(model("multiclass", 200), 10**9) < max_pixels(model("multiclass", 2), 10**9)


def test_too_little_memory_for_any_image_is_refused():
    with pytest.raises(UsageError, match="300 MB are too little: sweepseg takes 355 MB"):
        max_pixels(model(), 300_000_000)


def test_counting_ends_with_every_tensor_freed():
    with memory._Alive() as alive:
        memory.segment(model(), np.zeros((32, 32, 3), np.uint8))
    assert alive.now == 0 < alive.peak
