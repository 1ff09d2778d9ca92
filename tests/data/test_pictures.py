"""Pictures alone: grey ones are drawn in black and white, the same each time."""

import numpy as np
import pytest
from data.test_labelled import write_idx
from PIL import Image

from sweepseg.data import check, open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import UsageError


def open_pictures(root):
    return open_dataset(root, task="generation")


def write(path, shape, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.stem)).integers(0, 256, shape).astype(dtype)
    Image.fromarray(pixels).save(path)
    return pixels


def test_a_file_is_drawn_once_pixel_by_pixel_by_pcg64_of_seed_0(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (7, 6, 5), np.uint8)
    images[:, 0], images[:, 1] = 0, 255
    write_idx(tmp_path / "train-images-idx3-ubyte", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(7, np.uint8))
    drawn = np.random.Generator(np.random.PCG64(0)).random(images.shape) < images / 255
    dataset = open_pictures(tmp_path)
    assert (dataset.layout, dataset.classes, dataset.palette) == ("idx", ("0", "1"), ((0,) * 3, (255,) * 3))
    for sample, wanted in zip(dataset.splits["train"], drawn, strict=True):
        image, target = read_pair(dataset, sample, in_channels=1)
        np.testing.assert_array_equal(target[0], wanted)
        np.testing.assert_array_equal(image, target)
    assert not check(dataset).problems and not drawn[:, 0].any() and drawn[:, 1].all()


def test_a_channel_of_a_colour_picture_has_256_values(tmp_path):
    pixels = write(tmp_path / "train" / "cat" / "1.png", (4, 5, 3))
    write(tmp_path / "test" / "dog" / "22.png", (4, 5, 3))
    dataset = open_pictures(tmp_path)
    assert [sample.name for sample in dataset.splits["train"]] == ["cat/1"] and len(dataset.classes) == 256
    image, target = read_pair(dataset, dataset.splits["train"][0], in_channels=3)
    np.testing.assert_array_equal(target, pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(np.rint(image * 255), target)
    report = check(dataset)
    assert not report.problems and "pixels (" not in str(report)  # 256 lines would say nothing


def test_grey_files_are_drawn_by_their_place_in_the_split(tmp_path):
    pixels = [write(tmp_path / "train" / f"{name}.png", (6, 4)) for name in ("a", "bb")]
    drawn = np.random.Generator(np.random.PCG64(0)).random((2, 6, 4)) < np.stack(pixels) / 255
    dataset = open_pictures(tmp_path)
    targets = [read_pair(dataset, sample, 1)[1][0] for sample in dataset.splits["train"]]
    np.testing.assert_array_equal(targets, drawn)


def test_what_cannot_be_learned_is_named(tmp_path):
    with pytest.raises(UsageError, match="holds no picture; looked for"):
        open_pictures(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"no picture can be read; the last: .*a.png"):
        open_pictures(tmp_path)
    write(tmp_path / "train" / "b.png", (4, 4))
    write(tmp_path / "train" / "b.jpg", (4, 4))
    write(tmp_path / "train" / "c.png", (4, 4), np.uint16)
    reasons = {problem.path.name: problem.reason for problem in check(open_pictures(tmp_path)).errors}
    assert reasons["c.png"] == "is uint16, of too many values to learn one by one; convert it to uint8"
    assert "has the same name as another in train; rename it" in (reasons.get("b.png"), reasons.get("b.jpg"))
    assert len(reasons) == 3 and "a.png" in reasons
