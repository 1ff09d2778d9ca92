from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[3] / "shared" / "data"  # data sets beside the checkout that are not part of it


@pytest.fixture
def save(tmp_path) -> Callable[..., Path]:
    """Saves an array as a picture (or text as text) under a relative path of the temporary folder."""

    def save(name: str, content, **options) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        else:
            Image.fromarray(np.asarray(content)).save(path, **options)
        return path

    return save


@pytest.fixture
def make_files(save) -> Callable[[Iterable[str]], None]:
    """Saves a small picture under each path; `path:text` is a text file."""

    def make_files(files: Iterable[str]) -> None:
        for file in files:
            name, _, text = file.partition(":")
            save(name, text or np.zeros((2, 3), np.uint8))

    return make_files


@pytest.fixture
def picture() -> np.ndarray:
    """An RGB image of 6 x 8 pixels."""
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    """A mask for `picture` that holds 0, 1, 2 and the ignored 255."""
    mask = np.random.default_rng(1).integers(0, 3, (6, 8), dtype=np.uint8)
    mask[0, :3] = 255
    return mask


@pytest.fixture
def good_set(save, picture, labels, tmp_path) -> Path:
    """A data set of three classes in the default layout without any fault."""
    for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        save(f"images/{split}/{name}.png", picture)
        save(f"masks/{split}/{name}.png", labels)
    save("classes.txt", "sky\nroad\ntree\n")
    return tmp_path


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """The folder of a data set beside the checkout; skips the test where it is not there."""

    def shared(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the data set {name} does not lie beside this checkout")
        return SHARED / name

    return shared
