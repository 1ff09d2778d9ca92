"""Numbers about a data set that training needs: mean and deviation of the channels, pixels of each class."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..errors import UsageError
from .dataset import DataSet, Sample
from .pairs import read_input, read_target

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


def map_stats(
    dataset: DataSet, *, split: str = "train", progress: Progress = iter
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each map of a data set for regression over the known pixels of a split.

    A map that is constant gets the deviation 1.

    Raises:
        InputError: A map cannot be read.
        UsageError: Nothing is known of a map.
    """
    sums = np.zeros((3, len(dataset.classes)))  # pixels, values, squares
    for sample in progress([sample for sample in dataset.splits[split] if sample.annotated]):
        values = read_target(dataset, sample).astype(np.float64)
        known = ~np.isnan(values)
        values[~known] = 0
        sums += np.stack([known, values, values**2]).sum((2, 3))
    pixels, total, squares = sums
    for name, count in zip(dataset.classes, pixels, strict=True):
        if not count:
            raise UsageError(f"no pixel of the map {name} is known in {split} of {dataset.root}; there all are NaN")
    mean = total / pixels
    variance = squares / pixels - mean**2
    std = np.sqrt(np.where(variance > 1e-12 * mean**2, variance, 1.0))  # what rounding leaves of a constant is below
    return tuple(mean.tolist()), tuple(std.tolist())


def count_ignored(dataset: DataSet, target: np.ndarray) -> int:
    """Values of a target of `read_pair` that count neither in the loss nor in metrics."""
    return int((np.isnan(target) if target.dtype.kind == "f" else target == dataset.ignore_index).sum())


def count_labels(dataset: DataSet, target: np.ndarray) -> np.ndarray:
    """Labels, or objects, of each class, or known pixels of each map, in one target of `read_pair`, int64 (K,)."""
    if dataset.unit == "object":
        numbers, classes = target.reshape(2, -1)
        found, first = np.unique(numbers, return_index=True)
        return np.bincount(classes[first[found > 0]] - 1, minlength=len(dataset.classes))
    if dataset.task == "multilabel":
        return (target == 1).sum(axis=(1, 2))
    if dataset.task == "regression":
        return (~np.isnan(target)).sum(axis=(1, 2))
    return np.bincount(target[target != dataset.ignore_index], minlength=len(dataset.classes))
