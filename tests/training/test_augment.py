import math

import kornia
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepseg.training.augment import Augmentation, foreground_pixel, warp


def draw(seed=0):
    return np.random.default_rng(seed)


def place(height, width):
    """An image whose two channels are its column and row, and a target whose labels number the pixels."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([column / width, row / height]).float(), row * width + column


class Largest:
    """Draws the largest angle and scale, the middle crop, and no flip."""

    def uniform(self, low, high, size=None):
        return high if size is None else np.zeros(size)

    def random(self):
        return 1.0


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_nothing_enabled_is_the_picture(channels):
    image, target = torch.rand(channels, 9, 13), torch.randint(0, 3, (9, 13))
    view, labels = Augmentation(crop=(9, 13))(image, target, draw())
    torch.testing.assert_close(view, image, rtol=0, atol=1e-5)
    assert torch.equal(labels, target)


@pytest.mark.parametrize("option, dim", [("flip", -1), ("flip_vertical", -2)])
def test_flips_are_those_of_torch_and_come_half_of_the_time(option, dim):
    image, target = torch.rand(3, 8, 11), torch.randint(0, 3, (8, 11))
    augmentation = Augmentation(crop=(8, 11), **{option: True})
    flipped = 0
    for seed in range(100):
        view, labels = augmentation(image, target, draw(seed))
        is_flipped = torch.equal(labels, target.flip(dim))
        flipped += is_flipped
        assert is_flipped or torch.equal(labels, target)
        torch.testing.assert_close(view, image.flip(dim) if is_flipped else image, rtol=0, atol=1e-5)
    assert 35 <= flipped <= 65


def test_crops_copy_pixels():
    image, target = torch.rand(2, 20, 30), place(20, 30)[1]
    corners = set()
    for seed in range(200):
        view, labels = Augmentation(crop=(6, 7))(image, target, draw(seed))
        top, left = divmod(labels[0, 0].item(), 30)
        assert torch.equal(labels, target[top : top + 6, left : left + 7])
        torch.testing.assert_close(view, image[:, top : top + 6, left : left + 7], rtol=0, atol=1e-5)
        corners.add((top, left))
    assert {top for top, _ in corners} == set(range(15))  # up to the borders
    assert {left for _, left in corners} >= set(range(1, 23))


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("size", [8, 9])
def test_quarter_turns_are_exact(turns, size):
    image, target = torch.rand(3, size, size), torch.randint(0, 3, (size, size))
    view, labels = Augmentation(crop=(size, size), rotate=90.0 * turns)(image, target, Largest())
    torch.testing.assert_close(view, torch.rot90(image, turns, (-2, -1)), rtol=0, atol=1e-5)
    assert torch.equal(labels, torch.rot90(target, turns, (-2, -1)))


def test_rotation_is_that_of_kornia():
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 5, 5), (41, 41), mode="bicubic")[0].clamp(0, 1)
    view, labels = Augmentation(crop=(41, 41), rotate=30.0)(smooth, torch.zeros(41, 41, dtype=torch.int64), Largest())
    expected = kornia.geometry.rotate(smooth[None], torch.tensor([30.0]), align_corners=True)[0]
    inside = (labels == 0) & (kornia.geometry.rotate(torch.ones(1, 1, 41, 41), torch.tensor([30.0]))[0, 0] > 0.999)
    assert inside.float().mean() > 0.7
    torch.testing.assert_close(view[:, inside], expected[:, inside], rtol=0, atol=1e-4)


def test_corners_that_a_rotation_brings_in_are_ignored():
    image, target = torch.rand(3, 20, 20), torch.zeros(20, 20, dtype=torch.int64)
    view, labels = Augmentation(crop=(20, 20), rotate=45.0, ignore_index=7)(image, target, Largest())
    assert (labels[[0, 0, -1, -1], [0, -1, 0, -1]] == 7).all()
    assert (labels[5:15, 5:15] == 0).all()
    assert set(labels.unique().tolist()) == {0, 7}
    assert view.min() >= image.min()  # the border is repeated: no black enters


@pytest.mark.parametrize("crop", [(31, 25), (10, 40)])
def test_what_lies_outside_of_a_small_picture_is_ignored(crop):
    image, target = torch.rand(3, 12, 20), torch.zeros(12, 20, dtype=torch.int64)
    _, labels = Augmentation(crop=crop)(image, target, draw(3))
    assert (labels == 0).sum() == min(crop[0], 12) * min(crop[1], 20)
    assert labels.shape == crop


@given(
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    crop=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    scale=st.tuples(st.floats(0.25, 1.0), st.floats(1.0, 4.0)),
    rotate=st.floats(0, 360),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_image_and_target_move_together_and_no_label_is_new(seed, size, crop, scale, rotate):
    image, target = place(*size)
    augmentation = Augmentation(crop, scale, flip=True, flip_vertical=True, rotate=rotate, ignore_index=-1)
    view, labels = augmentation(image, target, draw(seed))
    assert set(labels.unique().tolist()) <= {-1, *range(size[0] * size[1])}
    shown = labels >= 0
    row, column = labels[shown] // size[1], labels[shown] % size[1]
    assert ((view[0][shown] * size[1] - column).abs() <= 0.501).all()
    assert ((view[1][shown] * size[0] - row).abs() <= 0.501).all()


def test_a_mask_shifted_by_one_pixel_would_be_seen():
    image, target = place(12, 12)
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    view, _ = warp(image, target, matrix, (12, 12), -1)
    _, labels = warp(image, target, matrix + np.array([[0, 0, 1], [0, 0, 0]]), (12, 12), -1)
    shown = labels >= 0
    assert ((view[0][shown] * 12 - labels[shown] % 12).abs() > 0.501).all()


def test_maps_of_numbers_take_the_nearest_value_and_are_unknown_outside():
    image, labels = torch.rand(1, 20, 30), torch.arange(600).view(20, 30)
    augmentation = Augmentation(crop=(24, 24), flip=True, rotate=30.0, ignore_index=-1)
    for seed in range(4):
        (_, moved), (_, maps) = (
            augmentation(image, target, np.random.default_rng(seed))
            for target in (labels, torch.stack([labels / 7, -labels.float()]))
        )
        unknown = moved == -1
        assert unknown.any() and torch.equal(maps.isnan(), unknown.expand(2, -1, -1))
        assert torch.equal(maps[:, ~unknown], torch.stack([moved / 7, -moved.float()])[:, ~unknown])


def test_classes_of_a_multilabel_target_move_as_one():
    image, target = torch.rand(3, 16, 18), torch.randint(0, 2, (16, 18))
    options = {"crop": (12, 12), "scale": (0.5, 2.0), "flip": True, "rotate": 30.0}
    _, single = Augmentation(**options)(image, target, draw(4))
    _, double = Augmentation(**options)(image, torch.stack([target, 1 - target]), draw(4))
    assert double.shape == (2, 12, 12)
    assert torch.equal(double[0], single)
    assert torch.equal(double[1], torch.where(single == 255, 255, 1 - single))


def speck(row, column, size=(40, 50)):
    """A target in which class 2 has one pixel, class 1 the right edge, class 0 the rest."""
    target = torch.zeros(size, dtype=torch.int64)
    target[:, -1] = 1
    target[row, column] = 2
    return target


@given(
    seed=st.integers(0, 2**32),
    pixel=st.tuples(st.integers(0, 39), st.integers(0, 48)),
    crop=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    scale=st.tuples(st.floats(0.25, 1.0), st.floats(1.0, 4.0)),
    rotate=st.sampled_from([0, 30, 360]),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_forced_views_show_a_class_that_is_not_the_most_frequent(seed, pixel, crop, scale, rotate):
    augmentation = Augmentation(crop, scale, True, True, rotate, oversample_foreground=1.0)
    for target in (speck(*pixel), (speck(*pixel) == 2).long(), (speck(*pixel) == 2).long()[None]):
        _, labels = augmentation(torch.zeros(1, 40, 50), target, draw(seed))
        assert set(labels.unique().tolist()) & {1, 2}


@pytest.mark.parametrize("share", [0.0, 0.33, 1.0])
def test_the_share_of_forced_views_is_the_one_asked_for(share):
    target = (speck(20, 20, size=(200, 200)) == 2).long()
    augmentation = Augmentation((5, 5), oversample_foreground=share)
    shown = sum(int((augmentation(torch.zeros(1, 200, 200), target, draw(i))[1] == 1).any()) for i in range(400))
    expected = 400 * (share + (1 - share) * (5 / 196) ** 2)  # others show the pixel by chance
    assert abs(shown - expected) <= 4 * math.sqrt(400 * share * (1 - share)) + 2


def test_forced_views_lie_inside_the_picture_with_the_pixel_anywhere():
    target, places = (speck(3, 47) == 2).long(), set()
    for seed in range(1000):
        _, labels = Augmentation((8, 9), oversample_foreground=1.0)(torch.zeros(1, 40, 50), target, draw(seed))
        assert 255 not in labels
        places.add(tuple((labels == 1).nonzero()[0].tolist()))
    assert places == {(row, column) for row in range(4) for column in range(6, 9)}  # as the borders allow


@pytest.mark.parametrize("most, rare, less_rare", [(0, 3, 5), (5, 0, 3)])
def test_each_class_but_the_most_frequent_is_drawn_alike_and_its_pixels_too(most, rare, less_rare):
    target = torch.tensor([[most, most, rare, most, 255], [less_rare, most, less_rare, most, 255], [255] * 5])
    found = [foreground_pixel(target, 255, draw(seed)).tolist() for seed in range(600)]
    counts = {tuple(place): found.count(place) for place in found}
    assert counts.keys() == {(2, 0), (0, 1), (2, 1)}
    assert 250 < counts[2, 0] < 350 and 110 < counts[0, 1] < 190 and 110 < counts[2, 1] < 190


@pytest.mark.parametrize("target", [torch.zeros(3, 4), torch.full((3, 4), 255), torch.zeros(2, 3, 4)])
def test_where_there_is_no_foreground_views_are_ordinary(target):
    assert foreground_pixel(target.long(), 255, draw()) is None
    views = [
        Augmentation((2, 2), oversample_foreground=share)(torch.rand(1, 3, 4), target.long(), draw())[1]
        for share in (0.0, 1.0)
    ]
    assert views[0].shape == views[1].shape


def test_off_is_the_views_that_there_were_before_the_setting():
    """Upper left pixels of views, noted before `oversample_foreground` was there."""
    target = place(40, 50)[1]
    target[0, 0] = 1  # a class that could be forced
    augmentation = Augmentation((8, 9), (0.5, 2.0), flip=True, flip_vertical=True, rotate=20.0, colour=0.5, noise=0.1)
    views = [augmentation(torch.zeros(3, 40, 50), target, draw(seed))[1] for seed in range(6)]
    assert [view[0, 0].item() for view in views] == [1842, 772, 1623, 653, 877, 852]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("change", [{"colour": 1.0}, {"blur": 1.0}, {"noise": 0.5}])
def test_colours_change_and_stay_between_0_and_1(channels, change):
    image = torch.cat([torch.zeros(channels, 4, 8), torch.rand(channels, 8, 8), torch.ones(channels, 4, 8)], 1)
    for seed in range(10):
        view, _ = Augmentation(crop=(16, 8), **change)(image, torch.zeros(16, 8, dtype=torch.int64), draw(seed))
        assert view.dtype == torch.float32 and view.isfinite().all()
        assert view.min() >= 0 and view.max() <= 1
        assert not torch.allclose(view, image, atol=1e-4)


def test_blur_is_drawn_with_its_probability_and_noise_has_its_deviation():
    image, target = torch.rand(1, 64, 64) * 0.2 + 0.4, torch.zeros(64, 64, dtype=torch.int64)
    blurred = [
        Augmentation((64, 64), blur=0.3)(image, target, draw(i))[0].std() < 0.9 * image.std() for i in range(100)
    ]
    assert 15 <= sum(blurred) <= 45
    noise = [(Augmentation((64, 64), noise=0.1)(image, target, draw(i))[0] - image).std().item() for i in range(50)]
    assert max(noise) < 0.105 and max(noise) > 0.08 and math.isclose(np.mean(noise), 0.05, abs_tol=0.015)


@pytest.mark.parametrize("channels, pictures", [(1, 8), (3, 1)])
def test_view_does_not_depend_on_the_number_of_threads(channels, pictures):
    """Workers run one thread, the main process many; large enough for torch to share the work among them."""
    target = torch.zeros(1100, 1100, dtype=torch.int64)
    changes = {"scale": (0.5, 2.0), "rotate": 20.0, "blur": 1.0, "noise": 0.1} if channels == 3 else {}
    for seed in range(pictures):
        image = torch.rand(channels, 1100, 1100)
        views = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            views.append(Augmentation((1100, 1100), colour=1.0, **changes)(image, target, draw(seed))[0])
        assert torch.equal(*views)


EVERYTHING = Augmentation(
    (7, 9), (0.5, 2.0), flip=True, flip_vertical=True, rotate=30.0, colour=0.5, blur=0.5, oversample_foreground=0.5
)


@pytest.mark.parametrize("seed", range(8))
def test_all_frames_of_a_clip_are_changed_alike(seed):
    """Equal frames stay equal, and are the view of the picture: of whatever is drawn, it is drawn once."""
    image, target = torch.rand(3, 12, 14), torch.randint(0, 3, (12, 14))
    views, labels = EVERYTHING(image.expand(4, -1, -1, -1), target.expand(4, -1, -1), draw(seed))
    assert views.shape == (4, 3, 7, 9) and labels.shape == (4, 7, 9)
    assert torch.equal(views, views[:1].expand_as(views)) and torch.equal(labels, labels[:1].expand_as(labels))
    shape = Augmentation((7, 9), (0.5, 2.0), flip=True, rotate=30.0)
    clip = shape(torch.stack((image, 1 - image)), torch.stack((target, 2 - target)), draw(seed))
    picture = shape(1 - image, 2 - target, draw(seed))
    torch.testing.assert_close(clip[0][1], picture[0])
    assert torch.equal(clip[1][1], picture[1])


def test_noise_differs_from_frame_to_frame():
    views, _ = Augmentation((8, 8), noise=0.1)(torch.full((2, 3, 8, 8), 0.5), torch.zeros(2, 8, 8).long(), draw())
    assert not torch.equal(views[0], views[1])


def test_the_pixel_that_a_clip_shows_is_one_of_its_annotated_frame():
    target = torch.full((3, 20, 20), 255)
    target[1] = 0
    target[1, 17, 2] = 1
    augmentation = Augmentation((5, 5), oversample_foreground=1.0)
    for seed in range(10):
        _, labels = augmentation(torch.rand(3, 1, 20, 20), target, draw(seed))
        assert (labels[1] == 1).sum() == 1


def test_multilabel_clips_keep_their_planes():
    image, target = torch.rand(2, 3, 8, 8), torch.randint(0, 2, (2, 4, 8, 8))
    views, labels = Augmentation((8, 8), flip=True, oversample_foreground=1.0)(image, target, draw(1))
    flips = torch.equal(labels, target.flip(-1))
    assert flips or torch.equal(labels, target)
    torch.testing.assert_close(views, image.flip(-1) if flips else image, rtol=0, atol=1e-5)


def test_a_target_without_rows_and_columns_stays_and_the_picture_may_keep_its_size():
    image, text = torch.rand(3, 9, 14), torch.tensor([3, 1, 2])
    views = [Augmentation(rotate=20.0, colour=0.4)(image, target, draw()) for target in (text, text[0])]
    assert torch.equal(views[0][1], text) and views[1][1] == 3
    assert views[0][0].shape == image.shape and torch.equal(views[0][0], views[1][0])
    assert not torch.equal(views[0][0], image)
