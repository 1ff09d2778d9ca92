from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweepseg.models.segmenter import Segmenter

from .models import model
from .outputs import SIZES


@pytest.fixture(scope="module")
def binary() -> Segmenter:
    return model()


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of images of all kinds of sizes, two of them in subfolders."""
    random = np.random.default_rng(0)
    for i, (name, size) in enumerate(SIZES.items()):
        path = tmp_path / "in" / ("deep/er" if i % 3 == 2 else "") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return tmp_path / "in"
