"""Numbers about a data set that training needs: mean and deviation of the channels, pixels of each class."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .dataset import DataSet, Sample
from .pairs import read_input

Progress = Callable[[Sequence[Sample]], Iterable[Sample]]  # hands the samples on and may draw a bar while it does


def channel_stats(
    dataset: DataSet,
    in_channels: int,
    *,
    split: str = "train",
    progress: Progress = iter,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of a split, in the [0, 1] units of `read_pair`.

    A channel that is constant gets the deviation 1, so that no normalisation divides by zero. Those of volumes, which
    are standardised one by one when they are read, are 0 and 1.

    Raises:
        InputError: An image cannot be read.

    >>> from sweepseg.data import nuclei_sample
    >>> mean, std = channel_stats(nuclei_sample(), in_channels=1)
    >>> 0 < mean[0] < 1, 0 < std[0] < 1
    (True, True)
    """
    if dataset.volumes:
        return (0.0,) * in_channels, (1.0,) * in_channels
    pixels, total, squares = 0, np.zeros(in_channels), np.zeros(in_channels)
    for sample in progress(dataset.splits[split]):
        image = read_input(sample, in_channels, input_range=dataset.input_range).astype(np.float64)
        pixels += image[0].size
        total += image.sum(axis=(1, 2))
        squares += (image**2).sum(axis=(1, 2))
    mean = total / pixels
    variance = squares / pixels - mean**2
    std = np.sqrt(np.where(variance > 1e-12, variance, 1.0))  # what rounding leaves of a constant is below 1e-15
    return tuple(mean.tolist()), tuple(std.tolist())


def count_labels(dataset: DataSet, target: np.ndarray) -> np.ndarray:
    """Labels, or objects, of each class in one target of `read_pair`, int64 (K,)."""
    if dataset.unit == "object":
        numbers, classes = target.reshape(2, -1)
        found, first = np.unique(numbers, return_index=True)
        return np.bincount(classes[first[found > 0]] - 1, minlength=len(dataset.classes))
    if dataset.task == "multilabel":
        return (target == 1).sum(axis=(1, 2))
    return np.bincount(target[target != dataset.ignore_index], minlength=len(dataset.classes))
