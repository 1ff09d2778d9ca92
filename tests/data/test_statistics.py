import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from sweepseg.data import channel_stats, check, open_dataset


def label_counts(dataset, split="train"):
    return check(dataset).splits[split].class_pixels


@pytest.fixture
def two_sizes(save, good_set, picture):
    """Training pictures of different sizes, so that a mean of means differs from the mean."""
    save("images/train/a.png", picture[:2, :3] // 4)
    save("masks/train/a.png", np.array([[0, 1, 2], [255, 1, 1]], np.uint8))
    return open_dataset(good_set)


def test_channel_stats_are_those_of_all_pixels_together(two_sizes, picture):
    pixels = np.concatenate([(picture[:2, :3] // 4).reshape(-1, 3), picture.reshape(-1, 3)]) / 255
    oracle = StandardScaler().fit(pixels)
    mean, std = channel_stats(two_sizes, 3)
    np.testing.assert_allclose(mean, oracle.mean_, rtol=1e-6)
    np.testing.assert_allclose(std, oracle.scale_, rtol=1e-6)


def test_channel_stats_are_of_the_split_that_is_asked_for(two_sizes, picture):
    mean, _ = channel_stats(two_sizes, 3, split="test")
    np.testing.assert_allclose(mean, picture.reshape(-1, 3).mean(0) / 255, rtol=1e-6)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_channel_gets_the_deviation_one(save, good_set, value):
    for name in ("a", "b"):
        save(f"images/train/{name}.png", np.full((6, 8), value, np.uint8))
    mean, std = channel_stats(open_dataset(good_set), 1)
    assert std == (1.0,) and mean == pytest.approx((value / 255,))


def test_label_counts_leave_out_ignored_pixels(two_sizes, labels):
    values = [0, 1, 2, 255, 1, 1, *labels.ravel().tolist()]
    assert label_counts(two_sizes).tolist() == [values.count(label) for label in range(3)]


def test_label_counts_of_a_split_without_masks_are_zero(good_set):
    (good_set / "masks/test/d.png").unlink()
    assert label_counts(open_dataset(good_set), split="test").tolist() == [0, 0, 0]


def test_label_counts_of_multilabel_are_the_pixels_of_each_channel(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 4), np.uint8))
    save("masks/train/a/border.png", np.array([[1, 0, 255, 1]], np.uint8))
    save("masks/train/a/cell.png", np.array([[1, 1, 1, 0]], np.uint8))
    assert label_counts(open_dataset(tmp_path)).tolist() == [2, 3]


def test_progress_is_handed_the_samples(two_sizes):
    seen = []

    def progress(samples):
        for sample in samples:
            seen.append(sample.name)
            yield sample

    channel_stats(two_sizes, 3, progress=progress)
    assert seen == ["a", "b"]
