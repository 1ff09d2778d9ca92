"""Class weights for the losses, from how often each class occurs in the training masks."""

from typing import Literal

import torch
from torch import Tensor


def class_weights(counts: Tensor, method: Literal["median_frequency", "inverse_sqrt"] = "median_frequency") -> Tensor:
    """Weights that make rare classes count more; the median class has weight 1, as has a class that never occurs.

    The frequency f of a class is its share of the pixels of those images that hold it. ``median_frequency`` gives
    ``median(f) / f``, and ``inverse_sqrt`` the square root of that, which is milder with very rare classes.

    Args:
        counts: Pixels of each class by image, (images, K), or over all images, (K,), which counts as one image.
        method: How weights follow from frequencies.

    Returns:
        Weights (K,), float32.

    Raises:
        ValueError: Counts of another shape, negative or all zero, or an unknown method.

    Source: Eigen and Fergus 2015, section 4.3.2 (median frequency balancing).

    >>> class_weights(torch.tensor([80, 10, 10, 0]))
    tensor([0.1250, 1.0000, 1.0000, 1.0000])
    """
    if counts.ndim not in (1, 2):
        raise ValueError(f"counts have shape {tuple(counts.shape)}; give (images, classes) or (classes,)")
    counts = torch.atleast_2d(counts).double()
    pixels = counts.sum(0)
    if (counts < 0).any() or not pixels.any():
        raise ValueError("counts must be pixels per class, none negative and some positive; count the training masks")
    present = pixels > 0
    frequency = pixels / ((counts > 0) * counts.sum(1, keepdim=True)).sum(0)
    # the mean of the middle two for an even number of classes, where Tensor.median takes the lower
    weights = torch.where(present, frequency[present].quantile(0.5) / frequency, 1.0)
    if method == "inverse_sqrt":
        weights = weights.sqrt()
    elif method != "median_frequency":
        raise ValueError(f"method is {method!r}; choose median_frequency or inverse_sqrt")
    return weights.float()
