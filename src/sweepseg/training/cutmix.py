"""CutMix: rectangles of pictures in other pictures of the same batch, with their labels."""

import math

import numpy as np
from torch import Tensor


def cutmix(images: Tensor, targets: Tensor, draw: np.random.Generator, probability: float) -> tuple[Tensor, Tensor]:
    """Put into pictures of a batch a rectangle from the next one, at the same place.

    Source: Yun et al. 2019, "CutMix", arXiv:1905.04899, section 3: the rectangle has the picture's proportions, a share
    of its area that is uniform in [0, 1], and its centre anywhere, so that a part may be cut off. Here the labels are
    dense and move with their pixels.

    Args:
        images: (B, C, H, W).
        targets: (B, H, W) or (B, K, H, W).
        draw: The only source of randomness.
        probability: That a picture gets a rectangle.

    Returns:
        New tensors of the same shapes and memory order.
    """
    height, width = images.shape[-2:]
    count = len(images)
    mixed, labels = images.clone(), targets.clone()
    for i in range(count):
        chosen, share, *centre = draw.random(4)
        if chosen < probability:
            (top, bottom), (left, right) = (
                _range(middle, math.sqrt(share), size) for middle, size in zip(centre, (height, width), strict=True)
            )
            other = (i + 1) % count
            mixed[i, ..., top:bottom, left:right] = images[other, ..., top:bottom, left:right]
            labels[i, ..., top:bottom, left:right] = targets[other, ..., top:bottom, left:right]
    return mixed, labels


def _range(middle: float, share: float, size: int) -> tuple[int, int]:
    """The pixels of a side that lie within ``share`` of it around ``middle``, both in [0, 1]."""
    start, end = (middle - share / 2) * size, (middle + share / 2) * size
    return max(0, round(start)), min(size, round(end))
