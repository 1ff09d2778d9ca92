"""Views of volumes, against torch's flips and scipy's resampling."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from sweepseg.training.augment_volume import VolumeAugmentation, rotation

SHAPE = (7, 9, 11)


def draw(seed=0):
    return np.random.default_rng(seed)


def pair(*shape):
    shape = shape or SHAPE
    return torch.randn(2, *shape), torch.arange(math.prod(shape)).view(shape)


def test_nothing_enabled_is_the_volume():
    volume, target = pair()
    view, labels = VolumeAugmentation(crop=SHAPE)(volume, target, draw())
    torch.testing.assert_close(view, volume, rtol=0, atol=1e-5)
    assert torch.equal(labels, target)


@pytest.mark.parametrize(("option", "dim"), [("flip", -1), ("flip_vertical", -2)])
def test_flips_are_those_of_torch_and_come_half_of_the_time(option, dim):
    volume, target = pair()
    augmentation, flipped = VolumeAugmentation(crop=SHAPE, **{option: True}), 0
    for seed in range(60):
        view, labels = augmentation(volume, target, draw(seed))
        is_flipped = torch.equal(labels, target.flip(dim))
        flipped += is_flipped
        assert is_flipped or torch.equal(labels, target)
        torch.testing.assert_close(view, volume.flip(dim) if is_flipped else volume, rtol=0, atol=1e-5)
    assert 18 <= flipped <= 42


def test_crops_copy_voxels_and_reach_every_corner():
    volume, target = pair()
    corners = set()
    for seed in range(300):
        view, labels = VolumeAugmentation(crop=(6, 7, 9))(volume, target, draw(seed))
        d, h, w = np.unravel_index(labels[0, 0, 0].item(), SHAPE)
        corners.add((int(d), int(h), int(w)))
        assert torch.equal(labels, target[d : d + 6, h : h + 7, w : w + 9])
        torch.testing.assert_close(view, volume[:, d : d + 6, h : h + 7, w : w + 9], rtol=0, atol=1e-5)
    assert corners == {(d, h, w) for d in range(2) for h in range(3) for w in range(3)}


def test_what_lies_outside_is_ignored():
    volume, target = pair(3, 4, 5)
    view, labels = VolumeAugmentation(crop=(5, 6, 9), ignore_index=-7)(volume, target, draw(3))
    inside = labels != -7
    assert inside.sum() == target.numel() and torch.equal(labels[inside], target.flatten())
    torch.testing.assert_close(view[:, inside], volume.flatten(1), rtol=0, atol=1e-5)


def test_rotation_and_scale_are_scipys():
    """Away from the border; grid_sample works in float32."""
    place = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, 21),) * 3, indexing="ij"))
    volume = (place.square().sum(0) + place[0] - 2 * place[2])[None]
    augmentation = VolumeAugmentation(crop=(9, 9, 9), scale=(1.2, 1.3), rotate=20)
    view, labels = augmentation(volume, torch.arange(21**3).view(21, 21, 21), draw(5))
    matrix = augmentation._affine(np.array([21, 21, 21]), draw(5))
    linear, offset = matrix[::-1, 2::-1], matrix[::-1, 3]  # scipy counts (slice, row, column)
    wanted = affine_transform(volume[0].numpy(), linear, offset, (9, 9, 9), order=1)
    np.testing.assert_allclose(view[0], wanted, atol=1e-4)
    nearest = affine_transform(np.arange(21**3).reshape(21, 21, 21), linear, offset, (9, 9, 9), order=0)
    assert (labels.numpy() == nearest).mean() > 0.99  # ties
    volume_of_a_voxel = abs(np.linalg.det(linear))
    assert 1.3**-3 <= volume_of_a_voxel <= 1.2**-3


def test_rotations_are_right_handed_and_keep_lengths():
    matrix = rotation(0.3, -0.7, 1.1)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(rotation(math.pi / 2, 0, 0) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_intensities_change_and_labels_do_not():
    volume, target = pair()
    view, labels = VolumeAugmentation(crop=SHAPE, colour=0.4, noise=0.2)(volume, target, draw(1))
    assert torch.equal(labels, target)
    contrast, brightness = np.polyfit(volume.flatten(), view.flatten(), 1)
    assert 0.6 <= contrast <= 1.4 and abs(brightness) <= 0.2
    rest = (view - contrast * volume - brightness).std()
    assert 0.001 < rest <= 0.2
    assert view.abs().max() > 1  # nothing is clipped


def test_a_view_is_decided_by_its_draw():
    augmentation = VolumeAugmentation(crop=(5, 5, 5), scale=(0.8, 1.2), flip=True, rotate=9, colour=0.3, noise=0.1)
    volume, target = pair()
    first, again, other = (augmentation(volume, target, draw(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
