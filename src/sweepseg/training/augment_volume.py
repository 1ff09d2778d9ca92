"""Paired augmentation of volumes: as `augment`, with a third dimension and without a range that values keep to."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .augment import warp

WITHOUT = frozenset(  # settings of a run for pictures alone
    {"blur", "oversample_foreground", "cutmix", "consistency", "clip_length"}
)


@dataclass(frozen=True)
class VolumeAugmentation:
    """How far a view may differ from its volume; the fields are those of `Settings`.

    Args:
        crop: (depth, height, width) of the view in voxels.
        scale: Smallest and largest scale, the same along all axes.
        flip: Flips along the width, left-right.
        flip_vertical: Flips along the height, back-front.
        rotate: Largest rotation around each axis in degrees; it is one of voxels, so keep it small where slices are
            thick.
        colour: Strength of the changes of brightness and contrast, 0 to 1.
        noise: Largest standard deviation of Gaussian noise, in those of the volume.
        ignore_index: Label of voxels that lie outside of the volume.

    >>> view, target = VolumeAugmentation(crop=(4, 6, 5), flip=True)(
    ...     torch.randn(1, 8, 8, 8), torch.zeros(8, 8, 8, dtype=torch.int64), np.random.default_rng(0)
    ... )
    >>> view.shape, target.shape
    (torch.Size([1, 4, 6, 5]), torch.Size([4, 6, 5]))
    """

    crop: tuple[int, ...]
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    flip_vertical: bool = False
    rotate: float = 0.0
    colour: float = 0.0
    noise: float = 0.0
    ignore_index: int = 255

    def __call__(self, volume: Tensor, target: Tensor, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw a view.

        Args:
            volume: (C, D, H, W) float, standardised.
            target: int64 (D, H, W).
            draw: The only source of randomness.

        Returns:
            The view (C, d, h, w) and its target (d, h, w), with (d, h, w) = ``crop``.
        """
        matrix = self._affine(np.array(volume.shape[:0:-1]), draw)
        volume, target = warp(volume, target, matrix, self.crop, self.ignore_index)
        brightness, contrast = draw.uniform(-1, 1, 2) * self.colour
        deviation = draw.uniform(0, self.noise)
        volume = volume * (1 + contrast) + brightness / 2
        if deviation:
            noise = draw.standard_normal(tuple(volume.shape), dtype=np.float32) * np.float32(deviation)
            volume = volume + torch.from_numpy(noise)
        return volume, target

    def _affine(self, extent: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """The map from voxels of the view to voxels of the volume, (3, 4), in (column, row, slice) coordinates.

        The crop lies inside the scaled volume where it fits, else the volume inside the crop.
        """
        scale = math.exp(draw.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        angles = np.radians(draw.uniform(-self.rotate, self.rotate, 3))
        mirror = -1.0 if self.flip and draw.random() < 0.5 else 1.0
        mirror_vertical = -1.0 if self.flip_vertical and draw.random() < 0.5 else 1.0
        linear = rotation(*angles) @ np.diag([mirror, mirror_vertical, 1.0]) / scale
        size = np.array(self.crop[::-1])
        slack = np.abs(extent - size / scale) / 2
        offset = (extent - 1) / 2 + draw.uniform(-1, 1, 3) * slack - linear @ ((size - 1) / 2)
        if scale == 1 and not angles.any():
            offset = np.rint(offset)  # crops and flips copy voxels instead of blurring them
        return np.concatenate([linear, offset[:, None]], axis=1)


def rotation(first: float, second: float, third: float) -> np.ndarray:
    """Rotations in radians around the first, then the second, then the third axis, as one matrix (3, 3).

    >>> rotation(0, 0, math.pi / 2).round(12) + 0  # takes the first axis to the second
    array([[ 0., -1.,  0.],
           [ 1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """
    matrix = np.eye(3)
    for axis, angle in enumerate((first, second, third)):
        around, (a, b) = np.eye(3), ((axis + 1) % 3, (axis + 2) % 3)
        around[[a, b], [a, b]] = math.cos(angle)
        around[a, b], around[b, a] = -math.sin(angle), math.sin(angle)
        matrix = around @ matrix
    return matrix
