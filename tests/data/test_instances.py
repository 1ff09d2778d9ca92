"""Folders of numbered objects, with one class and with several."""

import numpy as np
import pytest
from PIL import Image

from sweepseg.data import check, nuclei_sample, open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import InputError, UsageError

NUMBERS = np.array([[0, 300, 300, 0], [0, 0, 300, 7]])
MASK = np.array([[0, 2, 1, 0], [0, 0, 2, 1]])


@pytest.fixture
def folder(tmp_path):
    def write(part, pixels, name="a"):
        place = tmp_path / part / "train"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(place / f"{name}.png")
        return tmp_path

    write("images", np.zeros((2, 4, 3), np.uint8))
    write("instances", NUMBERS.astype(np.uint16))
    return write


def open_instances(root, names=None):
    if names:
        (root / "classes.txt").write_text("\n".join(names))
    return open_dataset(root, task="instances")


def test_without_names_there_is_one_class(folder):
    dataset = open_instances(folder("masks", MASK.astype(np.uint8)))
    assert (dataset.classes, dataset.layout) == (("object",), "instances")
    image, target = read_pair(dataset, dataset.splits["train"][0], in_channels=3)
    assert image.shape == (3, 2, 4) and target.dtype == np.int64
    np.testing.assert_array_equal(target, [NUMBERS, NUMBERS > 0])
    assert check(dataset).splits["train"].class_pixels.tolist() == [2]


def test_several_classes_are_told_by_the_masks(folder):
    dataset = open_instances(folder("masks", MASK.astype(np.uint8)), ["background", "a", "b"])
    _, target = read_pair(dataset, dataset.splits["train"][0], in_channels=3)
    np.testing.assert_array_equal(target[1], [[0, 2, 2, 0], [0, 0, 2, 1]])  # the most frequent class of each object
    report = check(dataset)
    assert not report.problems and report.splits["train"].class_pixels.tolist() == [1, 1]
    assert "b: 1 objects (50.00%)" in str(report) and len(dataset.palette) == 2


def test_what_the_mask_ignores_belongs_to_no_object(folder):
    dataset = open_instances(folder("masks", np.where(MASK == 1, 255, MASK).astype(np.uint8)), ["-", "a", "b"])
    _, target = read_pair(dataset, dataset.splits["train"][0], in_channels=3)
    np.testing.assert_array_equal(target, [[[0, 300, -1, 0], [0, 0, 300, -1]], [[0, 2, -1, 0], [0, 0, 2, -1]]])


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.where(NUMBERS == 7, 0, MASK), "is background at all of object 7"),
        (MASK[:1], "is 4x1 but a.png is 4x2; resize one of them"),
        (MASK + 2, "holds labels that are no class"),
    ],
)
def test_masks_that_do_not_fit(folder, mask, reason):
    dataset = open_instances(folder("masks", mask.astype(np.uint8)), ["background", "a", "b"])
    with pytest.raises(InputError, match=reason):
        read_pair(dataset, dataset.splits["train"][0], in_channels=3)


def test_files_without_a_partner_are_problems(folder):
    folder("images", np.zeros((2, 4, 3), np.uint8), "b")
    root = folder("instances", NUMBERS.astype(np.uint16), "c")
    found = {problem.path.name: problem.reason for problem in open_instances(root, ["background", "a", "b"]).problems}
    assert "has no mask in" in found["b.png"] and "has no image in" in found["c.png"]
    assert found["a.png"] == "no mask in masks/train tells the classes of its objects; add it"


def test_a_picture_without_an_object_is_none_of_the_problems(folder):
    dataset = open_instances(folder("instances", np.zeros((2, 4), np.uint16), "b"))
    assert len(dataset.problems) == 1  # that b has no image
    dataset = open_instances(folder("images", np.zeros((2, 4, 3), np.uint8), "b"))
    report = check(dataset)
    assert not report.problems and report.splits["train"].class_pixels.tolist() == [2]


def test_numbers_are_not_negative(folder, tmp_path):
    root = folder("instances", NUMBERS.astype(np.uint16))
    (root / "instances" / "train" / "a.png").unlink()
    Image.fromarray((NUMBERS - 1).astype(np.int32)).save(root / "instances" / "train" / "a.tif")
    dataset = open_instances(root)
    with pytest.raises(InputError, match="numbers objects from -1"):
        read_pair(dataset, dataset.splits["train"][0], in_channels=3)


@pytest.mark.parametrize(
    ("task_names", "reason"), [(["background"], "only class"), (None, "holds no image with numbered objects")]
)
def test_folders_that_cannot_be_used(tmp_path, task_names, reason):
    with pytest.raises(UsageError, match=reason):
        open_instances(tmp_path, task_names)


def test_the_bundled_nuclei_are_numbered():
    dataset = open_dataset(nuclei_sample().root, task="instances")
    assert dataset.classes == ("nucleus",) and {name: len(one) for name, one in dataset.splits.items()} == {
        "train": 24,
        "val": 4,
        "test": 12,
    }
    assert not dataset.problems
