from dataclasses import replace

import numpy as np
import pytest

from sweepseg.data import open_dataset, read_pair
from sweepseg.data.pairs import read_unlabelled, remap_labels
from sweepseg.errors import InputError


@pytest.mark.parametrize("in_channels", [1, 3])
def test_image_is_float_channels_first_and_target_int64(good_set, picture, labels, in_channels):
    dataset = open_dataset(good_set)
    image, target = read_pair(dataset, dataset.splits["train"][0], in_channels)
    assert (image.dtype, image.shape, image.flags.c_contiguous) == (np.float32, (in_channels, 6, 8), True)
    assert (target.dtype, target.tolist()) == (np.int64, labels.tolist())
    if in_channels == 3:
        np.testing.assert_array_equal(image, picture.transpose(2, 0, 1) / np.float32(255))


def test_sixteen_bit_images_keep_their_range(save, good_set):
    save("images/train/a.png", np.array([[0, 256, 65535] * 16], np.uint16).reshape(6, 8))
    dataset = open_dataset(good_set)
    image, _ = read_pair(dataset, dataset.splits["train"][0], 1)
    np.testing.assert_allclose(np.unique(image), [0, 256 / 65535, 1], rtol=1e-6)


def test_multilabel_targets_are_stacked_in_the_order_of_the_classes(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 3), np.uint8))
    save("masks/train/a/cell.png", np.array([[0, 1, 255]], np.uint8))
    save("masks/train/a/border.png", np.array([[1, 0, 0]], np.uint8))
    dataset = open_dataset(tmp_path, classes=["cell", "border"])
    _, target = read_pair(dataset, dataset.splits["train"][0], 1)
    assert target.dtype == np.int64 and target.tolist() == [[[0, 1, 255]], [[1, 0, 0]]]


@pytest.mark.parametrize(("mask", "target"), [([[0, 255]], [[0, 1]]), ([[0, 1]], [[0, 1]])])
def test_binary_targets_are_0_and_1(save, tmp_path, mask, target):
    save("images/train/a.png", np.zeros((1, 2), np.uint8))
    save("masks/train/a.png", np.array(mask, np.uint8))
    dataset = open_dataset(tmp_path)
    assert read_pair(dataset, dataset.splits["train"][0], 1)[1].tolist() == target


def test_colour_coded_and_palette_masks_give_the_same_target(save, good_set, labels):
    colors = np.zeros((256, 3), np.uint8)
    colors[[0, 1, 2, 255]] = [[9, 9, 9], [1, 2, 3], [4, 5, 6], [7, 8, 9]]
    save("masks/train/a.png", colors[labels])
    save("classes.txt", "0 sky 9 9 9\n1 road 1 2 3\n2 tree 4 5 6\n255 void 7 8 9")
    dataset = open_dataset(good_set)
    targets = [read_pair(dataset, sample, 3)[1].tolist() for sample in dataset.splits["train"]]
    assert targets[0] == targets[1] == labels.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_remap_agrees_with_a_lookup_pixel_by_pixel(dtype):
    remap = {0: 255, 3: 0, 7: 2, 200: 1, 255: 255}
    values = np.random.default_rng(0).choice(list(remap), (5, 7)).astype(dtype)
    target = remap_labels(values, remap, "m.png")
    assert target.dtype == np.int64 and target.tolist() == [[remap[v] for v in row] for row in values.tolist()]


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        ([[0, 3, 3]], np.uint8, r"no class: 3 \(2 pixels\); allowed are 0\.\.2, 255; .* range: 128-255 road"),
        ([[254, 255, 9]], np.uint8, r"9 \(1 pixels\), 254 \(1 pixels\)"),
        ([[65535, 0, 256]], np.uint16, r"256 \(1 pixels\), 65535 \(1 pixels\)"),
        ([[-1, 0, 1]], np.int32, r"-1 \(1 pixels\)"),
        ([list(range(3, 15))], np.uint8, r"10 \(1 pixels\) and 4 more"),
    ],
)
def test_labels_that_are_no_class_are_named_with_value_and_count(values, dtype, reason):
    with pytest.raises(InputError, match=rf"^m\.png: .*{reason}"):
        remap_labels(np.array(values, dtype), {0: 0, 1: 1, 2: 2, 255: 255}, "m.png")


def first_pair(root, **options):
    dataset = open_dataset(root, **options)
    return read_pair(dataset, dataset.splits["train"][0], 3)


def test_mask_of_another_size_is_refused_with_both_sizes(save, good_set):
    first_pair(good_set)
    save("masks/train/a.png", np.zeros((8, 6), np.uint8))
    with pytest.raises(InputError, match=r"mask a\.png is 6x8 but its image is 8x6; resize one of them"):
        first_pair(good_set)


def test_image_with_other_channels_is_refused_by_name(save, good_set):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    save("images/train/a.png", pixels)
    dataset = open_dataset(good_set)
    with pytest.raises(InputError, match=r"a\.png: .*3.*5"):
        read_pair(dataset, dataset.splits["train"][0], 5)


def test_what_lies_outside_of_the_field_of_view_is_ignored(save, good_set, labels):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        save(f"fov/{split}/{name}.png", np.full((6, 8), 255, np.uint8))
    seen = np.zeros((6, 8), np.uint8)
    seen[2:, 1:5] = 255
    save("fov/train/a.png", seen)
    dataset = open_dataset(good_set)
    a, b = (read_pair(dataset, sample, 3)[1] for sample in dataset.splits["train"])
    assert (a.dtype, a.tolist()) == (np.int64, np.where(seen, labels, 255).tolist()) and b.tolist() == labels.tolist()
    save("fov/train/a.png", seen[1:])
    with pytest.raises(InputError, match=r"fov/train/a\.png: is 8x5 but the mask is 8x6; resize one of them"):
        read_pair(dataset, dataset.splits["train"][0], 3)


def test_all_classes_of_multilabel_have_one_field_of_view(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 3), np.uint8))
    save("fov/train/a.png", np.array([[1, 0, 1]], np.uint8))
    for name in ("border", "cell"):
        save(f"masks/train/a/{name}.png", np.array([[0, 1, 1]], np.uint8))
    dataset = open_dataset(tmp_path)
    assert read_pair(dataset, dataset.splits["train"][0], 1)[1].tolist() == [[[0, 255, 1]]] * 2


def test_numbered_objects_are_one_class(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 4), np.uint8))
    save("masks/train/a.png", np.array([[0, 1, 255, 65535]], np.uint16))
    dataset = open_dataset(tmp_path, classes=["0 background", "1-65535 cell"])
    assert read_pair(dataset, dataset.splits["train"][0], 1)[1].tolist() == [[0, 1, 1, 1]]


def test_sample_without_mask_is_refused(good_set):
    (good_set / "masks/train/a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png: has no mask"):
        first_pair(good_set)


@pytest.mark.parametrize(
    ("file", "shape", "reason"),
    [
        ("masks/train/a/cell.png", (2, 2), r"cell\.png: is 2x2 but that of border is 3x2"),
        ("masks/train/a/spot.png", (2, 3), r"spot\.png: is named like none of the classes border, cell"),
        ("masks/train/b/cell.png", (2, 3), "b: holds no mask of the class border"),
    ],
)
def test_multilabel_folders_have_one_mask_a_class_of_one_size(save, tmp_path, file, shape, reason):
    save("images/train/a.png", np.zeros((2, 3), np.uint8))
    for name in ("border", "cell"):
        save(f"masks/train/a/{name}.png", np.eye(2, 3, dtype=np.uint8))
    dataset = open_dataset(tmp_path, classes=["border", "cell"])
    read_pair(dataset, dataset.splits["train"][0], 1)
    save("images/train/b.png", np.zeros((2, 3), np.uint8))
    save(file, np.zeros(shape, np.uint8))
    dataset = open_dataset(tmp_path, classes=["border", "cell"])
    with pytest.raises(InputError, match=reason):
        for sample in dataset.splits["train"]:
            read_pair(dataset, sample, 1)


def test_float_images_need_the_range_that_is_theirs(save, good_set):
    pixels = np.linspace(-1000, 3000, 48, dtype=np.float32).reshape(6, 8)
    save("images/train/a.tif", pixels)
    (good_set / "images/train/a.png").unlink()
    dataset = open_dataset(good_set)
    with pytest.raises(InputError, match=r"a\.tif: .*-1000"):
        read_pair(dataset, dataset.splits["train"][0], 1)
    dataset = replace(dataset, input_range=(-1000, 3000))
    image, _ = read_pair(dataset, dataset.splits["train"][0], 1)
    np.testing.assert_allclose(image[0], np.linspace(0, 1, 48).reshape(6, 8), atol=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_picture_without_labels_tells_where_it_shows_anything(save, good_set, labels, task):
    seen = np.full(labels.shape, 255, np.uint8)
    seen[:2, 5:] = 0
    dataset = open_dataset(good_set)
    sample = replace(dataset.splits["train"][0], mask=None, field_of_view=save("fov.png", seen))
    image, target = read_unlabelled(replace(dataset, task=task), sample, 3)
    assert np.array_equal(image, read_pair(dataset, dataset.splits["train"][0], 3)[0])
    expected = np.where(seen, 0, 255)
    assert target.dtype == np.int64
    assert np.array_equal(target, expected if task == "multiclass" else np.stack([expected] * 3))
