import hashlib
import random

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from sweepseg.data import digit_scenes
from sweepseg.data.digit_scenes import COLORS, EDITION, clip, glyphs, line, scene
from sweepseg.data.digit_sentences import referring

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def scenes():
    return [scene(0, split, index) for split in SPLITS for index in range(80)]


@pytest.fixture(scope="module")
def clips():
    return [clip(0, "train", index) for index in range(12)]


@pytest.fixture(scope="module")
def lines():
    return [line(0, "test", index) for index in range(40)]


def digest(example):
    arrays = (example.image, example.instances, example.mask, example.boxes.astype("<i8"))
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays) + repr(example.colors).encode()).hexdigest()


# Of edition 1, made by other processes with numpy 1.26.4, 2.0.2 and 2.4.6.
DIGESTS = {
    ("scene", 0, "train", 0): "ef0b62924e70e2eb",
    ("scene", 7, "test", 123456): "6a06e6f4fcdc82be",
    ("clip", 0, "train", 0): "2979183595df9c3e",
    ("clip", 7, "test", 123456): "f7e2720d2d75d882",
    ("line", 0, "train", 0): "0420b79d90ba350e",
    ("line", 7, "test", 123456): "0489904b2f3276cd",
    ("referring", 0, "train", 0): "a340b08856825365",
    ("referring", 7, "test", 123456): "08d7e856fd13b0a0",
}


@pytest.mark.parametrize("order", [1, 2])
def test_bits_depend_on_nothing_but_the_arguments(order):
    """If what is drawn was changed on purpose: raise EDITION, by which caches know it, and change the digests."""
    makers = {function.__name__: function for function in (scene, clip, line)}
    makers["referring"] = lambda *key: referring(*key).scene
    keys = sorted(DIGESTS)
    random.Random(order).shuffle(keys)
    assert EDITION == 1
    assert {key: digest(makers[key[0]](*key[1:]))[:16] for key in keys} == DIGESTS


def test_seeds_uses_splits_and_places_give_pictures_of_their_own():
    makers = (scene, clip, line, lambda *key: referring(*key).scene)
    keys = [(seed, split, index) for seed in (0, 1) for split in SPLITS for index in (0, 1, 2)]
    images = {maker(*key).image.tobytes() for maker in makers for key in keys}
    assert len(images) == len(makers) * len(keys)


def test_glyphs_are_those_of_scikit_learn_and_each_is_in_one_split():
    digits = load_digits()
    for digit in range(10):
        parts = [glyphs(split)[digit] for split in SPLITS]
        expected = digits.images[digits.target == digit] * 15
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        seen = [{glyph.tobytes() for glyph in part} for part in parts]
        assert min(map(len, parts)) >= 20 and len(set.union(*seen)) == sum(map(len, seen))


def test_a_scene_uses_the_glyphs_of_its_split(monkeypatch):
    asked = set()
    monkeypatch.setattr(digit_scenes, "glyphs", lambda split: asked.add(split) or glyphs("val"))
    for split in SPLITS:
        asked.clear()
        for maker in (scene, clip, line, referring):
            maker(0, split, 0)
        assert asked == {split}


@pytest.mark.parametrize("maker", [scene, clip, line, referring])
def test_another_split_is_refused(maker):
    with pytest.raises(ValueError, match="the split is 'dev'; choose one of train, val, test"):
        maker(0, "dev", 0)


def test_masks_instances_and_boxes_agree(scenes, clips, lines):
    for example in (*scenes, *clips, *lines):
        frames = example.image.reshape(-1, *example.image.shape[-3:])
        assert example.image.dtype == example.instances.dtype == example.mask.dtype == np.uint8
        assert example.mask.shape == example.instances.shape == example.image.shape[:-1]
        assert len(example.digits) == len(example.colors) and example.boxes.dtype == np.int64
        every = zip(
            frames,
            example.instances.reshape(frames.shape[:3]),
            example.mask.reshape(frames.shape[:3]),
            example.boxes.reshape(len(frames), -1, 4).tolist(),
            strict=True,
        )
        for _, instances, mask, boxes in every:
            found = ndimage.find_objects(instances, max_label=len(example.digits))
            assert boxes == [[s[0].start, s[1].start, s[0].stop, s[1].stop] if s else [0, 0, 0, 0] for s in found]
            for number, digit in enumerate(example.digits, 1):
                assert (mask[instances == number] == digit + 1).all()
            assert ((mask == 0) == (instances == 0)).all() and instances.max() <= len(example.digits)


def test_most_of_each_digit_of_a_scene_is_seen(monkeypatch):
    stacks = []
    stack = digit_scenes._instances
    monkeypatch.setattr(digit_scenes, "_instances", lambda *a: stacks.append(a[1]) or stack(*a))
    shares = []
    for index in range(80):
        made = scene(1, "train", index)
        for number, one in enumerate(stacks[-1], 1):
            shares.append((made.instances == number).sum() / one.covers.sum())
    assert 0.8 <= min(shares) < 0.9 and 0.05 < np.mean(np.array(shares) < 1) < 0.5


def test_digits_and_colours_occur_about_equally_and_the_background_does_not_solve_it(scenes):
    digits = np.bincount([digit for one in scenes for digit in one.digits], minlength=10)
    colors = np.unique([color for one in scenes for color in one.colors], return_counts=True)[1]
    counts = np.bincount([len(one.digits) for one in scenes], minlength=6)
    assert abs(digits / digits.mean() - 1).max() < 0.35 and len(colors) == len(COLORS)
    assert abs(colors / colors.mean() - 1).max() < 0.25
    assert counts[0] == 0 and counts[1:].min() > 0.1 * len(scenes)
    background = np.mean([(one.mask == 0).mean() for one in scenes])
    assert 0.7 < background < 0.9  # so a mean IoU over 11 classes of less than 8.2 %


def test_the_picture_shows_each_digit_in_its_colour(scenes):
    table = np.array([*COLORS.values()])
    right = []
    for one in scenes:
        for number, color in enumerate(one.colors, 1):
            pixels = one.image[one.instances == number].astype(float)
            brightest = pixels[pixels.sum(axis=1) >= np.quantile(pixels.sum(axis=1), 0.7)].mean(axis=0)
            right.append([*COLORS][abs(table - brightest).sum(axis=1).argmin()] == color)
    assert np.mean(right) > 0.97


def test_later_digits_hide_earlier_ones_in_picture_and_instances_alike():
    table = np.array([[1, 2, 3], [200, 0, 0], [0, 200, 0]])  # background and two digits all of ink
    ink = np.full((4, 5), digit_scenes.FULL_INK)
    digits = [digit_scenes._Digit(0, "red", ink, table[1]), digit_scenes._Digit(1, "green", ink, table[2])]
    instances = digit_scenes._instances((8, 8), digits, [(0, 0), (2, 3)])
    assert [(instances == n).sum() for n in range(3)] == [64 - 36, 16, 20]
    picture = digit_scenes._picture(np.broadcast_to(table[0], (8, 8, 3)), digits, [(0, 0), (2, 3)])
    np.testing.assert_array_equal(picture, table[instances])


def small(picture):
    """The part of a grey picture that is bright, in 8 x 8 pixels of unit norm."""
    rows, columns = np.nonzero(picture > 0.4 * picture.max())
    part = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    shrunk = np.asarray(Image.fromarray(part.astype(np.float32)).resize((8, 8), Image.Resampling.BILINEAR)).ravel()
    return shrunk / np.linalg.norm(shrunk)


def test_a_line_reads_as_its_text_says(lines):
    """A nearest neighbour among glyphs of another split reads the digits where the boxes say, from left to right."""
    digits = [(glyph, digit) for digit, rows in enumerate(glyphs("train")) for glyph in rows]
    reader = KNeighborsClassifier(1).fit([small(glyph.astype(float)) for glyph, _ in digits], [d for _, d in digits])
    right = []
    for one in lines:
        assert one.image.shape[0] == 32 and 3 <= len(one.text) <= 8 and len(set(one.colors)) == 1
        brightness = one.image.astype(float).max(axis=2)
        brightness = np.maximum(brightness - np.median(brightness), 0)
        crops = [brightness[box[0] : box[2], box[1] : box[3]] for box in sorted(one.boxes, key=lambda box: box[1])]
        read = reader.predict([small(crop) for crop in crops])
        right += [a == int(b) for a, b in zip(read, one.text, strict=True)]
    assert np.mean(right) > 0.75


def test_clips_move_and_hide_and_begin_alike(clips):
    seen, steps = [], []
    for index, one in enumerate(clips):
        assert one.image.shape == (8, 64, 64, 3) and 2 <= len(one.digits) <= 4
        pixels = np.stack([(one.instances == n).sum(axis=(1, 2)) for n in range(1, len(one.digits) + 1)])  # (N, T)
        whole = pixels == pixels.max(axis=1, keepdims=True)
        seen.append((pixels / pixels.max(axis=1, keepdims=True).clip(1)).min())
        for n, t in np.argwhere(whole[:, :-1] & whole[:, 1:]):
            steps.append(abs(one.boxes[t + 1, n] - one.boxes[t, n]).max())
        short = clip(0, "train", index, frames=3)
        assert (short.instances == one.instances[:3]).all() and short.digits == one.digits
    assert max(steps) <= 3 and np.mean(np.array(steps) > 0) > 0.9
    assert min(seen) == 0 and np.mean(np.array(seen) < 0.5) > 0.3  # somewhere all of a digit is hidden
