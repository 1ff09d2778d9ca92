"""Images with a class each, in folders and in the files of MNIST."""

import gzip

import numpy as np
import pytest
from PIL import Image

from sweepseg.data import check, open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import InputError, UsageError


def write_image(path, value=0, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def open_labelled(root, **options):
    return open_dataset(root, task="classification", **options)


@pytest.fixture
def folders(tmp_path):
    for index, name in enumerate(("train/dog/1", "train/cat/1", "train/cat/old/2", "val/cat/3", "test/dog/4")):
        write_image(tmp_path / f"{name}.png", index)
    return tmp_path


def test_class_folders(folders):
    dataset = open_labelled(folders)
    assert (dataset.layout, dataset.task, dataset.classes) == ("class folders", "classification", ("cat", "dog"))
    names = {split: [(sample.name, sample.text) for sample in samples] for split, samples in dataset.splits.items()}
    assert names == {
        "train": [("cat/1", "cat"), ("cat/old/2", "cat"), ("dog/1", "dog")],
        "val": [("cat/3", "cat")],
        "test": [("dog/4", "dog")],
    }
    image, target = read_pair(dataset, dataset.splits["train"][2], in_channels=3)
    assert image.shape == (3, 6, 4) and target.shape == () and target.dtype == np.int64 and target == 1
    report = check(dataset)
    assert not report.errors and report.splits["train"].class_pixels.tolist() == [2, 1]
    assert [problem.reason for problem in report.warnings] == [
        "the class dog has no image in val",
        "the class cat has no image in test",
    ]
    assert "cat: 2 images (66.67%)" in str(report)


def test_classes_in_the_order_of_the_file(folders):
    (folders / "classes.txt").write_text("dog\ncat\n")
    dataset = open_labelled(folders)
    assert dataset.classes == ("dog", "cat")
    assert read_pair(dataset, dataset.splits["val"][0], 1)[1] == 1


def test_what_lies_wrong_in_class_folders_is_a_problem(folders):
    write_image(folders / "train" / "lost.png")
    write_image(folders / "val" / "bird" / "1.png")
    (folders / "test" / "dog" / "4.png").write_bytes(b"no picture")
    reasons = {problem.path.name: problem.reason for problem in check(open_labelled(folders)).errors}
    assert reasons["lost.png"] == "lies in no class; move it to train/CLASS/lost.png"
    assert reasons["1.png"] == "is of the class bird, which is none of cat, dog; move or remove it"
    assert "4.png" in reasons and len(reasons) == 3


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files(tmp_path, ending):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (5, 28, 27), np.uint8)
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte{ending}", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte{ending}", np.array([3, 0, 2, 3, 1], np.uint8))
    dataset = open_labelled(tmp_path)
    assert (
        dataset.layout == "idx" and dataset.classes == ("0", "1", "2", "3") and [*dataset.splits] == ["test", "train"]
    )
    for index, sample in enumerate(dataset.splits["test"]):
        image, target = read_pair(dataset, sample, in_channels=1)
        np.testing.assert_array_equal(image[0], images[index].astype(np.float32) / 255)
        assert target == [3, 0, 2, 3, 1][index]
    assert not check(dataset).problems
    assert [sample.name for sample in dataset.hold_out("00004").splits["val"]] == ["00004"]
    named = open_labelled(tmp_path, classes=["shirt", "shoe", "bag", "coat"])
    assert [sample.text for sample in named.splits["train"]] == ["coat", "shirt", "bag", "coat", "shoe"]


def test_bad_idx_files_are_refused(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(UsageError, match="has no train-labels-idx1-ubyte beside it"):
        open_labelled(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    write_idx(labels, np.zeros(2, np.uint8))
    with pytest.raises(InputError, match=r"is of shape \(2,\) and train-images-idx3-ubyte \(3, 4, 4\)"):
        open_labelled(tmp_path)
    labels.write_bytes(b"junk")
    with pytest.raises(InputError, match="train-labels-idx1-ubyte: not an IDX file"):
        open_labelled(tmp_path)


def test_folders_without_classes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no image with a class; looked for"):
        open_labelled(tmp_path)
    write_image(tmp_path / "train" / "cat" / "1.png")
    with pytest.raises(UsageError, match="has 1 classes in train; name 2 or more, one a line"):
        open_labelled(tmp_path)
