"""What a model says, painted and saved."""

import numpy as np
from inference.models import model
from PIL import Image

from sweepseg.inference.segment import segment

RANDOM = np.random.default_rng(0)


def test_overlay_blends_the_class_colours_over_the_picture():
    three = model("multiclass", 3)
    result = segment(three, RANDOM.integers(0, 256, (12, 10, 3), np.uint8))
    colors = np.array(three.config.palette)[result.mask]
    want = np.rint(0.75 * np.rint(result.image * 255) + 0.25 * colors)
    np.testing.assert_array_equal(result.overlay(0.25), want)


def test_overlay_of_an_image_that_is_no_rgb_shows_its_first_channel():
    result = segment(model(channels=5), RANDOM.integers(0, 256, (6, 6, 5), np.uint8))
    np.testing.assert_array_equal(result.overlay(0.0)[..., 1], np.rint(result.image[..., 0] * 255))


def test_saved_masks_hold_the_indices_and_show_the_colours(tmp_path):
    three = model("multiclass", 3)
    result = segment(three, RANDOM.integers(0, 256, (12, 10, 3), np.uint8))
    result.save(tmp_path / "mask.png")
    saved = Image.open(tmp_path / "mask.png")
    np.testing.assert_array_equal(np.asarray(saved), result.mask)
    np.testing.assert_array_equal(np.asarray(saved.convert("RGB")), np.array(three.config.palette)[result.mask])


def test_saved_multilabel_masks_are_a_file_for_each_class(tmp_path):
    result = segment(model("multilabel", 2), RANDOM.integers(0, 256, (12, 10, 3), np.uint8))
    result.save(tmp_path / "masks")
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"class0.png", "class1.png"}
    for i in range(2):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "masks" / f"class{i}.png")), result.mask[i])
