"""Folders of maps, one or several to a picture, and distances where there are only objects."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt

from sweepseg.data import check, digit_sample, nuclei_sample, open_dataset
from sweepseg.data import maps as module
from sweepseg.data.pairs import read_pair
from sweepseg.errors import InputError, UsageError

DEPTH = np.array([[0.5, np.nan, 2], [3, -4, 5]], np.float32)


@pytest.fixture
def root(save, tmp_path):
    for split, name in (("train", "a"), ("val", "b")):
        save(f"images/{split}/{name}.png", np.zeros((2, 3, 3), np.uint8))
    return tmp_path


def open_maps(root):
    return open_dataset(root, task="regression")


def read(dataset, split="train"):
    return read_pair(dataset, dataset.splits[split][0], in_channels=3)[1]


@pytest.mark.parametrize(("names", "wanted"), [("", "value"), ("depth", "depth"), ("ground\nroad", "value")])
def test_one_map_is_a_file(root, save, names, wanted):
    save("maps/train/a.tif", DEPTH)
    save("maps/val/b.png", np.full((2, 3), 65535, np.uint16))
    if names:
        save("classes.txt", names)
    dataset = open_maps(root)
    assert (dataset.classes, dataset.task, dataset.layout) == ((wanted,), "regression", "maps")
    np.testing.assert_array_equal(read(dataset), DEPTH[None])
    assert read(dataset, "val").dtype == np.float32 and (read(dataset, "val") == 65535).all()
    report = check(dataset)
    assert not report.problems
    assert (report.splits["train"].class_pixels.tolist(), report.splits["train"].ignored) == ([5], 1)


def test_several_maps_are_a_folder(root, save):
    for split, name in (("train", "a"), ("val", "b")):
        save(f"maps/{split}/{name}/height.tif", DEPTH)
        save(f"maps/{split}/{name}/depth.tif", DEPTH + 1)
    assert open_maps(root).classes == ("depth", "height")
    np.testing.assert_array_equal(read(open_maps(root)), [DEPTH + 1, DEPTH])
    save("classes.txt", "height\ndepth")
    np.testing.assert_array_equal(read(open_maps(root)), [DEPTH, DEPTH + 1])
    assert not check(open_maps(root)).problems

    (root / "maps/val/b/depth.tif").unlink()
    save("maps/train/a/depth.tif", DEPTH[:1])
    reasons = [problem.reason for problem in check(open_maps(root)).errors]
    assert len(reasons) == 2 and "is 3x1 but that of height is 3x2; resize one of them" in reasons
    assert any("holds no mask of the class depth; save one, all NaN" in reason for reason in reasons)


def test_what_is_wrong_is_listed(root, save):
    save("maps/train/a.tif", DEPTH[:1])
    save("maps/val/b.tif", np.full((2, 3), np.nan, np.float32))
    save("maps/val/c.tif", DEPTH)
    found = {problem.path.name: problem.reason for problem in check(open_maps(root)).problems}
    assert found["a.tif"] == "mask a.tif is 3x1 but its image is 3x2; resize one of them"
    assert found["b.tif"] == "every pixel is ignored, so nothing is learned from it"
    assert "has no image in" in found["c.tif"]
    save("maps/train/a.tif", np.full((2, 3), np.inf, np.float32))
    with pytest.raises(InputError, match="inf at"):
        read(open_maps(root))


def test_without_maps_they_are_distances_in_objects(monkeypatch):
    dataset = open_maps(nuclei_sample().root)
    sample = dataset.splits["val"][0]
    numbers = np.asarray(Image.open(sample.mask))
    found = read_pair(dataset, sample, in_channels=1)[1]
    assert (dataset.classes, found.shape, found.dtype) == (("distance",), (1, *numbers.shape), np.float32)
    for number in np.unique(numbers[numbers > 0]):
        distance = distance_transform_edt(np.pad(numbers == number, 1))[1:-1, 1:-1]
        np.testing.assert_allclose(found[0][numbers == number], distance[numbers == number], rtol=1e-6)
    assert not found[0][numbers == 0].any()
    assert open_maps(digit_sample().root).classes == ("distance",)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install .sweepseg\[instances\]"):
        open_maps(nuclei_sample().root)


def test_folders_that_cannot_be_used(root):
    with pytest.raises(UsageError, match=r"holds no image with a map; looked for images/.*maps/"):
        open_maps(root)
